"""Tasks that arrive over time: windows open by count or by time, and waiting tasks may be scheduled again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cloudedge_pl.errors import require_positive, require_range
from cloudedge_pl.scheduling.instance import Instance
from cloudedge_pl.scheduling.registry import as_scheduler
from cloudedge_pl.scheduling.types import Assignment, NodeState, Scheduler, TaskWindow


@dataclass(frozen=True)
class StreamSchedule:
    """The schedule of a stream of tasks; times are relative to its start.

    Args:
        node: [num_tasks] int64, the node of each task.
        start_seconds: [num_tasks].
        finish_seconds: [num_tasks].
        opened_seconds: [num_windows] opening times, including windows for tasks that waited for memory.
        moved: number of times that a waiting task changed its node at the opening of a later window.
        missed_deadlines: indices of the tasks that ended after their deadline.
    """

    node: np.ndarray
    start_seconds: np.ndarray
    finish_seconds: np.ndarray
    opened_seconds: np.ndarray
    moved: int
    missed_deadlines: np.ndarray


def schedule_stream(
    tasks: TaskWindow,
    arrival_seconds: np.ndarray,
    scheduler: str | Mapping[str, Any] | Scheduler = "atsa",
    state: NodeState | None = None,
    *,
    tasks_per_window: int | None = None,
    seconds_per_window: float | None = None,
    reschedule: bool = True,
) -> StreamSchedule:
    """Schedules a stream of tasks through a sliding window.

    A window opens when ``tasks_per_window`` tasks have arrived since the last one (and with the last task), or every
    ``seconds_per_window`` seconds in which a task has arrived. It holds the tasks that have arrived and not started.
    Running tasks stay on their nodes, and no task starts before its window has opened.

    With ``tasks.queue_holds_memory``, a task holds its memory until it ends. If not all waiting tasks fit in the nodes'
    memory, those that arrived first are scheduled, as many as the scheduler finds room for. The others wait, and a
    window opens for them whenever a task ends.

    Source: Xu 2020, Sec. 2.2 and Fig. 3; deviates: tasks wait for memory.

    Args:
        tasks: all tasks of the stream in order of arrival; deadlines count from the start of the stream.
        arrival_seconds: [num_tasks], finite, ascending, at least 0.
        scheduler: schedules every window. A key of :data:`~cloudedge_pl.scheduling.SCHEDULERS`, or a mapping of
            ``name`` and options, makes a new one.
        state: state of the nodes at the start of the stream; None means idle nodes with unlimited memory.
        tasks_per_window: K. Give either this or ``seconds_per_window``.
        seconds_per_window: length of a window.
        reschedule: whether a waiting task may move to another node when the next window opens.

    Raises:
        ValueError: if arrivals are not finite or not ascending, not exactly one kind of window is given, or a task fits
            on no empty node.
    """
    arrival = _checked_arrival(arrival_seconds, tasks.num_tasks)
    openings = list(_openings(arrival, tasks_per_window, seconds_per_window))
    state = state or NodeState.idle(tasks.num_nodes)
    Instance.of(tasks, state)  # a task that fits on no empty node would wait for ever
    stream = _Stream(tasks, as_scheduler(scheduler), state, reschedule)
    arrived, upcoming, clock = 0, 0, 0.0
    while upcoming < len(openings) or stream.short_of_memory(arrived):
        due = openings[upcoming][0] if upcoming < len(openings) else np.inf
        freed = stream.next_end(clock) if stream.short_of_memory(arrived) else np.inf
        clock = min(due, freed)
        if clock == due:
            arrived = openings[upcoming][1]
            upcoming += 1
        stream.open_window(clock, arrived)
    missed = np.flatnonzero(stream.finish > tasks.deadline_seconds)
    return StreamSchedule(
        stream.node, stream.start, stream.finish, np.array(stream.opened), stream.moved, missed
    )


class _Stream:
    """The decisions so far. A waiting task has ``node`` -1, and ``start`` and ``finish`` are ``inf``."""

    def __init__(self, tasks: TaskWindow, scheduler: Scheduler, state: NodeState, reschedule: bool) -> None:
        self.tasks, self.scheduler, self.state, self.reschedule = tasks, scheduler, state, reschedule
        self.node = np.full(tasks.num_tasks, -1, dtype=np.int64)
        self.start = np.full(tasks.num_tasks, np.inf)
        self.finish = np.full(tasks.num_tasks, np.inf)
        self.opened: list[float] = []
        self.moved = 0

    def short_of_memory(self, arrived: int) -> bool:
        """Returns whether one of the first ``arrived`` tasks, whose window has opened, has no node."""
        return bool((self.node[:arrived] < 0).any())

    def next_end(self, clock: float) -> float:
        """Returns the end of the next task, or ``clock`` if no task runs."""
        running = (self.node >= 0) & (self.finish > clock)
        return float(self.finish[running].min()) if running.any() else clock

    def open_window(self, clock: float, arrived: int) -> None:
        """Schedules the waiting tasks among the first ``arrived``: all of them, or the first ones that fit."""
        waiting = (self.node < 0) | ((self.start > clock) if self.reschedule else False)
        waiting[arrived:] = False
        fixed = np.flatnonzero((self.node >= 0) & ~waiting)
        nodes = self._nodes(fixed, clock)
        offered = np.flatnonzero(waiting)
        if self.tasks.queue_holds_memory:
            together = np.cumsum(self.tasks.memory_bytes[offered]) <= nodes.free_memory_bytes.sum()
            offered = offered[: max(int(together.sum()), 1)]
        running = bool((self.finish[fixed] > clock).any())
        chosen, assignment = self._assign(offered, nodes, clock, running)
        before = self.node[chosen]
        self.node[waiting], self.start[waiting], self.finish[waiting] = -1, np.inf, np.inf
        self.opened.append(clock)
        if assignment is None:
            return
        self.moved += int(((before >= 0) & (before != assignment.node)).sum())
        self.node[chosen] = assignment.node
        instance = Instance.of(self._window(chosen, clock), nodes)
        self.finish[chosen] = clock + instance.finish_seconds(assignment.node)
        taken = self.tasks.times_seconds[chosen, assignment.node]
        self.start[chosen] = np.maximum(self.finish[chosen] - taken, clock)

    def _assign(
        self, offered: np.ndarray, nodes: NodeState, clock: float, running: bool
    ) -> tuple[np.ndarray, Assignment | None]:
        """Schedules all offered tasks or, if queues hold memory, the longest prefix of them that is found to fit."""
        kept = self.scheduler.state_dict()
        try:
            return offered, self.scheduler.assign(self._window(offered, clock), nodes)
        except ValueError as error:
            self.scheduler.load_state_dict(kept)
            if not self.tasks.queue_holds_memory:
                raise
            refused = error
        fit, too_many, assignment, after = 0, len(offered), None, kept
        while too_many - fit > 1:
            half = (fit + too_many) // 2
            try:
                assignment = self.scheduler.assign(self._window(offered[:half], clock), nodes)
                fit, after = half, self.scheduler.state_dict()
            except ValueError as error:
                too_many, refused = half, error
            self.scheduler.load_state_dict(kept)
        if assignment is None and not running:  # no task will end and make room
            raise ValueError(f"task {offered[0]} of the stream gets no node: {refused}") from refused
        self.scheduler.load_state_dict(after)
        return offered[:fit], assignment

    def _window(self, chosen: np.ndarray, clock: float) -> TaskWindow:
        return TaskWindow(
            self.tasks.times_seconds[chosen],
            self.tasks.memory_bytes[chosen],
            deadline_seconds=self.tasks.deadline_seconds[chosen] - clock,
            queue_holds_memory=self.tasks.queue_holds_memory,
        )

    def _nodes(self, fixed: np.ndarray, clock: float) -> NodeState:
        """Returns the nodes at ``clock``: busy with the fixed tasks, without the memory of tasks that have not ended.

        If queues hold no memory, a node's next task starts when the running one has released its memory.
        """
        ready = np.maximum(self.state.ready_seconds - clock, 0.0)
        np.maximum.at(ready, self.node[fixed], self.finish[fixed] - clock)
        free = self.state.free_memory_bytes.copy()
        if self.tasks.queue_holds_memory:
            held = fixed[self.finish[fixed] > clock]
            np.subtract.at(free, self.node[held], self.tasks.memory_bytes[held])
        return NodeState(ready, np.maximum(free, 0.0), self.state.available, self.state.names)


def _checked_arrival(arrival_seconds: np.ndarray, num_tasks: int) -> np.ndarray:
    arrival = np.asarray(arrival_seconds, dtype=np.float64)
    if arrival.shape != (num_tasks,):
        raise ValueError(
            f"arrival_seconds has shape {arrival.shape}; expected [{num_tasks}], one for each task."
        )
    good = np.isfinite(arrival) & (arrival >= 0)
    if not good.all():
        first = int(np.argmin(good))
        raise ValueError(f"arrival_seconds[{first}] is {arrival[first]}; it must be finite and >= 0.")
    if (np.diff(arrival) < 0).any():
        first = int(np.argmax(np.diff(arrival) < 0)) + 1
        raise ValueError(
            f"arrival_seconds[{first}] is {arrival[first]}, after {arrival[first - 1]}; arrivals must be ascending: "
            "sort the tasks by arrival."
        )
    return arrival


def _openings(
    arrival: np.ndarray, tasks_per_window: int | None, seconds_per_window: float | None
) -> Iterator[tuple[float, int]]:
    """Yields the opening time of each window and the number of tasks that have arrived by then."""
    if (tasks_per_window is None) == (seconds_per_window is None):
        raise ValueError(
            f"tasks_per_window is {tasks_per_window} and seconds_per_window is {seconds_per_window}; give one of them."
        )
    if tasks_per_window is not None:
        require_range(
            "sliding window", 1, np.inf, open_high=True, whole=True, tasks_per_window=tasks_per_window
        )
        size = int(tasks_per_window)
        for last in range(size, len(arrival) + size, size):
            arrived = min(last, len(arrival))
            yield float(arrival[arrived - 1]), arrived
    if seconds_per_window is not None:
        require_positive("sliding window", seconds_per_window=seconds_per_window)
        for window in np.unique(np.ceil(arrival / seconds_per_window)):
            clock = float(window * seconds_per_window)
            yield clock, int(np.searchsorted(np.ceil(arrival / seconds_per_window), window, side="right"))
