"""What the nodes do beside the shared step: their own backward passes and optimizer steps, failures, aggregation.

One pass with shared weights is all there is to compute where every step ends with an aggregation; then only the
exchange of weights is left to account for. Else every node has a replica of the edge part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from cloudedge_pl.errors import CheckpointError, StrategyError
from cloudedge_pl.lightning import pl
from cloudedge_pl.partition import SplitChain
from cloudedge_pl.simulation import Simulator
from cloudedge_pl.simulation.accounts import COLUMNS
from cloudedge_pl.training.cut.forward import CutForward, NodePasses
from cloudedge_pl.training.nodes.aggregation import AggregationProgress, AggregationRule
from cloudedge_pl.training.nodes.replicas import Replicas


def make_replicas(
    chain: SplitChain, split_point: int, num_nodes: int, optimizer: Optimizer, precision: pl.plugins.Precision
) -> Replicas:
    """One replica of the edge part for each node, stepped by the user's ``optimizer``.

    Raises:
        StrategyError: at a precision with which nodes cannot step by themselves.
    """
    if getattr(precision, "scaler", None) is not None:
        raise StrategyError(
            'precision "16-mixed" scales the loss for one optimizer step, and every node takes its own; use '
            '"bf16-mixed" or "32-true", or WeightedAggregation(every_n_steps=1).'
        )
    parameters, buffers = chain.edge_parameters(split_point), chain.edge_buffers(split_point)
    return Replicas(chain.backbone, list(parameters), list(buffers), num_nodes, optimizer)


class NodeTraining:
    """The nodes in training.

    Args:
        rule: when and how weights are averaged.
        forward: runs the edge part, on the replicas where there are any.
        simulator: keeps the clock and the books.
        weight_bytes: of the edge part, what a node sends and receives at an aggregation.
        samples_owned: [num_nodes], where the data is local.
        replicas: of the edge part; None where one pass with shared weights computes the same.
    """

    def __init__(
        self,
        rule: AggregationRule,
        forward: CutForward,
        simulator: Simulator,
        weight_bytes: float,
        samples_owned: np.ndarray | None,
        replicas: Replicas | None,
    ) -> None:
        self.rule, self.forward, self.simulator = rule, forward, simulator
        self.weight_bytes, self.samples_owned, self.replicas = weight_bytes, samples_owned, replicas
        self.progress = AggregationProgress(rule, simulator.fleet.num_nodes)
        self.aggregations = 0
        forward.replicas = replicas
        self._accumulated = np.zeros(simulator.fleet.num_nodes, dtype=np.int64)
        self._batches = 0

    def count(self, tasks: np.ndarray) -> None:
        """Adds the tasks of one window, int64 [num_nodes], to those since the last aggregation."""
        self.progress.tasks += tasks

    def accumulate(self) -> None:
        """Differentiates what the last batch left over, its gradients to be added to the next one's.

        Nothing is left over where the last batch ended with an optimizer step.
        """
        for each in self.forward.passes:
            for position, node in enumerate(each.nodes):
                each.backward(position, scale=float(sum(each.counts)))
                assert self.replicas is not None
                self.replicas.keep_gradients(node)
        self._accumulated += self._samples(self.forward.passes)
        self._batches += bool(self.forward.passes)
        self.forward.passes = []

    def _samples(self, passes: Sequence[NodePasses]) -> np.ndarray:
        """The samples of each node in one batch, int64 [num_nodes]; every call of the backbone has the same."""
        samples = np.zeros_like(self._accumulated)
        if passes:
            samples[passes[0].nodes] = passes[0].counts
        return samples

    def step(self, loss: Tensor | None, clip: Callable[[], None]) -> None:
        """Every node's own optimizer step, on the gradient of the mean loss over its own samples; one after another.

        Gradients are stored for one node at a time, unless they are accumulated over batches.

        Args:
            loss: of the step.
            clip: called before each node's step, when the optimizer's groups are the node's.
        """
        passes, self.forward.passes = self.forward.passes, []
        if self.replicas is None:
            return
        self.replicas.require_own_gradients()
        samples, batches = self._accumulated + self._samples(passes), self._batches + 1
        self._accumulated, self._batches = np.zeros_like(samples), 0
        estimator = self.progress.estimator if self.progress.steps == 0 else None
        total = int(samples.sum())
        for node in np.flatnonzero(samples).tolist():
            own = int(samples[node])
            for each in passes:
                if node in each.nodes:
                    position = each.nodes.index(node)
                    size, count = sum(each.counts), each.counts[position]
                    # The step's mean weighs a sample 1 / size, the node's own mean 1 / count.
                    each.backward(position, scale=size / count if batches == 1 else float(size))
            gradients = [p.grad for p in self.replicas.parameters[node] if p.grad is not None]
            if batches > 1 and gradients:
                torch._foreach_mul_(gradients, batches / own)
            if estimator is not None and gradients:
                estimator.observe(gradients, own / total)
            self.replicas.step(node, clip)
        if estimator is not None and loss is not None:
            estimator.conclude([p for p in self.replicas.own if p.requires_grad], loss)
        for node in self.progress.failing().tolist():
            pl.utilities.rank_zero_info(
                f"{self.simulator.fleet.nodes[node].name} failed: its {self.progress.tasks[node]} tasks since the last "
                "aggregation are lost, and it starts again from the weights of that."
            )
            self.progress.lose(node)
            self.replicas.restart(node)

    def aggregate_if_due(self, learning_rate: float, epoch_ends: bool, training_ends: bool) -> bool:
        """Counts a step that has ended; averages the weights if it is time to, and says whether it did."""
        if not (self.progress.due(self.simulator.clock_seconds, epoch_ends) or training_ends):
            return False
        self.aggregate(learning_rate)
        return True

    def aggregate(self, learning_rate: float) -> None:
        """Averages the nodes' weights by U_i and accounts for the exchange; without any task since, keeps them."""
        weights = self.progress.weights(self.samples_owned)
        if weights.any():
            if self.replicas is not None:
                self.replicas.aggregate(weights.tolist(), self.rule.momentum)
            self.simulator.synchronise(self.weight_bytes)
            self.aggregations += 1
        self.progress.restart(self.simulator.clock_seconds)
        if self.progress.estimator is not None:
            self.progress.estimator.choose(learning_rate, self._step_costs(), self._aggregation_costs())

    @property
    def exhausted(self) -> str | None:
        """The resource whose budget is spent, where the interval is chosen under one."""
        estimator = self.progress.estimator
        if estimator is None:
            return None
        return estimator.exhausted(self._spent(), self._step_costs(), self._aggregation_costs())

    def _spent(self) -> dict[str, float]:
        accounts = self.simulator.accounts
        sent = sum(getattr(accounts, column).sum() for column in COLUMNS if column.endswith("_bytes"))
        return {
            "seconds": self.simulator.clock_seconds,
            "joules": float((accounts.joules + accounts.sync_joules).sum()),
            "num_bytes": float(sent),
        }

    def _aggregation_costs(self) -> dict[str, float]:
        exchange = self.simulator.exchange(self.weight_bytes)
        return {
            "seconds": exchange.seconds,
            "joules": float(exchange.joules.sum()),
            "num_bytes": float(exchange.num_bytes.sum()),
        }

    def _step_costs(self) -> dict[str, float]:
        steps, exchange = max(self.progress.total_steps, 1), self._aggregation_costs()
        return {
            name: max(spent - self.aggregations * exchange[name], 0.0) / steps
            for name, spent in self._spent().items()
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything that moves, as tensors and plain containers."""
        return {
            "progress": self.progress.state_dict(),
            "aggregations": self.aggregations,
            "replicas": None if self.replicas is None else self.replicas.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what :meth:`state_dict` gave."""
        if self.replicas is None and state["replicas"] is not None and state["progress"]["steps"]:
            raise CheckpointError(
                f"the checkpoint was written {state['progress']['steps']} steps after an aggregation, and what the "
                "nodes learned since then would be lost with WeightedAggregation(every_n_steps=1); resume with the "
                "interval that it was trained with."
            )
        self.progress.load_state_dict(state["progress"])
        self.aggregations = state["aggregations"]
        if self.replicas is not None and state["replicas"] is not None:
            self.replicas.load_state_dict(state["replicas"])
