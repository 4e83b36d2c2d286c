"""Compiled predictions of the event engine: when a node will have computed and sent what it has.

A node and its radio are two stations in a row. What the radio will send is counted in bits, in two groups: transfers of
tasks that the node has not computed yet are *promised*, those that wait for the radio are *queued*. The present rate of
the link makes seconds of them, so that a prediction follows the link. docs/simulation.md says what is predicted.
"""

from __future__ import annotations

import numpy as np

from cloudedge_pl.scheduling.compiled import compiled
from cloudedge_pl.simulation.layout import RADIOS, World
from cloudedge_pl.simulation.queues import dequeue, enqueue
from cloudedge_pl.simulation.records_at import node_at, segment_at, station_at, task_at
from cloudedge_pl.simulation.transfers import find_segment

# --- which transfers a task has ---


@compiled
def goes_to_exit(world: World, awake: int) -> bool:
    """Whether the node sends a task to the exit head when it has computed it: asleep, in training, or to be asked."""
    return world.exit_seconds > 0.0 and (awake == 0 or world.training == 1 or world.exit_policy == 1)


@compiled
def goes_to_cloud(world: World, awake: int) -> bool:
    """Whether the node sends a task to the cloud when it has computed it; not if the exit head is asked first."""
    return not goes_to_exit(world, awake) or (world.training == 1 and awake == 1)


@compiled
def cloud_bits(world: World, awake: int, size: float) -> float:
    """Returns what the node sends to the cloud when it has computed a task."""
    return 8.0 * world.upload_bytes * size if goes_to_cloud(world, awake) else 0.0


@compiled
def exit_bits(world: World, awake: int, size: float) -> float:
    """Returns what the node sends to the exit head when it has computed a task."""
    return 8.0 * world.exit_upload_bytes * size if goes_to_exit(world, awake) else 0.0


# --- the books of what is to be sent ---


@compiled
def promise(world: World, row: int) -> None:
    """Adds the work of a task to what its node will compute and send."""
    task = task_at(world, row)
    machine = node_at(world, task.node)
    if station_at(world, task.node).busy == 0 and machine.occupancy == 0 and machine.held_head < 0:
        machine.running_until = world.clock + world.terminal_seconds * task.size
        machine.first_until = machine.running_until + machine.execution_seconds * task.work
    machine.queued_seconds += machine.execution_seconds * task.work
    machine.promised_cloud_bits += cloud_bits(world, task.awake, task.size)
    machine.promised_exit_bits += exit_bits(world, task.awake, task.size)


@compiled
def fulfil(world: World, row: int) -> None:
    """Takes the transfers of a task off those that are promised: its node has computed it."""
    task = task_at(world, row)
    machine = node_at(world, task.node)
    if machine.occupancy or machine.held_head >= 0:
        machine.promised_cloud_bits -= cloud_bits(world, task.awake, task.size)
        machine.promised_exit_bits -= exit_bits(world, task.awake, task.size)
    else:  # nothing is left, whatever the rounding
        machine.promised_cloud_bits = machine.promised_exit_bits = 0.0


@compiled
def queue_transfer(world: World, job: int) -> None:
    """Adds a transfer at the end of its node's radio's queue."""
    task = task_at(world, job >> 1)
    machine = node_at(world, task.node)
    if job & 1:
        machine.queued_exit_bits += 8.0 * world.exit_upload_bytes * task.size
    else:
        machine.queued_cloud_bits += 8.0 * world.upload_bytes * task.size
    enqueue(world, RADIOS * world.num_nodes + task.node, job)


@compiled
def next_transfer(world: World, node: int) -> int:
    """Takes the first transfer off a radio's queue."""
    radio, machine = RADIOS * world.num_nodes + node, node_at(world, node)
    job = dequeue(world, radio)
    task = task_at(world, job >> 1)
    if station_at(world, radio).head < 0:
        machine.queued_cloud_bits = machine.queued_exit_bits = 0.0
    elif job & 1:
        machine.queued_exit_bits -= 8.0 * world.exit_upload_bytes * task.size
    else:
        machine.queued_cloud_bits -= 8.0 * world.upload_bytes * task.size
    return job


