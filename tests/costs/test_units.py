"""How quantities are written."""

from __future__ import annotations

import math

import pytest

from cloudedge_pl.costs.units import format_bytes, format_joules, format_rate, format_seconds


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
