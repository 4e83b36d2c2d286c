"""The setting of the reproduction, built from the config."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig

from cloudedge_pl.commands.paper_runs import training_plan
from cloudedge_pl.commands.reporting import resolved
from cloudedge_pl.costs.input_codec import InputCodec
from cloudedge_pl.costs.profile import CostProfile
from cloudedge_pl.costs.units import format_rate, format_seconds
from cloudedge_pl.data import ImageDataModule
from cloudedge_pl.data.jpeg import mean_bytes
from cloudedge_pl.data.photographs import photographs
from cloudedge_pl.fleet import Fleet, Workload
from cloudedge_pl.paper.setting import PaperSetting, kind_of
from cloudedge_pl.partition import build_backbone, profile, trace


def paper_setting(cfg: DictConfig, folder: Path) -> PaperSetting:
    """Builds what all parts are made with.

    Args:
        cfg: the composed config of ``cloudedge reproduce``, checked.
        folder: of the reproduction.
    """
    data: ImageDataModule = instantiate(cfg.data, _convert_="all")
    own = (
        "image_size",
        "small_image_size",
        "node_counts",
        "seeds",
        "num_tasks",
        "schedule_sizes",
        "seed",
    )
    return PaperSetting(
        profile=_profile(cfg, data, cfg.image_size),
        small_profile=_profile(cfg, data, cfg.small_image_size),
        folder=folder,
        base_fleet=instantiate(cfg.fleet, _convert_="all"),
        workload=instantiate(cfg.workload),
        num_classes=data.num_classes,
        formulas=instantiate(cfg.formulas),
        codec=instantiate(cfg.codec),
        # the experiments give the training a split point; the parts that plan look for their own
        goal=replace(instantiate(cfg.offloading, _convert_="all"), split_point=None),
        scenario=instantiate(cfg.scenario, _convert_="all"),
        dormancy=instantiate(cfg.dormancy),
        make_scheduler=lambda: instantiate(cfg.scheduler),
        measure_picture=MEASURED_ON[cfg.jpeg_pictures](cfg),
        training=training_plan(cfg, HydraConfig.get().overrides.task),
        **{name: resolved(cfg)[name] for name in own},
    )


def setting_in_words(cfg: DictConfig) -> dict[str, str]:
    """Returns the setting of the paper's experiments for a reader, by what each line is about."""
    fleet: Fleet = instantiate(cfg.fleet, _convert_="all")
    workload: Workload = instantiate(cfg.workload)
    kinds = Counter(kind_of(node.name) for node in fleet.nodes)
    nodes = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    bandwidth = format_rate(fleet.link.bandwidth_bits_per_second, "bit/s")
    arrivals = format_rate(workload.arrival_rate, "tasks/s")
    return {
        "network": f"{cfg.model.backbone} at {cfg.image_size}x{cfg.image_size} pixels",
        "nodes": f"{nodes}, and a {fleet.cloud.name} as the cloud",
        "link": f"{bandwidth}, {format_seconds(fleet.link.propagation_seconds)} one way",
        "tasks": f"{arrivals}, at most {format_seconds(workload.max_delay_seconds)} for each",
        "data": str(cfg.data._target_).rpartition(".")[2].removesuffix("DataModule").lower(),
        "JPEG": "of two photographs" if cfg.jpeg_pictures == "photographs" else "of the data's pictures",
        "training": _training_in_words(cfg),
        "drawn at random": f"{cfg.seeds} seeds from {cfg.seed} on, {cfg.num_tasks:,} tasks in each simulation",
    }


def _training_in_words(cfg: DictConfig) -> str:
    """Returns how long Figure 9 trains."""
    experiment = HydraConfig.get().runtime.choices.get("experiment")
    if cfg.trainer.get("fast_dev_run"):
        return f"{experiment}, one step only (trainer.fast_dev_run): a dry run, whose errors mean nothing"
    steps, epochs = cfg.trainer.get("max_steps", -1), cfg.trainer.get("max_epochs", -1)
    length = f"{steps:,} steps" if steps > 0 else f"{epochs} epochs"
    return f"{experiment}, {length} of {cfg.data.batch_size} pictures, {cfg.training.seeds} seeds"


def _profile(cfg: DictConfig, data: ImageDataModule, image_size: int) -> CostProfile:
    """Returns the costs of the network on pictures of a size, with the classes of the data."""
    model = resolved(cfg)["model"]
    options = model.get("backbone_options") or {}
    backbone = build_backbone(model["backbone"], num_classes=data.num_classes, **options)
    example = torch.zeros(1, data.input_shape[0], image_size, image_size)
    chain = trace(backbone, example)
    return profile(chain, example, exit_head=instantiate(cfg.exit_head), name=model["backbone"])


def _on_data(cfg: DictConfig) -> Callable[[InputCodec, int], float]:
    """Returns what measures the pictures of the data; they are loaded when it is first called."""

    @cache
    def resized(image_size: int) -> ImageDataModule:
        data: ImageDataModule = instantiate(cfg.data, _convert_="all", image_size=image_size)
        return data

    return lambda codec, image_size: resized(image_size).picture_bytes(codec)


def _on_photographs(cfg: DictConfig) -> Callable[[InputCodec, int], float]:
    """Returns what measures photographs."""
    return lambda codec, image_size: mean_bytes(photographs(image_size), codec)


MEASURED_ON: Final = {"photographs": _on_photographs, "data": _on_data}
"""What the bytes of a JPEG are measured on, by ``jpeg_pictures``."""
