"""Compiled ends of a task's way: answered, rejected, and by which path."""

from __future__ import annotations

from cloudedge_pl.scheduling.compiled import compiled
from cloudedge_pl.simulation.layout import DEAD, FINISHED, World
from cloudedge_pl.simulation.records_at import task_at
from cloudedge_pl.simulation.task_records import CLOUD, EARLY_EXIT, EXIT_ASLEEP, EXIT_OVERLOAD

DIVERTED, RETURNED = 1, 2
"""Of a row: sent to the exit head because the cloud was full; back from the exit head, which was not sure."""


@compiled
def complete(world: World, row: int, path: int) -> None:
    """Ends a task."""
    task = task_at(world, row)
    task.finished = world.clock
    task.path = path
    task.state = FINISHED
    task.needs_node = 0
    world.open_rows -= 1


@compiled
def path_of(world: World, job: int) -> int:
    """Returns the path by which a job's answer comes."""
    task = task_at(world, job >> 1)
    if job & 1 == 0:
        return CLOUD
    if task.awake == 0:
        return EXIT_ASLEEP
    return EXIT_OVERLOAD if task.diverted == DIVERTED else EARLY_EXIT


@compiled
def answers(world: World, job: int) -> bool:
    """Whether this way of the task gives its answer: in training the awake cloud does, and the exit head learns."""
    return world.training == 0 or (job & 1 == 0) == (task_at(world, job >> 1).awake == 1)


@compiled
def back(world: World, job: int) -> None:
    """An answer is out, or a gradient is back at its node."""
    row = job >> 1
    task = task_at(world, row)
    if task.state == DEAD:
        return
    task.pending -= 1
    if answers(world, job):
        task.answered = world.clock
        task.path = path_of(world, job)
    if task.pending == 0:
        complete(world, row, task.path)
