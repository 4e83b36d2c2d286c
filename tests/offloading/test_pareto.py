"""The Pareto front against its definition."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudedge_pl.offloading.pareto import non_dominated, pareto_front
from cloudedge_pl.offloading.table import cost_table
from tests.offloading.cases import fleets, profiles, workloads

ROWS = st.lists(st.tuples(*[st.integers(0, 5)] * 3, st.booleans()), min_size=1, max_size=20)


@settings(max_examples=200)
@given(ROWS)
def test_the_front_is_what_no_allowed_row_beats(rows):
    values = np.array([row[:3] for row in rows], dtype=float)
    allowed = np.array([row[3] for row in rows])

    def beaten(i: int) -> bool:
        return any(
            allowed[k] and (values[k] <= values[i]).all() and (values[k] < values[i]).any()
            for k in range(len(rows))
        )

    expected = [i for i in range(len(rows)) if allowed[i] and not beaten(i)]
    assert non_dominated(values, allowed).tolist() == expected


@settings(max_examples=60)
@given(profiles(), fleets(), workloads())
def test_the_best_of_each_criterion_is_on_the_front(profile, fleet, workload):
    table = cost_table(profile, fleet, workload)
    usable = np.isfinite(table.delay_seconds)
    front = pareto_front(table, usable)
    assert usable[front].all()
    for values in (table.delay_seconds, table.energy_joules, table.upload_bytes):
        assert values[front].min() == values[usable].min()
