"""Finishing times against a loop that serves one task after the other."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudedge_pl.costs.first_come import serve_at_nodes, serve_at_one

TIMES = st.floats(0, 100)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(TIMES, min_size=1, max_size=30), st.floats(0, 10), TIMES)
def test_one_server_serves_in_the_order_of_arrival(arrivals, service, free_at):
    expected, free = np.empty(len(arrivals)), free_at
    for task in np.argsort(arrivals, kind="stable"):
        free = expected[task] = max(arrivals[task], free) + service
    np.testing.assert_allclose(serve_at_one(np.array(arrivals), service, free_at), expected)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.data(), st.integers(1, 5), st.lists(TIMES, min_size=1, max_size=30))
def test_every_node_serves_its_own_queue(data, num_nodes, arrivals):
    arrivals = sorted(arrivals)
    node = data.draw(st.lists(st.integers(0, num_nodes - 1), min_size=len(arrivals), max_size=len(arrivals)))
    service = data.draw(st.lists(st.floats(0, 10), min_size=num_nodes, max_size=num_nodes))
    free_at = data.draw(st.lists(TIMES, min_size=num_nodes, max_size=num_nodes))
    free, expected = list(free_at), []
    for arrival, at in zip(arrivals, node, strict=True):
        free[at] = max(arrival, free[at]) + service[at]
        expected.append(free[at])
    done = serve_at_nodes(np.array(arrivals), np.array(node), np.array(service), np.array(free_at))
    np.testing.assert_allclose(done, expected)
