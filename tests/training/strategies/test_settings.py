"""Arguments of the strategy that mean nothing are refused when it is made, by name, value and range."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import cloudedge_pl as ce
from cloudedge_pl.errors import StrategyError
from tests.training.helpers import CLASSES, SmallNet


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"shards": {}}, r"shards is {}; it must name .* by: class, dirichlet, iid, or be null"),
        ({"shards": {"alpha": 1.0}}, r"shards is {'alpha': 1.0}; it must name"),
        ({"shards": {"by": "clas"}}, "unknown sharding 'clas'. Did you mean 'class'"),
        ({"split_modules": []}, r"split_modules is \[\]; it must name at least one submodule"),
        ({"offloading": {"exclude_ends": True, "split_point": 0}}, "split_point is 0, an end"),
    ],
)
def test_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ce.CloudEdgeStrategy(**given)


def test_a_trace_after_no_module_is_refused() -> None:
    with pytest.raises(ValueError, match=r"split_modules is \[\]"):
        ce.trace(SmallNet(), torch.zeros(1, 3, 8, 8), split_modules=[])


@pytest.mark.parametrize("rate", [0.0, 1e30, 1000.1, float("inf"), float("nan")])
def test_learning_rates_that_leave_nothing_are_refused(rate: float) -> None:
    with pytest.raises(ValueError, match=r"learning_rate is .*; it must"):
        ce.CloudEdgeModule(SmallNet(), num_classes=CLASSES, learning_rate=rate)


def test_a_learning_rate_at_the_limit_is_taken() -> None:
    assert ce.CloudEdgeModule(SmallNet(), num_classes=CLASSES, learning_rate=1000.0).learning_rate == 1000.0


def test_unknown_keys_of_an_adaptive_interval_are_named() -> None:
    with pytest.raises(ValueError, match=r"unknown key of adaptive, 'foo'\. Choose one of: control, joules"):
        ce.WeightedAggregation(adaptive={"foo": 3})
    with pytest.raises(StrategyError, match="no budget given"):
        ce.WeightedAggregation(adaptive={})
