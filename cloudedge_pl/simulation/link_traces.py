"""Links that follow a file: a measured delay and rate, a Mahimahi trace, or a throughput trace.

A file is read once, when its settings are made, so that a bad one fails at once with its name, line and fix.
"""

from __future__ import annotations

import math
import os
from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cloudedge_pl.errors import DataError, require_range
from cloudedge_pl.fleet import Link
from cloudedge_pl.simulation.link_processes import LinkSettings, Place
from cloudedge_pl.simulation.link_segments import LinkSegments
from cloudedge_pl.text_tables import finite_number, read_csv, read_lines

BLOCK = 1024
"""A block of a trace that is repeated has at least about this number of segments, or one period."""

PACKET_BITS = 1500 * 8
"""What one line of a Mahimahi trace delivers."""

MAX_SEGMENTS = 10_000_000
"""A longer trace is refused before any memory is allocated."""


class Trace(NamedTuple):
    """One pass through a trace, from 0 s on."""

    edges_seconds: np.ndarray
    """[num_segments + 1], starts and end; the end is inf if the last segment lasts for ever."""
    bits_per_second: np.ndarray | None = None
    """[num_segments]; None is the link's bandwidth."""
    delay_seconds: np.ndarray | None = None
    """[num_segments]; None is the link's propagation delay."""


