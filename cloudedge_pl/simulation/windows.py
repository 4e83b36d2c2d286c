"""Compiled windows of the event loop: when one opens, whether the cloud is awake in it, and who runs its tasks."""

from __future__ import annotations

import math

import numpy as np

from cloudedge_pl.scheduling.compiled import compiled
from cloudedge_pl.simulation.backlogs import earliest_sending, finishes_first, promise
from cloudedge_pl.simulation.dormancy_kernel import advance
from cloudedge_pl.simulation.edge_way import has_room, release_to_node
from cloudedge_pl.simulation.ends import complete
from cloudedge_pl.simulation.events import WINDOW_OPENS
from cloudedge_pl.simulation.layout import BLOCK, INSIDE, WAITING, World
from cloudedge_pl.simulation.queues import follow, link_behind, push
from cloudedge_pl.simulation.records_at import node_at, switch_at, task_at
from cloudedge_pl.simulation.task_records import REJECTED
from cloudedge_pl.simulation.transfers import link_delay_now

MISSED = 2
"""``window_scheduled`` of a window whose time came while no node was available: it opens when one joins."""


@compiled
def join_waiting(world: World, row: int, behind: int) -> None:
    """Adds a task to those that wait for a window: in order of arrival among those that wait after ``behind``.

    Args:
        world: of the engine.
        row: of the task.
        behind: a job that waits; -1 if none does.
    """
    task = task_at(world, row)
    task.state = WAITING
    following = follow(world, behind) if behind >= 0 else world.waiting_head
    while following >= 0 and task_at(world, following >> 1).task < task.task:
        behind, following = following, follow(world, following)
    link_behind(world, 2 * row, following)
    if behind < 0:
        world.waiting_head = 2 * row
    else:
        link_behind(world, behind, 2 * row)
    if following < 0:
        world.waiting_tail = 2 * row
    world.num_waiting += 1


@compiled
def leave_waiting(world: World) -> int:
    """Takes the first row off those that wait for a window."""
    job = world.waiting_head
    world.waiting_head = follow(world, job)
    if world.waiting_head < 0:
        world.waiting_tail = -1
    world.num_waiting -= 1
    return int(job >> 1)


@compiled
def consider_window(world: World) -> None:
    """Opens a window if one is due, or notes when the next one will be.

    Nothing opens while no node is available.
    """
    if world.num_waiting == 0 or world.num_available == 0:
        return
    if world.window_seconds > 0.0:
        if world.window_scheduled == MISSED:
            world.window_scheduled, world.window_due = 0, 1
        elif world.window_scheduled == 0:
            opens = math.ceil(world.clock / world.window_seconds) * world.window_seconds
            world.window_scheduled = 1
            push(world, max(opens, world.clock), WINDOW_OPENS, 0)
    else:
        at_end = world.final == 1 and world.next_arrival == world.num_rows_given
        if world.num_waiting >= world.window_tasks or at_end:
            world.window_due = 1


@compiled
def window_opens(world: World) -> None:
    """The time of a window has come."""
    if world.num_available > 0:
        world.window_scheduled, world.window_due = 0, int(world.num_waiting > 0)
    else:
        world.window_scheduled = MISSED


@compiled
def window_size(world: World) -> int:
    """Returns the number of tasks in the window that is due: one if tasks are dispatched at their arrival, or all."""
    return 1 if world.window_tasks == 1 and world.window_seconds == 0.0 else int(world.num_waiting)


@compiled
def latest_delay(world: World) -> float:
    """Returns the longest delay to the cloud with which the most urgent waiting task is answered in time."""
    due, job = math.inf, world.waiting_head
    for _ in range(window_size(world)):
        task = task_at(world, job >> 1)
        due = min(due, task.arrival + task.deadline)
        job = follow(world, job)
    if math.isinf(due):
        return math.inf
    begins = earliest_sending(world)
    return float(due - world.clock - begins - world.cloud_seconds - world.terminal_seconds)


@compiled
def is_decided(world: World) -> bool:
    """Whether the open window's tasks take over the last decision: only some tasks of an evaluation ask for one."""
    job = world.waiting_head
    for _ in range(window_size(world)):
        if task_at(world, job >> 1).decides == 1:
            return False
        job = follow(world, job)
    return True


@compiled
def measure(world: World) -> float:
    """Measures the link's delay at the opening of a window; while the cloud sleeps, by a probe that is counted."""
    world.link_delay = link_delay_now(world)
    if world.has_rule == 1 and world.awake == 0:
        world.probes += 1
    return float(world.link_delay)


@compiled
def set_awake(world: World, awake: int) -> None:
    """Notes the decision on the window that opens."""
    if world.awake == 0:
        world.asleep_seconds += world.clock - world.decided_at
    world.decided_at = world.clock
    if awake != world.awake:
        world.awake = awake
        world.switches += 1
        kept = world.num_switches_kept
        if kept < world.switches_room:
            switch = switch_at(world, kept)
            switch.seconds, switch.awake = world.clock, awake
            world.num_switches_kept = kept + 1


@compiled
def decide(world: World) -> None:
    """Decides by the dormancy rule whether the cloud is awake in the window that opens."""
    delay = measure(world)
    if world.has_rule == 1:
        advance(world.rule, world.dormancy, delay, latest_delay(world), world.clock)
        set_awake(world, int(world.dormancy[0]))


@compiled
def place(world: World, row: int, node: int) -> None:
    """Gives a task to a node; a full node's task waits at the master, or is rejected."""
    task, machine = task_at(world, row), node_at(world, node)
    task.node, task.window, task.awake = node, world.clock, world.awake
    task.attempts += 1
    if not has_room(world, node) and world.overload != BLOCK:
        complete(world, row, REJECTED)
        return
    task.state, task.needs_node = INSIDE, 1
    promise(world, row)
    if has_room(world, node) and machine.held_head < 0:
        release_to_node(world, row)
        return
    link_behind(world, 2 * row, -1)
    if machine.held_head < 0:
        machine.held_head = 2 * row
    else:
        link_behind(world, machine.held_tail, 2 * row)
    machine.held_tail = 2 * row


@compiled
def open_window(world: World) -> None:
    """Decides on the window that is due, and gives its task to the node that finishes it first."""
    if not is_decided(world):
        decide(world)
    place_first(world)


@compiled
def place_first(world: World) -> None:
    """Gives the first waiting task, whose window is open, to the node that finishes it first."""
    row = leave_waiting(world)
    place(world, row, finishes_first(world, row))
    world.window_due = int(world.num_waiting > 0)


@compiled
def assign_window(world: World, nodes: np.ndarray) -> None:
    """Gives the tasks of the window that is due to the nodes that a scheduler chose for them, in their order."""
    for at in range(len(nodes)):
        place(world, leave_waiting(world), nodes[at])
    world.window_due = int(world.num_waiting > 0)
