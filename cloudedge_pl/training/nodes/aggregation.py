"""When the nodes' weights are averaged, and by which weights U_i: a rule, and how far a run has come by it.

Source: Xu 2020, Sec. 2.4: "unit time" there is one interval here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from cloudedge_pl.errors import StrategyError, lookup, require_fields, require_positive, require_range
from cloudedge_pl.training.nodes.adaptive import AdaptiveInterval, IntervalEstimator
from cloudedge_pl.training.nodes.replicas import MOMENTUM, Momentum

Weighting = Literal["tasks", "samples", "uniform"]
WEIGHTINGS: dict[str, Weighting] = {"tasks": "tasks", "samples": "samples", "uniform": "uniform"}


@dataclass(frozen=True)
class AggregationRule:
    """When and how the nodes' weights are averaged: by one of steps, simulated seconds, epochs, or adaptively.

    Args:
        every_n_steps: optimizer steps between two aggregations.
        every_n_seconds: of the simulated clock; the first step that ends after so many aggregates.
        every_n_epochs: at the end of every so many epochs.
        adaptive: chooses the number of steps under a budget.
        weighting: U_i: "tasks" that node i did since the last aggregation (the paper's), "samples" that it owns
            (where the data is local; else its tasks), or "uniform": 1 for every node that did any task.
        momentum: what becomes of the optimizer's state of the nodes: "average", "keep" or "reset".
        failure_rate: probability that a node fails in a step, in [0, 1]; fault injection. A node that fails loses
            what it learned since the last aggregation and its U_i, and starts again from the weights of that.
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
        """Whether one pass with shared weights over the whole step computes the same, so that no replica is needed."""
        by_tasks = self.weighting == "tasks" or (self.weighting == "samples" and not data_is_local)
        averages_all = by_tasks and self.momentum == "average" and self.failure_rate == 0
        return self.every_n_steps == 1 and averages_all


class AggregationProgress:
    """What happened since the last aggregation.

    Args:
        rule: when to aggregate.
        num_nodes: in the fleet.
    """

    def __init__(self, rule: AggregationRule, num_nodes: int) -> None:
        self.rule = rule
        self.tasks = np.zeros(num_nodes, dtype=np.int64)
        self.steps = 0
        self.total_steps = 0
        self.epochs = 0
        self.since_seconds = 0.0
        self.failures = 0
        self.estimator = IntervalEstimator(rule.adaptive) if rule.adaptive is not None else None

    def failing(self) -> np.ndarray:
        """Nodes that fail in this step; drawn from (seed, step), so that a resumed run draws the same."""
        if self.rule.failure_rate == 0:
            return np.zeros(0, dtype=np.int64)
        random = np.random.default_rng([self.rule.seed, self.total_steps])
        return np.flatnonzero(random.random(len(self.tasks)) < self.rule.failure_rate)

    def lose(self, node: int) -> None:
        """Drops the share of a node that failed."""
        self.tasks[node] = 0
        self.failures += 1

    def due(self, clock_seconds: float, epoch_ends: bool) -> bool:
        """Counts one step that has ended, and says whether it is time to aggregate."""
        rule = self.rule
        self.steps += 1
        self.total_steps += 1
        if rule.every_n_steps is not None:
            return self.steps >= rule.every_n_steps
        if rule.every_n_seconds is not None:
            return clock_seconds - self.since_seconds >= rule.every_n_seconds
        if rule.every_n_epochs is not None:
            self.epochs += epoch_ends
            return self.epochs >= rule.every_n_epochs
        assert self.estimator is not None
        return self.steps >= self.estimator.interval

    def weights(self, samples_owned: np.ndarray | None) -> np.ndarray:
        """U_i of every node, float64 [num_nodes]; 0 for a node that did nothing.

        Args:
            samples_owned: [num_nodes], where the data is local.
        """
        worked = (self.tasks > 0).astype(np.float64)
        if self.rule.weighting == "uniform":
            return worked
        if self.rule.weighting == "samples" and samples_owned is not None:
            return worked * samples_owned
        return self.tasks.astype(np.float64)

    def restart(self, clock_seconds: float) -> None:
        """A new interval begins."""
        self.tasks[:] = 0
        self.steps = self.epochs = 0
        self.since_seconds = clock_seconds

    def state_dict(self) -> dict[str, Any]:
        """Everything that moves, as plain containers."""
        return {
            "tasks": self.tasks.tolist(),
            "steps": self.steps,
            "total_steps": self.total_steps,
            "epochs": self.epochs,
            "since_seconds": self.since_seconds,
            "failures": self.failures,
            "estimator": None if self.estimator is None else self.estimator.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what :meth:`state_dict` gave."""
        self.tasks = np.array(state["tasks"], dtype=np.int64)
        self.steps, self.total_steps = state["steps"], state["total_steps"]
        self.epochs, self.since_seconds = state["epochs"], state["since_seconds"]
        self.failures = state["failures"]
        if self.estimator is not None and state["estimator"] is not None:
            self.estimator.load_state_dict(state["estimator"])
