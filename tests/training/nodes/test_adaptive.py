"""The interval that is chosen under a budget: the bound by the paper's formula, and a run that ends by its budget."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import cloudedge_pl as ce
from cloudedge_pl.errors import StrategyError
from cloudedge_pl.lightning import pl
from cloudedge_pl.training.nodes.adaptive import (
    AdaptiveInterval,
    Divergence,
    IntervalEstimator,
    best_interval,
)
from tests.training.helpers import OtherModule, SmallNet, loader, make_strategy, make_trainer

POSITIVE = st.floats(1e-3, 10)


def bound_by_hand(
    tau: int,
    eta: float,
    delta: float,
    beta: float,
    rho: float,
    phi: float,
    costs: list[tuple[float, float, float]],
) -> float:
    """Wang et al. 2019, Eqs. 11 and 19: G(tau) with T from the budget that runs out first."""
    h = delta / beta * ((eta * beta + 1) ** tau - 1) - eta * delta * tau
    inverse_steps = max((c * tau + b) / ((budget - b - c) * tau) for c, b, budget in costs)
    first = inverse_steps / (2 * eta * phi)
    return first + math.sqrt(first**2 + rho * h / (eta * phi * tau)) + rho * h


@given(
    eta=st.floats(1e-3, 0.5),
    delta=POSITIVE,
    beta=POSITIVE,
    rho=POSITIVE,
    phi=st.floats(0.01, 1),
    step=st.floats(0.1, 2),
    exchange=st.floats(0, 50),
    budget=st.floats(500, 5000),
)
def test_the_interval_is_the_least_of_the_papers_bound(
    eta: float,
    delta: float,
    beta: float,
    rho: float,
    phi: float,
    step: float,
    exchange: float,
    budget: float,
) -> None:
    rule = AdaptiveInterval(seconds=budget, joules=2 * budget, control=phi)
    chosen = best_interval(
        eta,
        Divergence(delta, beta, rho),
        {"seconds": step, "joules": step},
        {"seconds": exchange, "joules": 3 * exchange},
        rule,
        longest=40,
    )
    costs = [(step, exchange, budget), (step, 3 * exchange, 2 * budget)]
    values = [bound_by_hand(tau, eta, delta, beta, rho, phi, costs) for tau in range(1, 41)]
    assert values[chosen - 1] <= min(values) * (1 + 1e-9)


def chosen(delta: float = 1.0, exchange: float = 10.0, longest: int = 100) -> int:
    rule = AdaptiveInterval(seconds=1e4)
    divergence = Divergence(delta, 1.0, 1.0)
    return best_interval(0.01, divergence, {"seconds": 1.0}, {"seconds": exchange}, rule, longest)


def test_dear_exchanges_lengthen_and_unlike_nodes_shorten_the_interval() -> None:
    assert chosen(exchange=0.0) == 1
    assert chosen(exchange=100.0) > chosen(exchange=1.0)
    assert chosen(delta=5.0) < chosen(delta=0.2)
    assert chosen(delta=0.0, longest=30) == 30, "nodes that agree need no exchange"


def test_the_estimates_are_secants_and_the_spread_of_the_gradients() -> None:
    estimator = IntervalEstimator(AdaptiveInterval(seconds=1e6, max_steps=50))
    weights = [torch.tensor([0.0, 0.0])]
    for gradient, share in (([1.0, 0.0], 0.25), ([5.0, 0.0], 0.75)):
        estimator.observe([torch.tensor(gradient)], share)
    estimator.conclude(weights, torch.tensor(3.0))
    assert estimator.choose(0.1, {"seconds": 1.0}, {"seconds": 1.0}) == 1, "nothing to go by yet"
    for gradient, share in (([2.0, 0.0], 0.5), ([2.0, 4.0], 0.5)):
        estimator.observe([torch.tensor(gradient)], share)
    estimator.conclude([torch.tensor([0.0, 2.0])], torch.tensor(2.0))
    known = Divergence(*estimator.state_dict()["divergence"])
    assert known.gradient == pytest.approx(2.0)  # each is 2 away from the mean (2, 2)
    assert known.smoothness == pytest.approx(math.hypot(4 - 2, 0 - 2) / 2)
    assert known.slope == pytest.approx(1 / 2)
    again = IntervalEstimator(estimator.rule)
    again.load_state_dict(estimator.state_dict())
    costs: Any = {"seconds": 1.0}, {"seconds": 500.0}
    assert again.choose(0.01, *costs) == estimator.choose(0.01, *costs) > 1
    assert again.interval <= IntervalEstimator.GROWTH


def test_a_resumed_estimate_goes_on_where_the_run_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint's tensors lie on the CPU; the meta device stands for an accelerator, but has no numbers to read."""

    def step(device: str) -> None:
        estimator.observe([torch.ones(2, device=device), torch.ones(3, device=device)], 1.0)
        estimator.conclude([torch.zeros(5, device=device)], torch.zeros((), device=device))

    monkeypatch.setattr(torch.Tensor, "tolist", lambda self: [1.0] * len(self))
    estimator = IntervalEstimator(AdaptiveInterval(seconds=1e6))
    step("cpu")
    saved = estimator.state_dict()
    estimator = IntervalEstimator(estimator.rule)
    estimator.load_state_dict(saved)
    step("meta")
    assert estimator.state_dict()["divergence"] == [1.0, 1.0, 1.0]
    assert estimator.state_dict()["before"]["loss"].device.type == "meta"


def test_training_ends_when_the_budget_is_spent(tmp_path: Path) -> None:
    torch.manual_seed(1)
    strategy = make_strategy(2)
    spent: list[float] = []

    class Spent(pl.Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            spent.append(trainer.strategy.run.aggregation.spent()["joules"])

    aggregation = ce.WeightedAggregation(adaptive={"joules": 400.0, "max_steps": 8})
    trainer = make_trainer(tmp_path, strategy, callbacks=[Spent(), aggregation], max_epochs=1000)
    trainer.fit(OtherModule(SmallNet()), loader())
    assert 0 < trainer.current_epoch < 999
    longest_step = max(after - before for before, after in pairwise(spent))
    assert abs(spent[-1] - 400.0) < 2 * longest_step


def test_a_budget_is_needed_and_must_be_positive() -> None:
    with pytest.raises(StrategyError, match="give at least one of seconds, joules, num_bytes"):
        AdaptiveInterval()
    with pytest.raises(ValueError, match="joules is -1"):
        AdaptiveInterval(joules=-1.0)
