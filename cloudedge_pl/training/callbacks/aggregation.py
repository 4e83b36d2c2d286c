"""Says when and how the nodes' weights are averaged."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from cloudedge_pl.errors import require_types
from cloudedge_pl.lightning import pl
from cloudedge_pl.settings import as_settings
from cloudedge_pl.training.callbacks.base import strategy_of
from cloudedge_pl.training.nodes.adaptive import AdaptiveInterval
from cloudedge_pl.training.nodes.aggregation import AggregationProgress, AggregationRule, Weighting, is_due
from cloudedge_pl.training.nodes.edge import Momentum


class WeightedAggregation(pl.Callback):
    """w = sum_i U_i w_i / sum_i U_i on every node, after every step or at longer intervals.

    With one step between two aggregations the average is the step on the mean loss of the whole batch, which
    :class:`~cloudedge_pl.CloudEdgeStrategy` computes in one pass; it does so without this callback too. With longer
    intervals every node trains its own weights and optimizer state in between. The module's weights are those of the
    last aggregation, an in-place edit of them lasts until the next one, and the last step of training ends with one.
    Weights, gradients and momentum are the node's: gradients are clipped node by node, and the module's parameters at
    the edge show none. The exchange is accounted for in bytes, joules and seconds of the simulated clock. Source:
    Xu 2020, Sec. 2.4.

    Weights are averaged within the optimizer step, before any callback's ``on_train_batch_end``: the order of the
    callbacks does not matter. Override :meth:`should_aggregate` for a rule of your own.

    Logged after every step of an interval longer than one: ``aggregation/interval_steps`` at each aggregation, and
    ``aggregation/failures``, the number since the start, if nodes may fail here or by the scenario's churn.

    Args:
        every_n_steps: optimizer steps between two aggregations; 1 if no other interval is given.
        every_n_seconds: seconds of the simulated clock between two aggregations.
        every_n_epochs: epochs between two aggregations, each at the end of an epoch.
        adaptive: chooses the interval under a budget of seconds, joules or bytes, and ends training when it is
            spent; an :class:`~cloudedge_pl.AdaptiveInterval` or its keywords.
        weighting: U_i: the "tasks" that node i did, the "samples" that it owns, or "uniform".
        momentum: of the nodes' optimizer states at an aggregation: "average", "keep" or "reset".
        failure_rate: probability that a node fails in a step and loses its share, in [0, 1]; fault injection.
        seed: of the failures.
    """

    def __init__(
        self,
        *,
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
        if adaptive is not None:
            adaptive = as_settings(AdaptiveInterval, adaptive, "adaptive")
        self.rule = AggregationRule(
            every_n_steps=every_n_steps,
            every_n_seconds=every_n_seconds,
            every_n_epochs=every_n_epochs,
            adaptive=adaptive,
            weighting=weighting,
            momentum=momentum,
            failure_rate=failure_rate,
            seed=seed,
        )
        self._logged_steps = 0

    def should_aggregate(self, progress: AggregationProgress, clock_seconds: float, epoch_ends: bool) -> bool:
        """Whether to aggregate after the optimizer step that has just ended.

        A subclass may decide in another way; then every node trains its own weights in between, and the interval that
        was given counts only if the subclass asks for it.

        Args:
            progress: steps, epochs and tasks since the last aggregation.
            clock_seconds: the simulated clock.
            epoch_ends: whether the step is the last of its epoch.
        """
        return is_due(progress, clock_seconds, epoch_ends)

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        policies = strategy_of(trainer, self).policies
        policies.aggregation = self.rule
        if type(self).should_aggregate is not WeightedAggregation.should_aggregate:
            policies.should_aggregate = self.should_aggregate

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._logged_steps = strategy_of(trainer, self).run.aggregation.progress.total_steps

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        run = strategy_of(trainer, self).run
        aggregation = run.aggregation
        progress, steps = aggregation.progress, aggregation.closed_steps
        if progress.total_steps == self._logged_steps:
            return  # gradients accumulate: no optimizer step in this batch
        self._logged_steps = progress.total_steps
        if steps is not None and steps > 1:
            pl_module.log("aggregation/interval_steps", float(steps))
        if self.rule.failure_rate or run.settings.scenario.churn.fails:
            pl_module.log("aggregation/failures", float(progress.failures))

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Averages what is left over before the module's own ``on_train_end``; the strategy's comes after it."""
        strategy_of(trainer, self).on_train_end()
