"""Arrivals that follow a file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cloudedge_pl.errors import require_fields
from cloudedge_pl.simulation.arrival_processes import BLOCK, Arrivals, ArrivalSettings, Place
from cloudedge_pl.text_tables import read_timed_csv


class _Rows(NamedTuple):
    seconds: np.ndarray
    kind: np.ndarray
    class_lines: dict[str, int]
    """Classes, and the line in which each is first named."""


@dataclass(frozen=True, kw_only=True)
class TraceArrivals(ArrivalSettings):
    """Tasks that arrive when a file says.

    The first line of the CSV file names its columns: ``t_seconds`` (ascending, on the virtual clock) and, if the file
    says which task arrives, ``class``. The file is read at once, so that a bad one fails before a run starts.

    Args:
        path: of the file; ``~`` is the home directory.
        loop: whether the trace is repeated; the gap between two passes is its mean gap. Otherwise the stream ends.

    Raises:
        ValueError: if the file does not exist or is not such a trace; the message names the line.
    """

    path: str | os.PathLike[str]
    loop: bool = False

    def __post_init__(self) -> None:
        require_fields(self._owner, self)
        seconds = self._rows.seconds
        if self.loop and seconds[0] == seconds[-1]:
            raise ValueError(
                f"{self._file}: its tasks all arrive at once, so it cannot be repeated; add rows, or set loop to false."
            )

    @property
    def _file(self) -> Path:
        return Path(self.path).expanduser()

    @cached_property
    def _rows(self) -> _Rows:
        times, rows = read_timed_csv(self._file, (), ("class",))
        index: dict[str, int] = {}
        lines: dict[str, int] = {}
        kind = np.full(len(rows), -1, dtype=np.int32)
        for row, (at, cells) in enumerate(rows):
            name = cells.get("class")
            if name is not None:
                kind[row] = index.setdefault(name, len(index))
                lines.setdefault(name, at)
        return _Rows(np.array(times), kind, lines)

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self._rows.class_lines)

    def place_of(self, class_name: str) -> str:
        return f"{self._file}, line {self._rows.class_lines[class_name]}"

    def draw(self, seed: int, place: Place) -> tuple[Arrivals, int]:
        seconds, kind, _ = self._rows
        first = place.block * BLOCK
        if not self.loop:
            rows = slice(first, first + BLOCK)
            return Arrivals(seconds[rows], kind[rows]), place.phase
        passes, row = np.divmod(np.arange(first, first + BLOCK), len(seconds))
        period = (seconds[-1] - seconds[0]) * (len(seconds) / (len(seconds) - 1))
        return Arrivals(seconds[row] + passes * period, kind[row]), place.phase
