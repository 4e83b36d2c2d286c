"""Compiled handlers of the event loop at stations that all nodes share, and on the way back.

The cloud answers, and in training its gradient returns by the node's downlink. On the master, the receiver passes cut
tensors to the exit head, and in training the sender returns its gradient. docs/simulation.md says what every station
does.
"""

from __future__ import annotations

from cloudedge_pl.scheduling.compiled import compiled
from cloudedge_pl.simulation.backlogs import queue_transfer
from cloudedge_pl.simulation.edge_way import start_radio, wake_stalled
from cloudedge_pl.simulation.ends import RETURNED, answers, back
from cloudedge_pl.simulation.events import BACK, CLOUD_DONE, DOWN_DONE, DOWN_MORE, EXIT_DONE, SENDER_DONE
from cloudedge_pl.simulation.layout import (
    CLOUD_SERVERS,
    DEAD,
    DOWNLINKS,
    EXIT_HEAD,
    RECEIVER,
    SENDER,
    World,
)
from cloudedge_pl.simulation.queues import dequeue, enqueue, next_alive, occupy, push, release, single
from cloudedge_pl.simulation.records_at import node_at, station_at, task_at
from cloudedge_pl.simulation.transfers import propagation_now, receiving_seconds, start_receiver, transmit

# --- cloud and downlink ---


@compiled
def at_cloud(world: World, job: int) -> None:
    """Cut tensors have reached the cloud."""
    if task_at(world, job >> 1).state == DEAD:
        free_place(world)
        return
    if answers(world, job):
        task_at(world, job >> 1).arrived = world.clock
    enqueue(world, single(world, CLOUD_SERVERS), job)
    start_cloud(world)


@compiled
def free_place(world: World) -> None:
    """Gives back a task's place in the cloud."""
    world.cloud_used -= 1
    wake_stalled(world)


@compiled
def start_cloud(world: World) -> None:
    """Begins services while the cloud has an idle server."""
    at = single(world, CLOUD_SERVERS)
    station = station_at(world, at)
    while station.busy < station.servers and station.head >= 0:
        job = dequeue(world, at)
        task = task_at(world, job >> 1)
        if task.state == DEAD:
            free_place(world)
        else:
            occupy(world, at, job)
            push(world, world.clock + world.cloud_seconds * task.work, CLOUD_DONE, job)


@compiled
def cloud_done(world: World, job: int) -> None:
    """The cloud has answered."""
    task = task_at(world, job >> 1)
    release(world, single(world, CLOUD_SERVERS), world.cloud_seconds * task.work)
    start_cloud(world)
    free_place(world)
    if task.state == DEAD:
        return
    if world.download_bytes > 0.0:
        enqueue(world, DOWNLINKS * world.num_nodes + task.node, job)
        start_downlink(world, task.node)
    else:
        back(world, job)


@compiled
def start_downlink(world: World, node: int) -> None:
    """Begins the next transfer of an idle downlink."""
    at = DOWNLINKS * world.num_nodes + node
    if station_at(world, at).busy == 0 and station_at(world, at).head >= 0:
        job = dequeue(world, at)
        task, machine = task_at(world, job >> 1), node_at(world, node)
        num_bytes = world.download_bytes * task.size
        occupy(world, at, job)
        machine.download_bytes += num_bytes
        task.download_bytes += num_bytes
        transmit(world, at, machine.cloud_bits_per_second, 8.0 * num_bytes, DOWN_DONE, DOWN_MORE, job)


@compiled
def down_done(world: World, job: int) -> None:
    """The last bit of a gradient has left the cloud."""
    task = task_at(world, job >> 1)
    if task.state == DEAD:
        return
    at = DOWNLINKS * world.num_nodes + task.node
    release(world, at, world.clock - station_at(world, at).started)
    push(world, world.clock + propagation_now(world), BACK, job)
    start_downlink(world, task.node)


# --- the master: receiver, exit head, sender ---


@compiled
def receiver_done(world: World, job: int) -> None:
    """The master has a task's cut tensors."""
    at = single(world, RECEIVER)
    release(world, at, receiving_seconds(world, job))
    station_at(world, at).free_since = world.clock
    start_receiver(world)
    if task_at(world, job >> 1).state != DEAD:
        enqueue(world, single(world, EXIT_HEAD), job)
        start_exit(world)


@compiled
def start_exit(world: World) -> None:
    """Begins the exit head's next task."""
    at = single(world, EXIT_HEAD)
    if station_at(world, at).busy == 0:
        job = next_alive(world, at)
        if job >= 0:
            occupy(world, at, job)
            push(world, world.clock + world.exit_seconds * task_at(world, job >> 1).work, EXIT_DONE, job)


@compiled
def charge(world: World, row: int, joules: float) -> None:
    """Books what the master has drawn for a task; if the attempt was lost meanwhile, for the one that replaced it."""
    world.master_joules += joules
    while task_at(world, row).state == DEAD:
        row = task_at(world, row).successor
    task_at(world, row).joules += joules


@compiled
def exit_done(world: World, job: int) -> None:
    """The exit head has answered: its answer counts, it is not sure of it, or in training its gradient returns."""
    task = task_at(world, job >> 1)
    seconds = world.exit_seconds * task.work
    release(world, single(world, EXIT_HEAD), seconds)
    start_exit(world)
    charge(world, job >> 1, world.master_compute_watts * seconds)
    if task.state == DEAD:
        return
    if world.training == 1:
        enqueue(world, single(world, SENDER), job)
        start_sender(world)
    elif task.awake == 1 and task.exits == 0 and task.diverted == 0:
        task.diverted = RETURNED
        queue_transfer(world, job - 1)
        start_radio(world, task.node)
    else:
        back(world, job)


@compiled
def sending_seconds(world: World, job: int) -> float:
    """Returns how long the master's interface sends a task's gradient."""
    return float(
        8.0 * world.exit_download_bytes * task_at(world, job >> 1).size / world.master_bits_per_second
    )


@compiled
def start_sender(world: World) -> None:
    """Begins the master's next transfer to a node."""
    at = single(world, SENDER)
    if station_at(world, at).busy == 0:
        job = next_alive(world, at)
        if job >= 0:
            occupy(world, at, job)
            task = task_at(world, job >> 1)
            num_bytes = world.exit_download_bytes * task.size
            node_at(world, task.node).exit_download_bytes += num_bytes
            task.exit_bytes += num_bytes
            push(world, world.clock + sending_seconds(world, job), SENDER_DONE, job)


@compiled
def sender_done(world: World, job: int) -> None:
    """The last bit of the exit head's gradient has left the master; a slower node takes longer to receive it."""
    task = task_at(world, job >> 1)
    release(world, single(world, SENDER), sending_seconds(world, job))
    start_sender(world)
    receiving = 8.0 * world.exit_download_bytes * task.size / node_at(world, task.node).master_bits_per_second
    joules = world.master_transmit_watts * receiving
    charge(world, job >> 1, joules)
    if task.state == DEAD:
        return
    push(world, world.clock + max(receiving - sending_seconds(world, job), 0.0), BACK, job)
