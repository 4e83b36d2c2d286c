"""The stream of tasks: slices and resumption change nothing, classes have their shares, and noise its law."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudedge_pl.simulation.arrivals import BLOCK, OnOffArrivals, PoissonArrivals, TraceArrivals
from cloudedge_pl.simulation.task_source import TaskSource
from cloudedge_pl.simulation.tasks import DTYPES, ServiceNoise, TaskClass, Tasks

CLASSES = (
    TaskClass(name="small", share=6, size=0.5),
    TaskClass(name="large", share=3, size=2, work=3, deadline_seconds=0.4),
    TaskClass(name="rare", share=1, work=5),
)


def source(seed: int = 0, **changed: Any) -> TaskSource:
    noise = ServiceNoise(jitter=0.5, straggler_probability=0.1, straggler_slowdown=7.0)
    return TaskSource(
        **{"arrivals": OnOffArrivals(), "classes": CLASSES, "noise": noise, "seed": seed, **changed}
    )


def assert_same(ours: Tasks, theirs: Tasks, but: Collection[str] = ()) -> None:
    for name in DTYPES.keys() - set(but):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)


@settings(max_examples=40)
@given(
    pieces=st.lists(st.integers(0, BLOCK + 100), min_size=1, max_size=5),
    seed=st.integers(0, 99),
    stop=st.integers(0, 4),
)
def test_slices_and_resumption_change_no_value(pieces: list[int], seed: int, stop: int) -> None:
    stream, parts = source(seed), []
    for row, piece in enumerate(pieces):
        if row == stop:
            state = json.loads(json.dumps(stream.state_dict()))
            stream = source(seed)
            stream.load_state_dict(state)
        parts.append(stream.next(piece))
    assert_same(Tasks.concatenate(parts), source(seed).next(sum(pieces)))


def test_classes_have_their_shares_and_figures() -> None:
    tasks = source(seed=4).next(200_000)
    np.testing.assert_allclose(np.bincount(tasks.kind) / len(tasks), [0.6, 0.3, 0.1], atol=0.005)
    for row, each in enumerate(CLASSES):
        own = tasks.kind == row
        assert set(tasks.size[own]) == {each.size}
        assert set(tasks.work[own]) == {each.work}
        assert set(tasks.deadline_seconds[own]) == {each.deadline_seconds}


def test_service_times_keep_their_mean_and_stragglers_their_share() -> None:
    tasks = source(seed=2).next(400_000)
    factor = np.exp(0.5 * tasks.noise - 0.5**2 / 2)
    assert factor.mean() == pytest.approx(1, abs=0.005)
    assert np.log(factor).std() == pytest.approx(0.5, abs=0.005)
    assert set(tasks.slowdown) == {1.0, 7.0}
    assert (tasks.slowdown > 1).mean() == pytest.approx(0.1, abs=0.003)


def test_columns_are_independent() -> None:
    tasks = source(seed=3).next(200_000)
    gaps = np.diff(tasks.arrival_seconds, prepend=0)
    columns = np.stack([tasks.kind, tasks.noise, tasks.slowdown, gaps])
    assert np.abs(np.corrcoef(columns) - np.eye(4)).max() < 0.01


def test_a_change_of_one_part_leaves_the_draws_of_the_others() -> None:
    ours = source().next(9000)
    assert_same(source(noise=ServiceNoise()).next(9000), ours, {"slowdown"})
    assert_same(source(classes=[TaskClass()]).next(9000), ours, {"kind", "size", "work", "deadline_seconds"})
    assert_same(source(arrivals=PoissonArrivals()).next(9000), ours, {"arrival_seconds"})


def test_a_trace_gives_the_classes(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("t_seconds,class\n0,rare\n1,small\n2,rare\n")
    tasks = source(arrivals=TraceArrivals(path=path)).next(5)
    assert tasks.kind.tolist() == [2, 0, 2]
    path.write_text("t_seconds,class\n0,rare\n1,smal\n")
    with pytest.raises(ValueError, match=r"trace\.csv, line 3: 'smal'. Did you mean 'small'"):
        source(arrivals=TraceArrivals(path=path))


def test_classes_may_be_mappings_and_need_names_of_their_own() -> None:
    assert source(classes=[{"name": "a", "size": 2}]).classes == (TaskClass(name="a", size=2),)
    with pytest.raises(ValueError, match="a name of its own"):
        source(classes=[{}, {}])
    with pytest.raises(ValueError, match="at least one class"):
        source(classes=[])


def test_an_empty_piece_changes_nothing() -> None:
    stream = source()
    assert len(stream.next(0)) == 0
    assert_same(stream.next(5), source().next(5))
