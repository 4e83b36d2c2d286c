"""Columns of tasks: types, slices, joins, and what is refused."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from cloudedge_pl.simulation.tasks import DTYPES, ServiceNoise, TaskClass, Tasks


def test_columns_are_the_fields_and_have_their_types() -> None:
    tasks = Tasks.equal(3, np.array([0.0, 1.0, 1.0]))
    assert [field.name for field in dataclasses.fields(Tasks)] == list(DTYPES)
    assert {name: getattr(tasks, name).dtype for name in DTYPES} == {
        name: np.dtype(dtype) for name, dtype in DTYPES.items()
    }


def test_equal_tasks_change_no_figure_of_the_costs() -> None:
    tasks = Tasks.equal(2, 4.0)
    assert tasks.arrival_seconds.tolist() == [4, 4]
    assert (tasks.size * tasks.work * tasks.slowdown).tolist() == [1, 1]
    assert (tasks.kind + tasks.noise + tasks.exits + tasks.audited).tolist() == [0, 0]
    assert tasks.sample.tolist() == [-1, -1]
    assert tasks.deadline_seconds.tolist() == [math.inf, math.inf]


@pytest.mark.parametrize("cut", [0, 1, 5])
def test_slices_join_to_the_whole(cut: int) -> None:
    whole = dataclasses.replace(Tasks.equal(5, np.arange(5.0)), sample=np.arange(5))
    joined = Tasks.concatenate([whole[:cut], whole[cut:]])
    assert len(whole[:cut]) == cut
    for name in DTYPES:
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name))


@pytest.mark.parametrize("arrivals", [[1.0, 0.5], [0.0, math.nan], [0.0, math.inf]])
def test_arrivals_that_are_not_finite_and_ascending_are_refused(arrivals: list[float]) -> None:
    with pytest.raises(ValueError, match=r"arrival_seconds\[\d\] is"):
        Tasks.equal(2, np.array(arrivals))


def test_a_column_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="noise has shape"):
        dataclasses.replace(Tasks.equal(2, 0.0), noise=np.zeros(3))


@pytest.mark.parametrize(
    "values", [{"share": 0}, {"size": -1}, {"work": math.inf}, {"deadline_seconds": 0}, {"name": 3}]
)
def test_a_class_checks_its_values(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        TaskClass(**values)


@pytest.mark.parametrize(
    "values",
    [{"jitter": -0.1}, {"jitter": [0.1, -1]}, {"straggler_probability": 2}, {"straggler_slowdown": 0.5}],
)
def test_service_noise_checks_its_values(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        ServiceNoise(**values)


def test_jitter_is_one_for_all_nodes_or_one_a_node() -> None:
    assert ServiceNoise(jitter=0.2).jitter_of(2).tolist() == [0.2, 0.2]
    assert ServiceNoise(jitter=[0.1, 0.3]).jitter_of(2).tolist() == [0.1, 0.3]  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="2 values and the fleet 3 nodes"):
        ServiceNoise(jitter=(0.1, 0.3)).jitter_of(3)
