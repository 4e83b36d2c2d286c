"""The summary of a run whose records are not kept: sums, and a sketch of the delays in place of all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from cloudedge_pl.files import json_values
from cloudedge_pl.simulation.sketch import DelaySketch
from cloudedge_pl.simulation.station_records import StationRecord
from cloudedge_pl.simulation.summary import PERCENTILES, RunTotals, share_of, summary_of
from cloudedge_pl.simulation.task_records import IN_FLIGHT, PATHS, REJECTED, TaskRecords

BYTES: Final = ("upload_bytes", "exit_bytes", "download_bytes")


class Tally:
    """Sums over a group of tasks, to which records are added piece by piece."""

    def __init__(self) -> None:
        self.tasks, self.answered, self.rejected, self.in_flight, self.attempts_lost = 0, 0, 0, 0, 0
        self.limited, self.missed, self.in_time = 0, 0, 0
        self.joules, self.longest_seconds = 0.0, -math.inf
        self.num_bytes = dict.fromkeys(BYTES, 0.0)
        self.sketch = DelaySketch()

    def add(self, records: TaskRecords, clock_seconds: float) -> None:
        """Adds tasks.

        Args:
            records: each task once; those in flight at the end of the run only.
            clock_seconds: virtual time by which tasks in flight have missed their deadlines or not.
        """
        delays, in_time = records.delay_seconds, records.in_time
        in_flight = records.path == IN_FLIGHT
        undecided = in_flight & (records.arrival_seconds + records.deadline_seconds >= clock_seconds)
        limited = np.isfinite(records.deadline_seconds) & ~undecided
        self.tasks += len(records)
        self.answered += int(records.answered.sum())
        self.rejected += int((records.path == REJECTED).sum())
        self.in_flight += int(in_flight.sum())
        self.attempts_lost += int(np.maximum(records.attempts - 1, 0).sum())
        self.limited += int(limited.sum())
        self.missed += int((limited & ~in_time).sum())
        self.in_time += int(in_time.sum())
        self.joules += float(records.joules.sum())
        for name in BYTES:
            self.num_bytes[name] += float(getattr(records, name).sum())
        self.sketch.add(delays)
        self.longest_seconds = max(
            self.longest_seconds, float(np.max(delays, initial=-math.inf, where=~np.isnan(delays)))
        )

    def counts(self) -> dict[str, int]:
        """Numbers of tasks, answers, rejections and tasks in flight."""
        return {name: getattr(self, name) for name in ("tasks", "answered", "rejected", "in_flight")}

    def delays(self) -> dict[str, float]:
        """Mean and largest delay, exact, and percentiles to 1%."""
        percentiles = {f"p{q}_delay_seconds": self.sketch.quantile(q / 100) for q in PERCENTILES}
        longest = self.longest_seconds if self.answered else math.nan
        return {
            "mean_delay_seconds": self.sketch.mean_seconds,
            **{name: min(value, longest) for name, value in percentiles.items()},
            "max_delay_seconds": longest,
        }

    def deadlines(self, clock_seconds: float) -> dict[str, float]:
        """Deadlines that were missed, and goodput."""
        return {
            "deadline_misses": self.missed,
            "deadline_miss_share": share_of(self.missed, self.limited),
            "goodput_per_second": share_of(self.in_time, clock_seconds),
        }

    def costs(self) -> dict[str, float]:
        """Joules and bytes of an answer."""
        means = {f"mean_{name}": share_of(amount, self.answered) for name, amount in self.num_bytes.items()}
        return {
            "mean_active_joules": share_of(self.joules, self.answered),
            **means,
            "mean_bytes": sum(means.values()),
        }


class RunningSummary:
    """Takes records piece by piece and forgets them; memory does not grow with their number.

    Args:
        classes: names of the tasks' classes, by ``records.kind``.
    """

    def __init__(self, classes: Sequence[str] = ("task",)) -> None:
        self.whole = Tally()
        self.by_path = {path: Tally() for path in PATHS if path >= 0}
        self.by_class = {name: Tally() for name in classes}

    def add(self, records: TaskRecords, clock_seconds: float) -> None:
        """Adds tasks; see :meth:`Tally.add`."""
        self.whole.add(records, clock_seconds)
        for path, tally in self.by_path.items():
            tally.add(records[records.path == path], clock_seconds)
        for kind, tally in enumerate(self.by_class.values()):
            tally.add(records[records.kind == kind], clock_seconds)

    def summary(self, totals: RunTotals, stations: Sequence[StationRecord] = ()) -> dict[str, Any]:
        """Returns what :func:`~cloudedge_pl.simulation.summary.summarise_tasks` does; percentiles are within 1%.

        Args:
            totals: of the run.
            stations: of all machines.
        """
        whole, clock = self.whole, totals.clock_seconds
        tasks = {**whole.counts(), "attempts_lost": whole.attempts_lost}
        by_path = {
            PATHS[path]: {
                "tasks": tally.tasks,
                "share": tally.tasks / whole.answered,
                **tally.delays(),
            }
            for path, tally in self.by_path.items()
            if tally.tasks
        }
        by_class = {
            name: {**tally.counts(), **tally.delays(), **tally.deadlines(clock), **tally.costs()}
            for name, tally in self.by_class.items()
        }
        found: dict[str, Any] = json_values(
            summary_of(
                tasks,
                totals,
                delays=whole.delays(),
                deadlines=whole.deadlines(clock),
                costs=whole.costs(),
                by_path=by_path,
                by_class=by_class,
                stations=stations,
            )
        )
        return found
