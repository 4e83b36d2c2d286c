"""Compiled handlers of the event loop at the edge: a task at its node, and on the node's radio.

Cut tensors leave the radio for the cloud, for the exit head on the master, or in training for both.
docs/simulation.md says what every station does.
"""

from __future__ import annotations

import math

from cloudedge_pl.scheduling.compiled import compiled
from cloudedge_pl.simulation.backlogs import (
    fulfil,
    goes_to_cloud,
    goes_to_exit,
    link_rate,
    next_transfer,
    queue_transfer,
)
from cloudedge_pl.simulation.ends import DIVERTED, answers, complete
from cloudedge_pl.simulation.events import AT_CLOUD, AT_NODE, NODE_DONE, RADIO_DONE, RADIO_MORE
from cloudedge_pl.simulation.layout import (
    BLOCK,
    CLOUD_SERVERS,
    DEAD,
    EXIT,
    NOT_STALLED,
    RADIOS,
    RECEIVER,
    World,
)
from cloudedge_pl.simulation.queues import dequeue, enqueue, follow, occupy, push, release, single
from cloudedge_pl.simulation.records_at import node_at, station_at, task_at
from cloudedge_pl.simulation.task_records import EDGE, REJECTED
from cloudedge_pl.simulation.transfers import enter_backhaul, propagation_now, start_receiver, transmit

# --- the node ---


@compiled
def release_to_node(world: World, row: int) -> None:
    """Lets a task's input leave for its node."""
    task = task_at(world, row)
    node_at(world, task.node).occupancy += 1
    push(world, world.clock + world.terminal_seconds * task.size, AT_NODE, 2 * row)


@compiled
def has_room(world: World, node: int) -> bool:
    """Whether one more task may be on its way to a node, or wait there."""
    capacity = world.node_capacity
    return capacity < 0 or node_at(world, node).occupancy + station_at(world, node).busy < capacity + 1


@compiled
def release_held(world: World, node: int) -> None:
    """Releases tasks that the master holds back for a node, as many as it has room for."""
    machine = node_at(world, node)
    while machine.held_head >= 0 and has_room(world, node):
        job = machine.held_head
        machine.held_head = follow(world, job)
        if machine.held_head < 0:
            machine.held_tail = -1
        release_to_node(world, job >> 1)


@compiled
def at_node(world: World, job: int) -> None:
    """A task's input has reached its node."""
    task = task_at(world, job >> 1)
    if task.state == DEAD:
        return
    task.at_node = world.clock
    enqueue(world, task.node, job)
    start_node(world, task.node)


@compiled
def start_node(world: World, node: int) -> None:
    """Begins the next task of an idle node."""
    station, machine, clock = station_at(world, node), node_at(world, node), world.clock
    if station.busy > 0 or station.head < 0:
        return
    job = dequeue(world, node)
    task = task_at(world, job >> 1)
    occupy(world, node, job)
    task.started = clock
    expected = machine.execution_seconds * task.work
    machine.occupancy -= 1
    machine.queued_seconds = (
        machine.queued_seconds - expected if machine.occupancy or machine.held_head >= 0 else 0.0
    )
    machine.running_until = machine.first_until = clock + expected
    jitter = machine.jitter
    seconds = expected * math.exp(jitter * task.noise - 0.5 * jitter * jitter) * task.slowdown
    push(world, clock + seconds, NODE_DONE, job)
    release_held(world, node)


@compiled
def charge_node(world: World, node: int) -> None:
    """Books what a node has computed for its running task until now."""
    station, machine = station_at(world, node), node_at(world, node)
    seconds = world.clock - station.started
    machine.busy_seconds += seconds
    machine.joules += machine.compute_watts * seconds
    task_at(world, station.job >> 1).joules += machine.compute_watts * seconds


@compiled
def node_done(world: World, job: int) -> None:
    """A task's edge part is done: it is answered, or its cut tensors go to the radio."""
    row = job >> 1
    task = task_at(world, row)
    if task.state == DEAD:
        return
    node = task.node
    charge_node(world, node)
    task.done = world.clock
    node_at(world, node).tasks += 1
    if world.upload_bytes == 0.0 and world.exit_seconds == 0.0:
        task.answered = world.clock
        complete(world, row, EDGE)
    else:
        full = radio_is_full(world, node)
        if full and world.overload == BLOCK:
            node_at(world, node).blocked = row
            node_at(world, node).running_until = node_at(world, node).first_until = world.clock
            return
        if full:
            complete(world, row, REJECTED)
        else:
            enter_radio(world, row)
            start_radio(world, node)
    leave_node(world, node)


@compiled
def leave_node(world: World, node: int) -> None:
    """Frees a node's server, and begins its next task."""
    fulfil(world, station_at(world, node).job >> 1)
    release(world, node, world.clock - station_at(world, node).started)
    node_at(world, node).running_until = node_at(world, node).first_until = world.clock
    start_node(world, node)
    release_held(world, node)


# --- the radio ---


@compiled
def radio_is_full(world: World, node: int) -> bool:
    """Whether a node's radio is in use, and has no room for one more transfer to wait."""
    radio = station_at(world, RADIOS * world.num_nodes + node)
    return (radio.busy > 0 or radio.head >= 0) and 0 <= world.radio_capacity <= radio.length


