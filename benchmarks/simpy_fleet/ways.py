"""The way of a task, from the master to its answer, and the stations that all nodes share."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any

import simpy

from .node import Link, Trip
from .records import Inputs, Records
from .setup import CLOUD, EARLY_EXIT, EDGE, EXIT_ASLEEP, EXIT_OVERLOAD, IN_FLIGHT, REJECTED, Setup, Walk


class Ways:
    """The ways of all tasks; :meth:`start` sends one on its way."""

    def __init__(
        self, env: simpy.Environment, setup: Setup, tasks: Inputs, records: Records, link: Link
    ) -> None:
        self.env, self.setup, self.tasks, self.records, self.link = env, setup, tasks, records, link
        self.costs, self.master = setup.costs, setup.fleet.coordinator
        self.jitter = setup.jitter or [0.0] * setup.fleet.num_nodes
        self.cloud = simpy.Resource(env, setup.cloud_servers)
        self.credits = simpy.Resource(env, setup.cloud_capacity + setup.cloud_servers)
        self.backhaul, self.receiver, self.head, self.sender = (simpy.Resource(env) for _ in range(4))
        self.backhaul_waiting_seconds, self.backhaul_until = 0.0, 0.0
        self.receiver_free_since = 0.0

    def backlog_seconds(self) -> float:
        """Until the backhaul has carried all that it has."""
        return max(self.backhaul_until - self.env.now, 0.0) + self.backhaul_waiting_seconds

    def start(self, trip: Trip) -> None:
        """Sends a task to its node, or holds it at the master until the node has room."""
        node = trip.node
        self.records.node[trip.task] = node.index
        self.records.attempts[trip.task] += 1
        gate = None
        if node.has_room() and not node.held:
            node.inside += 1
        elif self.setup.policy == "block":
            gate = self.env.event()
            node.held.append(gate)
        else:
            self._reject(trip)
            return
        node.assign(trip, self.costs.terminal_seconds * self.tasks.size[trip.task])
        node.trips[trip] = None
        self._follow(trip, self._journey(trip, gate))

    def _follow(self, trip: Trip, walk: Walk) -> None:
        """Starts a process that fails with the trip's node."""
        trip.walking.add(self.env.process(self._until_failure(walk)))

    def _until_failure(self, walk: Walk) -> Walk:
        try:
            yield from walk
        except simpy.Interrupt:
            return

    def _leaves_node(self, trip: Trip) -> None:
        """The present process goes on in stations that the node's failure does not touch."""
        trip.walking.discard(self.env.active_process)

    def _journey(self, trip: Trip, gate: simpy.Event | None) -> Walk:
        """From the master to the node, through its processor, and on."""
        task, node = trip.task, trip.node
        if gate is not None:
            yield gate
        yield from self._take(self.costs.terminal_seconds * self.tasks.size[task])
        self._stamp("at_node", trip)
        turn = node.processor.request()
        yield turn
        node.start(trip.expected)
        self._stamp("started", trip)
        yield from self._active(trip, self._service_seconds(trip), node.active_watts)
        self._stamp("done", trip)
        node.running_until = node.first_until = 0.0
        jobs = yield from self._enter_radio(trip)
        node.computed(trip)
        node.processor.release(turn)
        node.inside -= 1
        node.let_in()
        if self.setup.training and trip.awake and len(jobs) == 2:
            trip.ways_left = 2
            self._follow(trip, self._cloud_way(trip, jobs[0]))
            yield from self._exit_way(trip, jobs[1])
        elif jobs:
            yield from self._onward(trip, jobs[0])

    def _service_seconds(self, trip: Trip) -> float:
        task, sigma = trip.task, self.jitter[trip.node.index]
        noise = math.exp(sigma * self.tasks.noise[task] - sigma**2 / 2)
        return trip.expected * noise * self.tasks.slowdown[task]

    def _enter_radio(self, trip: Trip) -> Generator[simpy.Event, Any, list[Any]]:
        """Joins the radio's queue, for each job; without room the node stays blocked, or the task is rejected."""
        node, costs = trip.node, self.costs
        if costs.upload_bytes == 0 and costs.exit_seconds == 0:
            self._answer(trip, EDGE)
            return []
        while not node.radio_has_room():
            if self.setup.policy != "block":
                self._reject(trip)
                return []
            node.blocked = self.env.event()
            yield node.blocked
        both = self.setup.training and trip.awake and costs.exit_seconds > 0
        for way in (0, 1) if both else (int(trip.bits[1] > 0),):
            node.queue(way, trip.bits[way])
        return [node.radio.request() for _ in range(1 + both)]

    def _onward(self, trip: Trip, turn: Any) -> Walk:
        """The one way of a task: to the exit head, to the cloud, or to one after the other."""
        if not trip.awake:
            yield from self._exit_way(trip, turn)
        elif self.setup.exits and self.costs.exit_seconds > 0 and not self.setup.training:
            yield from self._exit_way(trip, turn)
            if not trip.dead and self.records.path[trip.task] == IN_FLIGHT:
                trip.walking.add(self.env.active_process)
                trip.node.queue(0, self._cloud_bits(trip))
                yield from self._cloud_way(trip, trip.node.radio.request())
        else:
            yield from self._cloud_way(trip, turn)

    def _exit_way(self, trip: Trip, turn: Any) -> Walk:
        """Through the node's radio to the master, and through its exit head."""
        yield turn
        trip.node.send(1, trip.bits[1])
        yield from self._send_to_master(trip, turn, EXIT_ASLEEP if not trip.awake else EARLY_EXIT)

    def _send_to_master(self, trip: Trip, turn: Any, path: int) -> Walk:
        """The exit way from where the radio's turn has come."""
        task, node = trip.task, trip.node
        num_bytes = self.costs.exit_upload_bytes * self.tasks.size[task]
        self.records.book(task, exit_bytes=num_bytes)
        rate = self.master.throughput_bits_per_second
        node.look_for_room()
        seconds = 8 * num_bytes / node.to_master
        node.sending_until = self.env.now + seconds
        yield from self._active(trip, seconds, node.transmit_watts)
        node.leave_radio(turn)
        self._leaves_node(trip)
        final = path != EARLY_EXIT or self.tasks.sure[task]
        if final and not self.setup.training:
            del node.trips[trip]
        self._stamp("sent", trip)
        if not (self.setup.training and trip.awake):
            self._stamp("arrived", trip)
        if not (yield from self._receive(trip, 8 * num_bytes / rate)):
            return
        seconds = self.costs.exit_seconds * self.tasks.work[task]
        joules = (self.master.busy_watts - self.master.idle_watts) * seconds
        if not (yield from self._serve(trip, self.head, seconds, joules)):
            return
        trip.seen_by_head = True
        if self.setup.training:
            yield from self._exit_gradient(trip)
        elif final:
            self._answer(trip, path)

    def _exit_gradient(self, trip: Trip) -> Walk:
        """From the exit head back to the node."""
        num_bytes = self.costs.exit_download_bytes * self.tasks.size[trip.task]
        if num_bytes > 0:
            rate, bits = self.master.throughput_bits_per_second, 8 * num_bytes
            sending = bits / min(rate, trip.node.throughput)
            joules = self.master.transmit_watts * sending
            if not (yield from self._serve(trip, self.sender, bits / rate, joules, exit_bytes=num_bytes)):
                return
            yield from self._take(sending - bits / rate)
        self._returned(trip, None if trip.awake else EXIT_ASLEEP)

    def _cloud_way(self, trip: Trip, turn: Any) -> Walk:
        """Through the node's radio and the backhaul to the cloud, and in training back."""
        yield turn
        credit = self.credits.request()
        if not credit.triggered and self.setup.policy != "block":
            credit.cancel()
            trip.node.send(0, self._cloud_bits(trip))
            if self.setup.policy == "exit" and self.costs.exit_seconds > 0 and not trip.seen_by_head:
                yield from self._send_to_master(trip, turn, EXIT_OVERLOAD)
            else:
                trip.node.leave_radio(turn)
                self._reject(trip)
            return
        try:
            yield from self._send_to_cloud(trip, turn, credit)
        except simpy.Interrupt:
            self._give_back(credit)
            raise
        if (yield from self._cross_backhaul(trip)):
            yield from self._take(self.link.propagations[self.link.present(self.env.now)])
            if not trip.dead:
                self._stamp("arrived", trip)
                seconds = self.costs.cloud_seconds * self.tasks.work[trip.task]
                yield from self._serve(trip, self.cloud, seconds)
        self._give_back(credit)
        if not trip.dead:
            yield from self._cloud_gradient(trip)

    def _cloud_bits(self, trip: Trip) -> float:
        return 8 * self.costs.upload_bytes * self.tasks.size[trip.task]

    def _give_back(self, credit: Any) -> None:
        credit.cancel()
        self.credits.release(credit)

    def _send_to_cloud(self, trip: Trip, turn: Any, credit: Any) -> Walk:
        """The radio's transfer to the cloud, for which it waits until the cloud has room."""
        task, node = trip.task, trip.node
        if not credit.triggered:
            node.stalled = 1
            yield credit
            node.stalled = 0
        num_bytes = self.costs.upload_bytes * self.tasks.size[task]
        self.records.book(task, upload_bytes=num_bytes)
        node.send(0, 8 * num_bytes)
        expected = node.air_seconds((8 * num_bytes, 0.0), self.link.expected_rate(self.env.now))
        node.sending_until = self.env.now + expected
        node.look_for_room()
        seconds = self.link.seconds(self.env.now, 8 * num_bytes, node.throughput)
        yield from self._active(trip, seconds, node.transmit_watts)
        node.leave_radio(turn)
        self._leaves_node(trip)
        if not self.setup.training:
            del node.trips[trip]
        self._stamp("sent", trip)

    def _cross_backhaul(self, trip: Trip) -> Generator[simpy.Event, Any, bool]:
        """Through the backhaul; False if the trip's node failed meanwhile."""
        seconds = (
            8 * self.costs.upload_bytes * self.tasks.size[trip.task] / self.setup.backhaul_bits_per_second
        )
        if seconds == 0:
            return True
        self.backhaul_waiting_seconds += seconds
        with self.backhaul.request() as turn:
            yield turn
            self.backhaul_waiting_seconds = (
                self.backhaul_waiting_seconds - seconds if self.backhaul.queue else 0.0
            )
            if trip.dead:
                return False
            self.backhaul_until = self.env.now + seconds
            yield self.env.timeout(seconds)
        return True

    def _cloud_gradient(self, trip: Trip) -> Walk:
        """From the cloud back to the node, in training; an answer takes no time."""
        num_bytes, node = self.costs.download_bytes * self.tasks.size[trip.task], trip.node
        if num_bytes > 0:
            trip.walking.add(self.env.active_process)
            turn = node.downlink.request()
            yield turn
            self.records.book(trip.task, download_bytes=num_bytes)
            yield self.env.timeout(self.link.seconds(self.env.now, 8 * num_bytes, node.throughput))
            node.downlink.release(turn)
            yield from self._take(self.link.propagations[self.link.present(self.env.now)])
            self._leaves_node(trip)
        if self.setup.training:
            self._returned(trip, CLOUD)
        else:
            self._answer(trip, CLOUD)

    def _take(self, seconds: float) -> Walk:
        if seconds > 0:
            yield self.env.timeout(seconds)

    def _active(self, trip: Trip, seconds: float, watts: float) -> Walk:
        """A node computes or sends; a failure ends it, and what it drew by then is booked."""
        started = self.env.now
        try:
            yield self.env.timeout(seconds)
        finally:
            self.records.book(trip.task, joules=watts * (self.env.now - started))

    def _serve(
        self,
        trip: Trip,
        station: simpy.Resource,
        seconds: float,
        joules: float = 0.0,
        exit_bytes: float = 0.0,
    ) -> Generator[simpy.Event, Any, bool]:
        """Waits for a shared station and is served; False if the trip's node failed before it began."""
        with station.request() as turn:
            yield turn
            if trip.dead:
                return False
            self.records.book(trip.task, joules=joules)
            self.records.book(trip.task, exit_bytes=exit_bytes)
            yield self.env.timeout(seconds)
        return True

    def _receive(self, trip: Trip, seconds: float) -> Generator[simpy.Event, Any, bool]:
        """The master receives in the order of sending, and if it is free, while the node sends."""
        now = self.env.now
        with self.receiver.request() as turn:
            yield turn
            if trip.dead:
                return False
            began = max(self.receiver_free_since, now - seconds)
            ends = max(now, began + seconds)
            yield self.env.timeout(max(ends - self.env.now, 0.0))
            self.receiver_free_since = self.env.now
        return True

    def _stamp(self, name: str, trip: Trip) -> None:
        self.records.stamps[name][trip.task] = self.env.now

    def _returned(self, trip: Trip, path: int | None) -> None:
        """A gradient is back at the node; ``path`` is None where the task's answer comes the other way."""
        if trip.dead:
            return
        if path is not None:
            self._stamp("answered", trip)
            self.records.path[trip.task] = path
        trip.ways_left -= 1
        if trip.ways_left == 0:
            del trip.node.trips[trip]

    def _answer(self, trip: Trip, path: int) -> None:
        if trip.dead:
            return
        self._stamp("answered", trip)
        self.records.path[trip.task] = path
        trip.node.trips.pop(trip, None)

    def _reject(self, trip: Trip) -> None:
        self.records.path[trip.task] = REJECTED
        trip.node.trips.pop(trip, None)
