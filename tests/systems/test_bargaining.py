"""The bargaining balancer: its shares against the definition of the solution, and how it deals tasks out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from cloudedge_pl.scheduling import NodeState, TaskWindow
from cloudedge_pl.systems import BargainingBalancer, bargained_shares

SPEEDS = st.lists(st.floats(1.0, 100.0), min_size=1, max_size=6)


@given(SPEEDS, st.floats(0.05, 0.95))
def test_shares_are_those_of_the_bargain(speeds, load):
    speed = np.array(speeds)
    rate = load * speed.sum()
    shares = bargained_shares(1 / speed, rate)
    assert shares.min() >= 0
    assert shares.sum() == pytest.approx(1.0)
    spare = speed - shares * rate
    used = shares > 1e-12
    np.testing.assert_allclose(spare[used], spare[used][0], rtol=1e-6)  # equal for all that take part
    assert (speed[~used] <= spare[used][0] * (1 + 1e-6)).all()  # and more than the others have at all


def test_shares_maximise_the_product_of_spare_capacities():
    speed, rate = np.array([10.0, 7.0, 3.0, 1.0]), 12.0
    found = minimize(
        lambda taken: -np.log(speed - taken).sum(),
        np.full(4, rate / 4) * [1, 1, 0.9, 0.05],
        bounds=[(0, 0.999 * each) for each in speed],
        constraints={"type": "eq", "fun": lambda taken: taken.sum() - rate},
    )
    np.testing.assert_allclose(bargained_shares(1 / speed, rate) * rate, found.x, atol=2e-3)


def test_an_overloaded_fleet_shares_its_overload():
    np.testing.assert_allclose(bargained_shares(np.array([0.1, 0.2]), 21.0) * 21.0, [13.0, 8.0])


def test_nodes_that_take_no_time_or_cannot_run_a_task():
    assert bargained_shares(np.array([0.0, 0.1, 0.0]), 5.0).tolist() == [0.5, 0.0, 0.5]
    assert bargained_shares(np.array([np.inf, 0.1]), 5.0).tolist() == [0.0, 1.0]


def window(num_tasks: int, seconds: list[float]) -> TaskWindow:
    return TaskWindow(np.broadcast_to(np.array(seconds), (num_tasks, len(seconds))))


def test_tasks_are_dealt_out_in_these_shares_however_they_are_grouped():
    seconds, idle = [0.1, 0.2, 0.5], NodeState.idle(3)
    whole = BargainingBalancer(arrival_rate=12.0).assign(window(120, seconds), idle).node
    single = BargainingBalancer(arrival_rate=12.0)
    assert whole.tolist() == [int(single.assign(window(1, seconds), idle).node[0]) for _ in range(120)]
    counts = np.bincount(whole, minlength=3)
    np.testing.assert_allclose(counts, 120 * bargained_shares(np.array(seconds), 12.0), atol=1.0)


def test_an_absent_node_gets_nothing():
    state = NodeState(np.zeros(2), np.full(2, np.inf), np.array([False, True]))
    assert BargainingBalancer(arrival_rate=1.0).assign(window(5, [0.1, 0.2]), state).node.tolist() == [1] * 5


def test_a_restored_balancer_goes_on_as_one_that_was_not_stopped():
    seconds, idle = [0.1, 0.15], NodeState.idle(2)
    first = BargainingBalancer(arrival_rate=10.0)
    first.assign(window(3, seconds), idle)
    second = BargainingBalancer(arrival_rate=10.0)
    second.load_state_dict(first.state_dict())
    expected = first.assign(window(9, seconds), idle).node
    assert second.assign(window(9, seconds), idle).node.tolist() == expected.tolist()


def test_the_rate_must_be_positive():
    with pytest.raises(ValueError, match="arrival_rate"):
        BargainingBalancer(arrival_rate=0.0)
