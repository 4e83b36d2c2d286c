"""The model's master: arrivals, windows, the schedule, the cloud's sleep, and nodes that come and go."""

from __future__ import annotations

import math
from itertools import groupby
from typing import Any

import numpy as np
import simpy

from cloudedge_pl.dormancy import DormancyState, next_state

from .node import Link, Node, Trip
from .records import Inputs, Records
from .setup import FAIL, JOIN, Setup, Walk
from .ways import Ways


class SimpyFleet:
    """The model. ``SimpyFleet(setup, tasks).run()`` returns its records.

    Args:
        setup: the system.
        tasks: columns [num_tasks]: arrival_seconds, size, work, noise, slowdown, deadline_seconds, exits, audited.
    """

    def __init__(self, setup: Setup, tasks: Any) -> None:
        self.setup, self.costs, self.master = setup, setup.costs, setup.fleet.coordinator
        self.env = simpy.Environment()
        self.tasks, self.records = Inputs(tasks), Records(len(tasks.arrival_seconds))
        self.link = Link(setup)
        self.ways = Ways(self.env, setup, self.tasks, self.records, self.link)
        self.nodes = [Node(self.env, index, setup) for index in range(setup.fleet.num_nodes)]
        self.execution = [float(seconds) for seconds in setup.costs.execution_seconds]
        self.waiting: list[int] = []
        self.all_arrived = self.timer_runs = self.due = False
        self.dormancy = DormancyState()
        self.probes = 0

    def run(self) -> dict[str, np.ndarray]:
        """Runs until nothing happens any more, and returns the records' columns [num_tasks]."""
        self.env.process(self._churn())
        self.env.process(self._arrivals())
        self.env.run()
        return self.records.columns()

    def _arrivals(self) -> Walk:
        by_time = groupby(range(len(self.tasks.arrival)), key=self.tasks.arrival.__getitem__)
        for time, together in by_time:
            if time > self.env.now:
                yield self.env.timeout(time - self.env.now)
            self._wait(list(together))
        self.all_arrived = True
        self._open_windows()

    def _churn(self) -> Walk:
        for time, index, kind in self.setup.churn:
            yield self.env.timeout(time - self.env.now)
            node = self.nodes[index]
            node.available = kind == JOIN
            if kind == JOIN:
                self._open_windows()
            elif kind == FAIL:
                self._fail(node)

    def _fail(self, node: Node) -> None:
        """Ends every process on the node, and queues its tasks again."""
        lost = sorted(trip.task for trip in node.trips)
        for trip in node.trips:
            trip.dead = True
            for process in trip.walking:
                process.interrupt()
        node.clear()
        for task in lost:
            self.records.forget(task)
        if lost:
            self._wait(lost)

    def _wait(self, tasks: list[int]) -> None:
        self.waiting += tasks
        self._open_windows()

    def _open_windows(self) -> None:
        """Opens the windows that are due, if a node is there; in training everything that waits is due."""
        if self.setup.training:
            self.due = bool(self.waiting)
        if self.setup.window_tasks is None or self.setup.training:
            if self.due:
                self._open_timed()
            elif self.waiting and not self.timer_runs:
                self.env.process(self._timer())
            return
        size = self.setup.window_tasks
        while self.waiting and any(node.available for node in self.nodes):
            if len(self.waiting) < size and not self.all_arrived:
                return
            number = 1 if size == 1 else len(self.waiting)  # a failure may add more than the window needs
            window, self.waiting = self.waiting[:number], self.waiting[number:]
            self._open_window(window)

    def _timer(self) -> Walk:
        length, self.timer_runs = self.setup.window_seconds, True
        time = math.ceil(self.env.now / length) * length
        yield self.env.timeout(max(time - self.env.now, 0.0))
        self.timer_runs, self.due = False, True
        self._open_timed()

    def _open_timed(self) -> None:
        if any(node.available for node in self.nodes):
            window, self.waiting, self.due = self.waiting, [], False
            self._open_window(window)

    def _open_window(self, window: list[int]) -> None:
        """Decides on the cloud's sleep, and gives every task the node that is expected to have sent it first.

        Of the tasks before it in the window, a task's node is taken to need for each the longer of computing and
        sending. How soon the first one can be sent is that of a task of mean size and work.
        """
        if not window:
            return
        awake = self._decide(window)
        there = [node for node in self.nodes if node.available]
        size, work = (
            sum(column[task] for task in window) / len(window)
            for column in (self.tasks.size, self.tasks.work)
        )
        means = [self._takes(node, work, size, awake) for node in there]
        first = [self._sent(node, *mean, size) for node, mean in zip(there, means, strict=True)]
        begins = [end - max(mean) for end, mean in zip(first, means, strict=True)]
        for task in window:
            self.records.stamps["window"][task] = self.env.now
            takes = [self._takes(node, self.tasks.work[task], self.tasks.size[task], awake) for node in there]
            ends = [begin + max(each) for begin, each in zip(begins, takes, strict=True)]
            best = ends.index(min(ends))
            begins[best] = ends[best]
            bits = self._bits(self.tasks.size[task], awake)
            self.ways.start(Trip(task, there[best], takes[best][0], bits, awake))

    def _bits(self, size: float, awake: bool) -> tuple[float, float]:
        """What a node sends of a computed task, to the cloud and to the exit head."""
        to_exit = self.costs.exit_seconds > 0 and (not awake or self.setup.training or self.setup.exits)
        to_cloud = not to_exit or (self.setup.training and awake)
        cloud, head = 8 * self.costs.upload_bytes * size, 8 * self.costs.exit_upload_bytes * size
        return cloud if to_cloud else 0.0, head if to_exit else 0.0

    def _takes(self, node: Node, work: float, size: float, awake: bool) -> tuple[float, float]:
        """Seconds of a task on a node, and on its radio."""
        rate = self.link.expected_rate(self.env.now)
        return self.execution[node.index] * work, node.air_seconds(self._bits(size, awake), rate)

    def _sent(self, node: Node, computing: float, sending: float, size: float) -> float:
        """When a task will have left a node's radio."""
        ready = max(node.ready_seconds(), self.costs.terminal_seconds * size)
        return max(ready + computing, node.radio_seconds(self.link.expected_rate(self.env.now))) + sending

    def _decide(self, window: list[int]) -> bool:
        """Whether the cloud is awake in a window that opens now."""
        costs, rule = self.costs, self.setup.dormancy
        if rule is None or costs.upload_bytes == 0 or costs.exit_seconds == 0:
            return True
        now = self.env.now
        at = self.link.present(now)
        rate = min(self.link.rates[at], self.master.throughput_bits_per_second)
        sending = 8 * costs.upload_bytes / rate if rate > 0 else math.inf
        delay = sending + self.link.propagations[at] + self.ways.backlog_seconds()
        expected = self.link.expected_rate(now)
        soonest = min(
            max(node.ready_seconds() + self.execution[node.index], node.radio_seconds(expected))
            for node in self.nodes
            if node.available
        )
        due = min(self.tasks.arrival[task] + self.tasks.deadline[task] for task in window)
        limit = due - now - soonest - costs.cloud_seconds - costs.terminal_seconds
        self.dormancy = next_state(rule, self.dormancy, delay, limit_seconds=limit, clock_seconds=now)
        self.probes += not self.dormancy.awake
        return self.dormancy.awake
