"""Averages the nodes' weights by the tasks they did."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from typing_extensions import override

from cloudedge_pl.errors import StrategyError
from cloudedge_pl.training.callbacks.base import strategy_of


class WeightedAggregation(pl.Callback):
    """w = sum_i U_i w_i / sum_i U_i on every node, U_i the tasks that node i did; after every step.

    With one step between two aggregations the average is the step on the mean loss of the whole batch, which is what
    :class:`~cloudedge_pl.CloudEdgeStrategy` computes; what remains to be done is to account for the exchange of
    weights between nodes and master, in bytes and joules. Source: Xu 2020, Sec. 2.4.

    Args:
        every_n_steps: optimizer steps between two aggregations. Replicas that drift apart between two aggregations
            are not simulated, so it must be 1.
    """

    def __init__(self, every_n_steps: int = 1) -> None:
        if every_n_steps != 1:
            raise StrategyError(
                f"WeightedAggregation: every_n_steps is {every_n_steps}; this version aggregates after every step "
                "alone (every_n_steps=1)."
            )
        self.every_n_steps = every_n_steps
        self._last_step = 0

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        strategy_of(trainer, self)

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._last_step = trainer.global_step

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self._last_step:
            return  # gradients are being accumulated; the weights have not moved
        self._last_step = trainer.global_step
        strategy = strategy_of(trainer, self)
        assert strategy.deployment is not None
        strategy.simulator.synchronise(strategy.deployment.edge_parameter_bytes())
