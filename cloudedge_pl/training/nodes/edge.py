"""The edge part in training: the interface that a step uses, and the implementation with shared weights.

A training step does not know how the nodes compute. It gives the edge part its samples and their assignment to nodes,
and gets the tensors that cross the cut. There are two implementations: :class:`SharedEdge` here, and
:class:`~cloudedge_pl.training.nodes.replicated.ReplicatedEdge` with each node's own weights. Another one, such as nodes
that run in other processes, is one more subclass of :class:`EdgePart`.

:meth:`Run.make_edge <cloudedge_pl.training.strategies.run.Run.make_edge>` chooses between them, and nothing else does:
replicas if the nodes' weights may differ between two aggregations, else shared weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from cloudedge_pl.errors import StrategyError
from cloudedge_pl.partition import SplitChain
from cloudedge_pl.scheduling import Assignment
from cloudedge_pl.training.layers.batch_norm import BatchNormMode, batch_norms, normalising
from cloudedge_pl.training.nodes.adaptive import IntervalEstimator

CutTensors = tuple[Any, ...]
"""What crosses the cut in one call of the backbone: tensors [B, ...], and sizes where the network passes them on."""

Momentum = Literal["average", "keep", "reset"]
"""What an average does to the nodes' optimizer states."""

MOMENTUM: dict[str, Momentum] = {"average": "average", "keep": "keep", "reset": "reset"}


class EdgePart(ABC):
    """The nodes' part of the backbone, in training.

    Args:
        chain: the backbone's split points.
        split_point: where the backbone is cut.
        batch_norm: statistics by which batch normalisation normalises.
    """

    weights_differ: bool
    """Whether the nodes' weights may differ between two averages."""

    def __init__(self, chain: SplitChain, split_point: int, batch_norm: BatchNormMode) -> None:
        self._compute = chain.edge(split_point)
        self._batch_norm: BatchNormMode = batch_norm
        self._batch_norms = batch_norms(
            chain.backbone, list(chain.edge_parameters(split_point)), list(chain.edge_buffers(split_point))
        )

    @abstractmethod
    def run(self, samples: Tensor, assignment: Assignment) -> CutTensors:
        """Runs every sample on its node.

        Args:
            samples: [B, ...].
            assignment: the node of each sample.

        Returns:
            The tensors that cross the cut, in the order of ``samples``.
        """

    @abstractmethod
    def after_backward(self, optimizer_steps: bool) -> None:
        """Completes the gradients of a batch; called after the loss was differentiated, or a step was skipped.

        Args:
            optimizer_steps: whether :meth:`optimizer_step` follows on this batch. If not, gradients accumulate.
        """

    @abstractmethod
    def optimizer_step(
        self, loss: Tensor | None, clip: Callable[[], None], estimator: IntervalEstimator | None
    ) -> None:
        """Steps the nodes' own weights; called after the user's optimizer has stepped the shared ones.

        Args:
            loss: of the step; None if the step was skipped.
            clip: clips the gradients of the optimizer's current parameters.
            estimator: observes each node's gradient; None on steps that are not observed.
        """

    @abstractmethod
    def average(self, weights: Sequence[float], momentum: Momentum) -> None:
        """Replaces every node's weights by their weighted average.

        Args:
            weights: [num_nodes] >= 0, the paper's U_i; not all 0.
            momentum: what happens to the nodes' optimizer states.
        """

    @abstractmethod
    def restart(self, node: int) -> None:
        """Gives a node that failed the weights of the last average, without optimizer state."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any] | None:
        """The nodes' own weights as tensors and plain containers; None if there are none."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what :meth:`state_dict` returned."""

    def _in_node_order(self, assignment: Assignment, samples: Tensor) -> tuple[Tensor, list[int]]:
        """Indices that group the samples by node, and the number of samples of each node."""
        node = assignment.node
        if len(node) != len(samples):
            raise StrategyError(
                f"a step sends {len(node)} and then {len(samples)} samples through the backbone, and only the first "
                f'have been routed to nodes; use batch_norm="shared" (it is "{self._batch_norm}") and aggregate after '
                "every step."
            )
        order = torch.from_numpy(np.argsort(node, kind="stable")).to(samples.device, non_blocking=True)
        return order, np.bincount(node).tolist()


class SharedEdge(EdgePart):
    """All nodes share the backbone's weights: one pass over the whole batch.

    This computes the same as nodes whose weights are averaged after every step.
    """

    weights_differ = False

    def run(self, samples: Tensor, assignment: Assignment) -> CutTensors:
        if self._batch_norm == "shared" or not self._batch_norms:
            return self._compute(samples)
        order, counts = self._in_node_order(assignment, samples)
        with normalising(self._batch_norms, self._batch_norm, counts):
            values = self._compute(samples[order])
        back = inverse(order)
        return tuple(value[back] if isinstance(value, Tensor) else value for value in values)

    def after_backward(self, optimizer_steps: bool) -> None:
        """Nothing to do: the backward pass of the loss reached the shared weights."""

    def optimizer_step(
        self, loss: Tensor | None, clip: Callable[[], None], estimator: IntervalEstimator | None
    ) -> None:
        """Nothing to do: the user's optimizer stepped the shared weights."""

    def average(self, weights: Sequence[float], momentum: Momentum) -> None:
        """Nothing to do: the weights are equal."""

    def restart(self, node: int) -> None:
        """Nothing to do: no node has weights to lose."""

    def state_dict(self) -> dict[str, Any] | None:
        return None

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to restore: right after an average the nodes' weights are the backbone's."""


def inverse(order: Tensor) -> Tensor:
    """The permutation that undoes ``order``, int64 [B]."""
    return torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
