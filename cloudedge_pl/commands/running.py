"""Shared parts of the commands that plan or train: building objects from the config, and reporting on them."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from typing_extensions import override

from cloudedge_pl.commands.checking import check_config
from cloudedge_pl.commands.metrics_file import open_metrics
from cloudedge_pl.commands.reporting import (
    clear_errors,
    console,
    output_dir,
    quoted,
    resolved,
    run,
    write_json,
)
from cloudedge_pl.lightning import pl
from cloudedge_pl.offloading import OffloadPlan, plan_dict
from cloudedge_pl.reports.plan_figures import save_plan_figures
from cloudedge_pl.reports.plan_table import plan_table
from cloudedge_pl.training.checkpoints.files import CheckedCheckpointIO
from cloudedge_pl.training.strategies.hooks import RunHooks

__all__ = [
    "PlanReport",
    "Throughput",
    "build",
    "clear_errors",
    "console",
    "output_dir",
    "quoted",
    "report_plan",
    "resolved",
    "run",
    "versions",
    "write_json",
]


NEEDED = ("data", "model", "strategy", "callbacks", "trainer", "logger", "seed", "test")


def report_plan(plan: OffloadPlan, folder: Path) -> None:
    """Shows the plan as a table, and writes plan.json and figures to ``folder``."""
    console().print(plan_table(plan))
    write_json(folder / "plan.json", plan_dict(plan))
    save_plan_figures(plan, folder / "figures")


class PlanReport(pl.Callback):
    """Shows the plan before training starts and writes it to ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(trainer.strategy, RunHooks)
        report_plan(trainer.strategy.plan, self.folder)


class Throughput(pl.Callback):
    """Counts training images and the seconds of training batches, without validation.

    Attributes:
        images: number of images so far.
        seconds: time of their batches.
    """

    def __init__(self) -> None:
        self.images = 0
        self.seconds = 0.0
        self._since: float | None = None

    @property
    def images_per_second(self) -> float:
        """Rate so far; nan before the first batch."""
        return self.images / self.seconds if self.seconds else math.nan

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = time.perf_counter()

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.perf_counter()
        if self._since is not None:
            self.images += len(batch[0])
            self.seconds += now - self._since
        self._since = now

    @override
    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = None


class UnknownMonitors(pl.Callback):
    """Warns of an EarlyStopping(strict=False) whose metric nothing logs, which would silently never stop the run."""

    def __init__(self) -> None:
        self._validated = self._warned = False

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._validated |= not trainer.sanity_checking

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._validated:
            self._warn(trainer)

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._warn(trainer)

    def _warn(self, trainer: pl.Trainer) -> None:
        if self._warned:
            return
        self._warned, logged = True, trainer.callback_metrics
        for callback in trainer.callbacks:  # type: ignore[attr-defined]  # set by the callback connector
            if isinstance(callback, pl.callbacks.EarlyStopping) and callback.monitor not in logged:
                pl.utilities.rank_zero_warn(
                    f"EarlyStopping monitors {callback.monitor!r}, which nothing logs: it never stops the run. "
                    f"Logged are: {', '.join(sorted(logged)) or 'none'}."
                )


def build(cfg: DictConfig) -> tuple[pl.LightningDataModule, pl.LightningModule, pl.Trainer, Throughput]:
    """Seeds all generators and builds data, module and trainer from the config."""
    check_config(cfg, NEEDED)
    pl.seed_everything(cfg.seed, workers=True)
    datamodule = instantiate(cfg.data, _convert_="all")
    module = instantiate(cfg.model, num_classes=datamodule.num_classes, _convert_="all")
    strategy = cfg.strategy.name if "name" in cfg.strategy else instantiate(cfg.strategy, _convert_="all")
    throughput = Throughput()
    callbacks = [*_callbacks(cfg, isinstance(strategy, RunHooks)), UnknownMonitors(), throughput]
    if isinstance(strategy, RunHooks):
        callbacks.append(PlanReport(output_dir()))
    loggers = [instantiate(logger) for logger in cfg.logger.values() if logger is not None]
    earlier = [open_metrics(logger, _goes_on(cfg)) for logger in loggers]
    callbacks += [each for each in earlier if each is not None]
    trainer = instantiate(cfg.trainer, strategy=strategy, callbacks=callbacks, logger=loggers)
    if (
        type(trainer.strategy.checkpoint_io) is pl.plugins.TorchCheckpointIO
    ):  # Lightning's default: no other was chosen
        trainer.strategy.checkpoint_io = CheckedCheckpointIO()
    return datamodule, module, trainer, throughput


def _goes_on(cfg: DictConfig) -> bool:
    """Whether a training goes on in the folder of its run."""
    checkpoint = cfg.get("ckpt_path")
    return checkpoint is not None and output_dir().resolve() in Path(checkpoint).resolve().parents


def _callbacks(cfg: DictConfig, cut: bool) -> list[pl.Callback]:
    """Builds the callbacks of the config; without a cut, those that need one are left out with a message."""
    callbacks = []
    for name, callback in cfg.callbacks.items():
        if callback is None:
            continue
        if not cut and name in ("aggregation", "dormancy", "costs", "outcomes"):
            print(f"callbacks.{name} is left out: strategy={cfg.strategy.get('name')} cuts nothing")
            continue
        callbacks.append(instantiate(callback))
    return callbacks


def versions() -> dict[str, str]:
    """Returns the versions of packages that a result may depend on."""
    import platform

    import numpy
    import torchvision

    import cloudedge_pl

    return {
        "cloudedge_pl": cloudedge_pl.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "pytorch_lightning": pl.__version__,
        "numpy": numpy.__version__,
    }
