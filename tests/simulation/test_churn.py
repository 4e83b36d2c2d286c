"""Churn: events alternate per node at their rates, slices and resumption change nothing, bad files are refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cloudedge_pl.errors import CheckpointError
from cloudedge_pl.simulation.churn import BLOCK_SECONDS, FAIL, JOIN, LEAVE, Churn, ChurnEvents, ChurnProcess

NAMES = ["a", "b", "c", "d"]
EVENTS = [
    (100.0, "b", "join"),
    (900.0, "a", "leave"),
    (4000.0, "a", "fail"),
    (5000.0, "a", "join"),
    (7300.0, "c", "fail"),
]
MIXED = Churn(failures_per_hour=20.0, repair_seconds=90.0, events=EVENTS, absent=["b"])


def rows(*parts: ChurnEvents) -> list[tuple[float, int, int]]:
    return [
        row
        for part in parts
        for row in zip(part.time_seconds.tolist(), part.node.tolist(), part.kind.tolist(), strict=True)
    ]


@settings(max_examples=60)
@given(
    steps=st.lists(
        st.one_of(st.floats(0, 2 * BLOCK_SECONDS), st.just(BLOCK_SECONDS)), min_size=1, max_size=6
    ),
    seed=st.integers(0, 99),
    stop=st.integers(0, 5),
)
def test_slices_and_resumption_change_no_event(steps: list[float], seed: int, stop: int) -> None:
    process, parts, clock = MIXED.process(NAMES, seed), [], 0.0
    for at, step in enumerate(steps):
        if at == stop:
            state = json.loads(json.dumps(process.state_dict()))
            process = MIXED.process(NAMES, seed)
            process.load_state_dict(state)
        clock += step
        parts.append(process.until(clock))
        assert (parts[-1].time_seconds < clock).all()
    assert rows(*parts) == rows(MIXED.process(NAMES, seed).until(clock))


def test_a_state_from_the_start_undoes_what_was_given() -> None:
    process = MIXED.process(NAMES)
    state = process.state_dict()
    first = rows(process.until(9000.0))
    process.load_state_dict(state)
    assert rows(process.until(9000.0)) == first


@example(given_events=[(380.0, "a", "leave"), (381.0, "a", "fail")], absent=set(), rate=30.0, seed=7)
@settings(max_examples=60)
@given(
    given_events=st.lists(
        st.tuples(st.floats(0, 8000), st.sampled_from(NAMES), st.sampled_from(["join", "leave", "fail"])),
        max_size=12,
    ),
    absent=st.sets(st.sampled_from(NAMES)),
    rate=st.sampled_from([0.0, 30.0]),
    seed=st.integers(0, 99),
)
def test_every_event_changes_its_node(
    given_events: list[tuple[float, str, str]], absent: set[str], rate: float, seed: int
) -> None:
    """A node that is up leaves or fails, one that left fails or joins, and one that failed joins."""
    churn = Churn(failures_per_hour=rate, events=sorted(given_events), absent=sorted(absent))
    state = {node: LEAVE if name in absent else JOIN for node, name in enumerate(NAMES)}
    times = []
    for seconds, node, kind in rows(churn.process(NAMES, seed).until(9000)):
        assert (state[node], kind) in {
            (JOIN, LEAVE),
            (JOIN, FAIL),
            (LEAVE, FAIL),
            (LEAVE, JOIN),
            (FAIL, JOIN),
        }
        state[node] = kind
        times.append(seconds)
    assert times == sorted(times)


def test_a_node_that_failed_at_random_and_then_leaves_has_not_left_but_failed() -> None:
    """It fails at 379.1 s; its repair would end at 504.5 s, when it is away."""
    events = [(380.0, "a", "leave"), (381.0, "a", "fail"), (600.0, "a", "fail"), (700.0, "a", "join")]
    found = rows(Churn(failures_per_hour=30.0, events=events).process(NAMES, 7).until(710.0))
    last = [(round(seconds, 1), kind) for seconds, node, kind in found if node == 0][2:]
    assert last == [(379.1, FAIL), (700.0, JOIN)]


def test_a_state_of_an_earlier_version_is_refused() -> None:
    process = MIXED.process(NAMES)
    process.until(9000.0)
    state = process.state_dict()
    del state["left"]
    with pytest.raises(CheckpointError, match="churn has no left: an earlier version"):
        process.load_state_dict(state)


def test_failures_and_repairs_have_their_rates() -> None:
    hours, names = 300, [str(node) for node in range(50)]
    events = Churn(failures_per_hour=4.0, repair_seconds=300.0).process(names, 1).until(hours * 3600.0)
    up_seconds, down_seconds, num_failures = 0.0, [], 0
    for node in range(len(names)):
        times, kinds = events.time_seconds[events.node == node], events.kind[events.node == node]
        assert (kinds[::2] == FAIL).all()
        assert (kinds[1::2] == JOIN).all()
        gaps = np.diff(times, prepend=0.0)
        up_seconds += gaps[::2].sum()
        down_seconds += gaps[1::2].tolist()
        num_failures += len(gaps[::2])
    assert num_failures / (up_seconds / 3600) == pytest.approx(4, rel=0.02)
    assert np.mean(down_seconds) == pytest.approx(300, rel=0.02)
    assert np.std(down_seconds) == pytest.approx(300, rel=0.03)


def test_given_events_come_once_and_in_order() -> None:
    process = Churn(events=EVENTS, absent=["b"]).process(NAMES)
    assert process.changes
    assert process.absent == [1]
    assert rows(process.until(900.0)) == [(100.0, 1, JOIN)]
    assert process.horizon(900.0) == math.inf
    assert [row[1:] for row in rows(process.until(math.inf))] == [(0, LEAVE), (0, FAIL), (0, JOIN), (2, FAIL)]
    assert rows(process.until(math.inf)) == []


def test_without_churn_nothing_changes() -> None:
    process = Churn().process(NAMES)
    assert not process.changes
    assert len(process.until(math.inf)) == 0


def test_an_absent_node_does_not_fail_before_it_joins() -> None:
    churn = Churn(failures_per_hour=500.0, events=[(5000.0, "b", "join")], absent=["b"])
    events = churn.process(NAMES, 3).until(8000.0)
    own = events.time_seconds[events.node == 1]
    assert own[0] >= 5000
    assert len(own) > 10


def test_failures_have_no_end() -> None:
    with pytest.raises(ValueError, match="finite time"):
        Churn(failures_per_hour=1.0).process(NAMES).until(math.inf)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"failures_per_hour": -1.0}, "failures_per_hour is -1"),
        ({"repair_seconds": 0.0}, "repair_seconds is 0"),
        ({"events": [(1.0, "a")]}, r"events\[0\] is \[1.0, 'a'\]"),
        ({"events": [(1.0, "a", "join"), (0.5, "a", "fail")]}, r"events\[1\] seconds is 0.5"),
        ({"events": [(math.nan, "a", "join")]}, r"events\[0\] seconds is nan"),
        ({"events": [(1.0, "a", "joins")]}, r"churn.events\[0\]: 'joins'. Did you mean 'join'"),
    ],
)
def test_a_bad_value_is_refused_by_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Churn(**values)


def process_of(folder: Path, text: str | bytes) -> ChurnProcess:
    path = folder / "churn.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return Churn(events=str(path)).process(NAMES)


def test_a_file_gives_the_same_events_as_rows(tmp_path: Path) -> None:
    lines = "\n".join(f"{kind},{node},{seconds}" for seconds, node, kind in EVENTS)
    process = process_of(tmp_path, f"event,node,t_seconds\n{lines}\n")
    assert rows(process.until(math.inf)) == rows(Churn(events=EVENTS).process(NAMES).until(math.inf))


def test_a_file_of_one_row(tmp_path: Path) -> None:
    assert rows(process_of(tmp_path, "t_seconds,node,event\n3,c,fail\n").until(4.0)) == [(3.0, 2, FAIL)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t_seconds,node,event\n2,a,fail\n1,a,join\n", "line 3: t_seconds is 1 and in the row before 2"),
        ("t_seconds,node,event\n-2,a,fail\n", "line 2: t_seconds is '-2'"),
        ("t_seconds,node,event\nNaN,a,fail\n", "line 2: t_seconds is 'NaN'"),
        ("t_seconds,node,event\n2,z,fail\n", "line 2: 'z'"),
        ("t_seconds,node,event\n2,a,fial\n", "line 2: 'fial'. Did you mean 'fail'"),
        ("t_seconds,node,event\n2,a,\n", "line 2: event is empty"),
        ("t_seconds,node\n2,a\n", "lacks the column event"),
        ("t_seconds,node,event\n", "no row below"),
        ("", "it is empty"),
        (b"t_seconds,node,event\n2,\xe4,fail\n", "line 2: byte 23 is not UTF-8"),
    ],
)
def test_a_bad_file_is_refused_by_file_and_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(ValueError, match=r"churn\.csv.*" + message):
        process_of(tmp_path, text)


def test_an_unknown_absent_node_is_refused() -> None:
    with pytest.raises(ValueError, match=r"churn.absent: 'z'"):
        Churn(absent=["z"]).process(NAMES)
