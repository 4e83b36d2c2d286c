"""A node with its stations, an attempt of a task at it, and the link to the cloud."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Any

import simpy

from .setup import Setup


class Link:
    """The way between nodes and cloud: a rate and a propagation that change at given times."""

    def __init__(self, setup: Setup) -> None:
        self.starts, self.rates = list(setup.link_starts), list(setup.link_rates)
        self.propagations = list(setup.link_propagation)
        self.mean = setup.link_mean
        self.at = 0  # simulated time only grows, and so does the present segment

    def present(self, now: float) -> int:
        while self.at + 1 < len(self.starts) and self.starts[self.at + 1] <= now:
            self.at += 1
        return self.at

    def expected_rate(self, now: float) -> float:
        """The present rate, or the mean in an outage."""
        return self.rates[self.present(now)] or self.mean

    def seconds(self, now: float, bits: float, limit: float) -> float:
        """The duration of a transfer that starts now, at the link's rate or a limit, whichever is less."""
        at, time = self.present(now), now
        while True:
            rate = min(self.rates[at], limit)
            until = self.starts[at + 1] if at + 1 < len(self.starts) else math.inf
            if bits <= rate * (until - time):
                return time + bits / rate - now
            bits -= rate * (until - time)
            time, at = until, at + 1


class Trip:
    """One attempt of a task at one node.

    Attributes:
        expected: seconds that the node should compute.
        bits: that the radio sends when it has: to the cloud, and to the exit head.
        walking: processes that fail with the node.
        ways_left: in training, ways that have not returned.
    """

    __slots__ = ("awake", "bits", "dead", "expected", "node", "seen_by_head", "task", "walking", "ways_left")

    def __init__(
        self, task: int, node: Node, expected: float, bits: tuple[float, float], awake: bool
    ) -> None:
        self.task, self.node, self.expected, self.bits, self.awake = task, node, expected, bits, awake
        self.dead = self.seen_by_head = False
        self.walking: set[simpy.Process] = set()
        self.ways_left = 1


class Node:
    """A node: its processor, radio and downlink, and what the master knows about it."""

    def __init__(self, env: simpy.Environment, index: int, setup: Setup) -> None:
        machine = setup.fleet.nodes[index]
        self.env, self.index = env, index
        self.throughput = machine.throughput_bits_per_second
        self.to_master = min(self.throughput, setup.fleet.coordinator.throughput_bits_per_second)
        self.active_watts = machine.busy_watts - machine.idle_watts
        self.transmit_watts = machine.transmit_watts
        self.capacity, self.radio_capacity = setup.node_capacity, setup.radio_capacity
        self.available = index not in setup.absent
        self.clear()

    def clear(self) -> None:
        """Starts afresh, as after a failure."""
        self.processor, self.radio, self.downlink = (simpy.Resource(self.env) for _ in range(3))
        self.trips: dict[Trip, None] = {}
        self.held: deque[simpy.Event] = deque()
        self.inside, self.stalled, self.queued_jobs = 0, 0, 0
        self.waiting_seconds, self.running_until, self.first_until = 0.0, 0.0, 0.0
        self.waiting_tasks = 0
        self.promised, self.queued = [0.0, 0.0], [0.0, 0.0]  # bits to the cloud and to the exit head
        self.sending_until = 0.0
        self.blocked: simpy.Event | None = None

    def ready_seconds(self) -> float:
        """Expected seconds until the node has finished all its tasks."""
        return max(self.running_until - self.env.now, 0.0) + self.waiting_seconds

    def air_seconds(self, bits: Sequence[float], link_rate: float) -> float:
        """Time on the radio of bits to the cloud and to the exit head."""
        return bits[0] / min(link_rate, self.throughput) + bits[1] / self.to_master

    def radio_seconds(self, link_rate: float) -> float:
        """Expected seconds until the radio has sent all that there is and that the node's tasks will bring.

        What they will bring begins when the node's first task is done, if the radio is not busy for longer.
        """
        now = self.env.now
        busy = max(self.sending_until - now, 0.0) + self.air_seconds(self.queued, link_rate)
        return max(busy, self.first_until - now) + self.air_seconds(self.promised, link_rate)

    def assign(self, trip: Trip, way_seconds: float) -> None:
        if self.processor.count == 0 and self.waiting_tasks == 0:  # the node waits for this task's input
            self.running_until = self.env.now + way_seconds
            self.first_until = self.running_until + trip.expected
        self.waiting_tasks += 1
        self.waiting_seconds += trip.expected
        self.promised = [have + more for have, more in zip(self.promised, trip.bits, strict=True)]

    def computed(self, trip: Trip) -> None:
        """The node has computed a task; if no other is left, nothing is promised."""
        left = [have - less for have, less in zip(self.promised, trip.bits, strict=True)]
        self.promised = left if self.waiting_tasks else [0.0, 0.0]

    def queue(self, way: int, bits: float) -> None:
        """A transfer waits for the radio: to the cloud (0) or to the exit head (1)."""
        self.queued[way] += bits
        self.queued_jobs += 1

    def send(self, way: int, bits: float) -> None:
        """A transfer has the radio, or is given up."""
        self.queued_jobs -= 1
        self.queued[way] -= bits
        if self.queued_jobs == 0:
            self.queued = [0.0, 0.0]

    def start(self, seconds: float) -> None:
        self.waiting_tasks -= 1
        self.waiting_seconds = self.waiting_seconds - seconds if self.waiting_tasks else 0.0
        self.running_until = self.first_until = self.env.now + seconds

    def has_room(self) -> bool:
        return self.inside < self.capacity + 1

    def let_in(self) -> None:
        """Releases tasks that the master holds, as long as there is room."""
        while self.held and self.has_room():
            self.inside += 1
            self.held.popleft().succeed()

    def radio_has_room(self) -> bool:
        waiting = len(self.radio.queue) + self.stalled
        return self.radio_is_idle() or waiting < self.radio_capacity

    def radio_is_idle(self) -> bool:
        return self.radio.count == 0 and not self.radio.queue

    def look_for_room(self) -> None:
        """Wakes the task that blocks the processor; the radio has started a transfer, or has nothing to do."""
        if self.blocked is not None:
            self.blocked.succeed()
            self.blocked = None

    def leave_radio(self, turn: Any) -> None:
        self.radio.release(turn)
        self.sending_until = 0.0
        if self.radio_is_idle():
            self.look_for_room()
