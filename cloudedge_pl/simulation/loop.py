"""The compiled event loop: takes the next arrival, event or change of the fleet, whichever is first.

The loop returns to Python where it needs something: tasks, the next block of the link or of churn, rows, or a decision
on a window. Python gives it and calls the loop again. Where the loop returns does not change what happens.
"""

from __future__ import annotations

import math

from cloudedge_pl.scheduling.compiled import compiled
from cloudedge_pl.simulation.churn_events import churn
from cloudedge_pl.simulation.edge_way import at_node, node_done, radio_done
from cloudedge_pl.simulation.ends import back
from cloudedge_pl.simulation.events import (
    AT_CLOUD,
    AT_NODE,
    BACK,
    BACKHAUL_DONE,
    CLOUD_DONE,
    DOWN_DONE,
    DOWN_MORE,
    EXIT_DONE,
    FAIL,
    IDLE,
    NEED_CHURN,
    NEED_DECISION,
    NEED_LINK,
    NEED_ROWS,
    NEED_TASKS,
    NODE_DONE,
    RADIO_DONE,
    RADIO_MORE,
    REACHED,
    RECEIVER_DONE,
    SENDER_DONE,
    WINDOW_OPENS,
)
from cloudedge_pl.simulation.layout import DOWNLINKS, FINISHED, RADIOS, World
from cloudedge_pl.simulation.queues import KINDS, pop
from cloudedge_pl.simulation.records_at import change_at, event_at, task_at
from cloudedge_pl.simulation.shared_way import (
    at_cloud,
    cloud_done,
    down_done,
    exit_done,
    receiver_done,
    sender_done,
)
from cloudedge_pl.simulation.transfers import backhaul_done, continue_transfer
from cloudedge_pl.simulation.windows import consider_window, join_waiting, open_window, window_opens


@compiled
def handle(world: World, kind: int, job: int) -> None:
    """Handles one event."""
    if kind == AT_NODE:
        at_node(world, job)
    elif kind == NODE_DONE:
        node_done(world, job)
    elif kind == RADIO_DONE:
        radio_done(world, job)
    elif kind == AT_CLOUD:
        at_cloud(world, job)
    elif kind == CLOUD_DONE:
        cloud_done(world, job)
    elif kind == BACK:
        back(world, job)
    elif kind == RECEIVER_DONE:
        receiver_done(world, job)
    elif kind == EXIT_DONE:
        exit_done(world, job)
    elif kind == SENDER_DONE:
        sender_done(world, job)
    elif kind == DOWN_DONE:
        down_done(world, job)
    elif kind == BACKHAUL_DONE:
        backhaul_done(world, job)
    elif kind == RADIO_MORE:
        continue_transfer(world, RADIOS, job, RADIO_DONE, RADIO_MORE)
    elif kind == DOWN_MORE:
        continue_transfer(world, DOWNLINKS, job, DOWN_DONE, DOWN_MORE)
    elif kind == WINDOW_OPENS:
        window_opens(world)


@compiled
def needed(world: World, time: float) -> int:
    """Returns what the loop needs before it can handle what happens at ``time``; -1 if nothing."""
    if math.isinf(time) and math.isinf(world.churn_known):
        return IDLE
    if time >= world.churn_known:
        return NEED_CHURN
    if time >= world.link_known:
        return NEED_LINK
    at = world.churn_at
    fails = (
        at < world.churn_count and change_at(world, at).seconds <= time and change_at(world, at).kind == FAIL
    )
    return NEED_ROWS if fails and world.rows_room - world.num_rows < world.open_rows else -1


@compiled
def run(world: World, until: float) -> int:
    """Handles events up to and including ``until``, and returns why it stopped; see events.py."""
    while True:
        if world.window_due == 1:
            if world.places_itself == 0 or world.decides_itself == 0:
                return NEED_DECISION
            open_window(world)
            continue
        arrival = math.inf
        if world.next_arrival < world.num_rows_given:
            arrival = task_at(world, world.next_arrival).arrival
        elif world.final == 0:
            return NEED_TASKS
        elif world.open_rows == 0:
            return IDLE
        event = event_at(world, 0).time if world.heap_size > 0 else math.inf
        change = change_at(world, world.churn_at).seconds if world.churn_at < world.churn_count else math.inf
        time = min(arrival, event, change)
        if min(time, world.churn_known) > until:
            world.clock = max(world.clock, until)
            return REACHED
        need = needed(world, time)
        if need >= 0:
            return need
        world.clock = max(world.clock, time)  # a node may have failed while the clock was set forward
        if change == time:
            churn(world)
        elif arrival == time:
            row = world.next_arrival
            world.next_arrival = row + 1
            join_waiting(world, row, world.waiting_tail)
            consider_window(world)
        else:
            item = pop(world)
            handle(world, item % KINDS, item // KINDS)


@compiled
def skip_finished(world: World) -> None:
    """Moves the first open row past those that are finished."""
    while world.first_open < world.num_rows and task_at(world, world.first_open).state == FINISHED:
        world.first_open += 1
