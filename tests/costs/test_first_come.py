"""Finishing times against a loop that serves one task after the other."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudedge_pl.costs.first_come import serve_at_one

TIMES = st.floats(0, 100)


@settings(max_examples=200)
@given(st.lists(TIMES, min_size=1, max_size=30), st.floats(0, 10), TIMES)
def test_one_server_serves_in_the_order_of_arrival(arrivals, service, free_at):
    expected, free = np.empty(len(arrivals)), free_at
    for task in np.argsort(arrivals, kind="stable"):
        free = expected[task] = max(arrivals[task], free) + service
    np.testing.assert_allclose(serve_at_one(np.array(arrivals), service, free_at), expected)
