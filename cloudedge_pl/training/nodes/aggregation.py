"""When the nodes' weights are averaged and by which weights U_i: the rule, a run's progress by it, and the averaging.

A node that fails, by ``failure_rate`` or by the scenario's churn, loses what it learned since the last aggregation, in
the step in which it fails, too. It comes back with the weights of the last aggregation. A node that leaves hands its
weights in at the next aggregation.

Source: Xu 2020, Sec. 2.4: "unit time" there is one interval here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import Tensor

from cloudedge_pl.errors import (
    CheckpointError,
    StrategyError,
    lookup,
    require_fields,
    require_positive,
    require_range,
)
from cloudedge_pl.lightning import pl
from cloudedge_pl.simulation import Simulator
from cloudedge_pl.simulation.accounts import COLUMNS
from cloudedge_pl.training.nodes.adaptive import AdaptiveInterval, IntervalEstimator
from cloudedge_pl.training.nodes.edge import MOMENTUM, EdgePart, Momentum

Weighting = Literal["tasks", "samples", "uniform"]
WEIGHTINGS: dict[str, Weighting] = {"tasks": "tasks", "samples": "samples", "uniform": "uniform"}


@dataclass(frozen=True)
class AggregationRule:
    """When and how the nodes' weights are averaged. Exactly one interval must be given.

    Args:
        every_n_steps: optimizer steps between two aggregations.
        every_n_seconds: seconds of the simulated clock; the first step that ends after them aggregates.
        every_n_epochs: epochs between two aggregations, each at the end of an epoch.
        adaptive: chooses the number of steps under a budget.
        weighting: U_i: "tasks" that node i did since the last aggregation (the paper's), "samples" that it owns
            (its tasks if the data is not local), or "uniform": 1 for every node that did any task.
        momentum: what happens to the nodes' optimizer states: "average", "keep" or "reset".
        failure_rate: probability that a node fails in a step, in [0, 1]; fault injection. A node that fails loses
            what it learned since the last aggregation and its U_i, and restarts from the aggregated weights; it goes on
            at once, while a node that fails by the scenario's churn does no task until it joins again.
        seed: of the failures.
    """

    every_n_steps: int | None = None
    every_n_seconds: float | None = None
    every_n_epochs: int | None = None
    adaptive: AdaptiveInterval | None = None
    weighting: Weighting = "tasks"
    momentum: Momentum = "average"
    failure_rate: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        owner = "WeightedAggregation"
        lookup(WEIGHTINGS, self.weighting, "weighting")
        lookup(MOMENTUM, self.momentum, "way with momentum")
        require_fields(owner, self)
        intervals = {
            "every_n_steps": self.every_n_steps,
            "every_n_seconds": self.every_n_seconds,
            "every_n_epochs": self.every_n_epochs,
            "adaptive": self.adaptive,
        }
        given = [name for name, value in intervals.items() if value is not None]
        if len(given) != 1:
            raise StrategyError(
                f"{owner}: {' and '.join(given) or 'no interval'} given; give exactly one of {', '.join(intervals)}."
            )
        for name in ("every_n_steps", "every_n_epochs"):
            value = intervals[name]
            if value is not None:
                named: dict[str, Any] = {name: value}
                require_range(owner, 1, math.inf, open_high=True, **named)
        if self.every_n_seconds is not None:
            require_positive(owner, every_n_seconds=self.every_n_seconds)
        require_range(owner, 0, 1, failure_rate=self.failure_rate)

    def is_one_pass(self, data_is_local: bool) -> bool:
        """Whether one pass with shared weights computes the same, so that no replica is needed."""
        by_tasks = self.weighting == "tasks" or (self.weighting == "samples" and not data_is_local)
        averages_all = by_tasks and self.momentum == "average" and self.failure_rate == 0
        return self.every_n_steps == 1 and averages_all


class AggregationProgress:
    """What happened since the last aggregation.

    Args:
        rule: when to aggregate.
        num_nodes: nodes in the fleet.

    Attributes:
        tasks: of each node since the last aggregation, int64 [num_nodes].
        steps: optimizer steps since then.
        epochs: ends of epochs since then.
        since_seconds: the simulated clock at the last aggregation.
        total_steps: optimizer steps since the start of training.
        failures: nodes that failed since the start of training.
        churn_failures: how often each node had failed by the scenario's churn at the last step, int64 [num_nodes].
        estimator: chooses the interval; None for a rule that is not adaptive.
    """

    def __init__(self, rule: AggregationRule, num_nodes: int) -> None:
        self.rule = rule
        self.tasks = np.zeros(num_nodes, dtype=np.int64)
        self.steps = 0
        self.total_steps = 0
        self.epochs = 0
        self.since_seconds = 0.0
        self.failures = 0
        self.churn_failures = np.zeros(num_nodes, dtype=np.int64)
        self.estimator = IntervalEstimator(rule.adaptive) if rule.adaptive is not None else None

    def count_step(self, epoch_ends: bool) -> None:
        """Counts one optimizer step that has ended."""
        self.steps += 1
        self.total_steps += 1
        self.epochs += epoch_ends

    def failing(self, churn_failures: np.ndarray) -> np.ndarray:
        """Nodes that fail in this step: by churn, and drawn from (seed, step), so that a resumed run draws the same.

        Args:
            churn_failures: how often each node has failed by the scenario's churn so far, int64 [num_nodes].
        """
        fails = churn_failures > self.churn_failures
        self.churn_failures = churn_failures
        if self.rule.failure_rate > 0:
            random = np.random.default_rng([self.rule.seed, self.total_steps])
            fails |= random.random(len(self.tasks)) < self.rule.failure_rate
        return np.flatnonzero(fails)

    def lose(self, node: int) -> None:
        """Drops the share of a node that failed."""
        self.tasks[node] = 0
        self.failures += 1

    def weights(self, samples_owned: np.ndarray | None) -> np.ndarray:
        """U_i of every node, float64 [num_nodes]; 0 for a node that did nothing.

        Args:
            samples_owned: [num_nodes]; None if the data is not local.
        """
        worked = (self.tasks > 0).astype(np.float64)
        if self.rule.weighting == "uniform":
            return worked
        if self.rule.weighting == "samples" and samples_owned is not None:
            return worked * samples_owned
        return self.tasks.astype(np.float64)

    def start_interval(self, clock_seconds: float) -> None:
        """Resets what is counted since the last aggregation."""
        self.tasks[:] = 0
        self.steps = self.epochs = 0
        self.since_seconds = clock_seconds

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes, as plain containers."""
        return {
            "tasks": self.tasks.tolist(),
            "steps": self.steps,
            "total_steps": self.total_steps,
            "epochs": self.epochs,
            "since_seconds": self.since_seconds,
            "failures": self.failures,
            "churn_failures": self.churn_failures.tolist(),
            "estimator": None if self.estimator is None else self.estimator.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what :meth:`state_dict` returned."""
        self.tasks = np.array(state["tasks"], dtype=np.int64)
        self.steps, self.total_steps = state["steps"], state["total_steps"]
        self.epochs, self.since_seconds = state["epochs"], state["since_seconds"]
        self.failures = state["failures"]
        self.churn_failures = np.array(state["churn_failures"], dtype=np.int64)
        if self.estimator is not None and state["estimator"] is not None:
            self.estimator.load_state_dict(state["estimator"])


ShouldAggregate = Callable[[AggregationProgress, float, bool], bool]
"""Takes the progress, the simulated clock in seconds and whether an epoch ends; says whether to aggregate now."""


def is_due(progress: AggregationProgress, clock_seconds: float, epoch_ends: bool) -> bool:
    """Whether the progress's rule asks for an aggregation after the step that was counted last.

    Args:
        progress: since the last aggregation.
        clock_seconds: the simulated clock.
        epoch_ends: whether the step is the last of its epoch; such steps are counted in ``progress.epochs``.
    """
    rule = progress.rule
    if rule.every_n_steps is not None:
        return progress.steps >= rule.every_n_steps
    if rule.every_n_seconds is not None:
        return clock_seconds - progress.since_seconds >= rule.every_n_seconds
    if rule.every_n_epochs is not None:
        return progress.epochs >= rule.every_n_epochs
    assert progress.estimator is not None
    return progress.steps >= progress.estimator.interval


class Aggregation:
    """Steps the nodes' weights, averages them when it is time to, and accounts for the exchange.

    Args:
        rule: when and how weights are averaged.
        should_aggregate: decides in place of the rule's interval; None follows the rule.
        edge: the edge part in training.
        simulator: keeps the clock and the books.
        weight_bytes: of the edge part, which a node sends and receives at an aggregation.
        samples_owned: [num_nodes]; None if the data is not local.

    Attributes:
        progress: what happened since the last aggregation.
        aggregations: number of aggregations so far.
        closed_steps: length in steps of the interval that the last optimizer step closed; None if it closed none.
    """

    def __init__(
        self,
        rule: AggregationRule,
        should_aggregate: ShouldAggregate | None,
        edge: EdgePart,
        simulator: Simulator,
        weight_bytes: float,
        samples_owned: np.ndarray | None,
    ) -> None:
        self.rule, self.progress = rule, AggregationProgress(rule, simulator.fleet.num_nodes)
        self.progress.churn_failures = simulator.failures
        self.aggregations = 0
        self.closed_steps: int | None = None
        self._should_aggregate = should_aggregate or is_due
        self._edge, self._simulator = edge, simulator
        self._weight_bytes, self._samples_owned = weight_bytes, samples_owned

    def count_tasks(self, tasks: np.ndarray) -> None:
        """Adds the tasks of one window, int64 [num_nodes], to those since the last aggregation."""
        self.progress.tasks += tasks

    def step(
        self,
        loss: Tensor | None,
        clip: Callable[[], None],
        learning_rate: float,
        epoch_ends: bool,
        training_ends: bool,
    ) -> None:
        """Completes an optimizer step: the nodes' own steps, failures, and the average if one is due.

        Args:
            loss: of the step; None if it was skipped.
            clip: clips the gradients of the optimizer's current parameters.
            learning_rate: of the step.
            epoch_ends: whether the step is the last of its epoch.
            training_ends: whether the step is known to be the last of all; what is saved after it is aggregated.
        """
        progress = self.progress
        self._edge.optimizer_step(loss, clip, progress.estimator if progress.steps == 0 else None)
        self._restart_failing()
        progress.count_step(epoch_ends)
        due = self._should_aggregate(progress, self._simulator.clock_seconds, epoch_ends)
        self.closed_steps = progress.steps if due or training_ends else None
        if self.closed_steps is not None:
            self._aggregate(learning_rate)

    def _restart_failing(self) -> None:
        for node in self.progress.failing(self._simulator.failures).tolist():
            lost = (
                f": its {self.progress.tasks[node]} tasks since the last aggregation are lost, and it restarts from "
                "the aggregated weights."
            )
            name = self._simulator.fleet.nodes[node].name
            pl.utilities.rank_zero_info(f"{name} failed{lost if self._edge.weights_differ else '.'}")
            self.progress.lose(node)
            self._edge.restart(node)

    def finish(self, learning_rate: float) -> None:
        """Averages the weights at the end of training, unless the last step did."""
        if self.progress.steps:
            self._aggregate(learning_rate)

    def _aggregate(self, learning_rate: float) -> None:
        """Averages the nodes' weights by U_i and accounts for the exchange; keeps them if no node did any task."""
        weights = self.progress.weights(self._samples_owned)
        if weights.any():
            self._edge.average(weights.tolist(), self.rule.momentum)
            self._simulator.synchronise(self._weight_bytes, weights > 0)
            self.aggregations += 1
        self.progress.start_interval(self._simulator.clock_seconds)
        if self.progress.estimator is not None:
            self.progress.estimator.choose(learning_rate, self._step_costs(), self._aggregation_costs())

    @property
    def exhausted(self) -> str | None:
        """The resource whose budget is spent, if the interval is chosen under one."""
        estimator = self.progress.estimator
        if estimator is None:
            return None
        return estimator.exhausted(self.spent(), self._step_costs(), self._aggregation_costs())

    def spent(self) -> dict[str, float]:
        """What the run has used of each resource so far: seconds, joules, num_bytes."""
        accounts = self._simulator.accounts
        sent = sum(getattr(accounts, column).sum() for column in COLUMNS if column.endswith("_bytes"))
        return {
            "seconds": self._simulator.clock_seconds,
            "joules": float((accounts.joules + accounts.sync_joules).sum()),
            "num_bytes": float(sent),
        }

    def _aggregation_costs(self) -> dict[str, float]:
        exchange = self._simulator.exchange(self._weight_bytes)
        return {
            "seconds": exchange.seconds,
            "joules": float(exchange.joules.sum()),
            "num_bytes": float(exchange.num_bytes.sum()),
        }

    def _step_costs(self) -> dict[str, float]:
        steps, exchange = max(self.progress.total_steps, 1), self._aggregation_costs()
        return {
            name: max(spent - self.aggregations * exchange[name], 0.0) / steps
            for name, spent in self.spent().items()
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes, as tensors and plain containers."""
        return {
            "progress": self.progress.state_dict(),
            "aggregations": self.aggregations,
            "replicas": self._edge.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what :meth:`state_dict` returned.

        Raises:
            CheckpointError: if it holds nodes' own weights, and in this run the nodes have none.
        """
        replicas, steps = state["replicas"], state["progress"]["steps"]
        if replicas is not None and steps and not self._edge.weights_differ:
            raise CheckpointError(
                f"the checkpoint was written {steps} steps after an aggregation, and what the nodes learned since then "
                "would be lost with WeightedAggregation(every_n_steps=1); resume with the interval that it was trained "
                "with."
            )
        self.progress.load_state_dict(state["progress"])
        self.aggregations = state["aggregations"]
        if replicas is not None:
            self._edge.load_state_dict(replicas)
