"""The edge part with each node's own weights, for aggregation intervals longer than one step.

The cloud's gradient stops at the cut: what crosses is detached from the nodes' graphs. After the loss was
differentiated, each node's own pass is differentiated from the gradient at the cut, one node after another, so that one
node's gradients are in memory at a time. Source: Xu 2020, Sec. 2.4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from cloudedge_pl.errors import StrategyError
from cloudedge_pl.lightning import pl
from cloudedge_pl.partition import SplitChain
from cloudedge_pl.scheduling import Assignment
from cloudedge_pl.training.layers.batch_norm import BatchNormMode, normalising
from cloudedge_pl.training.layers.small_convolutions import SmallConvolutions
from cloudedge_pl.training.nodes.adaptive import IntervalEstimator
from cloudedge_pl.training.nodes.edge import CutTensors, EdgePart, Momentum, inverse
from cloudedge_pl.training.nodes.replicas import Replicas


class ReplicatedEdge(EdgePart):
    """Every node runs and trains a replica of the edge part.

    Args:
        chain: the backbone's split points.
        split_point: where the backbone is cut.
        batch_norm: statistics by which batch normalisation normalises; "shared" is not possible.
        num_nodes: number of replicas.
        optimizer: the user's optimizer, which steps the replicas too.
        precision: of the run.

    Raises:
        StrategyError: at a precision with which nodes cannot step by themselves, or if edge and cloud share a weight.
    """

    weights_differ = True

    def __init__(
        self,
        chain: SplitChain,
        split_point: int,
        batch_norm: BatchNormMode,
        num_nodes: int,
        optimizer: Optimizer,
        precision: pl.plugins.Precision,
    ) -> None:
        super().__init__(chain, split_point, batch_norm)
        if getattr(precision, "scaler", None) is not None:
            raise StrategyError(
                'precision "16-mixed" scales the loss for one optimizer step, and every node takes its own; use '
                '"bf16-mixed" or "32-true", or WeightedAggregation(every_n_steps=1).'
            )
        parameters, buffers = chain.edge_parameters(split_point), chain.edge_buffers(split_point)
        self.replicas = Replicas(chain.backbone, list(parameters), list(buffers), num_nodes, optimizer)
        self._convolutions = SmallConvolutions(list(chain.backbone.modules()))
        self._passes: list[_Passes] = []
        self._accumulated = np.zeros(num_nodes, dtype=np.int64)
        self._batches = 0

    def run(self, samples: Tensor, assignment: Assignment) -> CutTensors:
        order, tasks = self._in_node_order(assignment, samples)
        self.replicas.follow()
        parts, nodes, counts = [], [], []
        with self._convolutions.as_products():
            for node, own in enumerate(samples[order].split(tasks)):
                if not len(own):
                    continue
                # A single sample may have one value per channel, which has no variance.
                mode: BatchNormMode = "local" if len(own) == 1 else "shared"
                mode = "frozen" if self._batch_norm == "frozen" else mode
                with self.replicas.active(node), normalising(self._batch_norms, mode, [len(own)]):
                    parts.append(self._compute(own))
                nodes.append(node)
                counts.append(len(own))
        back = inverse(order)
        live = tuple(_joined(values, counts, back) for values in zip(*parts, strict=True))
        if torch.is_grad_enabled():
            self._passes.append(_Passes(nodes, counts, order, parts, live))
        return live

    def after_backward(self, optimizer_steps: bool) -> None:
        if optimizer_steps:
            return  # optimizer_step differentiates one node after another
        passes, self._passes = self._passes, []
        for each in passes:
            for position, node in enumerate(each.nodes):
                each.backward(position, scale=float(sum(each.counts)))
                self.replicas.keep_gradients(node)
        self._accumulated += self._samples_of(passes)
        self._batches += bool(passes)

    def _samples_of(self, passes: Sequence[_Passes]) -> np.ndarray:
        """Samples of each node in one batch, int64 [num_nodes]; every call of the backbone has the same."""
        samples = np.zeros_like(self._accumulated)
        if passes:
            samples[passes[0].nodes] = passes[0].counts
        return samples

    def optimizer_step(
        self, loss: Tensor | None, clip: Callable[[], None], estimator: IntervalEstimator | None
    ) -> None:
        """Every node's own optimizer step, on the gradient of the mean loss over its own samples."""
        passes, self._passes = self._passes, []
        self.replicas.require_own_gradients()
        samples, batches = self._accumulated + self._samples_of(passes), self._batches + 1
        self._accumulated, self._batches = np.zeros_like(samples), 0
        total = int(samples.sum())
        for node in np.flatnonzero(samples).tolist():
            self._differentiate(node, passes, batches, int(samples[node]))
            gradients = [p.grad for p in self.replicas.parameters[node] if p.grad is not None]
            if estimator is not None and gradients:
                estimator.observe(gradients, int(samples[node]) / total)
            self.replicas.step(node, clip)
        if estimator is not None and loss is not None:
            estimator.conclude([p for p in self.replicas.own if p.requires_grad], loss)

    def _differentiate(self, node: int, passes: Sequence[_Passes], batches: int, own: int) -> None:
        """Leaves the gradient of a node's own mean loss over ``batches`` batches in its replica.

        Args:
            node: whose.
            passes: of the last batch.
            batches: accumulated batches, the last one included.
            own: samples of the node in all of them.
        """
        for each in passes:
            if node in each.nodes:
                position = each.nodes.index(node)
                size, count = sum(each.counts), each.counts[position]
                # The step's mean weighs a sample 1 / size, the node's own mean 1 / count.
                each.backward(position, scale=size / count if batches == 1 else float(size))
        gradients = [p.grad for p in self.replicas.parameters[node] if p.grad is not None]
        if batches > 1 and gradients:
            torch._foreach_mul_(gradients, batches / own)

    def average(self, weights: Sequence[float], momentum: Momentum) -> None:
        self.replicas.average(weights, momentum)

    def restart(self, node: int) -> None:
        self.replicas.restart(node)

    def state_dict(self) -> dict[str, Any] | None:
        return self.replicas.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.replicas.load_state_dict(state)


