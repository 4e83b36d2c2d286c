"""Chooses the number of steps between two aggregations under a budget of seconds, joules or bytes.

Source: Wang et al. 2019, "Adaptive federated learning in resource constrained edge computing systems", IEEE JSAC 37(6),
Sec. V. Deviates in the estimates of its three constants, see :class:`IntervalEstimator`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cloudedge_pl.errors import StrategyError, require_fields, require_positive, require_range

RESOURCES = ("seconds", "joules", "num_bytes")


@dataclass(frozen=True)
class AdaptiveInterval:
    """An interval that is chosen at every aggregation; training ends when a budget is spent.

    Args:
        seconds: budget of simulated time, the exchange of weights included; None for no limit.
        joules: budget of energy of all nodes and the master.
        num_bytes: budget of all that is sent: cut tensors, their gradients, and weights.
        max_steps: longest interval.
        control: the paper's phi, above 0, the weight of the bound's constants; smaller values give longer intervals.
    """

    seconds: float | None = None
    joules: float | None = None
    num_bytes: float | None = None
    max_steps: int = 100
    control: float = 0.025

    def __post_init__(self) -> None:
        owner = "WeightedAggregation: adaptive"
        if not self.budgets:
            raise StrategyError(f"{owner}: no budget given; give at least one of {', '.join(RESOURCES)}.")
        require_fields(owner, self)
        require_positive(owner, False, **self.budgets, control=self.control)
        require_range(owner, 1, math.inf, open_high=True, whole=True, max_steps=self.max_steps)

    @property
    def budgets(self) -> dict[str, float]:
        """The given budgets by resource."""
        return {name: value for name in RESOURCES if (value := getattr(self, name)) is not None}


@dataclass(frozen=True)
class Divergence:
    """The bound's constants of the loss, in the norm of the edge part's weights.

    Args:
        gradient: delta, the distance of the nodes' gradients from their mean.
        smoothness: beta, the change of the gradient with the weights.
        slope: rho, the change of the loss with the weights.
    """

    gradient: float
    smoothness: float
    slope: float


def best_interval(
    learning_rate: float,
    divergence: Divergence,
    step_costs: Mapping[str, float],
    aggregation_costs: Mapping[str, float],
    rule: AdaptiveInterval,
    longest: int,
) -> int:
    """Returns the number of steps tau in 1..``longest`` that minimises the bound on the final loss.

    With budgets R, costs c of a step and b of an aggregation, h(x) = delta / beta ((eta beta + 1)^x - 1) - eta delta x
    and u = max_m (c_m tau + b_m) / ((R_m - b_m - c_m) tau) / (eta phi) the bound is
    G(tau) = u / 2 + sqrt(u^2 / 4 + rho h(tau) / (eta phi tau)) + rho h(tau).

    Source: Wang et al. 2019, Eqs. 11 and 18 to 20.
    """
    tau = np.arange(1, longest + 1, dtype=np.float64)
    shortage = np.zeros_like(tau)
    for name, budget in rule.budgets.items():
        left = budget - step_costs[name] - aggregation_costs[name]
        if left <= 0:
            return 1
        shortage = np.maximum(shortage, (step_costs[name] * tau + aggregation_costs[name]) / (left * tau))
    eta, delta, beta = learning_rate, divergence.gradient, divergence.smoothness
    if eta <= 0:
        return longest
    with np.errstate(over="ignore", invalid="ignore"):
        # (1 + eta beta)^x - 1 without cancellation; its limit for beta -> 0 leaves h = 0.
        grown = np.expm1(tau * np.log1p(eta * beta)) / beta if beta > 0 else eta * tau
        drift = np.maximum(delta * (grown - eta * tau), 0.0)
        u = shortage / (eta * rule.control)
        bound = u / 2 + np.sqrt(u**2 / 4 + divergence.slope * drift / (eta * rule.control * tau))
        bound = bound + divergence.slope * drift
    return int(np.nanargmin(bound)) + 1


class IntervalEstimator:
    """Estimates the bound's constants and chooses the interval.

    At the first step after an aggregation all nodes hold the same weights w. Their gradients at w give delta, the root
    of the weighted mean squared distance from their mean. The mean gradient and loss, compared with those of the
    previous interval, give beta and rho as secants. Deviates from Wang et al. 2019, Alg. 2, where each node compares
    its own loss and gradient with those at the mean weights in an extra pass. This needs no extra pass; the noise of
    small batches counts as divergence, which shortens intervals.

    Args:
        rule: budget and limits.
    """

    GROWTH = 10
    """Largest ratio of an interval to the previous one (the paper's gamma)."""

    def __init__(self, rule: AdaptiveInterval) -> None:
        self.rule = rule
        self.interval = 1
        self._mean: list[Tensor] | None = None
        self._square: Tensor | None = None
        self._before: dict[str, Any] | None = None
        self._divergence: Divergence | None = None

    def observe(self, gradients: Sequence[Tensor], share: float) -> None:
        """Adds one node's gradient at the weights of the last aggregation; ``share`` is its share of the tasks."""
        if self._mean is None:
            self._mean = [torch.zeros_like(gradient) for gradient in gradients]
            self._square = gradients[0].new_zeros(())
        torch._foreach_add_(self._mean, list(gradients), alpha=share)
        assert self._square is not None
        self._square += share * _squared_norm(gradients)

    def conclude(self, weights: Sequence[Tensor], loss: Tensor) -> None:
        """Updates the constants once every node was observed; ``weights`` are those of the last aggregation."""
        if self._mean is None or self._square is None:
            return
        mean, square = self._mean, self._square
        self._mean = self._square = None
        now: dict[str, Any] = {
            "gradient": mean,
            "weights": [weight.detach().clone() for weight in weights],
            "loss": loss.detach().clone(),
        }
        if self._before is not None:
            before = _on_devices_of(self._before, now)  # a checkpoint's lie on the CPU
            moved = _distance(now["weights"], before["weights"])
            # The device is waited for once in an interval.
            spread, bend, drop, way = torch.stack(
                [
                    (square - _squared_norm(mean)).clamp(min=0).sqrt(),
                    _distance(mean, before["gradient"]),
                    (now["loss"] - before["loss"]).abs().to(moved),
                    moved,
                ]
            ).tolist()
            if way > 0 and all(map(math.isfinite, (spread, bend, drop))):
                self._divergence = Divergence(spread, bend / way, drop / way)
        self._before = now

    def choose(
        self, learning_rate: float, step_costs: Mapping[str, float], aggregation_costs: Mapping[str, float]
    ) -> int:
        """Sets and returns the next interval; 1 until the constants are known."""
        if self._divergence is not None:
            longest = min(self.rule.max_steps, self.GROWTH * self.interval)
            self.interval = best_interval(
                learning_rate, self._divergence, step_costs, aggregation_costs, self.rule, longest
            )
        return self.interval

    def exhausted(
        self,
        spent: Mapping[str, float],
        step_costs: Mapping[str, float],
        aggregation_costs: Mapping[str, float],
    ) -> str | None:
        """The resource whose budget does not cover one more step and aggregation; None if all do."""
        for name, budget in self.rule.budgets.items():
            if spent[name] + step_costs[name] + aggregation_costs[name] > budget:
                return name
        return None

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes, as tensors and plain containers."""
        divergence = self._divergence
        return {
            "interval": self.interval,
            "before": self._before,
            "divergence": None
            if divergence is None
            else [divergence.gradient, divergence.smoothness, divergence.slope],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what :meth:`state_dict` returned."""
        self.interval, self._before = state["interval"], state["before"]
        self._divergence = None if state["divergence"] is None else Divergence(*state["divergence"])


def _on_devices_of(saved: Any, now: Any) -> Any:
    """Returns ``saved`` with every tensor on the device of its counterpart in ``now``."""
    if isinstance(saved, Tensor):
        return saved.to(now.device, non_blocking=True)
    if isinstance(saved, Mapping):
        return {key: _on_devices_of(value, now[key]) for key, value in saved.items()}
    return [_on_devices_of(one, other) for one, other in zip(saved, now, strict=True)]


def _squared_norm(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack(torch._foreach_norm(list(tensors))).square().sum()


def _distance(one: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
    return _squared_norm(torch._foreach_sub(list(one), list(other))).sqrt()
