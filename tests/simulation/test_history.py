"""The bounded history: exact totals, rows that are weighted means, and no trace of an interruption."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudedge_pl.errors import CheckpointError
from cloudedge_pl.simulation.history import COLUMNS, MAX_ROWS, BoundedHistory

WINDOW = st.fixed_dictionaries(
    {
        "seconds": st.floats(0, 100),
        "tasks": st.integers(0, 128),
        "mean_delay_seconds": st.floats(0, 100),
        "link_delay_seconds": st.floats(0, 10),
        "awake": st.booleans(),
    }
)
WINDOWS = st.lists(WINDOW, max_size=70)


def fill(history: BoundedHistory, windows: list[dict[str, Any]]) -> BoundedHistory:
    for window in windows:
        values = {name: value for name, value in window.items() if name != "seconds"}
        history.add(clock_seconds=history.clock_seconds + window["seconds"], **values)
    return history


@given(WINDOWS, st.sampled_from([2, 4, 10]))
def test_totals_are_exact_and_rows_bounded(windows, max_rows):
    history = fill(BoundedHistory(max_rows), windows)
    assert len(history) <= max_rows
    assert history.tasks == sum(window["tasks"] for window in windows)
    delay = clock = asleep = 0.0
    for window in windows:
        delay += window["tasks"] * window["mean_delay_seconds"]
        end = clock + window["seconds"]
        asleep += 0.0 if window["awake"] else end - clock
        clock = end
    assert (history.delay_seconds, history.asleep_seconds, history.clock_seconds) == (delay, asleep, clock)
    states = [True, *(window["awake"] for window in windows)]
    assert history.switches == sum(a != b for a, b in itertools.pairwise(states))


@given(WINDOWS, st.sampled_from([2, 4, 10]))
def test_rows_add_up_to_the_totals(windows, max_rows):
    history = fill(BoundedHistory(max_rows), windows)
    rows = history.columns()
    assert tuple(rows) == COLUMNS
    elapsed = np.diff(rows["clock_seconds"], prepend=0.0)
    link = sum(window["seconds"] * window["link_delay_seconds"] for window in windows)
    assert rows["tasks"].sum() == history.tasks
    assert rows["tasks"] @ rows["mean_delay_seconds"] == pytest.approx(history.delay_seconds, rel=1e-9)
    assert elapsed @ (1 - rows["awake"]) == pytest.approx(history.asleep_seconds, rel=1e-9, abs=1e-9)
    assert elapsed @ rows["link_delay_seconds"] == pytest.approx(link, rel=1e-9, abs=1e-9)
    if windows:
        assert rows["clock_seconds"][-1] == history.clock_seconds


@given(WINDOWS, WINDOWS, st.sampled_from([2, 4, 10]))
def test_a_resumed_history_equals_one_that_was_not_stopped(before, after, max_rows):
    state = json.loads(json.dumps(fill(BoundedHistory(max_rows), before).state_dict()))
    resumed = BoundedHistory(max_rows)
    resumed.load_state_dict(state)
    assert fill(resumed, after).state_dict() == fill(BoundedHistory(max_rows), before + after).state_dict()


def test_rows_are_windows_while_there_is_room():
    window = {"seconds": 2.0, "tasks": 3, "mean_delay_seconds": 0.5, "link_delay_seconds": 0.1, "awake": True}
    asleep = window | {"awake": False, "mean_delay_seconds": 0.25, "link_delay_seconds": 0.4, "seconds": 1.0}
    rows = fill(BoundedHistory(4), [window, asleep, window, asleep]).columns()
    np.testing.assert_array_equal(rows["clock_seconds"], [2, 3, 5, 6])
    np.testing.assert_array_equal(rows["awake"], [1, 0, 1, 0])
    rows = fill(BoundedHistory(4), [window, asleep, window, asleep, window]).columns()
    np.testing.assert_array_equal(rows["clock_seconds"], [3, 6, 8])
    np.testing.assert_array_equal(rows["tasks"], [6, 6, 3])
    np.testing.assert_allclose(rows["mean_delay_seconds"], [0.375, 0.375, 0.5])
    np.testing.assert_allclose(rows["link_delay_seconds"], [0.2, 0.2, 0.1])
    np.testing.assert_allclose(rows["awake"], [2 / 3, 2 / 3, 1])


def test_a_long_training_run_has_a_small_checkpoint():
    history, random = BoundedHistory(), np.random.default_rng(0)
    delays = random.exponential(1.0, 64_000)
    for step, delay in enumerate(delays, 1):
        history.add(
            clock_seconds=0.7 * step,
            tasks=128,
            mean_delay_seconds=delay,
            link_delay_seconds=0.1,
            awake=step % 5 != 0,
        )
    assert MAX_ROWS / 2 <= len(history) <= MAX_ROWS
    assert len(json.dumps(history.state_dict())) < 250_000
    assert history.mean_delay_seconds == pytest.approx(delays.mean(), rel=1e-9)
    assert history.share_asleep == pytest.approx(0.2, rel=1e-3)


def test_an_empty_history_has_no_means():
    history = BoundedHistory()
    assert math.isnan(history.mean_delay_seconds)
    assert math.isnan(history.share_asleep)
    assert len(history) == len(history.columns()["tasks"]) == 0


def test_what_cannot_be_is_refused():
    window = {"tasks": 1, "mean_delay_seconds": 0.1, "link_delay_seconds": 0.1, "awake": True}
    history = BoundedHistory()
    history.add(clock_seconds=2.0, **window)
    with pytest.raises(ValueError, match=r"clock_seconds is 1\.0.*\[2\.0"):
        history.add(clock_seconds=1.0, **window)
    with pytest.raises(ValueError, match="max_rows is 3; it must be even"):
        BoundedHistory(3)
    with pytest.raises(CheckpointError, match="up to 2048 rows, this one 4"):
        BoundedHistory(4).load_state_dict(history.state_dict())
