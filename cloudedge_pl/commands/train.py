"""``cloudedge train``: plan, cut, train, test and account for a network, and leave everything in Hydra's directory."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import hydra
import pytorch_lightning as pl
from omegaconf import DictConfig

from cloudedge_pl.commands.running import (
    Throughput,
    build,
    clear_errors,
    console,
    output_dir,
    versions,
    write_json,
)
from cloudedge_pl.reports.run_figures import save_run_figures
from cloudedge_pl.reports.run_table import summary_table
from cloudedge_pl.reports.shard_figures import save_shards
from cloudedge_pl.training import CloudEdgeStrategy


def train(cfg: DictConfig) -> dict[str, Any]:
    """Trains and tests as the config says.

    Args:
        cfg: the composed config; see ``conf/train.yaml``.

    Returns:
        The summary that summary.json holds; see ``docs/outputs.md`` for its keys.
    """
    started = time.perf_counter()
    folder = output_dir()
    datamodule, module, trainer, throughput = build(cfg)
    trainer.fit(module, datamodule=datamodule, ckpt_path=cfg.ckpt_path, weights_only=True)
    metrics = {key: float(value) for key, value in trainer.callback_metrics.items()}
    if cfg.test:
        best = getattr(trainer.checkpoint_callback, "best_model_path", "")
        tested = trainer.test(
            module, datamodule=datamodule, ckpt_path=best or None, verbose=False, weights_only=True
        )
        metrics.update(tested[0])
    summary = summarise(cfg, trainer, metrics, throughput)
    summary["wall_seconds"] = time.perf_counter() - started
    report(summary, trainer, folder)
    return summary


def summarise(
    cfg: DictConfig, trainer: pl.Trainer, metrics: dict[str, float], throughput: Throughput | None
) -> dict[str, Any]:
    """The numbers of the closing table, and what they came from."""
    strategy = trainer.strategy
    summary: dict[str, Any] = {
        "test_accuracy_cloud": metrics.get("test/accuracy"),
        "test_accuracy_exit": metrics.get("test/accuracy_exit"),
        "test_accuracy_answered": metrics.get("test/accuracy_answered"),
        "test_loss": metrics.get("test/loss"),
        "images_per_second": throughput.images_per_second if throughput is not None else None,
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "best_checkpoint": getattr(trainer.checkpoint_callback, "best_model_path", None),
        "seed": cfg.seed,
        "versions": versions(),
    }
    if isinstance(strategy, CloudEdgeStrategy):
        plan = strategy.plan
        summary |= {"split_point": plan.split_point, "split_name": plan.profile.names[plan.split_point]}
        fleets = {"": strategy.simulator} if throughput is not None else {}
        if cfg.test:
            fleets["test_"] = strategy.evaluation
        for prefix, simulator in fleets.items():
            summary |= {f"{prefix}{key}": value for key, value in simulator.summary().items()}
    return summary


def report(summary: dict[str, Any], trainer: pl.Trainer, folder: Path) -> None:
    """Shows the closing table and writes summary.json, accounts.json and the figures."""
    write_json(folder / "summary.json", summary)
    strategy = trainer.strategy
    metrics_csv = folder / "metrics.csv"
    accounts = {}
    if isinstance(strategy, CloudEdgeStrategy):
        write_json(folder / "accounts.json", strategy.simulator.report())
        accounts = json.loads((folder / "accounts.json").read_text())
        if strategy.local_data is not None and strategy.local_data.is_set_up:
            data = strategy.local_data
            data.shards.save(folder / "shards.json")
            save_shards(data.class_counts(), data.class_names(), folder / "figures" / "shards.png")
    if metrics_csv.exists():
        save_run_figures(metrics_csv, accounts, folder / "figures")
    console().print(summary_table(summary))
    console().print(f"Everything of this run is in {folder}", soft_wrap=True)


@hydra.main(version_base="1.3", config_path="pkg://cloudedge_pl.conf", config_name="train")
@clear_errors
def _app(cfg: DictConfig) -> None:
    train(cfg)


def main() -> None:
    """Entry point of ``cloudedge train``."""
    _app()