@dataclass(frozen=True)
class _Passes:
    """The nodes' forward passes in one call of the backbone, detached from what the cloud makes of them.

    Args:
        nodes: nodes that had samples.
        counts: number of samples of each.
        order: the batch's samples, grouped by node.
        parts: what each node sent, with its graph.
        live: all of it in the order of the batch; leaves, which collect the gradient at the cut.
    """

    nodes: list[int]
    counts: list[int]
    order: Tensor
    parts: list[CutTensors]
    live: CutTensors

    def backward(self, position: int, scale: float) -> None:
        """Differentiates the pass of the node at ``position``, its gradient at the cut times ``scale``."""
        start = sum(self.counts[:position])
        rows = self.order[start : start + self.counts[position]]
        outputs, gradients = [], []
        for part, live in zip(self.parts[position], self.live, strict=True):
            if isinstance(live, Tensor) and live.grad is not None and part.requires_grad:
                outputs.append(part)
                gradients.append(live.grad[rows] * scale)
        if outputs:
            torch.autograd.backward(outputs, gradients)
        self.parts[position] = ()  # frees the graph and its activations


def _joined(values: Sequence[Any], counts: Sequence[int], back: Tensor) -> Any:
    """The nodes' parts of one value that crosses, in the order of the batch; a leaf if it can have a gradient."""
    first = values[0]
    if not isinstance(first, Tensor):
        return _joined_size(values, counts)
    joined = torch.cat([value.detach() for value in values])[back]
    return joined.requires_grad_(first.requires_grad)


def _joined_size(values: Sequence[Any], counts: Sequence[int]) -> Any:
    """A number that crosses: the batch's if it counts samples, else the same for every node."""
    if len(values) > 1 and list(values) == list(counts):
        return sum(counts)
    if any(value != values[0] for value in values):
        raise StrategyError(
            f"a value that crosses the cut differs between nodes ({sorted(set(values))}) and does not count their "
            "samples; cut elsewhere (offloading.split_point), or aggregate after every step."
        )
    return values[0]
