"""Compiled parts of the event engine that know no task's route: the heap of events, and the queues of stations."""

from __future__ import annotations

from cloudedge_pl.scheduling.compiled import compiled
from cloudedge_pl.simulation.layout import DEAD, World
from cloudedge_pl.simulation.records_at import event_at, station_at, task_at

KINDS = 16
"""An event's item is ``job * KINDS + kind``."""


@compiled
def push(world: World, time: float, kind: int, job: int) -> None:
    """Adds an event; events of one time are handled in the order in which they were added."""
    at = world.heap_size
    world.heap_size = at + 1
    while at > 0:
        above = (at - 1) >> 1
        if event_at(world, above).time <= time:
            break
        move_event(world, above, at)
        at = above
    event = event_at(world, at)
    event.time, event.order, event.item = time, world.sequence, job * KINDS + kind
    world.sequence += 1


@compiled
def move_event(world: World, origin: int, target: int) -> None:
    """Copies an event to another place of the heap."""
    old, new = event_at(world, origin), event_at(world, target)
    new.time, new.order, new.item = old.time, old.order, old.item


@compiled
def is_before(world: World, one: int, other: int) -> bool:
    """Whether the event at one place of the heap is handled before that at another."""
    first, second = event_at(world, one), event_at(world, other)
    return first.time < second.time or (first.time == second.time and first.order < second.order)


@compiled
def pop(world: World) -> int:
    """Takes the earliest event off the heap and returns its item."""
    item = event_at(world, 0).item
    last = world.heap_size - 1
    world.heap_size = last
    at, below = 0, 1
    while below < last:
        if below + 1 < last and is_before(world, below + 1, below):
            below += 1
        if not is_before(world, below, last):
            break
        move_event(world, below, at)
        at, below = below, 2 * below + 1
    move_event(world, last, at)
    return int(item)


@compiled
def follow(world: World, job: int) -> int:
    """Returns the job behind ``job`` in its queue, or -1."""
    row = task_at(world, job >> 1)
    return int(row.next1 if job & 1 else row.next0)


@compiled
def link_behind(world: World, job: int, behind: int) -> None:
    """Puts ``behind`` behind ``job`` in its queue."""
    row = task_at(world, job >> 1)
    if job & 1:
        row.next1 = behind
    else:
        row.next0 = behind


@compiled
def change_queue(world: World, at: int, by: int) -> None:
    """Counts jobs that join (+) or leave (-) a station's queue, and the time that the queue had its length."""
    station, clock = station_at(world, at), world.clock
    station.queue_seconds += station.length * (clock - station.changed)
    station.changed = clock
    station.length += by
    if station.length > station.longest:
        station.longest = station.length


@compiled
def enqueue(world: World, at: int, job: int) -> None:
    """Adds a job at the end of a station's queue."""
    station = station_at(world, at)
    link_behind(world, job, -1)
    task_at(world, job >> 1).queued += 1
    if station.head < 0:
        station.head = job
    else:
        link_behind(world, station.tail, job)
    station.tail = job
    change_queue(world, at, 1)


@compiled
def dequeue(world: World, at: int) -> int:
    """Takes the first job off a station's queue."""
    station = station_at(world, at)
    job = station.head
    station.head = follow(world, job)
    if station.head < 0:
        station.tail = -1
    task_at(world, job >> 1).queued -= 1
    change_queue(world, at, -1)
    return int(job)


@compiled
def occupy(world: World, at: int, job: int) -> None:
    """Begins a service."""
    station = station_at(world, at)
    station.busy += 1
    station.jobs += 1
    station.job = job
    station.started = world.clock


@compiled
def release(world: World, at: int, seconds: float) -> None:
    """Ends a service of ``seconds``."""
    station = station_at(world, at)
    station.busy -= 1
    station.job = -1
    station.busy_seconds += seconds


@compiled
def clear(world: World, at: int) -> None:
    """Empties a station whose machine failed: its queue, and the service that runs."""
    while station_at(world, at).head >= 0:
        dequeue(world, at)
    if station_at(world, at).busy > 0:
        release(world, at, world.clock - station_at(world, at).started)


@compiled
def single(world: World, which: int) -> int:
    """Returns the number of a station that the fleet has once."""
    return int(3 * world.num_nodes + which)


@compiled
def next_alive(world: World, at: int) -> int:
    """Takes the first job off a station's queue whose task was not replaced by a new attempt; -1 if there is none."""
    while station_at(world, at).head >= 0:
        job = dequeue(world, at)
        if task_at(world, job >> 1).state != DEAD:
            return int(job)
    return -1
