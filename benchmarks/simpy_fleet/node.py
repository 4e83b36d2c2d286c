"""A node with its stations, an attempt of a task at it, and the link to the cloud."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import simpy

from .setup import Setup


class Link:
    """The way between nodes and cloud: a rate and a propagation that change at given times."""

    def __init__(self, setup: Setup) -> None:
        self.starts, self.rates = list(setup.link_starts), list(setup.link_rates)
        self.propagations = list(setup.link_propagation)
        self.at = 0  # simulated time only grows, and so does the present segment

    def present(self, now: float) -> int:
        while self.at + 1 < len(self.starts) and self.starts[self.at + 1] <= now:
            self.at += 1
        return self.at

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
        walking: processes that fail with the node.
        ways_left: in training, ways that have not returned.
    """

    __slots__ = ("awake", "dead", "expected", "node", "seen_by_head", "task", "walking", "ways_left")

    def __init__(self, task: int, node: Node, expected: float, awake: bool) -> None:
        self.task, self.node, self.expected, self.awake = task, node, expected, awake
        self.dead = self.seen_by_head = False
        self.walking: set[simpy.Process] = set()
        self.ways_left = 1


class Node:
    """A node: its processor, radio and downlink, and what the master knows about it."""

    def __init__(self, env: simpy.Environment, index: int, setup: Setup) -> None:
        machine = setup.fleet.nodes[index]
        self.env, self.index = env, index
        self.throughput = machine.throughput_bits_per_second
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
        self.inside, self.stalled = 0, 0
        self.waiting_seconds, self.running_until = 0.0, 0.0
        self.waiting_tasks = 0
        self.blocked: simpy.Event | None = None

    def ready_seconds(self) -> float:
        """Expected seconds until the node has finished all its tasks."""
        return max(self.running_until - self.env.now, 0.0) + self.waiting_seconds

    def assign(self, seconds: float) -> None:
        self.waiting_tasks += 1
        self.waiting_seconds += seconds

    def start(self, seconds: float) -> None:
        self.waiting_tasks -= 1
        self.waiting_seconds = self.waiting_seconds - seconds if self.waiting_tasks else 0.0
        self.running_until = self.env.now + seconds

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
        if self.radio_is_idle():
            self.look_for_room()
