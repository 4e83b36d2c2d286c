"""A stream of tasks through a fleet, from the first arrival to the last answer or a time: what ``simulate`` runs.

The tasks pass through the engine in pieces. How long the pieces are changes nothing; memory is that of one piece and of
the tasks in the system, and of the records only where they are kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from cloudedge_pl.costs.split import SplitCosts
from cloudedge_pl.dormancy import Decide, DormancyRule
from cloudedge_pl.errors import require_positive, require_range
from cloudedge_pl.fleet import Fleet
from cloudedge_pl.scheduling import Scheduler
from cloudedge_pl.simulation.books import asleep_of, stations_of, totals_of
from cloudedge_pl.simulation.engine import Engine
from cloudedge_pl.simulation.scenario import Scenario
from cloudedge_pl.simulation.station_records import StationRecord
from cloudedge_pl.simulation.summary import RunningSummary, RunTotals, summarise_tasks
from cloudedge_pl.simulation.task_records import TaskRecords
from cloudedge_pl.simulation.tasks import Tasks

PIECE = 65_536
"""Tasks that are drawn and run at a time."""


class Source(Protocol):
    """Tasks one after the other, such as :class:`~cloudedge_pl.simulation.task_source.TaskSource`."""

    def next(self, num_tasks: int) -> Tasks:
        """Returns the tasks behind the last ones given; fewer than asked for only where they end."""
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class SimulationResult:
    """What a fleet did.

    Args:
        summary: see :func:`~cloudedge_pl.simulation.summary.summarise_tasks`.
        totals: of the run.
        stations: of all machines.
        asleep: starts and ends of the cloud's sleeps, float64 [sleeps, 2]; None if there were too many to keep them.
        records: of all tasks, in order of arrival; None if they were not kept.
    """

    summary: dict[str, Any]
    totals: RunTotals
    stations: list[StationRecord]
    asleep: np.ndarray | None
    records: TaskRecords | None


class FleetRun:
    """A run that can be looked at before its end.

    Args:
        costs: seconds and bytes of one task of size and work 1 at the split point.
        fleet: nodes, master, cloud and link.
        source: of the tasks.
        scheduler: assigns the tasks of a window to nodes.
        num_tasks: that arrive; None if the run ends at a time.
        until_seconds: virtual time at which the run ends, with tasks in flight; infinite runs until all are answered.
        scenario: link, churn, service times, queues and windows; None takes the defaults.
        dormancy: the rule by which the cloud sleeps, or a function in its place; None keeps it awake.
        exits: whether the exit head is asked first while the cloud is awake, and answers the tasks of which it is sure.
        classes: names of the tasks' classes.
        seed: of link and churn.
        keep_records: whether the records of all tasks stay in memory. Without them, percentiles are within 1%.
        observe: is given the records of tasks that have left the system, piece by piece.
        piece: tasks that are run at a time, at least 1.

    Raises:
        ValueError: if the run has no end, a value is outside its range, or a task fits no node.
    """

    def __init__(
        self,
        costs: SplitCosts,
        fleet: Fleet,
        source: Source,
        scheduler: Scheduler,
        *,
        num_tasks: int | None = None,
        until_seconds: float = math.inf,
        scenario: Scenario | None = None,
        dormancy: DormancyRule | Decide | None = None,
        exits: bool = False,
        classes: Sequence[str] = ("task",),
        seed: int = 0,
        keep_records: bool = True,
        observe: Callable[[TaskRecords], None] | None = None,
        piece: int = PIECE,
    ) -> None:
        require_positive("simulation", allow_infinite=True, until_seconds=until_seconds)
        if num_tasks is None and math.isinf(until_seconds):
            raise ValueError("simulation: neither num_tasks nor until_seconds is given; give one, or both.")
        if num_tasks is not None:
            require_range("simulation", 1, math.inf, num_tasks=num_tasks)
        self.engine = Engine(costs, fleet, scheduler, scenario, dormancy=dormancy, exits=exits, seed=seed)
        self.until_seconds, self.classes = until_seconds, tuple(classes)
        self._source, self._observe, self._piece = source, observe, piece
        self._left = math.inf if num_tasks is None else num_tasks
        self._probe_bytes = dormancy.probe_bytes if isinstance(dormancy, DormancyRule) else 0.0
        self._kept: list[TaskRecords] | None = [] if keep_records else None
        self._running = RunningSummary(self.classes)

    def pieces(self) -> Iterator[int]:
        """Runs to the end, and yields after every piece the number of tasks that have arrived."""
        while True:
            asked = int(min(self._piece, self._left))
            tasks = self._source.next(asked)
            self._left -= len(tasks)
            past_end = bool(len(tasks)) and tasks.arrival_seconds[-1] > self.until_seconds
            ended = not past_end and (len(tasks) < asked or self._left == 0)
            self.engine.feed(tasks, final=ended)
            self.engine.run(self.until_seconds)
            self._take(self.engine.take_records())
            yield self.engine.fed
            if ended or past_end:
                return

    def _take(self, records: TaskRecords) -> None:
        if self._observe is not None:
            self._observe(records)
        if self._kept is not None:
            self._kept.append(records)
        else:
            self._running.add(records, self.engine.clock_seconds)

    def result(self) -> SimulationResult:
        """Returns what has happened so far; to be called once, because it ends the run."""
        clock = self.engine.clock_seconds
        last = self.engine.take_records(in_flight=True)
        self._take(last[last.arrival_seconds <= clock])
        fleet, arrays = self.engine.fleet, self.engine.arrays
        totals, stations = totals_of(arrays, fleet, self._probe_bytes), stations_of(arrays, fleet)
        records = None
        if self._kept is None:
            summary = self._running.summary(totals, stations)
        else:
            records = TaskRecords.concatenate(self._kept)
            records = records[np.argsort(records.task, kind="stable")]
            summary = summarise_tasks(records, totals, stations=stations, classes=self.classes)
        return SimulationResult(
            summary=summary, totals=totals, stations=stations, asleep=asleep_of(arrays), records=records
        )


def simulate(
    costs: SplitCosts, fleet: Fleet, source: Source, scheduler: Scheduler, **options: Any
) -> SimulationResult:
    """Runs tasks through a fleet to the end.

    Args:
        costs: seconds and bytes of one task of size and work 1 at the split point.
        fleet: nodes, master, cloud and link.
        source: of the tasks.
        scheduler: assigns the tasks of a window to nodes.
        **options: further arguments of :class:`FleetRun`.

    Raises:
        ValueError: as :class:`FleetRun` does.

    >>> from cloudedge_pl.scheduling import create_scheduler
    >>> from cloudedge_pl.simulation.arrivals import ConstantArrivals
    >>> from cloudedge_pl.simulation.task_source import TaskSource
    >>> costs = SplitCosts(np.array([0.5]), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    >>> source = TaskSource(arrivals=ConstantArrivals(tasks_per_second=1.0))
    >>> found = simulate(
    ...     costs, Fleet.preset(num_nodes=1), source, create_scheduler("min_completion"), num_tasks=3
    ... )
    >>> found.summary["answered_by"]["edge"]["p95_delay_seconds"]
    0.5
    """
    run = FleetRun(costs, fleet, source, scheduler, **options)
    for _ in run.pieces():
        pass
    return run.result()
