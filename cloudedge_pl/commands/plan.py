"""``cloudedge plan``: every split point of a network, what it costs, which one is chosen and why; no training."""

from __future__ import annotations

import hydra
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from cloudedge_pl.commands.running import clear_errors, console, output_dir, report_plan, resolved
from cloudedge_pl.offloading import OffloadPlan, plan_offloading
from cloudedge_pl.partition import build_backbone, profile


def plan(cfg: DictConfig) -> OffloadPlan:
    """Plans as the config says; leaves plan.json and figures in Hydra's directory.

    Args:
        cfg: the composed config; see ``conf/plan.yaml``.
    """
    options = resolved(cfg)
    model = options["model"]
    backbone = build_backbone(
        model["backbone"], num_classes=cfg.num_classes, **(model.get("backbone_options") or {})
    )
    costs = profile(
        backbone,
        torch.zeros(1, *cfg.input_shape),
        granularity=cfg.granularity,
        exit_head=instantiate(cfg.exit_head),
        name=model["backbone"],
    )
    chosen = plan_offloading(
        costs, instantiate(cfg.fleet), instantiate(cfg.workload), **options["offloading"]
    )
    report_plan(chosen, output_dir())
    console().print(f"plan.json and figures are in {output_dir()}", soft_wrap=True)
    return chosen


@hydra.main(version_base="1.3", config_path="pkg://cloudedge_pl.conf", config_name="plan")
@clear_errors
def _app(cfg: DictConfig) -> None:
    plan(cfg)


def main() -> None:
    """Entry point of ``cloudedge plan``."""
    _app()
