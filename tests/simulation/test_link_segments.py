"""Segments of a link check themselves; a transfer integrates the rate over them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from cloudedge_pl.simulation.links import LinkSegments, transfer_end


@pytest.mark.parametrize(
    ("starts", "rates", "delays", "end", "message"),
    [
        ([], [], [], 1.0, "at least one"),
        ([[0.0]], [1.0], [0.0], 1.0, "num_segments"),
        ([0.0, 1.0], [1.0], [0.0, 0.0], 2.0, r"bits_per_second has shape \(1,\)"),
        ([0.0, 0.0], [1.0, 1.0], [0.0, 0.0], 2.0, "must ascend"),
        ([1.0, 0.5], [1.0, 1.0], [0.0, 0.0], 2.0, "must ascend"),
        ([0.0], [1.0], [0.0], 0.0, "behind the last one"),
        ([0.0], [1.0], [0.0], math.nan, "behind the last one"),
        ([math.nan], [1.0], [0.0], 1.0, r"start_seconds\[0\] is nan"),
        ([-1.0], [1.0], [0.0], 1.0, r"start_seconds\[0\] is -1"),
        ([0.0], [-1.0], [0.0], 1.0, r"bits_per_second\[0\] is -1"),
        ([0.0], [math.inf], [0.0], 1.0, r"bits_per_second\[0\] is inf"),
        ([0.0], [1.0], [math.nan], 1.0, r"propagation_seconds\[0\] is nan"),
        ([0.0], [0.0], [0.0], math.inf, "for ever"),
    ],
)
def test_segments_check_themselves(starts: Any, rates: Any, delays: Any, end: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LinkSegments(np.array(starts), np.array(rates), np.array(delays), end)


SEGMENTS = LinkSegments(np.array([0.0, 1.0, 3.0]), np.array([10.0, 0.0, 5.0]), np.zeros(3), 4.0)


@pytest.mark.parametrize(
    ("start", "bits", "end"),
    [
        (0.0, 0.0, 0.0),
        (0.0, 5.0, 0.5),
        (0.0, 10.0, 1.0),
        (0.5, 10.0, 4.0),
        (0.5, 10.1, math.inf),
        (1.5, 0.0, 1.5),
        (1.5, 1.0, 3.2),
    ],
)
def test_a_transfer_waits_for_the_end_of_an_outage(start: float, bits: float, end: float) -> None:
    assert transfer_end(SEGMENTS, start, bits) == pytest.approx(end)


@pytest.mark.parametrize("moment", [-0.1, 4.0, math.nan])
def test_a_time_outside_the_segments_is_refused(moment: float) -> None:
    with pytest.raises(ValueError, match="seconds is"):
        SEGMENTS.at(moment)


def test_segments_without_length_are_left_out() -> None:
    edges, rates = np.array([0.0, 1.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0])
    segments = LinkSegments.between(edges, rates, np.zeros(3))
    assert segments.start_seconds.tolist() == [0, 1]
    assert segments.bits_per_second.tolist() == [1, 3]
    assert segments.end_seconds == 2