@dataclass(frozen=True, kw_only=True)
class FileLink(LinkSettings):
    """What links from files have in common.

    Args:
        path: of the file; ``~`` is the home directory.

    Raises:
        ValueError: if the file does not exist or is not such a trace; the message names the line.
    """

    path: str | os.PathLike[str]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self._file.is_file():
            raise DataError(f"{self._owner}: path {self._file} is not a file; give the file of the trace.")
        _ = self._trace  # read now

    @property
    def _file(self) -> Path:
        return Path(self.path).expanduser()

    @cached_property
    def _trace(self) -> Trace:
        return self._read(self._file)

    @abstractmethod
    def _read(self, path: Path) -> Trace:
        """Reads the file."""

    def draw(self, link: Link, seed: int, place: Place) -> tuple[LinkSegments, float]:
        edges, rates, delays = self._trace
        num_segments, length = len(edges) - 1, float(edges[-1])
        if rates is None:
            rates = np.full(num_segments, link.bandwidth_bits_per_second)
        if delays is None:
            delays = np.full(num_segments, link.propagation_seconds)
        if num_segments == 1 or math.isinf(length):
            return LinkSegments(edges[:-1], rates, delays), 0.0
        passes = max(1, BLOCK // num_segments)
        first = place.block * passes
        starts = (np.arange(first, first + passes)[:, None] * length + edges[:-1]).ravel()
        edges = np.append(starts, (first + passes) * length)
        return LinkSegments.between(edges, np.tile(rates, passes), np.tile(delays, passes)), 0.0


@dataclass(frozen=True, kw_only=True)
class TraceLink(FileLink):
    """A link whose delay, and rate if it is known, are those of a CSV file.

    The first line of the file names the columns: ``t_seconds``, and ``delay_seconds`` (the propagation delay, one way),
    ``bits_per_second`` (0 is an outage) or both. A row holds from its time to the next row's; times count from the
    first row. The link's own value stands for a column that is left out.

    Args:
        path: of the file.
        loop: whether the trace is repeated. Its last row then lasts as long as the row before it, otherwise for ever.

    Raises:
        ValueError: if the file does not exist or is not such a trace; the message names the line.
    """

    loop: bool = False

    def _read(self, path: Path) -> Trace:
        names = ("t_seconds", "delay_seconds", "bits_per_second")
        header, rows = read_csv(path, names)
        if "t_seconds" not in header or len(header) < 2:
            raise ValueError(
                f"{path}: its columns are {', '.join(header)}; it needs t_seconds, and delay_seconds, bits_per_second "
                "or both."
            )
        lines = [at for at, _ in rows]
        columns = {
            name: np.array([finite_number(path, at, name, cells.get(name, "")) for at, cells in rows])
            for name in header
        }
        edges = _from_zero(path, "t_seconds", columns["t_seconds"], lines, strictly=True)
        delays, rates = columns.get("delay_seconds"), columns.get("bits_per_second")
        if delays is not None and delays.min() >= 10:
            raise ValueError(
                f"{path}: no delay_seconds is below {delays.min():g}, which is no plausible delay in seconds; is it in "
                "milliseconds? Write it in seconds, e.g. 0.05."
            )
        if rates is not None:
            _require_rate(path, rates)
            if rates[-1] == 0 and not self.loop:
                raise ValueError(
                    f"{path}, line {lines[-1]}: the last bits_per_second is 0, so the outage lasts for ever; add a row "
                    "with its end, or set loop to true."
                )
        end = 2 * edges[-1] - edges[-2] if self.loop else math.inf
        return Trace(np.append(edges, end), rates, delays)


@dataclass(frozen=True, kw_only=True)
class ThroughputLink(FileLink):
    """A link whose rate is that of a throughput trace, repeated for ever; its propagation delay is constant.

    Each line of the file has a time in seconds and a rate in Mbit/s, between blanks: the format of Pensieve's traces,
    and of the FCC, HSR, Ghent and Lab traces of PiTree. As in their simulators a rate holds from the time of the line
    before to its own, so the first line gives the start alone, and its rate is not used. Empty lines and text after a #
    are ignored.

    Source: github.com/hongzimao/pensieve, sim/fixed_env.py; github.com/transys-project/pitree-dataset, traces.
    Deviation: all of the rate is used; Pensieve takes 95% of it as payload.

    Args:
        path: of the file.

    Raises:
        ValueError: if the file does not exist or is not such a trace; the message names the line.
    """

    def _read(self, path: Path) -> Trace:
        rows = read_lines(path)
        for at, words in rows:
            if len(words) != 2:
                raise ValueError(
                    f"{path}, line {at}: it is {' '.join(words)!r}; write a time in seconds and a rate in Mbit/s, "
                    "with blanks between them."
                )
        lines = [at for at, _ in rows]
        times = np.array([finite_number(path, at, "the time", words[0]) for at, words in rows])
        megabits = np.array([finite_number(path, at, "the rate", words[1]) for at, words in rows])
        edges = _from_zero(path, "the time", times, lines)
        kept = np.append(True, edges[1:] > edges[:-1])  # a line at the time of the one before never holds
        edges, rates = edges[kept], 1e6 * megabits[kept][1:]
        _require_rate(path, rates)
        if rates.max() > 1e13:
            raise ValueError(
                f"{path}: a rate is {rates.max() / 1e6:g} Mbit/s, which is not plausible; is it in bit/s? Write it in "
                "Mbit/s, e.g. 20.5."
            )
        return Trace(edges, rates)


@dataclass(frozen=True, kw_only=True)
class MahimahiLink(FileLink):
    """A link whose rate is that of a Mahimahi trace, repeated for ever; its propagation delay is constant.

    Each line of the file is a whole number of milliseconds, ascending, at which the link delivers 1500 bytes; equal
    lines deliver more. The last line is the period. Empty lines and text after a # are ignored.

    Source: mm-link(1); github.com/ravinet/mahimahi, link_queue.cc.
    Deviation: the link has the mean rate of each interval instead of single packets. A packet at the end of an interval
    counts in it, and one at 0 ms in the last interval of the period. The number of bits in a period is exact.

    Args:
        path: of the file.
        interval_seconds: whole milliseconds, at least one. Intervals without a packet are outages.

    Raises:
        ValueError: if the file does not exist or is not such a trace; the message names the line.
    """

    interval_seconds: float = 0.1

    def __post_init__(self) -> None:
        require_range(self._owner, 1e-3, 1e6, interval_seconds=self.interval_seconds)
        if abs(self._step - 1000 * self.interval_seconds) > 1e-6:
            raise ValueError(
                f"{self._owner}: interval_seconds is {self.interval_seconds}; it must be whole milliseconds, e.g. 0.1."
            )
        super().__post_init__()

    @property
    def _step(self) -> int:
        """The interval in milliseconds."""
        return round(1000 * self.interval_seconds)

    def _read(self, path: Path) -> Trace:
        rows = read_lines(path)
        for at, words in rows:
            if len(words) != 1 or not (words[0].isascii() and words[0].isdigit() and len(words[0]) <= 15):
                raise ValueError(
                    f"{path}, line {at}: it is {' '.join(words)!r}; write one whole number of milliseconds, e.g. 25."
                )
        times = np.array([int(words[0]) for _, words in rows], dtype=np.int64)
        _require_ascending(path, "the time in ms", times, [at for at, _ in rows])
        if not len(times) or times[-1] == 0:
            raise ValueError(f"{path}: it has no line above 0 ms; its last line is the length of the trace.")
        step, period = self._step, int(times[-1])
        num_intervals = -(-period // step)
        if num_intervals > MAX_SEGMENTS:
            raise ValueError(
                f"{path}, line {rows[-1][0]}: the trace lasts {period / 1000:g} s, which is {num_intervals} intervals "
                f"of {self.interval_seconds} s; {MAX_SEGMENTS} is the largest number. Take a longer interval_seconds."
            )
        times[times == 0] = period
        packets = np.bincount((times - 1) // step, minlength=num_intervals)
        edges = np.minimum(np.arange(num_intervals + 1) * step, period) / 1000
        rates = packets * PACKET_BITS / np.diff(edges)
        kept = np.append(True, rates[1:] != rates[:-1])
        return Trace(np.append(edges[:-1][kept], edges[-1]), rates[kept])


def _from_zero(
    path: Path, column: str, times: np.ndarray, lines: list[int], *, strictly: bool = False
) -> np.ndarray:
    """Checks times [num_rows], at least two and ascending, and counts them from the first."""
    if len(times) < 2:
        found = f"one row, in line {lines[0]}" if lines else "no row"
        raise ValueError(
            f"{path}: it has {found}; a trace needs two. A link that does not vary is link_process=constant."
        )
    _require_ascending(path, column, times, lines, strictly=strictly)
    if times[-1] - times[0] < 1e-3:
        raise ValueError(
            f"{path}, line {lines[-1]}: the trace lasts {times[-1] - times[0]:g} s; it must last a millisecond or "
            "longer."
        )
    return times - times[0]


def _require_ascending(
    path: Path, column: str, times: np.ndarray, lines: list[int], *, strictly: bool = False
) -> None:
    good = times[1:] > times[:-1] if strictly else times[1:] >= times[:-1]
    if not good.all():
        row = int(np.argmin(good)) + 1
        raise ValueError(
            f"{path}, line {lines[row]}: {column} is {times[row]}, the row before has {times[row - 1]}; sort the rows "
            f"by time{', one row for each time' if strictly else ''}."
        )


def _require_rate(path: Path, rates: np.ndarray) -> None:
    if rates.max() == 0:
        raise ValueError(f"{path}: every rate is 0, so no transfer would end; give at least one above 0.")
    if rates.max() < 1e3:
        raise ValueError(
            f"{path}: no rate is above {rates.max():g} bit/s, which is no plausible link; is it in Mbit/s? Write "
            "bits_per_second in bit/s, and a throughput trace in Mbit/s."
        )
