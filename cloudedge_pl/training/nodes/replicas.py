"""The nodes' own weights of the edge part between two aggregations.

Node i trains a replica w_i on its own tasks; an aggregation sets every replica to sum_i U_i w_i / sum_i U_i. Source:
Xu 2020, Sec. 2.4.

A replica is a set of ``Parameter`` objects that replace the backbone's while its node's tasks run. The user's own
optimizer steps a replica: during that step its parameter groups hold the replica's parameters and its state is the
node's. The rest of the user's project is not affected. All replicas of a parameter share one tensor.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from cloudedge_pl.errors import StrategyError
from cloudedge_pl.training.nodes.averaging import mean_state, mean_tensor
from cloudedge_pl.training.nodes.edge import Momentum

_ELEMENTWISE = {torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.Adagrad}
"""Optimizers with a fused step on the CPU, which reads and writes every weight once; their default there is a loop.

The fused step copies tensors that are not contiguous, such as weights in channels_last. Every element is stepped
independently, so the order of the elements is free."""


class Replicas:
    """One replica of the edge part for each node, copied from the backbone's present weights.

    Args:
        backbone: the module whose parameters and buffers are replicated.
        parameters: names, within the backbone, of the edge part's parameters.
        buffers: likewise of its buffers.
        num_nodes: number of replicas.
        optimizer: the user's optimizer; every node starts with its state of the backbone's parameters.

    Raises:
        StrategyError: if the edge part shares a parameter with the cloud part.
    """

    def __init__(
        self,
        backbone: nn.Module,
        parameters: Sequence[str],
        buffers: Sequence[str],
        num_nodes: int,
        optimizer: Optimizer,
    ) -> None:
        self.num_nodes, self.optimizer = num_nodes, optimizer
        self.names, self.buffer_names = list(parameters), list(buffers)
        self._slots = _slots(backbone, self.names, nn.Module.named_parameters)
        self._buffer_slots = _slots(backbone, self.buffer_names, nn.Module.named_buffers)
        _require_apart(backbone, self.names, self._slots)
        self.own = [backbone.get_parameter(name) for name in self.names]
        self.own_buffers = [backbone.get_buffer(name) for name in self.buffer_names]
        self._stacks = [_stacked(own, num_nodes) for own in self.own]
        self.parameters = [
            [
                nn.Parameter(_row(stack, node), own.requires_grad)
                for stack, own in zip(self._stacks, self.own, strict=True)
            ]
            for node in range(num_nodes)
        ]
        # Separate tensors: a layer writes to them between another node's forward and backward pass.
        self.buffers = [[own.detach().clone() for own in self.own_buffers] for _ in range(num_nodes)]
        # The optimizer steps these: the same weights, for elementwise optimizers in the order of memory.
        self._stepped = self.parameters
        if type(optimizer) in _ELEMENTWISE:
            self._stepped = [[_in_order(mine) for mine in replica] for replica in self.parameters]
        self.states: list[defaultdict[Tensor, Any]] = [self._first_state(node) for node in range(num_nodes)]

    def _first_state(self, node: int) -> defaultdict[Tensor, Any]:
        state: defaultdict[Tensor, Any] = defaultdict(dict)
        for own, stepped in zip(self.own, self._stepped[node], strict=True):
            if own in self.optimizer.state:
                kept = self.optimizer.state[own].items()
                state[stepped] = {key: _copied(_arranged(value, own, stepped)) for key, value in kept}
        return state

    def follow(self) -> None:
        """Copies ``requires_grad`` of the backbone's parameters, which a callback may change during training."""
        for replica, stepped in zip(self.parameters, self._stepped, strict=True):
            for mine, also, own in zip(replica, stepped, self.own, strict=True):
                if mine.requires_grad != own.requires_grad:
                    mine.requires_grad_(own.requires_grad)
                    also.requires_grad_(own.requires_grad)

    def require_own_gradients(self) -> None:
        """Raises StrategyError if a loss has reached the backbone's own edge weights instead of the nodes'."""
        for name, own in zip(self.names, self.own, strict=True):
            if own.grad is not None:
                raise StrategyError(
                    f"the loss uses the edge part's {name} directly, as a penalty on the module's parameters does, and "
                    "between two aggregations every node has its own. Use the optimizer's weight_decay, leave the edge "
                    "part out of the penalty, or aggregate after every step (every_n_steps=1)."
                )

    @contextmanager
    def active(self, node: int) -> Iterator[None]:
        """Inside, the backbone's edge part has the weights and buffers of ``node``."""
        _install(self._slots, self.parameters[node], "_parameters")
        _install(self._buffer_slots, self.buffers[node], "_buffers")
        try:
            yield
        finally:
            # A layer may have replaced a buffer by a new tensor.
            for mine, slots in zip(self.buffers[node], self._buffer_slots, strict=True):
                owner, key = slots[0]
                now = owner._buffers[key]
                if now is not None and now is not mine:
                    mine.copy_(now)
            _install(self._slots, self.own, "_parameters")
            _install(self._buffer_slots, self.own_buffers, "_buffers")

    def step(self, node: int, before: Callable[[], None]) -> None:
        """Steps one replica on its gradients, and frees them.

        Args:
            node: the node of the replica.
            before: called while the optimizer's groups are the node's, to clip its gradients.
        """
        pairs = list(zip(self.parameters[node], self._stepped[node], strict=True))
        for parameter, stepped in pairs:
            if parameter.grad is not None:
                stepped.grad = _arranged(parameter.grad, parameter, stepped)
        with self._stepping(node):
            before()
            self.optimizer.step()
        for parameter, stepped in pairs:
            parameter.grad = stepped.grad = None

    def keep_gradients(self, node: int) -> None:
        """Copies a replica's gradients, because the next replica's backward pass may reuse their memory."""
        for parameter in self.parameters[node]:
            if parameter.grad is not None:
                parameter.grad = parameter.grad.clone()

    @contextmanager
    def _stepping(self, node: int) -> Iterator[None]:
        """Inside, the optimizer's groups and state are those of the replica only."""
        optimizer = self.optimizer
        mine = {id(own): stepped for own, stepped in zip(self.own, self._stepped[node], strict=True)}
        groups, state = optimizer.param_groups, optimizer.state
        optimizer.param_groups = [
            {**group, "params": parameters}
            for group in groups
            if (parameters := [mine[id(own)] for own in group["params"] if id(own) in mine])
        ]
        optimizer.state = self.states[node]
        for group in optimizer.param_groups:
            if _may_fuse(optimizer, group):
                group["fused"] = True
        try:
            yield
        finally:
            optimizer.param_groups, optimizer.state = groups, state

    @torch.no_grad()
    def average(self, weights: Sequence[float], momentum: Momentum) -> None:
        """Averages the replicas into the backbone, and copies the average to every node.

        Args:
            weights: [num_nodes] >= 0, the paper's U_i; if all are 0, nothing changes.
            momentum: "average" averages the optimizer's state with the same weights, "keep" keeps every node's own,
                "reset" drops it.
        """
        total = float(sum(weights))
        if total == 0:
            return
        shares = [float(weight) / total for weight in weights]
        for own, stack in zip(self.own, self._stacks, strict=True):
            own.copy_(mean_tensor(list(stack), shares))
            stack.copy_(own)
        for buffer, column in zip(self.own_buffers, zip(*self.buffers, strict=True), strict=True):
            buffer.copy_(mean_tensor(column, shares))
            for mine in column:
                mine.copy_(buffer)
        if momentum == "reset":
            self.states = [defaultdict(dict) for _ in range(self.num_nodes)]
        elif momentum == "average":
            for column in zip(*self._stepped, strict=True):
                self._average_state(column, shares)

    def _average_state(self, column: Sequence[nn.Parameter], shares: Sequence[float]) -> None:
        held = [
            (self.states[node][parameter], shares[node])
            for node, parameter in enumerate(column)
            if shares[node] and parameter in self.states[node]
        ]
        if not held:
            return
        mean = mean_state([state for state, _ in held], [share for _, share in held])
        for node, parameter in enumerate(column):
            state = self.states[node][parameter]
            for key, value in mean.items():
                if isinstance(value, Tensor) and isinstance(state.get(key), Tensor):
                    state[key].copy_(value)
                else:
                    state[key] = _copied(value)

    @torch.no_grad()
    def restart(self, node: int) -> None:
        """Gives a node that failed the weights of the last aggregation, without optimizer state."""
        for mine, own in zip(
            (*self.parameters[node], *self.buffers[node]), (*self.own, *self.own_buffers), strict=True
        ):
            mine.copy_(own)
        self.states[node] = defaultdict(dict)

    def state_dict(self) -> dict[str, Any]:
        """Weights, buffers and optimizer states of every node, by the backbone's own names."""
        return {
            "parameters": dict(zip(self.names, self._stacks, strict=True)),
            "buffers": [dict(zip(self.buffer_names, mine, strict=True)) for mine in self.buffers],
            "optimizer": [
                {
                    name: dict(state[stepped])
                    for name, stepped in zip(self.names, replica, strict=True)
                    if stepped in state
                }
                for state, replica in zip(self.states, self._stepped, strict=True)
            ],
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what :meth:`state_dict` returned."""
        if len(state["optimizer"]) != self.num_nodes:
            raise StrategyError(
                f"the checkpoint holds the weights of {len(state['optimizer'])} nodes, the fleet has "
                f"{self.num_nodes}; resume with the fleet that it was trained with."
            )
        for name, stack in zip(self.names, self._stacks, strict=True):
            stack.copy_(state["parameters"][name])
        for saved, buffers in zip(state["buffers"], self.buffers, strict=True):
            for name, mine in zip(self.buffer_names, buffers, strict=True):
                mine.copy_(saved[name])
        groups = self.optimizer.param_groups
        counts_on_device = any(group.get("fused") or group.get("capturable") for group in groups)
        for node, saved in enumerate(state["optimizer"]):
            self.states[node] = defaultdict(dict)
            for name, stepped in zip(self.names, self._stepped[node], strict=True):
                if name in saved:
                    self.states[node][stepped] = {
                        key: _placed(value, stepped, counts_on_device) for key, value in saved[name].items()
                    }


Slots = list[tuple[nn.Module, str]]


def _slots(backbone: nn.Module, names: Sequence[str], named: Callable[..., Any]) -> list[Slots]:
    """Returns for each name every (module, key) that holds its tensor; tied weights have several."""
    places: dict[int, Slots] = defaultdict(list)
    tensors = {}
    for name, tensor in named(backbone, remove_duplicate=False):
        path, _, key = name.rpartition(".")
        places[id(tensor)].append((backbone.get_submodule(path), key))
        tensors[name] = tensor
    return [places[id(tensors[name])] for name in names]


def _require_apart(backbone: nn.Module, names: Sequence[str], slots: Sequence[Slots]) -> None:
    tied = {id(backbone.get_parameter(name)): name for name in names}
    every = [(name, p) for name, p in backbone.named_parameters(remove_duplicate=False) if id(p) in tied]
    for name, parameter in every:
        if name not in names and len(slots[list(names).index(tied[id(parameter)])]) > 1:
            raise StrategyError(
                f"{tied[id(parameter)]} at the edge and {name} are one parameter; nodes cannot train it by themselves. "
                "Aggregate after every step (every_n_steps=1), or cut elsewhere."
            )


def _install(slots: Sequence[Slots], tensors: Sequence[Tensor], registry: str) -> None:
    for places, tensor in zip(slots, tensors, strict=True):
        for owner, key in places:
            getattr(owner, registry)[key] = tensor
            if isinstance(owner, nn.RNNBase) and key in owner._flat_weights_names:
                owner._flat_weights[owner._flat_weights_names.index(key)] = tensor  # what it runs on


def _stacked(own: Tensor, count: int) -> Tensor:
    """Returns copies [count, *shape], each with the memory layout of ``own``."""
    own = own.detach()
    layout = torch.empty_like(own, memory_format=torch.preserve_format)
    stack = torch.empty_strided(
        (count, *own.shape), (own.numel(), *layout.stride()), dtype=own.dtype, device=own.device
    )
    return stack.copy_(own)


def _row(stack: Tensor, node: int) -> Tensor:
    """Returns one row as a separate tensor on the same memory, so that autograd tracks its changes separately."""
    row = stack[node]
    storage, offset = row.untyped_storage(), row.storage_offset()
    return torch.empty(0, dtype=row.dtype, device=row.device).set_(storage, offset, row.shape, row.stride())


def _order_of(tensor: Tensor) -> list[int]:
    """Returns the dimensions in their order in memory, the slowest first."""
    strides = tensor.stride()
    return sorted(range(tensor.ndim), key=lambda dim: (-strides[dim], dim))


def _in_order(parameter: nn.Parameter) -> nn.Parameter:
    """Returns a parameter on the same memory, with its dimensions in the order of memory."""
    return nn.Parameter(parameter.detach().permute(_order_of(parameter)), parameter.requires_grad)


def _arranged(value: Any, like: Tensor, stepped: Tensor) -> Any:
    """Returns a gradient or state of ``like`` with the dimensions in the order of ``stepped``."""
    if stepped is like or not isinstance(value, Tensor) or value.shape != like.shape:
        return value
    return value.permute(_order_of(like)).view_as(stepped)


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def _placed(value: Any, parameter: Tensor, counts_on_device: bool) -> Any:
    """Returns a checkpoint's value on the parameter's device and in its layout; step counts move only if required."""
    if not isinstance(value, Tensor):
        return value
    if value.ndim == 0 and not counts_on_device:
        return value.clone()
    if value.shape != parameter.shape:
        return value.to(parameter.device, copy=True)
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _may_fuse(optimizer: Optimizer, group: dict[str, Any]) -> bool:
    """Whether a fused step exists and is faster, and the user has not chosen how the step is computed."""
    return (
        type(optimizer) in _ELEMENTWISE
        and group.get("fused") is None
        and group.get("foreach") is None
        and not group.get("differentiable")
        and all(p.device.type == "cpu" and p.is_floating_point() for p in group["params"])
        and not _begins_for_some(optimizer, group)
    )


def _begins_for_some(optimizer: Optimizer, group: dict[str, Any]) -> bool:
    """Whether some parameters have momentum and others, just unfrozen, none; PyTorch's fused SGD cannot step these."""
    stepped = [p for p in group["params"] if p.grad is not None]
    new = ["momentum_buffer" not in optimizer.state.get(p, {}) for p in stepped]
    return type(optimizer) is torch.optim.SGD and any(new) and not all(new)
