"""Calibrates exits on a validation set, and keeps the result in checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typing_extensions import override

from cloudedge_pl.errors import StrategyError
from cloudedge_pl.exits import Calibration, Outcomes
from cloudedge_pl.lightning import pl
from cloudedge_pl.training.strategies.hooks import CHECKPOINT_KEY, RunHooks


def calibrate_exits(
    trainer: pl.Trainer,
    module: pl.LightningModule,
    *,
    datamodule: pl.LightningDataModule | None = None,
    dataloaders: Any = None,
    ckpt_path: str | Path | None = None,
) -> Calibration:
    """Chooses the threshold above which samples exit, on the validation set.

    Every validation sample passes the exit head and the cloud, through the codec, as in the windows in which the cloud
    is awake. The result holds for tests and predictions that follow without a checkpoint, and is part of checkpoints
    that are saved from now on. It is dropped when training goes on. See :mod:`cloudedge_pl.exits.risk` for what it
    promises. The samples should be new to the network, like those to come: if they also chose the best of many
    checkpoints, the measured risk is a little low.

    Args:
        trainer: with a :class:`~cloudedge_pl.CloudEdgeStrategy` whose ``exits`` name a policy or a limit. Nothing is
            written to its loggers.
        module: whose ``validation_step`` calls the backbone.
        datamodule: data with a validation set; or
        dataloaders: of the validation set.
        ckpt_path: weights to load first; None takes those of the module.

    Raises:
        StrategyError: if there is nothing to calibrate, or nothing to calibrate on.
    """
    strategy = trainer.strategy
    if not isinstance(strategy, RunHooks):
        raise StrategyError(
            f"calibrate_exits needs a Trainer with CloudEdgeStrategy, this one has {type(strategy).__name__}."
        )
    exits = strategy.settings.exits
    if not exits.are_on or exits.threshold is not None:
        raise StrategyError(
            "there is nothing to calibrate: CloudEdgeStrategy(exits=...) names "
            + ("a fixed threshold." if exits.are_on else "no policy. Give exits={'max_disagreement': 0.02}.")
        )
    with _watched(trainer):
        data: dict[str, Any] = {"datamodule": datamodule, "dataloaders": dataloaders}
        trainer.validate(module, **data, ckpt_path=ckpt_path, verbose=False, weights_only=True)
    outcomes = _outcomes(strategy)
    labels = outcomes.label if (outcomes.label >= 0).all() else None
    calibration = exits.calibrate(outcomes.exit_score, outcomes.exit_class, outcomes.cloud_class, labels)
    strategy.run.calibration, strategy.run.early_exit = calibration, None  # the next evaluation has its own
    return calibration


def _outcomes(strategy: RunHooks) -> Outcomes:
    if strategy.run.forward.exit_head is None:
        raise StrategyError(
            f"split point {strategy.plan.split_point} has no exit head: nothing can exit. Cut the network elsewhere."
        )
    early_exit = strategy.run.early_exit
    outcomes = Outcomes.concatenate([]) if early_exit is None else early_exit.outcomes
    if not len(outcomes):
        raise StrategyError(
            "no validation sample reached the backbone: calibration needs a validation set and a validation_step. Give "
            "one (data.val_fraction=0.1), or a fixed threshold: CloudEdgeStrategy(exits={'threshold': 0.9})."
        )
    return outcomes


class _KeepsOutcomes(pl.Callback):
    """Lets a validation keep what both paths answer."""

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        assert isinstance(trainer.strategy, RunHooks)
        trainer.strategy.policies.keeps_outcomes = True


@contextmanager
def _watched(trainer: pl.Trainer) -> Iterator[None]:
    """Inside, a validation keeps what both paths answer, and logs nothing: it is none of the training's."""
    callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by the callback connector
    loggers, watcher = trainer.loggers, _KeepsOutcomes()
    trainer.loggers = []
    callbacks.append(watcher)
    try:
        yield
    finally:
        callbacks.remove(watcher)
        trainer.loggers = loggers


def save_calibration(strategy: RunHooks, ckpt_path: str | Path, to: str | Path) -> None:
    """Writes a checkpoint again, with the strategy's calibration in it.

    Args:
        strategy: which was calibrated with the checkpoint's weights.
        ckpt_path: of the checkpoint.
        to: path of the file to write, which may be the same; it is replaced only when it is whole.
    """
    checkpoint = strategy.load_checkpoint(ckpt_path, weights_only=True)
    calibration = strategy.run.calibration
    own = checkpoint.setdefault(CHECKPOINT_KEY, {})
    own["exits"] = None if calibration is None else calibration.to_dict()
    strategy.checkpoint_io.save_checkpoint(checkpoint, to)
