"""What the tests of links share."""

from __future__ import annotations

import numpy as np

from cloudedge_pl.fleet import Link
from cloudedge_pl.simulation.links import LinkProcess, LinkSegments

LINK = Link(bandwidth_bits_per_second=2e6, propagation_seconds=0.03, variation=0.4, correlation=0.7)
COLUMNS = ("start_seconds", "bits_per_second", "propagation_seconds")


def blocks(process: LinkProcess, num_blocks: int) -> list[LinkSegments]:
    return [process.next() for _ in range(num_blocks)]


def joined(process: LinkProcess, num_blocks: int) -> LinkSegments:
    """The blocks as one stretch, which its own checks let pass."""
    given = blocks(process, num_blocks)
    columns = [np.concatenate([getattr(each, column) for each in given]) for column in COLUMNS]
    return LinkSegments(*columns, given[-1].end_seconds)


def equal(left: LinkSegments, right: LinkSegments) -> bool:
    return left.end_seconds == right.end_seconds and all(
        np.array_equal(getattr(left, column), getattr(right, column)) for column in COLUMNS
    )


def bits(segments: LinkSegments, until: float) -> float:
    """What the link carries from the start of the segments to a time within them."""
    edges = np.append(segments.start_seconds, segments.end_seconds).clip(max=until)
    return float(segments.bits_per_second @ np.diff(edges))
