"""Tasks that arrive over time: windows open by count or by time, and what has not started may be scheduled anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cloudedge_pl.errors import require_positive, require_range
from cloudedge_pl.scheduling.instance import Instance
from cloudedge_pl.scheduling.types import NodeState, Scheduler, TaskWindow


@dataclass(frozen=True)
class StreamSchedule:
    """What became of a stream of tasks; times are counted from its start.

    Args:
        node: [num_tasks] int64, where each task ran.
        start_seconds: [num_tasks].
        finish_seconds: [num_tasks].
        opened_seconds: [num_windows] when windows opened.
        moved: how often a waiting task changed its node at the opening of a later window.
        missed_deadlines: indices of the tasks that were done after their deadline.
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
    scheduler: Scheduler,
    state: NodeState | None = None,
    *,
    tasks_per_window: int | None = None,
    seconds_per_window: float | None = None,
    reschedule: bool = True,
) -> StreamSchedule:
    """Lets a scheduler serve a stream through a sliding window.

    A window opens when ``tasks_per_window`` tasks have arrived since the last one (and with the last task), or every
    ``seconds_per_window`` seconds in which a task has arrived. It holds the tasks that have arrived and not started;
    those that run stay where they are. Source: Xu 2020, Sec. 2.2 and Fig. 3.

    Args:
        tasks: all tasks of the stream in order of arrival; deadlines count from the start of the stream.
        arrival_seconds: [num_tasks], ascending, at least 0.
        scheduler: serves each window; keeps what it learns.
        state: the nodes at the start of the stream; None takes all idle, with memory without limit.
        tasks_per_window: K. Give this or ``seconds_per_window``.
        seconds_per_window: length of a window.
        reschedule: whether a waiting task may be given another node when the next window opens.

    Raises:
        ValueError: on arrivals out of order, a window that is not given once, or where a task fits nowhere.
    """
    arrival = np.asarray(arrival_seconds, dtype=np.float64)
    if (
        arrival.shape != (tasks.num_tasks,)
        or (arrival.size and not arrival[0] >= 0)
        or (np.diff(arrival) < 0).any()
    ):
        raise ValueError(f"arrival_seconds must hold {tasks.num_tasks} ascending values >= 0; got {arrival}.")
    state = state or NodeState.idle(tasks.num_nodes)
    node = np.full(tasks.num_tasks, -1, dtype=np.int64)
    start, finish = np.full(tasks.num_tasks, np.inf), np.full(tasks.num_tasks, np.inf)
    opened, moved = [], 0
    for clock, arrived in _openings(arrival, tasks_per_window, seconds_per_window):
        waiting = (node < 0) | ((start > clock) if reschedule else False)
        waiting[arrived:] = False
        fixed = np.flatnonzero((node >= 0) & ~waiting)
        window = _window(tasks, np.flatnonzero(waiting), arrival, clock)
        nodes = _state(tasks, state, fixed, node, finish, clock)
        assignment = scheduler.assign(window, nodes)
        moved += int(((node[waiting] >= 0) & (node[waiting] != assignment.node)).sum())
        node[waiting] = assignment.node
        finish[waiting] = clock + Instance.of(window, nodes).finish_seconds(assignment.node)
        start[waiting] = finish[waiting] - tasks.times_seconds[waiting, node[waiting]]
        opened.append(clock)
    missed = np.flatnonzero(finish > tasks.deadline_seconds)
    return StreamSchedule(node, start, finish, np.array(opened), moved, missed)


def _openings(
    arrival: np.ndarray, tasks_per_window: int | None, seconds_per_window: float | None
) -> Iterator[tuple[float, int]]:
    """When windows open, and how many tasks have arrived by then."""
    if (tasks_per_window is None) == (seconds_per_window is None):
        raise ValueError(
            f"tasks_per_window is {tasks_per_window} and seconds_per_window is {seconds_per_window}; give one of them."
        )
    if tasks_per_window is not None:
        require_range(
            "sliding window", 1, np.inf, open_high=True, whole=True, tasks_per_window=tasks_per_window
        )
        for last in range(tasks_per_window, len(arrival) + tasks_per_window, tasks_per_window):
            arrived = min(last, len(arrival))
            yield float(arrival[arrived - 1]), arrived
    if seconds_per_window is not None:
        require_positive("sliding window", seconds_per_window=seconds_per_window)
        for window in np.unique(np.ceil(arrival / seconds_per_window)):
            clock = float(window * seconds_per_window)
            yield clock, int(np.searchsorted(np.ceil(arrival / seconds_per_window), window, side="right"))


def _window(tasks: TaskWindow, chosen: np.ndarray, arrival: np.ndarray, clock: float) -> TaskWindow:
    return TaskWindow(
        tasks.times_seconds[chosen],
        tasks.memory_bytes[chosen],
        arrival_seconds=np.minimum(arrival[chosen] - clock, 0.0),
        deadline_seconds=tasks.deadline_seconds[chosen] - clock,
        queue_holds_memory=tasks.queue_holds_memory,
    )


def _state(
    tasks: TaskWindow, state: NodeState, fixed: np.ndarray, node: np.ndarray, finish: np.ndarray, clock: float
) -> NodeState:
    """The nodes at ``clock``: busy with what is fixed; memory of tasks that have ended is free again."""
    ready = np.maximum(state.ready_seconds - clock, 0.0)
    np.maximum.at(ready, node[fixed], finish[fixed] - clock)
    free = state.free_memory_bytes.copy()
    if tasks.queue_holds_memory:
        held = fixed[finish[fixed] > clock]
        np.subtract.at(free, node[held], tasks.memory_bytes[held])
    return NodeState(ready, np.maximum(free, 0.0), state.available, state.names)
