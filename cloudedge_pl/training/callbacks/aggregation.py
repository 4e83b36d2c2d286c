"""Averages the nodes' weights by the tasks they did."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from cloudedge_pl.errors import require_types
from cloudedge_pl.lightning import pl
from cloudedge_pl.training.callbacks.base import strategy_of
from cloudedge_pl.training.nodes.adaptive import AdaptiveInterval
from cloudedge_pl.training.nodes.aggregation import AggregationRule, Weighting
from cloudedge_pl.training.nodes.node_training import NodeTraining
from cloudedge_pl.training.nodes.replicas import Momentum


class WeightedAggregation(pl.Callback):
    """w = sum_i U_i w_i / sum_i U_i on every node, after every step or at longer intervals.

    With one step between two aggregations the average is the step on the mean loss of the whole batch, which
    :class:`~cloudedge_pl.CloudEdgeStrategy` computes in one pass. With longer intervals every node trains weights and
    optimizer state of its own in between. The module's weights are those of the last aggregation, an in-place edit of
    them lasts until the next one, and the last step of training ends with one. Weights, gradients and momentum are the
    node's: gradients are clipped node by node, and the module's parameters at the edge show none. The exchange is
    accounted for in bytes, joules and seconds of the simulated clock. Source: Xu 2020, Sec. 2.4.

    Logged after every step of an interval longer than one: ``aggregation/interval_steps`` at each aggregation, and
    ``aggregation/failures``, so many since the start, where nodes may fail.

    Args:
        every_n_steps: optimizer steps between two aggregations; 1 where no other interval is given.
        every_n_seconds: of the simulated clock.
        every_n_epochs: at the end of every so many epochs.
        adaptive: chooses the interval under a budget of seconds, joules or bytes, and ends training when it is
            spent; an :class:`~cloudedge_pl.training.AdaptiveInterval` or its keywords.
        weighting: U_i: the "tasks" that node i did, the "samples" that it owns, or "uniform".
        momentum: of the nodes' optimizer states at an aggregation: "average", "keep" or "reset".
        failure_rate: probability that a node fails in a step and loses its share, in [0, 1]; fault injection.
        seed: of the failures.
    """

    def __init__(
        self,
        every_n_steps: int | None = None,
        every_n_seconds: float | None = None,
        every_n_epochs: int | None = None,
        adaptive: AdaptiveInterval | dict[str, Any] | None = None,
        weighting: Weighting = "tasks",
        momentum: Momentum = "average",
        failure_rate: float = 0.0,
        seed: int = 0,
    ) -> None:
        require_types("WeightedAggregation", WeightedAggregation, locals())
        if (every_n_steps, every_n_seconds, every_n_epochs, adaptive) == (None, None, None, None):
            every_n_steps = 1
        if adaptive is not None and not isinstance(adaptive, AdaptiveInterval):
            adaptive = AdaptiveInterval(**adaptive)
        self.rule = AggregationRule(
            every_n_steps,
            every_n_seconds,
            every_n_epochs,
            adaptive,
            weighting,
            momentum,
            failure_rate,
            seed,
        )
        self._last_step = 0

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        strategy_of(trainer, self).aggregation = self.rule

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
        nodes = self._nodes(trainer)
        steps, rate = nodes.progress.steps + 1, _learning_rate(trainer)
        if nodes.aggregate_if_due(rate, trainer.is_last_batch, _training_ends(trainer)) and steps > 1:
            pl_module.log("aggregation/interval_steps", float(steps))
        if self.rule.failure_rate:
            pl_module.log("aggregation/failures", float(nodes.progress.failures))
        if resource := nodes.exhausted:
            pl.utilities.rank_zero_info(
                f"WeightedAggregation: the budget of {resource} is spent; training ends."
            )
            trainer.should_stop = True

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        nodes = self._nodes(trainer)
        if nodes.progress.steps:
            nodes.aggregate(_learning_rate(trainer))

    def _nodes(self, trainer: pl.Trainer) -> NodeTraining:
        nodes = strategy_of(trainer, self).nodes
        assert nodes is not None, "made before the first step"
        return nodes


def _training_ends(trainer: pl.Trainer) -> bool:
    """Whether the step that has ended is known to be the last: what is validated and saved after it is whole."""
    by_steps = trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps
    epochs = trainer.max_epochs
    by_epochs = epochs not in (None, -1) and trainer.current_epoch + 1 == epochs and trainer.is_last_batch
    return by_steps or by_epochs


def _learning_rate(trainer: pl.Trainer) -> float:
    return float(trainer.optimizers[0].param_groups[0]["lr"])
