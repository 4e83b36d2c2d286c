"""Logs the costs of every window, and after a test the mean costs of a task."""

from __future__ import annotations

import math
from typing import Any

from typing_extensions import override

from cloudedge_pl.errors import require_range, require_types
from cloudedge_pl.lightning import pl
from cloudedge_pl.simulation import WindowRecord
from cloudedge_pl.training.callbacks.base import strategy_of


class CostLogger(pl.Callback):
    """Logs the simulated costs as metrics.

    Each training step: ``cost/delay_seconds`` and ``cost/link_delay_seconds`` (means over the step's tasks),
    ``cost/energy_joules``, ``cost/upload_bytes`` (to the cloud) and ``cost/exit_bytes`` (between nodes and exit head,
    both ways), per task, ``cost/awake`` (1 or 0), ``cost/clock_seconds``.
    After a test: ``test/delay_seconds``, ``test/energy_joules``, ``test/upload_bytes`` (per task),
    ``test/share_asleep``.

    Args:
        every_n_steps: batches between two logs, at least 1.
    """

    def __init__(self, every_n_steps: int = 1) -> None:
        require_types("CostLogger", CostLogger, {"every_n_steps": every_n_steps})
        require_range("CostLogger", 1, math.inf, open_high=True, every_n_steps=every_n_steps)
        self.every_n_steps = every_n_steps

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        strategy_of(trainer, self)

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        record = strategy_of(trainer, self).record
        if record is None or batch_idx % self.every_n_steps:
            return
        costs = _per_task(record)
        pl_module.log("delay", costs.pop("cost/delay_seconds"), prog_bar=True, logger=False)
        pl_module.log("cost/delay_seconds", float(record.delay_seconds.mean()))
        pl_module.log_dict(costs)

    @override
    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        summary = strategy_of(trainer, self).evaluation.summary()
        pl_module.log_dict(
            {
                "test/delay_seconds": summary["mean_delay_seconds"],
                "test/energy_joules": summary["mean_energy_joules"],
                "test/upload_bytes": summary["mean_upload_bytes"],
                "test/share_asleep": summary["share_asleep"],
            }
        )


def _per_task(record: WindowRecord) -> dict[str, float]:
    tasks = len(record.delay_seconds)
    return {
        "cost/delay_seconds": float(record.delay_seconds.mean()),
        "cost/link_delay_seconds": record.link_delay_seconds,
        "cost/energy_joules": float(record.joules.sum()) / tasks,
        "cost/upload_bytes": float(record.upload_bytes.sum()) / tasks,
        "cost/exit_bytes": float(record.exit_bytes.sum()) / tasks,
        "cost/awake": float(record.awake),
        "cost/clock_seconds": record.clock_seconds,
    }
