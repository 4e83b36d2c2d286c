"""Compiled transfers over the link between edge and cloud, whose rate and propagation change with time.

Every node has a rate of its own; where the scenario has a backhaul, all transfers to the cloud pass it one by one.
"""

from __future__ import annotations

import math

from cloudedge_pl.scheduling.compiled import compiled
from cloudedge_pl.simulation.events import AT_CLOUD, BACKHAUL_DONE, RECEIVER_DONE
from cloudedge_pl.simulation.layout import BACKHAUL, DEAD, RECEIVER, World
from cloudedge_pl.simulation.queues import dequeue, enqueue, next_alive, occupy, push, release, single
from cloudedge_pl.simulation.records_at import node_at, segment_at, station_at, task_at


@compiled
def find_segment(world: World) -> int:
    """Returns the number of the link's segment at the clock."""
    at = world.link_at
    while at + 1 < world.link_count and segment_at(world, at + 1).start_seconds <= world.clock:
        at += 1
    world.link_at = at
    return int(at)


@compiled
def propagation_now(world: World) -> float:
    """Returns the link's propagation at the clock."""
    return float(segment_at(world, find_segment(world)).propagation_seconds)


@compiled
def link_delay_now(world: World) -> float:
    """Returns the delay of a cut tensor that the master would send now; infinite while the link is down.

    The backlog of the shared backhaul counts.
    """
    at = find_segment(world)
    rate = min(segment_at(world, at).bits_per_second, world.master_bits_per_second)
    if rate <= 0.0:
        return math.inf
    backlog = max(world.backhaul_until - world.clock, 0.0)
    return float(8.0 * world.upload_bytes / rate + segment_at(world, at).propagation_seconds + backlog)


@compiled
def transmit(
    world: World, station: int, own_rate: float, bits: float, done: int, more: int, job: int
) -> None:
    """Sends bits at the slower of the link and ``own_rate`` from the clock on, and adds the event of its end.

    Where the end lies beyond what is known of the link, the event ``more`` continues the transfer with the rest.
    """
    at, time = find_segment(world), world.clock
    while True:
        end = segment_at(world, at + 1).start_seconds if at + 1 < world.link_count else world.link_known
        rate = min(segment_at(world, at).bits_per_second, own_rate)
        if rate > 0.0 and time + bits / rate <= end:
            push(world, time + bits / rate, done, job)
            return
        if at + 1 >= world.link_count:
            station_at(world, station).rest_bits = max(bits - rate * (end - time), 0.0)
            push(world, end, more, job)
            return
        bits = max(bits - rate * (end - time), 0.0)
        time = end
        at += 1


@compiled
def continue_transfer(world: World, group: int, job: int, done: int, more: int) -> None:
    """Continues a transfer with the bits that are left, when more is known of the link.

    Args:
        world: of the engine.
        group: of stations: radios or downlinks.
        job: whose transfer it is.
        done: the event of its end.
        more: the event that continues it once more.
    """
    task = task_at(world, job >> 1)
    if task.state != DEAD:
        station = group * world.num_nodes + task.node
        own_rate = node_at(world, task.node).cloud_bits_per_second
        transmit(world, station, own_rate, station_at(world, station).rest_bits, done, more, job)


@compiled
def backhaul_seconds(world: World, job: int) -> float:
    """Returns how long a task's cut tensors occupy the backhaul."""
    return float(8.0 * world.upload_bytes * task_at(world, job >> 1).size / world.backhaul_bits_per_second)


@compiled
def enter_backhaul(world: World, job: int) -> None:
    """Adds a job to the backhaul's queue."""
    at = single(world, BACKHAUL)
    world.backhaul_until = max(world.backhaul_until, world.clock) + backhaul_seconds(world, job)
    enqueue(world, at, job)
    start_backhaul(world)


@compiled
def start_backhaul(world: World) -> None:
    """Begins the next transfer of an idle backhaul."""
    at = single(world, BACKHAUL)
    if station_at(world, at).busy == 0 and station_at(world, at).head >= 0:
        job = dequeue(world, at)
        occupy(world, at, job)
        push(world, world.clock + backhaul_seconds(world, job), BACKHAUL_DONE, job)


@compiled
def backhaul_done(world: World, job: int) -> None:
    """A transfer has left the backhaul."""
    release(world, single(world, BACKHAUL), backhaul_seconds(world, job))
    push(world, world.clock + propagation_now(world), AT_CLOUD, job)
    start_backhaul(world)


@compiled
def receiving_seconds(world: World, job: int) -> float:
    """Returns how long the master's interface receives a task's cut tensors."""
    return float(8.0 * world.exit_upload_bytes * task_at(world, job >> 1).size / world.master_bits_per_second)


@compiled
def start_receiver(world: World) -> None:
    """Lets an idle master receive the next task's cut tensors: if it could, it did while the node sent them."""
    at, clock = single(world, RECEIVER), world.clock
    if station_at(world, at).busy == 0:
        job = next_alive(world, at)
        if job >= 0:
            seconds = receiving_seconds(world, job)
            begins = max(station_at(world, at).free_since, task_at(world, job >> 1).sent - seconds)
            occupy(world, at, job)
            push(world, max(begins + seconds, clock), RECEIVER_DONE, job)