@compiled
def enter_radio(world: World, row: int) -> None:
    """Adds a task's transfers to its node's radio: to the cloud, to the exit head, or in training to both."""
    task = task_at(world, row)
    to_cloud, to_exit = goes_to_cloud(world, task.awake), goes_to_exit(world, task.awake)
    task.pending = int(to_cloud) + int(to_exit)
    if to_cloud:
        queue_transfer(world, 2 * row)
    if to_exit:
        queue_transfer(world, 2 * row + 1)


@compiled
def unblock(world: World, node: int) -> None:
    """Lets a task whose node waited for a place in the radio's queue enter it."""
    row = node_at(world, node).blocked
    if row >= 0 and not radio_is_full(world, node):
        node_at(world, node).blocked = -1
        enter_radio(world, row)
        leave_node(world, node)


@compiled
def cloud_is_full(world: World) -> bool:
    """Whether no transfer to the cloud may begin: all its places are taken by tasks there or on their way."""
    return (
        0
        <= world.cloud_capacity
        <= world.cloud_used - station_at(world, single(world, CLOUD_SERVERS)).servers
    )


@compiled
def stall(world: World, node: int) -> None:
    """Adds a radio to those that wait for a place in the cloud, unless it is one of them."""
    if node_at(world, node).stalled_next != NOT_STALLED:
        return
    node_at(world, node).stalled_next = -1
    if world.stalled_head < 0:
        world.stalled_head = node
    else:
        node_at(world, world.stalled_tail).stalled_next = node
    world.stalled_tail = node


@compiled
def wake_stalled(world: World) -> None:
    """Lets radios that wait for a place in the cloud send, as long as there are places."""
    while world.stalled_head >= 0 and not cloud_is_full(world):
        node = world.stalled_head
        world.stalled_head = node_at(world, node).stalled_next
        node_at(world, node).stalled_next = NOT_STALLED
        start_radio(world, node)


@compiled
def start_radio(world: World, node: int) -> None:
    """Begins the next transfer of an idle radio, unless the cloud has no place for it."""
    radio = RADIOS * world.num_nodes + node
    station = station_at(world, radio)
    while station.busy == 0 and station.head >= 0:
        to_cloud = station.head & 1 == 0
        if to_cloud and cloud_is_full(world) and world.overload == BLOCK:
            stall(world, node)
            return
        job = next_transfer(world, node)
        task = task_at(world, job >> 1)
        if to_cloud and cloud_is_full(world):
            if world.overload == EXIT and world.exit_seconds > 0.0 and task.diverted == 0:
                task.diverted = DIVERTED
                send_to_exit(world, radio, job | 1)
            else:
                complete(world, job >> 1, REJECTED)
        elif to_cloud:
            send_to_cloud(world, radio, job)
        else:
            send_to_exit(world, radio, job)
        unblock(world, node)


@compiled
def send_to_cloud(world: World, radio: int, job: int) -> None:
    """Begins the transfer of a task's cut tensors to the cloud."""
    task = task_at(world, job >> 1)
    machine = node_at(world, task.node)
    num_bytes = world.upload_bytes * task.size
    occupy(world, radio, job)
    world.cloud_used += 1
    machine.upload_bytes += num_bytes
    task.upload_bytes += num_bytes
    rate = min(link_rate(world), machine.cloud_bits_per_second)
    machine.sending_until = world.clock + 8.0 * num_bytes / rate
    transmit(world, radio, machine.cloud_bits_per_second, 8.0 * num_bytes, RADIO_DONE, RADIO_MORE, job)


@compiled
def send_to_exit(world: World, radio: int, job: int) -> None:
    """Begins the transfer of a task's cut tensors to the exit head on the master."""
    task = task_at(world, job >> 1)
    machine = node_at(world, task.node)
    num_bytes = world.exit_upload_bytes * task.size
    occupy(world, radio, job)
    machine.exit_upload_bytes += num_bytes
    task.exit_bytes += num_bytes
    machine.sending_until = world.clock + 8.0 * num_bytes / machine.master_bits_per_second
    push(world, machine.sending_until, RADIO_DONE, job)


@compiled
def charge_radio(world: World, radio: int, node: int) -> None:
    """Books what a node's radio has drawn for its running transfer until now."""
    machine = node_at(world, node)
    joules = machine.transmit_watts * (world.clock - station_at(world, radio).started)
    machine.joules += joules
    task_at(world, station_at(world, radio).job >> 1).joules += joules


@compiled
def radio_done(world: World, job: int) -> None:
    """A transfer has left its node."""
    task = task_at(world, job >> 1)
    if task.state == DEAD:
        return
    node = task.node
    radio = RADIOS * world.num_nodes + node
    charge_radio(world, radio, node)
    release(world, radio, world.clock - station_at(world, radio).started)
    task.sent = node_at(world, node).sending_until = world.clock
    to_cloud = job & 1 == 0
    if world.training == 0 and (to_cloud or task.awake == 0 or task.exits == 1 or task.diverted == DIVERTED):
        task.needs_node = 0
    if to_cloud:
        if math.isinf(world.backhaul_bits_per_second):
            push(world, world.clock + propagation_now(world), AT_CLOUD, job)
        else:
            enter_backhaul(world, job)
    else:
        if answers(world, job):
            task.arrived = world.clock
        enqueue(world, single(world, RECEIVER), job)
        start_receiver(world)
    if station_at(world, radio).head < 0:
        unblock(world, node)  # with no room to wait, only an idle radio takes a transfer
    start_radio(world, node)
