"""The paper's update by hand: a plain loop over nodes with weights and momentum of their own (Xu 2020, Sec. 2.4).

Written from the formulas alone; it shares nothing with the package but the functions of the cut network's two parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Memory = dict[str, Tensor]


@dataclass
class PaperLoop:
    """F = a F_e + b F_c by momentum SGD; ``every`` steps the nodes' weights are averaged by U_i.

    Args:
        net: the backbone; its edge weights are overwritten with each node's in turn.
        head: the exit head.
        edge: samples -> what crosses.
        cloud: what crosses -> logits.
        edge_names: parameters of the edge part.
        nodes: how many.
    """

    net: nn.Module
    head: nn.Module
    edge: Callable[[Tensor], Any]
    cloud: Callable[[Any], Tensor]
    edge_names: Sequence[str]
    nodes: int
    a: float = 0.4
    b: float = 1.0
    lr: float = 0.05
    momentum: float = 0.9
    decay: float = 1e-3
    every: int = 1
    uniform: bool = False
    mode: str = "average"
    clip: float | None = None
    shared_velocity: Memory = field(default_factory=dict)

    def __post_init__(self) -> None:
        own = dict(self.net.named_parameters())
        self.weights = [{n: own[n].detach().clone() for n in self.edge_names} for _ in range(self.nodes)]
        self.velocity: list[Memory] = [{} for _ in range(self.nodes)]
        self.aggregated = {n: own[n].detach().clone() for n in self.edge_names}
        self.shared = {n: p for n, p in own.items() if n not in self.edge_names}
        self.shared |= {f"head.{n}": p for n, p in self.head.named_parameters()}

    def sgd(self, value: Tensor, grad: Tensor, velocity: Memory, name: str) -> None:
        grad = grad + self.decay * value
        velocity[name] = self.momentum * velocity[name] + grad if name in velocity else grad.clone()
        value -= self.lr * velocity[name]

    def take(self, node: int) -> None:
        with torch.no_grad():
            for name in self.edge_names:
                self.net.get_parameter(name).copy_(self.weights[node][name])

    def clipped(self, gradients: list[Tensor]) -> list[Tensor]:
        if self.clip is None:
            return gradients
        norm = sum(float((g**2).sum()) for g in gradients) ** 0.5
        return [g * min(1.0, self.clip / (norm + 1e-6)) for g in gradients]

    def step(self, x: Tensor, y: Tensor, route: Tensor) -> list[int]:
        """One step of every node, of the cloud and of the exit head; returns how many samples each node had."""
        mine = [torch.nonzero(route == node).flatten() for node in range(self.nodes)]
        sent = []
        for node, rows in enumerate(mine):
            self.take(node)
            with torch.no_grad():
                sent.append(self.edge(x[rows]))
        order = torch.cat(mine)
        joined = [torch.cat(parts).requires_grad_() for parts in zip(*sent, strict=True)]
        loss = self.a * functional.cross_entropy(self.head(tuple(joined)), y[order])
        loss = loss + self.b * functional.cross_entropy(self.cloud(tuple(joined)), y[order])
        gradients = torch.autograd.grad(loss, [*self.shared.values(), *joined], allow_unused=True)
        shared, at_cut = gradients[: len(self.shared)], gradients[len(self.shared) :]
        start = 0
        for node, rows in enumerate(mine):
            count = len(rows)
            if count:
                self.take(node)
                out = self.edge(x[rows])
                # the step's mean weighs a sample 1 / B, the node's own mean 1 / n_i
                own_mean = [g[start : start + count] * (len(y) / count) for g in at_cut]
                values = [self.net.get_parameter(n) for n in self.edge_names]
                own = self.clipped(list(torch.autograd.grad(out, values, own_mean)))
                with torch.no_grad():
                    for name, grad in zip(self.edge_names, own, strict=True):
                        self.sgd(self.weights[node][name], grad, self.velocity[node], name)
            start += count
        with torch.no_grad():
            used = [(n, p, g) for (n, p), g in zip(self.shared.items(), shared, strict=True) if g is not None]
            for (name, value, _), grad in zip(used, self.clipped([g for *_, g in used]), strict=True):
                self.sgd(value, grad, self.shared_velocity, name)
        return [len(rows) for rows in mine]

    def aggregate(self, tasks: Sequence[int]) -> None:
        u = [float(t > 0) if self.uniform else float(t) for t in tasks]
        share = [value / sum(u) for value in u]
        for name in self.edge_names:
            mean = sum(s * w[name] for s, w in zip(share, self.weights, strict=True))
            self.aggregated[name] = mean
            for node in range(self.nodes):
                self.weights[node][name] = mean.clone()
            if self.mode == "average":
                speed = sum(s * v[name] for s, v in zip(share, self.velocity, strict=True) if s)
                for node in range(self.nodes):
                    self.velocity[node][name] = speed.clone()
        if self.mode == "reset":
            self.velocity = [{} for _ in range(self.nodes)]

    def run(self, data: Iterable[tuple[Tensor, Tensor]], routes: Sequence[Tensor]) -> None:
        """Steps through the data; what is left over at the end is aggregated."""
        tasks = [0] * self.nodes
        for number, ((x, y), route) in enumerate(zip(data, routes, strict=True), start=1):
            tasks = [t + new for t, new in zip(tasks, self.step(x, y, route), strict=True)]
            if number % self.every == 0 or number == len(routes):
                self.aggregate(tasks)
                tasks = [0] * self.nodes
