"""Plans and cuts the backbone of a module, before a run begins."""

from __future__ import annotations

from torch import nn

from cloudedge_pl.lightning import pl
from cloudedge_pl.offloading import with_picture_bytes
from cloudedge_pl.training.cut.deployment import Deployment, deploy
from cloudedge_pl.training.cut.example_input import example_input_of
from cloudedge_pl.training.cut.first_batches import FirstBatches
from cloudedge_pl.training.strategies.settings import CutSettings


def plan(
    settings: CutSettings,
    trainer: pl.Trainer,
    module: pl.LightningModule,
    backbone: nn.Module,
    precision: pl.plugins.Precision,
) -> tuple[Deployment, FirstBatches | None]:
    """Plans and cuts a backbone.

    Args:
        settings: what the strategy was asked for.
        trainer: whose data gives the shape of a sample, unless the settings do, and the bytes of a picture as JPEG.
        module: the user's.
        backbone: its part that is cut.
        precision: of the run.

    Returns:
        The cut backbone, and the batches that were read for its shape.
    """
    precision.convert_module(module)  # plan with the weights that will run
    example, first_batches = settings.example_input, None
    if example is None:
        example, first_batches = example_input_of(trainer, module, backbone, precision)
    example = precision.convert_input(example)
    if example.is_floating_point():  # indices, such as tokens, keep their dtype
        example = example.to(next(backbone.parameters()).dtype)
    measure = getattr(getattr(trainer, "datamodule", None), "picture_bytes", None)
    workload = with_picture_bytes(settings.workload, settings.offloading, measure)
    deployment = deploy(
        backbone,
        example,
        settings.fleet,
        workload,
        granularity=settings.granularity,
        goal=settings.offloading,
        formulas=settings.formulas,
        codec=settings.codec,
        exit_head=settings.exit_head,
        seed=settings.seed,
        split_modules=settings.split_modules,
        name=getattr(module, "backbone_name", None),
    )
    if deployment.plan.uncut:
        pl.utilities.rank_zero_warn(deployment.plan.uncut)
    return deployment, first_batches
