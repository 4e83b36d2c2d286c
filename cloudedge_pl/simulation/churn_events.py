"""Compiled churn of the event loop: nodes join, leave, and fail in the middle of a task."""

from __future__ import annotations

import math

from cloudedge_pl.scheduling.compiled import compiled
from cloudedge_pl.simulation.backlogs import forget
from cloudedge_pl.simulation.edge_way import charge_node, charge_radio
from cloudedge_pl.simulation.events import FAIL, JOIN
from cloudedge_pl.simulation.layout import DEAD, DOWNLINKS, INSIDE, RADIOS, World
from cloudedge_pl.simulation.queues import clear
from cloudedge_pl.simulation.records_at import change_at, node_at, station_at, task_at
from cloudedge_pl.simulation.shared_way import free_place
from cloudedge_pl.simulation.windows import consider_window, join_waiting


@compiled
def count_up(world: World, node: int) -> None:
    """Adds the time since a node joined to the time that it was up."""
    machine, clock = node_at(world, node), world.clock
    if machine.available:
        machine.up_seconds += clock - machine.up_since
    machine.up_since = clock


@compiled
def copy_row(world: World, row: int, new: int) -> None:
    """Copies what a task keeps from one attempt to the next, without time stamps and place."""
    old, task = task_at(world, row), task_at(world, new)
    task.arrival, task.size, task.work, task.noise = old.arrival, old.size, old.work, old.noise
    task.slowdown, task.deadline = old.slowdown, old.deadline
    task.upload_bytes, task.exit_bytes, task.download_bytes = (
        old.upload_bytes,
        old.exit_bytes,
        old.download_bytes,
    )
    task.joules, task.task, task.sample, task.kind = old.joules, old.task, old.sample, old.kind
    task.node, task.owner, task.attempts, task.exits = old.node, old.owner, old.attempts, old.exits
    task.decides, task.path, task.awake = old.decides, old.path, old.awake


@compiled
def requeue(world: World, row: int, behind: int) -> None:
    """Replaces a lost attempt by a new one, which waits for the next window; costs so far stay the task's.

    Tasks that one failure requeues wait in the order in which they arrived, after the job ``behind``.
    """
    new = world.num_rows
    world.num_rows = new + 1
    copy_row(world, row, new)
    task, old = task_at(world, new), task_at(world, row)
    old.state, old.needs_node, old.successor = DEAD, 0, new
    task.needs_node = task.queued = task.diverted = task.pending = 0
    task.window = task.at_node = task.started = task.done = math.nan
    task.sent = task.arrived = task.answered = task.finished = math.nan
    join_waiting(world, new, behind)


@compiled
def fail(world: World, node: int) -> None:
    """A node fails: its tasks wait for another node."""
    machine = node_at(world, node)
    radio, downlink = RADIOS * world.num_nodes + node, DOWNLINKS * world.num_nodes + node
    places = 0
    if station_at(world, node).busy > 0 and machine.blocked < 0:
        charge_node(world, node)
    if station_at(world, radio).busy > 0:
        charge_radio(world, radio, node)
        places = int(station_at(world, radio).job & 1 == 0)
    for station in (node, radio, downlink):
        clear(world, station)
    forget(world, node)
    machine.occupancy = 0
    machine.held_head = machine.held_tail = machine.blocked = -1
    behind = world.waiting_tail
    for row in range(world.first_open, world.num_rows):
        if (
            task_at(world, row).state == INSIDE
            and task_at(world, row).node == node
            and task_at(world, row).needs_node
        ):
            machine.lost_tasks += 1
            requeue(world, row, behind)
    if places:
        free_place(world)


@compiled
def churn(world: World) -> None:
    """The next event of churn happens."""
    change = change_at(world, world.churn_at)
    node, kind = change.node, change.kind
    world.churn_at += 1
    machine = node_at(world, node)
    fits = int(math.isfinite(machine.execution_seconds))  # a node without the memory for a task is no help
    if kind == FAIL and machine.alive:
        count_up(world, node)
        world.num_available -= machine.available * fits
        machine.available = machine.alive = 0
        machine.failures += 1
        fail(world, node)
    elif kind == JOIN:
        count_up(world, node)
        world.num_available += (1 - machine.available) * fits
        machine.available = machine.alive = 1
    elif kind != FAIL:
        count_up(world, node)
        world.num_available -= machine.available * fits
        machine.available = 0
    consider_window(world)
