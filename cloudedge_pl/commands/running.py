"""What the commands share: building the parts from the config, reporting, and clear errors instead of tracebacks."""

from __future__ import annotations

import functools
import json
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from typing_extensions import override

from cloudedge_pl.offloading import OffloadPlan
from cloudedge_pl.reports.plan_figures import save_plan_figures
from cloudedge_pl.reports.plan_table import plan_table
from cloudedge_pl.training import CloudEdgeStrategy

USER_ERRORS = (ValueError, RuntimeError, FileNotFoundError)
"""What bad input raises; the message says what to do, a traceback adds nothing."""


def console() -> Console:
    """Where tables are shown; wide enough for a plan when the output is not a terminal."""
    return Console(width=None if sys.stdout.isatty() else 120)


def output_dir() -> Path:
    """Hydra's directory for this run."""
    return Path(HydraConfig.get().runtime.output_dir)


def clear_errors(command: Callable[[DictConfig], Any]) -> Callable[[DictConfig], Any]:
    """Shows an error of the user's input as its message alone and exits with 1; CLOUDEDGE_TRACE=1 shows it all."""

    @functools.wraps(command)
    def wrapper(cfg: DictConfig) -> Any:
        try:
            return command(cfg)
        except (*USER_ERRORS, InstantiationException) as error:
            if os.environ.get("CLOUDEDGE_TRACE"):
                raise
            cause = (
                error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
            )
            where = f" (in {error.args[0].splitlines()[-1]})" if cause is not error and error.args else ""
            sys.exit(f"{type(cause).__name__}: {cause}{where}\nSet CLOUDEDGE_TRACE=1 for the traceback.")

    return wrapper


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes JSON that any parser reads: what is not a finite number becomes null."""
    path.write_text(json.dumps(_finite(content), indent=2, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def report_plan(plan: OffloadPlan, folder: Path) -> None:
    """Shows the plan as a table; leaves plan.json and its figures in ``folder``."""
    console().print(plan_table(plan))
    write_json(folder / "plan.json", plan.to_dict())
    save_plan_figures(plan, folder / "figures")


class PlanReport(pl.Callback):
    """Shows the plan before training starts and leaves it in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(trainer.strategy, CloudEdgeStrategy)
        report_plan(trainer.strategy.plan, self.folder)


class Throughput(pl.Callback):
    """Counts training images and the seconds that training batches took, validation left out.

    Attributes:
        images: so far.
        seconds: so far.
    """

    def __init__(self) -> None:
        self.images = 0
        self.seconds = 0.0
        self._since: float | None = None

    @property
    def images_per_second(self) -> float:
        """nan before the first batch."""
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


def build(cfg: DictConfig) -> tuple[pl.LightningDataModule, pl.LightningModule, pl.Trainer, Throughput]:
    """Makes data, module and trainer from the config, seeded."""
    pl.seed_everything(cfg.seed, workers=True)
    datamodule = instantiate(cfg.data, _convert_="all")
    module = instantiate(cfg.model, num_classes=datamodule.num_classes, _convert_="all")
    strategy = cfg.strategy.name if "name" in cfg.strategy else instantiate(cfg.strategy, _convert_="all")
    throughput = Throughput()
    callbacks = [*_callbacks(cfg, isinstance(strategy, CloudEdgeStrategy)), throughput]
    if isinstance(strategy, CloudEdgeStrategy):
        callbacks.append(PlanReport(output_dir()))
    loggers = [instantiate(logger) for logger in cfg.logger.values()]
    trainer = instantiate(cfg.trainer, strategy=strategy, callbacks=callbacks, logger=loggers)
    return datamodule, module, trainer, throughput


def _callbacks(cfg: DictConfig, cut: bool) -> list[pl.Callback]:
    """The config's callbacks; those of the cut are left out, aloud, where nothing is cut."""
    callbacks = []
    for name, callback in cfg.callbacks.items():
        if callback is None:
            continue
        if not cut and name in ("aggregation", "dormancy", "costs"):
            print(f"callbacks.{name} is left out: strategy={cfg.strategy.get('name')} cuts nothing")
            continue
        callbacks.append(instantiate(callback))
    return callbacks


def versions() -> dict[str, str]:
    """Versions of what a result may depend on."""
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


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """The composed config as plain containers."""
    content = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}
