"""The sketch of delays: quantiles to 1%, whatever the order, the parts and the interruptions."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudedge_pl.errors import CheckpointError
from cloudedge_pl.simulation.sketch import RELATIVE_ERROR, DelaySketch

DELAYS = st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=60)


def sketch_of(*parts: list[float]) -> DelaySketch:
    sketch = DelaySketch()
    for part in parts:
        sketch.add(np.array(part))
    return sketch


@given(DELAYS, st.floats(0, 1))
def test_a_quantile_is_within_a_hundredth_of_the_delay_of_its_rank(delays, level):
    exact = sorted(delays)[math.floor(level * (len(delays) - 1))]
    assert sketch_of(delays).quantile(level) == pytest.approx(exact, rel=RELATIVE_ERROR * (1 + 1e-9))


@pytest.mark.parametrize("draw", ["exponential", "lognormal", "pareto"])
def test_percentiles_of_a_million_delays_are_within_a_hundredth(draw):
    random = np.random.default_rng(1)
    samples = {
        "exponential": random.exponential(0.1, 1_000_000),
        "lognormal": random.lognormal(-2, 1.5, 1_000_000),
        "pareto": 0.01 * (1 + random.pareto(1.1, 1_000_000)),
    }[draw]
    sketch = sketch_of(samples)
    for level in (0.001, 0.5, 0.95, 0.99, 0.9999):
        exact = float(np.quantile(samples, level, method="lower"))
        assert sketch.quantile(level) == pytest.approx(exact, rel=0.0101)
    assert sketch.mean_seconds == pytest.approx(samples.mean(), rel=1e-12)
    assert len(json.dumps(sketch.state_dict())) < 30_000


@given(DELAYS, DELAYS, DELAYS)
def test_merging_in_any_order_and_adding_at_once_are_the_same(first, second, third):
    whole = sketch_of(first + second + third)
    one, other, last = sketch_of(first), sketch_of(second), sketch_of(third)
    last.merge(one)
    last.merge(other)
    np.testing.assert_array_equal(last.counts, whole.counts)
    assert last.total_seconds == pytest.approx(whole.total_seconds, rel=1e-12)
    assert len(whole) == len(first + second + third)


@settings(max_examples=30)
@given(DELAYS, DELAYS)
def test_a_resumed_sketch_equals_one_that_was_not_stopped(before, after):
    resumed = DelaySketch()
    resumed.load_state_dict(json.loads(json.dumps(sketch_of(before).state_dict())))
    resumed.add(np.array(after))
    whole = sketch_of(before, after)
    assert resumed.state_dict() == whole.state_dict()


def test_what_has_no_delay_does_not_count():
    sketch = sketch_of([math.nan, 0.5, math.nan])
    assert len(sketch) == 1
    assert sketch.mean_seconds == 0.5
    empty = DelaySketch()
    empty.add(np.array([math.nan]))
    assert math.isnan(empty.mean_seconds)
    assert math.isnan(empty.quantile(0.5))


def test_delays_out_of_range_count_as_its_ends():
    sketch = sketch_of([0.0, 1e12, math.inf])
    assert sketch.quantile(0) == pytest.approx(1e-9, rel=0.02)
    assert sketch.quantile(1) == pytest.approx(1e9, rel=0.02)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"shortest is -1\.0"):
        sketch_of([1.0, -1.0])
    with pytest.raises(ValueError, match=r"level is 1\.5"):
        sketch_of([1.0]).quantile(1.5)
    state = sketch_of([1.0]).state_dict() | {"bins": [10**6]}
    with pytest.raises(CheckpointError, match="bins up to 1000000"):
        DelaySketch().load_state_dict(state)
