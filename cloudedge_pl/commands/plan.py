"""``cloudedge plan``: the costs of every split point of a network, the one that is chosen, and why; no training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import hydra
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.table import Table

from cloudedge_pl.commands.checking import check_config
from cloudedge_pl.commands.reporting import Progress, summary_if_stopped
from cloudedge_pl.commands.rows import leaves_row
from cloudedge_pl.commands.running import (
    clear_errors,
    console,
    output_dir,
    report_plan,
    resolved,
    run,
    write_json,
)
from cloudedge_pl.costs.measured import Disagreement
from cloudedge_pl.data import ImageDataModule
from cloudedge_pl.offloading import OffloadPlan, plan_dict, plan_offloading, with_picture_bytes
from cloudedge_pl.partition import build_backbone, profile, trace

NEEDED = (
    "model",
    "fleet",
    "workload",
    "offloading",
    "formulas",
    "codec",
    "exit_head",
    "costs",
    "input_shape",
    "num_classes",
    "granularity",
)


def plan(cfg: DictConfig) -> OffloadPlan:
    """Plans as the config says; writes plan.json and figures to Hydra's directory.

    Args:
        cfg: the composed config; see ``conf/plan.yaml``.
    """
    with summary_if_stopped() as progress:
        return _plan(cfg, progress)


def _plan(cfg: DictConfig, progress: Progress) -> OffloadPlan:
    if "trainer" in cfg or "callbacks" in cfg:
        raise ValueError(
            "trainer and callbacks are groups of `cloudedge train`, as is an experiment that sets them; leave them out."
        )
    check_config(cfg, NEEDED)
    chosen, disagreement = make_plan(cfg, progress)
    progress.stage = "report"
    report_plan(chosen, output_dir())
    write_json(output_dir() / "summary.json", _summary(chosen))
    if disagreement is not None:
        console().print(disagreement_table(disagreement, chosen.profile.names, chosen.split_point))
    console().print(f"plan.json, summary.json and figures are in {output_dir()}", soft_wrap=True)
    return chosen


def _summary(chosen: OffloadPlan) -> dict[str, Any]:
    """The chosen split point and its costs."""
    point = plan_dict(chosen)["split_points"][chosen.split_point]
    costs = {key: value for key, value in point.items() if isinstance(value, (bool, int, float))}
    return {
        "model": chosen.profile.model,
        "split_point": costs.pop("index"),
        "split_name": chosen.name,
        **costs,
    }


def make_plan(cfg: DictConfig, progress: Progress) -> tuple[OffloadPlan, Disagreement | None]:
    """Plans as a checked config says.

    Args:
        cfg: with the groups and keys of :data:`NEEDED`.
        progress: of the command.

    Returns:
        The plan, and how far measured costs disagree with counted ones if they are measured.
    """
    data = _data(cfg)
    model = resolved(cfg)["model"]
    backbone = build_backbone(
        model["backbone"], num_classes=cfg.num_classes, **(model.get("backbone_options") or {})
    )
    example = torch.zeros(1, *cfg.input_shape)
    chain = trace(backbone, example, granularity=cfg.granularity)
    costs = profile(chain, example, exit_head=instantiate(cfg.exit_head), name=model["backbone"])
    progress.done = lambda: {"model": model["backbone"], "split_points": len(costs.names)}
    progress.stage = "measurement"
    costs, disagreement = instantiate(cfg.costs)(chain, example, costs)
    progress.stage = "planning"
    goal = instantiate(cfg.offloading, _convert_="all")
    chosen = plan_offloading(
        costs,
        instantiate(cfg.fleet),
        with_picture_bytes(instantiate(cfg.workload), goal, None if data is None else data.picture_bytes),
        goal=goal,
        formulas=instantiate(cfg.formulas),
        codec=instantiate(cfg.codec),
    )
    progress.done = lambda: {"model": model["backbone"], "split_point": chosen.split_point}
    return chosen, disagreement


def _data(cfg: DictConfig) -> ImageDataModule | None:
    """Builds the data whose pictures are measured; None if none is named.

    Raises:
        ValueError: if its pictures are not of ``input_shape``.
    """
    if "data" not in cfg:
        return None
    data: ImageDataModule = instantiate(cfg.data, _convert_="all")
    if list(data.input_shape) != list(cfg.input_shape):
        found = ",".join(map(str, data.input_shape))
        raise ValueError(
            f"input_shape is {list(cfg.input_shape)}, but the pictures of data are [{found}]; write "
            f"input_shape=[{found}], or another data.image_size."
        )
    return data


def disagreement_table(found: Disagreement, names: Sequence[str], chosen: int) -> Table:
    """Compares measured and counted cost of the edge part, at the chosen split point and where they differ most."""
    table = Table(
        title=f"measured on this machine: {found.flops_per_second / 1e9:.3g} GFLOP/s over the whole network"
    )
    for heading in ("split", "after", "of the time", "of the FLOP", "difference"):
        table.add_column(heading, justify="left" if heading == "after" else "right")
    for point in sorted({chosen, found.worst}):
        measured, counted = found.measured_share[point], found.counted_share[point]
        table.add_row(
            f"{point}",
            names[point],
            f"{measured:.1%}",
            f"{counted:.1%}",
            f"{100 * (measured - counted):+.1f} points",
        )
    return table


@hydra.main(version_base="1.3", config_path="pkg://cloudedge_pl.conf", config_name="plan")
@clear_errors
@leaves_row
def _app(cfg: DictConfig) -> None:
    plan(cfg)


def main() -> None:
    """Entry point of ``cloudedge plan``."""
    run(_app)
