"""``cloudedge train``: plans, cuts, trains and tests a network, and writes all results to Hydra's directory."""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

from cloudedge_pl.commands.exit_report import calibrate_trained, exit_summary, save_exits
from cloudedge_pl.commands.own_config import check_resume, resumed_arguments
from cloudedge_pl.commands.picture_accuracy import picture_accuracy
from cloudedge_pl.commands.reporting import Progress, say_stopped
from cloudedge_pl.commands.rows import leaves_row
from cloudedge_pl.commands.running import (
    Throughput,
    build,
    clear_errors,
    console,
    output_dir,
    run,
    versions,
    write_json,
)
from cloudedge_pl.data import ImageDataModule
from cloudedge_pl.lightning import pl
from cloudedge_pl.reports.run_figures import save_run_figures
from cloudedge_pl.reports.run_table import comparison_table, summary_table
from cloudedge_pl.reports.shard_figures import save_shards
from cloudedge_pl.signals import Interrupted, release_signals
from cloudedge_pl.training.strategies.hooks import RunHooks


@dataclass
class RunProgress(Progress):
    """Progress of a run.

    Attributes:
        trainer: the trainer, once it is built.
        throughput: of the training, if there is one.
        metrics: logged so far.
    """

    trainer: pl.Trainer | None = None
    throughput: Throughput | None = None
    metrics: dict[str, float] = field(default_factory=dict)


def train(cfg: DictConfig) -> dict[str, Any]:
    """Trains and tests as the config says.

    Args:
        cfg: the composed config; see ``conf/train.yaml``.

    Returns:
        The content of summary.json; see ``docs/outputs.md`` for its keys.

    Raises:
        Interrupted: after a signal, once the summary is written.
    """
    started = time.perf_counter()
    folder = output_dir()
    progress, stopped = RunProgress(), None
    progress.done = functools.partial(summarise, cfg, progress)
    try:
        release_signals()
        _fit_and_test(cfg, progress)
    except Interrupted as signal:
        if signal.at_once:
            raise
        stopped = signal
    summary = progress.done() if stopped is None else progress.stopped(stopped)
    summary["wall_seconds"] = time.perf_counter() - started
    if stopped is not None:
        last = [stopped.checkpoint, folder / "checkpoints" / "last.ckpt", cfg.ckpt_path]
        there = [str(path) for path in last if path is not None and Path(path).is_file()]
        summary["resume_from"] = there[0] if there else None
    report(summary, progress.trainer, folder)
    if stopped is not None:
        say_stopped(progress, stopped)
        raise stopped
    return summary


def _fit_and_test(cfg: DictConfig, progress: RunProgress) -> None:
    check_resume(cfg)
    datamodule, module, trainer, progress.throughput = build(cfg)
    progress.trainer, progress.stage = trainer, "training"
    try:
        trainer.fit(module, datamodule=datamodule, ckpt_path=cfg.ckpt_path, weights_only=True)
    finally:
        progress.metrics = {key: float(value) for key, value in trainer.callback_metrics.items()}
    if cfg.ckpt_path is not None and not progress.throughput.images:
        console().print(
            f"{cfg.ckpt_path} is at the end of trainer.max_epochs={cfg.trainer.max_epochs}: nothing was left to train. "
            "Give a larger one to go on."
        )
    best = getattr(trainer.checkpoint_callback, "best_model_path", "")
    progress.stage = "calibration"
    calibrate_trained(trainer, module, datamodule, best)
    if cfg.test:
        progress.stage = "test"
        monitor = getattr(trainer.checkpoint_callback, "monitor", None)
        if monitor is not None and not best:
            console().print(f"There is no best checkpoint by {monitor}: the last weights are tested.")
        tested = trainer.test(
            module, datamodule=datamodule, ckpt_path=best or None, verbose=False, weights_only=True
        )
        progress.metrics.update(tested[0])
        progress.metrics.update(pictures_tested(module, datamodule, trainer))
    progress.stage = "done"


def pictures_tested(
    module: pl.LightningModule, datamodule: pl.LightningDataModule, trainer: pl.Trainer
) -> dict[str, float]:
    """Tests the whole network on pictures as the cloud receives them, if the plan compresses them.

    Args:
        module: with the weights that were tested.
        datamodule: of the run.
        trainer: of the run; its strategy has the plan.

    Returns:
        The metric "test/accuracy_picture"; empty without a plan, for raw pictures, and for other data modules.
    """
    strategy = _planned(trainer)
    if strategy is None or strategy.plan.goal.picture.is_raw or not isinstance(datamodule, ImageDataModule):
        return {}
    return {"test/accuracy_picture": picture_accuracy(module, datamodule, strategy.plan.goal.picture)}


