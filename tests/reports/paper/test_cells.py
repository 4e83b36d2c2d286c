"""Cells for a reader: the unit is in the column's name, and leaves it for the cell."""

from __future__ import annotations

import math

import pytest

from cloudedge_pl.costs.units import ABSENT
from cloudedge_pl.reports.paper.cells import cell_text, heading


@pytest.mark.parametrize(
    ("column", "value", "head", "text"),
    [
        ("mean_delay_seconds", 0.06294, "mean delay", "62.9 ms"),
        ("upload_bytes", 150_528.0, "upload", "151 kB"),
        ("energy_joules", 0.0139, "energy", "13.9 mJ"),
        ("rate_bits_per_second", 5e6, "rate", "5 Mbit/s"),
        ("arrivals_per_second", 40, "arrivals", "40 /s"),
        ("upload_share", 0.1234, "upload", "12.3%"),
        ("test_error", 0.0725, "test error", "7.25%"),
        ("accuracy", 0.981, "accuracy", "98.1%"),
        ("relative_error", 3.2, "relative error", "3.2"),
        ("seconds", 3.14159, "seconds", "3.142"),
        ("link rate in Mbit/s", 6.25, "link rate in Mbit/s", "6.25"),
        ("tasks", 12_500, "tasks", "12,500"),
        ("tasks", 12_500.4, "tasks", "12,500"),
        ("holds", False, "holds", "no"),
        ("scheduler", "atsa_paper", "scheduler", "atsa_paper"),
        ("delay_seconds", math.inf, "delay", "∞ s"),
        ("ratio", -math.inf, "ratio", "-∞"),
        ("ratio", math.nan, "ratio", ABSENT),
        ("ratio", None, "ratio", ABSENT),
    ],
)
def test_a_cell_and_its_heading(column, value, head, text):
    assert (heading(column), cell_text(column, value)) == (head, text)
