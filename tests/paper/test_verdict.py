"""Verdicts follow from the trials, and say where a claim changes."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudedge_pl.paper.verdict import CONDITIONAL, FAILS, HOLDS, STATES, Flip, Trial, Verdict, judge

RATE = "link rate in Mbit/s"


def trials(holds: dict[float, bool]) -> list[Trial]:
    return [Trial(setting={RATE: rate}, holds=good) for rate, good in holds.items()]


def judged(at_setting: bool, *holds: bool) -> Verdict:
    return judge(
        "delay falls",
        "it fell by 0.3 s",
        {"fall_seconds": 0.3},
        at_setting=at_setting,
        axes={RATE: trials(dict(enumerate(holds)))} if holds else {},
    )


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ([True], HOLDS),
        ([False], FAILS),
        ([True, True, True], HOLDS),
        ([False, False], FAILS),
        ([True, False], CONDITIONAL),
        ([False, True], CONDITIONAL),
    ],
)
def test_the_state_is_computed_from_the_setting_and_all_trials(outcomes, state):
    assert judged(*outcomes).state == state


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_the_ranges_cover_exactly_the_values_at_which_it_holds(outcomes):
    flip = judged(True, *outcomes).flips[0]
    inside = {
        value for value in range(len(outcomes)) if any(low <= value <= high for low, high in flip.holds_in)
    }
    assert inside == {value for value, holds in enumerate(outcomes) if holds}
    assert flip.changes == (0 < len(inside) < len(outcomes))
    assert len(flip.holds_in) == sum(
        holds and not before for before, holds in zip([False, *outcomes], outcomes, strict=False)
    )


@pytest.mark.parametrize(
    ("holds", "text"),
    [
        (
            {0.5: True, 6.25: True, 6.5: False, 100: False},
            "up to 6.25 Mbit/s, not at 6.5 (tried: 0.5 to 100)",
        ),
        ({0.5: False, 1.5: True, 100: True}, "from 1.5 Mbit/s on, not at 0.5 (tried: 0.5 to 100)"),
        (
            {1: False, 2: True, 3: True, 4: False, 5: True},
            "from 2 to 3 Mbit/s, not at 1 or 4; at 5 Mbit/s, not at 4 (tried: 1 to 5)",
        ),
        (
            {1: True, 2: False, 3: True, 4: False, 5: True, 6: True},
            "at 1 Mbit/s, at 3 Mbit/s, from 5 Mbit/s on (tried: 1 to 6)",
        ),
        ({1: True, 2: True}, "everywhere from 1 to 2 Mbit/s"),
        ({1: False, 2: False}, "nowhere from 1 to 2 Mbit/s"),
        ({12_500: True}, "everywhere at 12,500 Mbit/s"),
    ],
)
def test_a_flip_says_where_and_names_the_neighbours(holds, text):
    found = judge("c", "m", {}, at_setting=True, axes={RATE: trials(holds)})
    assert found.flips[0].text == f"link rate: {text}"


def test_an_axis_of_names_keeps_their_order():
    tried = [Trial(setting={"network": name}, holds=name != "vit") for name in ("vgg", "vit", "alexnet")]
    flip = judge("c", "m", {}, at_setting=True, axes={"network": tried}).flips[0]
    assert flip.text == "network: for vgg, alexnet, not for vit"
    assert flip.holds_in == ()
    assert flip.unit == ""
    assert Flip(axis="network", unit="", tried=("a", "b"), holds=(False, False)).text == (
        "network: for none of a, b"
    )


def test_values_are_sorted_and_one_that_was_tried_twice_must_hold_twice():
    tried = [
        Trial(setting={RATE: 3, "seed": 0}, holds=True),
        Trial(setting={RATE: 1, "seed": 0}, holds=True),
        Trial(setting={RATE: 3, "seed": 1}, holds=False),
    ]
    flip = judge("c", "m", {}, at_setting=True, axes={RATE: tried}).flips[0]
    assert flip.tried == (1, 3)
    assert flip.holds == (True, False)


def test_a_trial_without_the_axis_is_refused():
    with pytest.raises(
        ValueError, match=re.escape("'nodes' has no such setting; it has: link rate in Mbit/s")
    ):
        judge("c", "m", {}, at_setting=True, axes={"nodes": trials({1: True})})


def test_an_axis_without_trials_is_refused():
    with pytest.raises(ValueError, match="at least one value"):
        judge("c", "m", {}, at_setting=True, axes={RATE: []})


def test_a_state_must_be_one_of_three():
    with pytest.raises(ValueError, match="unknown state of a verdict 'maybe'"):
        Verdict(claim="c", state="maybe", measured="m", numbers={}, at_setting=True)


def test_plain_containers_give_the_verdict_back():
    found = judged(True, True, False)
    assert Verdict.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    assert found.state in STATES
