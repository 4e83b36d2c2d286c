"""Finds the strategy of a callback, or raises an error that says what is missing."""

from __future__ import annotations

from cloudedge_pl.errors import StrategyError
from cloudedge_pl.lightning import pl
from cloudedge_pl.training.strategies.hooks import RunHooks


def strategy_of(trainer: pl.Trainer, callback: pl.Callback) -> RunHooks:
    """Returns the trainer's strategy if it cuts a backbone, which every subclass of :class:`RunHooks` does.

    Raises:
        StrategyError: if it has another one.
    """
    strategy = trainer.strategy
    if not isinstance(strategy, RunHooks):
        name = type(callback).__name__
        raise StrategyError(
            f"{name} needs CloudEdgeStrategy, this Trainer has {type(strategy).__name__}. Either "
            f'Trainer(strategy=CloudEdgeStrategy(...)) (or strategy="cloudedge"), or take {name} out of its callbacks.'
        )
    return strategy