@compiled
def forget(world: World, node: int) -> None:
    """Clears the books of a node that has failed."""
    machine = node_at(world, node)
    machine.queued_seconds = machine.running_until = machine.first_until = machine.sending_until = 0.0
    machine.promised_cloud_bits = machine.promised_exit_bits = 0.0
    machine.queued_cloud_bits = machine.queued_exit_bits = 0.0


# --- predictions ---


@compiled
def link_rate(world: World) -> float:
    """Returns the link's rate at the clock; in an outage its mean, because nobody knows when the outage ends."""
    rate = segment_at(world, find_segment(world)).bits_per_second
    return float(rate if rate > 0.0 else world.mean_bits_per_second)


@compiled
def radio_seconds(world: World, node: int, link: float, to_cloud: float, to_exit: float) -> float:
    """Returns how long a node's radio sends bits to the cloud and to the exit head, at a rate of the link."""
    machine = node_at(world, node)
    seconds = 0.0
    if to_cloud > 0.0:
        seconds += to_cloud / min(link, machine.cloud_bits_per_second)
    if to_exit > 0.0:
        seconds += to_exit / machine.master_bits_per_second
    return float(seconds)


@compiled
def ready_in(world: World, node: int) -> float:
    """Returns the time until a node has computed what it is expected to compute; an idle one waits for its input."""
    machine = node_at(world, node)
    return float(max(machine.running_until - world.clock, 0.0) + machine.queued_seconds)


@compiled
def radio_free_in(world: World, node: int, link: float) -> float:
    """Returns the time until a node's radio has sent what it has and what is promised to it.

    The promised transfers begin when the radio is done with the others, and the node with its first task. That is
    exact for equal tasks: their last one leaves a slow radio when all have passed it, and behind a slow node a new
    task waits for the node.
    """
    machine = node_at(world, node)
    sending = max(machine.sending_until - world.clock, 0.0) + radio_seconds(
        world, node, link, machine.queued_cloud_bits, machine.queued_exit_bits
    )
    begins = max(sending, machine.first_until - world.clock)
    return float(
        begins + radio_seconds(world, node, link, machine.promised_cloud_bits, machine.promised_exit_bits)
    )


@compiled
def backlogs(world: World) -> np.ndarray:
    """Returns what a scheduler is told of the nodes, float64 [3, num_nodes].

    Seconds until each node has computed what it has, until its radio has sent everything, and of the transfers of a
    task of size 1 in a window that opens now.
    """
    found = np.empty((3, world.num_nodes))
    link = link_rate(world)
    to_cloud, to_exit = cloud_bits(world, world.awake, 1.0), exit_bits(world, world.awake, 1.0)
    for node in range(world.num_nodes):
        found[0, node] = ready_in(world, node)
        found[1, node] = radio_free_in(world, node, link)
        found[2, node] = radio_seconds(world, node, link, to_cloud, to_exit)
    return found


@compiled
def finishes_first(world: World, row: int) -> int:
    """Returns the available node that is expected to have sent a task first; the first one of equals."""
    task, link = task_at(world, row), link_rate(world)
    terminal = world.terminal_seconds * task.size
    to_cloud, to_exit = cloud_bits(world, world.awake, task.size), exit_bits(world, world.awake, task.size)
    chosen, earliest = -1, np.inf
    for node in range(world.num_nodes):
        machine = node_at(world, node)
        if not machine.available:
            continue
        done = max(ready_in(world, node), terminal) + machine.execution_seconds * task.work
        if done < earliest:  # else its radio need not be looked at
            sent = max(done, radio_free_in(world, node, link))
            sent += radio_seconds(world, node, link, to_cloud, to_exit)
            if sent < earliest:
                chosen, earliest = node, sent
    return chosen


@compiled
def earliest_sending(world: World) -> float:
    """Returns the time until some node can begin to send a task of work 1 that it gets now, without the input's way."""
    link, earliest = link_rate(world), np.inf
    for node in range(world.num_nodes):
        if node_at(world, node).available:
            done = ready_in(world, node) + node_at(world, node).execution_seconds
            earliest = min(earliest, max(done, radio_free_in(world, node, link)))
    return float(earliest)