def summarise(cfg: DictConfig, progress: RunProgress) -> dict[str, Any]:
    """Returns the numbers of the closing table and their context; missing numbers are None."""
    trainer, throughput, metrics = progress.trainer, progress.throughput, progress.metrics
    summary: dict[str, Any] = {
        "test_accuracy_cloud": metrics.get("test/accuracy"),
        "test_accuracy_exit": metrics.get("test/accuracy_exit"),
        "test_accuracy_answered": metrics.get("test/accuracy_answered"),
        "test_accuracy_picture": metrics.get("test/accuracy_picture"),
        "test_loss": metrics.get("test/loss"),
        "val_accuracy_cloud": metrics.get("val/accuracy"),
        "val_accuracy_exit": metrics.get("val/accuracy_exit"),
        "val_accuracy_answered": metrics.get("val/accuracy_answered"),
        "best_val_accuracy": _validated(trainer, metrics),
        "images_per_second": throughput.images_per_second if throughput is not None else None,
        "epochs": trainer.current_epoch if trainer is not None else 0,
        "steps": trainer.global_step if trainer is not None else 0,
        "best_checkpoint": getattr(getattr(trainer, "checkpoint_callback", None), "best_model_path", None),
        "seed": cfg.seed,
        "interrupted": None,
        "interrupted_during": None,
        "resume_from": None,
        "versions": versions(),
    }
    strategy = _planned(trainer)
    if strategy is not None:
        plan = strategy.plan
        summary |= {"split_point": plan.split_point, "split_name": plan.profile.names[plan.split_point]}
        summary["exits"] = exit_summary(strategy)
        fleets = {"": strategy.simulator} if throughput is not None else {}
        if "test/loss" in metrics:
            fleets["test_"] = strategy.evaluation
        for prefix, simulator in fleets.items():
            summary |= {f"{prefix}{key}": value for key, value in simulator.summary().items()}
        if "test_" in fleets and not plan.uncut:
            summary["alternatives"] = _alternatives(strategy, metrics)
    return summary


def _validated(trainer: pl.Trainer | None, metrics: Mapping[str, float]) -> float | None:
    """Returns the validation accuracy of the best checkpoint, which is tested, or of the last."""
    best = getattr(trainer, "checkpoint_callback", None)
    score = getattr(best, "best_model_score", None)
    is_accuracy = getattr(best, "monitor", None) == "val/accuracy"
    return float(score) if is_accuracy and score is not None else metrics.get("val/accuracy")


def _alternatives(strategy: RunHooks, metrics: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """Returns the costs of the test's tasks without a cut.

    The answers of the network are the same, but in the cloud those to pictures as they arrive there.
    """
    plan = strategy.plan
    accuracy = metrics.get("test/accuracy")
    accuracies = {"all_in_cloud": metrics.get("test/accuracy_picture", accuracy)}
    found = {}
    for name, split_point in (("all_in_cloud", 0), ("all_at_edge", plan.costs.num_points - 1)):
        simulated = strategy.same_tasks_at(split_point).summary()
        kept = (
            "mean_delay_seconds",
            "p95_delay_seconds",
            "p99_delay_seconds",
            "mean_energy_joules",
            "mean_upload_bytes",
        )
        found[name] = {
            "accuracy": accuracies.get(name, accuracy),
            **{key: simulated[key] for key in kept},
            "broken_limits": plan.reasons[split_point],
        }
    return found


def _planned(trainer: pl.Trainer | None) -> RunHooks | None:
    """Returns the strategy if it cuts and has a plan."""
    strategy = None if trainer is None else trainer.strategy
    return strategy if isinstance(strategy, RunHooks) and strategy.is_planned else None


def report(summary: dict[str, Any], trainer: pl.Trainer | None, folder: Path) -> None:
    """Shows the closing table, and writes summary.json, accounts.json and the figures."""
    write_json(folder / "summary.json", summary)
    for logger in [] if trainer is None else trainer.loggers:
        logger.save()
    strategy = _planned(trainer)
    metrics_csv = folder / "metrics.csv"
    accounts = {}
    if strategy is not None:
        write_json(folder / "accounts.json", strategy.simulator.report())
        accounts = json.loads((folder / "accounts.json").read_text())
        if strategy.local_data is not None and strategy.local_data.is_set_up:
            data = strategy.local_data
            data.shards.save(folder / "shards.json")
            save_shards(data.class_counts(), data.class_names(), folder / "figures" / "shards.png")
        save_exits(strategy, folder)
    if metrics_csv.exists():
        save_run_figures(metrics_csv, accounts, folder / "figures")
    console().print(summary_table(summary))
    if "alternatives" in summary:
        console().print(comparison_table(summary))
    if strategy is not None and strategy.plan.uncut:
        console().print(f"Note: {strategy.plan.uncut}", style="bold red")
    console().print(f"Everything of this run is in {folder}", soft_wrap=True)


@hydra.main(version_base="1.3", config_path="pkg://cloudedge_pl.conf", config_name="train")
@clear_errors
@leaves_row
def _app(cfg: DictConfig) -> None:
    train(cfg)


def main() -> None:
    """Entry point of ``cloudedge train``."""
    run(_resumed)


def _resumed() -> None:
    with resumed_arguments(sys.argv[1:]) as arguments:
        sys.argv[1:] = arguments
        _app()
