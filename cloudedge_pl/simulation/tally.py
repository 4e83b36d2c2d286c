"""Sums over a group of tasks: how many, how late, at what cost; each of these is defined here and nowhere else."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from cloudedge_pl.simulation.sketch import DelaySketch
from cloudedge_pl.simulation.task_records import IN_FLIGHT, REJECTED, TaskRecords

PERCENTILES: Final = (50, 95, 99)
BYTES: Final = ("upload_bytes", "exit_bytes", "download_bytes")


def share_of(amount: float, of: float) -> float:
    """Returns a share; nan of nothing."""
    return amount / of if of else math.nan


class Tally:
    """Sums over a group of tasks, to which records are added piece by piece.

    Args:
        exact: whether all delays are kept, for exact percentiles; else a sketch of them is, to 1%.
    """

    def __init__(self, exact: bool = False) -> None:
        self.tasks, self.answered, self.rejected, self.in_flight, self.attempts_lost = 0, 0, 0, 0, 0
        self.limited, self.missed, self.in_time = 0, 0, 0
        self.joules, self.longest_seconds = 0.0, -math.inf
        self.num_bytes = dict.fromkeys(BYTES, 0.0)
        self.sketch = DelaySketch()
        self.kept: list[np.ndarray] | None = [] if exact else None

    def add(self, records: TaskRecords, clock_seconds: float) -> None:
        """Adds tasks.

        Args:
            records: each task once; those in flight at the end of the run only.
            clock_seconds: virtual time by which tasks in flight have missed their deadlines or not.
        """
        delays, in_time = records.delay_seconds, records.in_time
        delays = delays[~np.isnan(delays)]
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
        if self.kept is not None:
            self.kept.append(delays)
        self.longest_seconds = max(self.longest_seconds, float(delays.max(initial=-math.inf)))

    def counts(self) -> dict[str, int]:
        """Numbers of tasks, answers, rejections and tasks in flight."""
        return {name: getattr(self, name) for name in ("tasks", "answered", "rejected", "in_flight")}

    def delays(self) -> dict[str, float]:
        """Mean, percentiles and largest delay; nan without any."""
        longest = self.longest_seconds if self.answered else math.nan
        if self.kept is None:
            values = [min(self.sketch.quantile(q / 100), longest) for q in PERCENTILES]
        elif self.answered:
            values = np.percentile(np.concatenate(self.kept), PERCENTILES).tolist()
        else:
            values = [math.nan] * len(PERCENTILES)
        return {
            "mean_delay_seconds": self.sketch.mean_seconds,
            **{f"p{q}_delay_seconds": value for q, value in zip(PERCENTILES, values, strict=True)},
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
