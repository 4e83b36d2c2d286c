"""How quantities are written."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudedge_pl.costs.units import (
    format_bytes,
    format_joules,
    format_percent,
    format_rate,
    format_seconds,
    written_apart,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (format_bytes(0), "0 B"),
        (format_bytes(999.4), "999 B"),
        (format_bytes(999.6), "1 kB"),
        (format_bytes(412e6), "412 MB"),
        (format_bytes(-17.6e6), "-17.6 MB"),
        (format_bytes(math.inf), "∞ B"),
        (format_seconds(0.0125), "12.5 ms"),
        (format_seconds(0.9999), "1 s"),
        (format_seconds(3e-7), "300 ns"),
        (format_seconds(1234.6), "1235 s"),
        (format_joules(0.3), "300 mJ"),
        (format_joules(12_340), "12.3 kJ"),
        (format_rate(48e9, "FLOP/s"), "48 GFLOP/s"),
        (format_seconds(math.nan), "\N{EN DASH}"),
    ],
)
def test_three_digits_and_a_prefix(text, expected):
    assert text == expected


@pytest.mark.parametrize(
    ("write", "values", "expected"),
    [
        (format_seconds, (0.1, 0.2), ("100 ms", "200 ms")),
        (format_seconds, (0.1, 0.10004), ("100 ms", "100.04 ms")),
        (format_seconds, (0.99996, 1.0), ("999.96 ms", "1 s")),
        (format_seconds, (1234.6, 1234.7), ("1234.6 s", "1234.7 s")),
        (format_bytes, (9.6e6, 9.6e6), ("9.6 MB", "9.6 MB")),
        (format_bytes, (9_600_000, 9_600_001), ("9.6 MB", "9.600001 MB")),
        (format_percent, (1.0, 1.00001), ("100%", "100.001%")),
        (format_joules, (math.inf, 5.0, math.nan), ("\N{INFINITY} J", "5 J", "\N{EN DASH}")),
    ],
)
def test_what_is_compared_is_written_apart(write, values, expected):
    assert written_apart(write, values) == expected


@given(st.lists(st.floats(1e-8, 1e14), min_size=2, max_size=4))
def test_unequal_values_never_look_alike(values):
    for write in (format_bytes, format_seconds, format_joules, format_percent):
        assert len(set(written_apart(write, values))) >= len(set(values)) - (write is format_percent)
