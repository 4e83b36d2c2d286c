"""Who wins a cell of the map: by hand, and the laws that every map keeps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cloudedge_pl.paper.choices import (
    EDGE,
    FLOAT32,
    INT8,
    JPEG,
    NOBODY,
    PANELS,
    PLANNED,
    RAW,
    SMALL_MEMORY_BYTES,
    Choice,
    Panel,
    cells_of,
    cells_table,
    shares_table,
    useful_cuts,
    winner,
)

DELAY = Panel(name="delay", measure="delay", rivals=(RAW, EDGE))


def choice(name: str, delay: float, **changes: Any) -> Choice:
    values = {
        "split_point": 3,
        "memory_bytes": 1e6,
        "active_joules": 1.0,
        "upload_bytes": 10.0,
        "keeps_up": True,
    }
    return Choice(name=name, delay_seconds=delay, **{**values, **changes})


def test_a_cut_sends_less_than_all_before_it():
    assert useful_cuts(np.array([7.0, 9.0, 9.0, 5.0, 6.0, 2.0, 0.0])) == [1, 3, 5]


def test_float32_wins_before_int8_and_a_tie_is_the_rivals():
    raw = choice(RAW, 1.0, split_point=0)
    assert winner([raw, choice(FLOAT32, 0.9), choice(INT8, 0.5)], DELAY).name == FLOAT32
    assert winner([raw, choice(FLOAT32, 1.1), choice(INT8, 0.5)], DELAY).name == INT8
    assert winner([raw, choice(FLOAT32, 1.0), choice(INT8, 1.0)], DELAY).name == RAW
    assert winner([raw, choice(EDGE, 0.4), choice(INT8, 0.5)], DELAY).name == EDGE


def test_a_choice_that_does_not_keep_up_is_out():
    late = choice(RAW, 0.1, keeps_up=False)
    assert winner([late, choice(INT8, 9.0)], DELAY).name == INT8
    assert winner([late], DELAY).name == NOBODY
    assert winner([choice(JPEG, 0.1)], DELAY).name == NOBODY  # not asked


def test_memory_leaves_out_what_does_not_fit():
    small = Panel(name="small", measure="delay", rivals=(RAW,), memory_bytes=SMALL_MEMORY_BYTES)
    deep = choice(FLOAT32, 0.1, memory_bytes=0.81 * SMALL_MEMORY_BYTES)
    fits = choice(FLOAT32, 0.5, memory_bytes=0.79 * SMALL_MEMORY_BYTES, split_point=2)
    assert winner([choice(RAW, 1.0), deep, fits], small).split_point == 2
    assert winner([choice(RAW, 1.0), deep, fits], DELAY).split_point == 3


def test_a_panel_says_which_cuts_take_part():
    planned = Panel(name="planned", measure="delay", rivals=(RAW,), cuts=(PLANNED,))
    choices = [choice(RAW, 1.0), choice(FLOAT32, 0.5), choice(PLANNED, 1.2)]
    assert winner(choices, planned).name == RAW
    assert winner([*choices, choice(PLANNED, 0.9)], planned).name == PLANNED


NAMES = (RAW, JPEG, EDGE, PLANNED, FLOAT32, INT8)
CHOICES = st.lists(
    st.builds(
        choice,
        st.sampled_from(NAMES),
        st.floats(0.01, 10),
        memory_bytes=st.sampled_from([1e6, 50e6]),
        upload_bytes=st.floats(0, 1e6),
        active_joules=st.floats(0, 10),
        keeps_up=st.booleans(),
    ),
    max_size=8,
)


@given(CHOICES, st.sampled_from(PANELS))
def test_more_rivals_never_help_a_cut(choices, panel):
    more = replace(panel, rivals=(RAW, JPEG, EDGE))
    if winner(choices, more).name in panel.cuts:
        assert winner(choices, panel).name in panel.cuts


@given(st.lists(CHOICES, min_size=1, max_size=6))
def test_tables_keep_every_choice_and_shares_sum_to_one(cells):
    some = {(10, 1e6 * (at + 1), 5.0): choices for at, choices in enumerate(cells) if choices}
    if not some:
        return
    assert cells_of(cells_table(some)) == some
    columns = shares_table(some).columns
    totals = np.sum(
        [columns[f"{name}_share"] for name in (PLANNED, FLOAT32, INT8, RAW, JPEG, EDGE, NOBODY)], axis=0
    )
    assert np.allclose(totals, 1)
