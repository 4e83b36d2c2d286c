"""Trials along an axis locate the place where a claim changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudedge_pl.paper.part import Report
from cloudedge_pl.paper.trials import along, along_all
from cloudedge_pl.paper.verdict import judge


@given(limit=st.floats(0.6, 95.0), upwards=st.booleans())
def test_the_change_is_enclosed_to_three_digits(limit: float, upwards: bool):
    trials = along(
        "rate in Mbit/s", [100.0, 0.5, 10.0], lambda rate: ((rate >= limit) == upwards, rate / limit)
    )
    rates = [trial.setting["rate in Mbit/s"] for trial in trials]
    assert rates == sorted(set(rates))
    assert {0.5, 10.0, 100.0} <= set(rates)
    (at,) = [at for at in range(1, len(trials)) if trials[at].holds != trials[at - 1].holds]
    assert rates[at - 1] < limit <= rates[at]
    assert rates[at] - rates[at - 1] <= 0.0101 * rates[at]
    assert all(trial.value == rate / limit for trial, rate in zip(trials, rates, strict=True))


@given(limit=st.integers(2, 200))
def test_whole_numbers_are_located_exactly(limit: int):
    trials = along("tasks", [1, 200], lambda tasks: (tasks < limit, None), whole=True)
    (flip,) = judge("", "", {}, at_setting=True, axes={"tasks": trials}).flips
    assert flip.holds_in == ((1, limit - 1),)
    assert all(isinstance(trial.setting["tasks"], int) for trial in trials)


def test_nothing_is_tried_between_neighbours_that_agree():
    assert len(along("x", [1.0, 2.0, 3.0], lambda _: (True, None))) == 3


def test_names_are_tried_in_their_order():
    trials = along("network", ["vgg16", "alexnet"], lambda name: (name == "alexnet", None))
    assert [(trial.setting["network"], trial.holds) for trial in trials] == [
        ("vgg16", False),
        ("alexnet", True),
    ]


def test_an_axis_without_values_is_an_error():
    with pytest.raises(ValueError, match="no value"):
        along("x", [], lambda _: (True, None))


def test_all_claims_are_tried_with_what_was_measured_once():
    asked: list[float] = []

    def measure(conditions: float) -> float:
        asked.append(conditions)
        return 10 * conditions

    found = along_all(
        {"x": ((1.0, 4.0), lambda value: value / 2), "name": (("a", "bcd"), len)},
        measure,
        {"any": lambda value: (True, value), "small": lambda value: (value < 20, value)},
        Report(),
        "tens",
    )
    assert [(trial.setting["name"], trial.value) for trial in found["any"]["name"]] == [
        ("a", 10),
        ("bcd", 30),
    ]
    assert [trial.holds for trial in found["small"]["name"]] == [True, False]
    assert {trial.setting["x"]: trial.value for trial in found["any"]["x"]} == {1.0: 5.0, 4.0: 20.0}
    assert len(asked) == 2 + len(found["small"]["x"])
