"""The history of a run's windows, in bounded memory: a long run keeps coarser rows and exact totals."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from cloudedge_pl.errors import CheckpointError, require_range

COLUMNS: Final = ("clock_seconds", "tasks", "mean_delay_seconds", "link_delay_seconds", "awake")
"""Columns of the history. ``awake`` is the share of the row's time during which the cloud was awake."""

MAX_ROWS: Final = 2048


class BoundedHistory:
    """Windows in columns, at most :data:`MAX_ROWS` of them: when they are full, neighbours become one row.

    A merged row ends where its last window ends. Its delay is the mean over its tasks, those of the link and ``awake``
    are means over its time. Nothing depends on how a run is cut into pieces.

    Args:
        max_rows: an even number of at least 2.

    Attributes:
        tasks: exact number of all tasks, as are the totals that follow.
        delay_seconds: sum of all tasks' delays.
        asleep_seconds: time in windows during which the cloud slept.
        switches: windows whose cloud's state differs from that of the window before; it was awake before the first.
        clock_seconds: end of the last window.

    Raises:
        ValueError: if the number of rows is odd or below 2.
    """

    def __init__(self, max_rows: int = MAX_ROWS) -> None:
        require_range("history", 2, math.inf, open_high=True, whole=True, max_rows=max_rows)
        if max_rows % 2:
            raise ValueError(
                f"history: max_rows is {max_rows}; it must be even, because rows merge in pairs."
            )
        self._rows = np.zeros((max_rows, len(COLUMNS)))
        self._length = 0
        self._windows_a_row = 1
        self._windows_in_last = 0
        self.tasks, self.switches = 0, 0
        self.delay_seconds, self.asleep_seconds, self.clock_seconds = 0.0, 0.0, 0.0
        self._awake = True

    def __len__(self) -> int:
        """The number of rows."""
        return self._length

    def add(
        self,
        *,
        clock_seconds: float,
        tasks: int,
        mean_delay_seconds: float,
        link_delay_seconds: float,
        awake: bool,
    ) -> None:
        """Adds a window.

        Args:
            clock_seconds: its end.
            tasks: tasks in it.
            mean_delay_seconds: over its tasks; not used without any.
            link_delay_seconds: of the link to the cloud; an outage's is infinite.
            awake: whether the cloud worked in it.

        Raises:
            ValueError: if it ends before the last one.
        """
        require_range("window", self.clock_seconds, math.inf, open_high=True, clock_seconds=clock_seconds)
        self.tasks += tasks
        self.delay_seconds += tasks * mean_delay_seconds if tasks else 0.0
        self.asleep_seconds += 0.0 if awake else clock_seconds - self.clock_seconds
        self.switches += awake != self._awake
        window = np.array(
            [clock_seconds, tasks, mean_delay_seconds, link_delay_seconds, awake], dtype=np.float64
        )
        if 0 < self._windows_in_last < self._windows_a_row:
            last = self._length - 1
            self._rows[last] = _merged(self._rows[last], window, self._start_of(last))
            self._windows_in_last += 1
        else:
            if self._length == len(self._rows):
                self._halve()
            self._rows[self._length] = window
            self._length += 1
            self._windows_in_last = 1
        self.clock_seconds, self._awake = float(clock_seconds), bool(awake)

    def extend_last(self, clock_seconds: float) -> None:
        """Lets the last window end later, after an aggregation; without a window it does nothing."""
        if self._length:
            longer = clock_seconds - self.clock_seconds
            self.asleep_seconds += 0.0 if self._awake else longer
            self._rows[self._length - 1, 0] = self.clock_seconds = float(clock_seconds)

    @property
    def mean_delay_seconds(self) -> float:
        """The mean over all tasks, exact; nan without any."""
        return self.delay_seconds / self.tasks if self.tasks else math.nan

    @property
    def share_asleep(self) -> float:
        """The share of the time during which the cloud slept, exact; nan at the start."""
        return self.asleep_seconds / self.clock_seconds if self.clock_seconds else math.nan

    def columns(self) -> dict[str, np.ndarray]:
        """Returns the rows as columns by :data:`COLUMNS`, float64 [rows]."""
        return {name: self._rows[: self._length, index].copy() for index, name in enumerate(COLUMNS)}

    def _start_of(self, row: int) -> float:
        return float(self._rows[row - 1, 0]) if row else 0.0

    def _halve(self) -> None:
        """Merges rows in pairs; from now on a row holds twice as many windows."""
        half = self._length // 2
        for row in range(half):
            start = self._start_of(row)
            self._rows[row] = _merged(self._rows[2 * row], self._rows[2 * row + 1], start)
        self._length = half
        self._windows_a_row *= 2
        self._windows_in_last = self._windows_a_row

    def state_dict(self) -> dict[str, Any]:
        """Returns rows and totals as plain values."""
        return {
            "rows": {name: column.tolist() for name, column in self.columns().items()},
            "max_rows": len(self._rows),
            "windows_a_row": self._windows_a_row,
            "windows_in_last": self._windows_in_last,
            "tasks": self.tasks,
            "switches": self.switches,
            "delay_seconds": self.delay_seconds,
            "asleep_seconds": self.asleep_seconds,
            "clock_seconds": self.clock_seconds,
            "awake": self._awake,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what :meth:`state_dict` returned.

        Raises:
            CheckpointError: if it holds more rows than this history can.
        """
        if state["max_rows"] != len(self._rows):
            raise CheckpointError(
                f"the checkpoint's history has up to {state['max_rows']} rows, this one {len(self._rows)}; resume with "
                "the version of cloudedge_pl that wrote it."
            )
        self._length = len(state["rows"]["tasks"])
        for index, name in enumerate(COLUMNS):
            self._rows[: self._length, index] = state["rows"][name]
        self._windows_a_row, self._windows_in_last = (
            int(state["windows_a_row"]),
            int(state["windows_in_last"]),
        )
        self.tasks, self.switches = int(state["tasks"]), int(state["switches"])
        self.delay_seconds, self.asleep_seconds = (
            float(state["delay_seconds"]),
            float(state["asleep_seconds"]),
        )
        self.clock_seconds, self._awake = float(state["clock_seconds"]), bool(state["awake"])


def _merged(first: np.ndarray, second: np.ndarray, start_seconds: float) -> np.ndarray:
    """One row of two neighbours, of which the first begins at a time."""
    seconds = first[0] - start_seconds, second[0] - first[0]
    tasks = first[1], second[1]
    return np.array(
        [
            second[0],
            tasks[0] + tasks[1],
            _mean((first[2], second[2]), tasks),
            _mean((first[3], second[3]), seconds),
            _mean((first[4], second[4]), seconds),
        ]
    )


def _mean(values: tuple[float, float], weights: tuple[float, float]) -> float:
    """The weighted mean; a value without weight does not matter, unless neither has any."""
    total = weights[0] + weights[1]
    if not total:
        return 0.5 * (values[0] + values[1])
    return sum(weight * value for value, weight in zip(values, weights, strict=True) if weight) / total
