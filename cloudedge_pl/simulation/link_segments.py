"""What a link offers over time, as segments in which rate and propagation delay are constant."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cloudedge_pl.errors import require_range


@dataclass(frozen=True, eq=False)
class LinkSegments:
    """A stretch of time of a link.

    Segment k lasts from ``start_seconds[k]`` to the start of the next one, the last one to ``end_seconds``; a segment
    includes its start and excludes its end.

    Args:
        start_seconds: [num_segments], ascending, finite and >= 0; at least one.
        bits_per_second: [num_segments], finite and >= 0; 0 is an outage.
        propagation_seconds: [num_segments], one way, finite and >= 0.
        end_seconds: end of the last segment; inf if it lasts for ever.

    Raises:
        ValueError: if a shape or a value is not valid, or an outage lasts for ever.
    """

    start_seconds: np.ndarray
    bits_per_second: np.ndarray
    propagation_seconds: np.ndarray
    end_seconds: float = math.inf

    def __post_init__(self) -> None:
        starts = np.ascontiguousarray(self.start_seconds, dtype=np.float64)
        if starts.ndim != 1 or not len(starts):
            raise ValueError(
                f"link segments: start_seconds has shape {starts.shape}; expected [num_segments], at least one."
            )
        object.__setattr__(self, "start_seconds", starts)
        for name in ("bits_per_second", "propagation_seconds"):
            object.__setattr__(self, name, _column(name, getattr(self, name), len(starts)))
        _column("start_seconds", starts, len(starts))
        edges = np.append(starts, self.end_seconds)
        if not (edges[1:] > edges[:-1]).all():  # nan fails the comparison, too
            row = int(np.argmin(edges[1:] > edges[:-1]))
            raise ValueError(
                f"link segments: segment {row} starts at {edges[row]} and ends at {edges[row + 1]}; starts must "
                "ascend, and the end must lie behind the last one."
            )
        if math.isinf(self.end_seconds) and self.bits_per_second[-1] == 0:
            raise ValueError(
                f"link segments: the rate is 0 from {starts[-1]} s on for ever, so no transfer would end; give the "
                "outage an end."
            )

    @classmethod
    def between(
        cls, edges_seconds: np.ndarray, bits_per_second: np.ndarray, propagation_seconds: np.ndarray
    ) -> LinkSegments:
        """Makes segments between edges, and leaves out those that have no length.

        Args:
            edges_seconds: [num_segments + 1], the starts and the end.
            bits_per_second: [num_segments].
            propagation_seconds: [num_segments].
        """
        kept = edges_seconds[1:] != edges_seconds[:-1]
        starts, end = edges_seconds[:-1][kept], float(edges_seconds[-1])
        return cls(starts, bits_per_second[kept], propagation_seconds[kept], end)

    def __len__(self) -> int:
        """Number of segments."""
        return len(self.start_seconds)

    def at(self, seconds: float) -> int:
        """Returns the segment at a time within the stretch."""
        require_range(
            "link segments", float(self.start_seconds[0]), self.end_seconds, open_high=True, seconds=seconds
        )
        return int(np.searchsorted(self.start_seconds, seconds, side="right")) - 1


def _column(name: str, values: np.ndarray, num_segments: int) -> np.ndarray:
    column = np.ascontiguousarray(values, dtype=np.float64)
    if column.shape != (num_segments,):
        raise ValueError(
            f"link segments: {name} has shape {column.shape}; expected ({num_segments},) as start_seconds."
        )
    good = (column >= 0) & (column < np.inf)
    if not good.all():
        row = int(np.argmin(good))
        raise ValueError(f"link segments: {name}[{row}] is {column[row]}; it must be finite and >= 0.")
    return column


def with_outages(segments: LinkSegments, outages: Sequence[Sequence[float]]) -> LinkSegments:
    """Sets the rate to 0 during outages; segments are divided where an outage starts or ends.

    Args:
        segments: of any link.
        outages: pairs of start and end in seconds, ascending and apart; an end is outside its outage.
    """
    first, last = float(segments.start_seconds[0]), segments.end_seconds
    touching = [(start, end) for start, end in outages if start < last and end > first]
    if not touching:
        return segments
    cuts = np.array([edge for pair in touching for edge in pair if first < edge < last])
    starts = np.union1d(segments.start_seconds, cuts)
    row = np.searchsorted(segments.start_seconds, starts, side="right") - 1
    before = np.searchsorted(np.array(touching).ravel(), starts, side="right")
    rates = np.where(before % 2 == 1, 0.0, segments.bits_per_second[row])
    return LinkSegments(starts, rates, segments.propagation_seconds[row], last)


def transfer_end(segments: LinkSegments, start_seconds: float, num_bits: float) -> float:
    """Computes when a transfer that has the link for itself ends: the rate is integrated over the segments.

    Args:
        segments: of the link.
        start_seconds: of the transfer, within the segments.
        num_bits: of the transfer; without bits it ends at once.

    Returns:
        Seconds of the clock, without propagation; inf if the transfer does not end within the segments.
    """
    row, left, now = segments.at(start_seconds), num_bits, start_seconds
    edges = np.append(segments.start_seconds[row + 1 :], segments.end_seconds)
    for end, rate in zip(edges.tolist(), segments.bits_per_second[row:].tolist(), strict=True):
        if left <= rate * (end - now):
            return now + left / rate if left > 0 else now
        left -= rate * (end - now)
        now = end
    return math.inf
