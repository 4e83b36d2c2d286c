"""One server in place of a node and its radio: against the recursion of a flow line, step by step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudedge_pl.simulation.flow_line import as_one_server

SECONDS = st.floats(0.0, 10.0)
STATE = {"execution": SECONDS, "sending": SECONDS, "ready": SECONDS, "radio": SECONDS}


def line_ends(execution: float, sending: float, ready: float, radio: float, tasks: int) -> list[float]:
    """The end of every task's transfer: each station takes the next task when it is free and the task is there."""
    ends = []
    for _ in range(tasks):
        ready += execution
        radio = max(ready, radio) + sending
        ends.append(radio)
    return ends


def server_ends(execution: float, sending: float, ready: float, radio: float, tasks: int) -> np.ndarray:
    begins = as_one_server(*(np.array([each]) for each in (execution, sending, ready, radio)))
    assert begins.min() >= 0.0
    return begins + np.arange(1, tasks + 1) * max(execution, sending)


@settings(max_examples=300)
@given(**STATE)
def test_the_first_task_ends_as_in_the_line(
    execution: float, sending: float, ready: float, radio: float
) -> None:
    state = (execution, sending, ready, radio, 1)
    assert server_ends(*state) == pytest.approx(line_ends(*state))


@settings(max_examples=300)
@given(**STATE, tasks=st.integers(2, 30))
def test_equal_tasks_end_as_in_the_line_and_never_before(
    execution: float, sending: float, ready: float, radio: float, tasks: int
) -> None:
    state = (execution, sending, ready, radio, tasks)
    line, server = np.array(line_ends(*state)), server_ends(*state)
    assert (server >= line - 1e-9).all()
    if sending >= execution or radio <= ready + execution:
        np.testing.assert_allclose(server, line, rtol=1e-9, atol=1e-9)


def test_a_slow_node_catches_up_with_a_radio_that_is_behind() -> None:
    assert line_ends(3.0, 1.0, 0.0, 7.0, 3) == [8.0, 9.0, 10.0]
    np.testing.assert_array_equal(server_ends(3.0, 1.0, 0.0, 7.0, 3), [8.0, 11.0, 14.0])


def test_without_transfers_the_server_is_the_node() -> None:
    nothing = np.zeros(2)
    np.testing.assert_array_equal(
        as_one_server(np.array([1.0, 2.0]), nothing, np.array([0.3, 0.1]), np.array([0.2, 0.1])), [0.3, 0.1]
    )
