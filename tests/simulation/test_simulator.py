"""The simulator: a literal event loop agrees with it in delays, clock and books; a resumed run is the same run."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudedge_pl.costs import SplitCosts
from cloudedge_pl.costs.queueing import Load, pooled_waiting_seconds, waiting_seconds
from cloudedge_pl.dormancy import DormancyRule, DormancyState, next_state
from cloudedge_pl.errors import CheckpointError
from cloudedge_pl.fleet import Fleet, Phase
from cloudedge_pl.scheduling import (
    SCHEDULERS,
    Assignment,
    NodeState,
    Scheduler,
    TaskWindow,
    as_scheduler,
    schedule_stream,
)
from cloudedge_pl.simulation import Simulator
from cloudedge_pl.simulation.accounts import COLUMNS
from tests.offloading.cases import LINK, make_workload

RULE = DormancyRule(sleep_ratio=1.3, wake_ratio=1.1, smoothing=0.2, warmup_windows=2, dwell_windows=1)


def decide(state: DormancyState, delay: float) -> DormancyState:
    return next_state(RULE, state, delay)


def make(
    num_nodes: int = 4,
    *,
    variation: float = 0.5,
    seed: int = 0,
    rate: float = 20.0,
    phase: Phase = "training",
    scheduler: Scheduler | str = "min_completion",
    **costs: float,
) -> Simulator:
    nodes = Fleet.preset("raspberry-pi-4", num_nodes, speed_spread=0.3, memory_bytes=None).nodes
    rates = np.random.default_rng(seed + 1).uniform(10e6, 90e6, num_nodes)
    fleet = Fleet(
        tuple(replace(n, throughput_bits_per_second=float(r)) for n, r in zip(nodes, rates, strict=True)),
        link=replace(LINK, variation=variation, propagation_seconds=0.02),
        master=replace(nodes[0], name="master", throughput_bits_per_second=40e6, transmit_watts=3.0),
    )
    values = {
        "exit_seconds": 0.01,
        "cloud_seconds": 0.005,
        "upload_bytes": 20_000.0,
        "download_bytes": 20_000.0 * (phase == "training"),
        "exit_upload_bytes": 60_000.0,
        "exit_download_bytes": 60_000.0 * (phase == "training"),
        "terminal_seconds": 0.002,
        "task_memory_bytes": 1e6,
        **costs,
    }
    execution = np.random.default_rng(seed).uniform(0.05, 0.2, num_nodes)
    costs_at_split = SplitCosts(execution_seconds=execution, **values)
    workload = make_workload(arrival_rate=rate, phase=phase)
    return Simulator(costs_at_split, fleet, workload, as_scheduler(scheduler), decide=decide, seed=seed)


@dataclass
class Books:
    """What the machines did, kept task by task; the master is called "master"."""

    delays: list[list[float]] = field(default_factory=list)
    awake: list[bool] = field(default_factory=list)
    clocks: list[float] = field(default_factory=list)
    moved: defaultdict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))
    radio_joules: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    busy_seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))


class Channel:
    """One direction of the master's interface: transfers follow each other, none is done before its slower end is."""

    def __init__(self, bits_per_second: float) -> None:
        self.rate, self.free_at = bits_per_second, 0.0

    def send(self, at: float, bits: float, other: float) -> float:
        """Master to node: starts when the channel is free; returns when the node has it."""
        start = max(at, self.free_at)
        self.free_at = start + bits / self.rate
        return start + bits / min(self.rate, other)

    def receive(self, at: float, bits: float, other: float) -> float:
        """Node to master, the node sending from ``at`` on."""
        self.free_at = max(at + bits / min(self.rate, other), self.free_at + bits / self.rate)
        return self.free_at


def event_loop(simulator: Simulator, windows: list[int], weights: float = 0.0) -> Books:
    """The same windows, task by task and machine by machine; only what is drawn is the simulator's.

    ``weights`` bytes are exchanged after every window.
    """
    costs, fleet, books = simulator.costs, simulator.fleet, Books()
    training, rate = simulator.workload.phase == "training", simulator.workload.arrival_rate
    master = fleet.coordinator
    receiving, sending = (
        Channel(master.throughput_bits_per_second),
        Channel(master.throughput_bits_per_second),
    )
    free_at, exit_free_at = [0.0] * fleet.num_nodes, 0.0
    clock = arrived = noise = 0.0
    state = DormancyState()
    for index, count in enumerate(windows):
        random = np.random.default_rng([simulator.seed, index])
        normal = random.standard_normal()
        noise = normal if index == 0 else 0.8 * noise + 0.6 * normal
        factor = np.exp(fleet.link.variation * noise)
        gaps = random.exponential(1 / rate, count)
        tasks, transfers, opened = [], [], clock
        for task in range(count):
            arrived = clock if training else arrived + gaps[task]
            there = arrived + costs.terminal_seconds
            finish = [max(there, free) + s for free, s in zip(free_at, costs.execution_seconds, strict=True)]
            at = finish.index(min(finish))
            free_at[at] = finish[at]
            node = fleet.nodes[at]
            books.busy_seconds[node.name] += costs.execution_seconds[at]
            speed = min(fleet.link.bandwidth_bits_per_second, node.throughput_bits_per_second)
            transfers.append((8 * costs.upload_bytes / speed + fleet.link.propagation_seconds) * factor)
            tasks.append((arrived, finish[at], node))
        state = next_state(RULE, state, float(np.mean(transfers)))
        by_cloud = [
            end + 2 * t + costs.cloud_seconds for (_, end, _), t in zip(tasks, transfers, strict=True)
        ]
        if not training:
            by_cloud = [answer - t for answer, t in zip(by_cloud, transfers, strict=True)]
        by_exit = [0.0] * count
        if training or not state.awake:
            bits = 8 * costs.exit_upload_bytes
            own = [bits / min(n.throughput_bits_per_second, receiving.rate) for _, _, n in tasks]
            for task in sorted(range(count), key=lambda task: tasks[task][1] + own[task]):
                _, end, node = tasks[task]
                there = receiving.receive(end, bits, node.throughput_bits_per_second)
                books.radio_joules[node.name] += node.transmit_watts * own[task]
                books.moved[node.name, "exit_upload_bytes"] += costs.exit_upload_bytes
                exit_free_at = max(there, exit_free_at) + costs.exit_seconds
                books.busy_seconds["master"] += costs.exit_seconds
                back = 8 * costs.exit_download_bytes
                by_exit[task] = sending.send(exit_free_at, back, node.throughput_bits_per_second)
                books.radio_joules["master"] += (
                    master.transmit_watts * back / min(sending.rate, node.throughput_bits_per_second)
                )
                books.moved[node.name, "exit_download_bytes"] += costs.exit_download_bytes
        if state.awake:
            for _, _, node in tasks:
                speed = min(fleet.link.bandwidth_bits_per_second, node.throughput_bits_per_second)
                books.radio_joules[node.name] += node.transmit_watts * 8 * costs.upload_bytes / speed
                books.moved[node.name, "upload_bytes"] += costs.upload_bytes
                books.moved[node.name, "download_bytes"] += costs.download_bytes
        answers = by_cloud if state.awake else by_exit
        known = [clock, arrived, *answers, *by_exit]
        clock = max([*known, opened + count / rate] if training else known)
        books.delays.append([a - came for a, (came, _, _) in zip(answers, tasks, strict=True)])
        books.awake.append(state.awake)
        if weights:
            collecting, bits, by_end = Channel(receiving.rate), 8 * weights, []
            for node, free in zip(fleet.nodes, free_at, strict=True):
                took = bits / min(node.throughput_bits_per_second, collecting.rate)
                by_end.append((max(free, clock) + took, max(free, clock), node))
                books.radio_joules[node.name] += node.transmit_watts * took
                books.moved[node.name, "sync_bytes"] += 2 * weights
            for _, start, node in sorted(by_end, key=lambda each: each[0]):
                got = collecting.receive(start, bits, node.throughput_bits_per_second)
            slowest = min([sending.rate, *(n.throughput_bits_per_second for n in fleet.nodes)])
            books.radio_joules["master"] += master.transmit_watts * bits / slowest
            arrived = clock = got + bits / slowest
        books.clocks.append(clock)
    return books


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    st.integers(1, 6),
    st.lists(st.integers(1, 30), min_size=1, max_size=12),
    st.integers(0, 1000),
    st.sampled_from(["training", "inference"]),
    st.sampled_from([0.0, 30_000.0]),
)
def test_a_literal_event_loop_gives_the_same_delays_clock_and_books(
    num_nodes: int, windows: list[int], seed: int, phase: Phase, weights: float
) -> None:
    simulator = make(num_nodes, seed=seed, phase=phase)
    books = event_loop(simulator, windows, weights)
    for count, delays, awake, clock in zip(windows, books.delays, books.awake, books.clocks, strict=True):
        record = simulator.step(count)
        simulator.synchronise(weights)
        np.testing.assert_allclose(record.delay_seconds, delays, rtol=1e-9, atol=1e-9)
        assert record.awake == awake
        assert simulator.clock_seconds == pytest.approx(clock)
    assert simulator.history["clock_seconds"] == pytest.approx(books.clocks)
    accounts = simulator.accounts
    assert accounts.tasks.sum() == sum(windows)
    assert accounts.tasks[-1] == 0  # the master coordinates, it runs no task
    for at, machine in enumerate((*simulator.fleet.nodes, simulator.fleet.coordinator)):
        for column in COLUMNS:
            if column.endswith("_bytes"):
                assert getattr(accounts, column)[at] == pytest.approx(books.moved[machine.name, column])
        busy = books.busy_seconds[machine.name]
        assert accounts.busy_seconds[at] == pytest.approx(busy)
        drawn = (
            machine.idle_watts * books.clocks[-1]
            + (machine.busy_watts - machine.idle_watts) * busy
            + books.radio_joules[machine.name]
        )
        assert accounts.joules[at] + accounts.sync_joules[at] == pytest.approx(drawn)


def test_a_training_step_lasts_until_its_gradients_are_back_by_formula() -> None:
    simulator = make(
        3, variation=0.0, rate=1e3, exit_seconds=0.0, exit_upload_bytes=0.0, exit_download_bytes=0.0
    )
    costs, link = simulator.costs, simulator.fleet.link
    record = simulator.step(9)
    tasks, ways = record.assignment.tasks_per_node, simulator.fleet.array("throughput_bits_per_second")
    one_way = 8 * 20_000.0 / np.minimum(ways, link.bandwidth_bits_per_second) + link.propagation_seconds
    ends = 0.002 + tasks * costs.execution_seconds + 2 * one_way + 0.005
    assert simulator.clock_seconds == pytest.approx(ends[tasks > 0].max())
    assert simulator.step(9).delay_seconds == pytest.approx(record.delay_seconds)  # nothing is left over
    assert simulator.clock_seconds == pytest.approx(2 * ends[tasks > 0].max())
    slow = make(3, variation=0.0, rate=1.0)
    assert slow.step(9).clock_seconds == 9.0  # the next batch is still gathering


def test_the_clock_of_inference_runs_until_the_last_answer_is_out() -> None:
    simulator = make(rate=1e6, phase="inference")
    record = simulator.step(1)
    assert record.delay_seconds[0] > 0.05
    assert record.clock_seconds == pytest.approx(record.delay_seconds[0], abs=1e-4)


@pytest.mark.parametrize("name", sorted(SCHEDULERS))
def test_inference_dispatches_as_a_stream_in_windows_of_one_task(name: str) -> None:
    simulator = make(5, seed=2, rate=60.0, phase="inference", scheduler=name)
    record = simulator.step(12)
    arrivals = np.cumsum(_arrivals(2, 60.0, 12)) + 0.002
    seconds = np.broadcast_to(simulator.costs.execution_seconds, (12, 5))
    stream = schedule_stream(TaskWindow(seconds), arrivals, name, tasks_per_window=1, reschedule=False)
    np.testing.assert_array_equal(record.assignment.node, stream.node)


def _arrivals(seed: int, rate: float, count: int) -> np.ndarray:
    random = np.random.default_rng([seed, 0])
    random.standard_normal()
    return random.exponential(1 / rate, count)


def test_the_delay_of_inference_does_not_depend_on_the_batch_size() -> None:
    delays = []
    for size in (1, 25, 400):
        simulator = make(variation=0.0, rate=25.0, phase="inference")
        for _ in range(4000 // size):
            simulator.step(size)
        delays.append(simulator.summary()["mean_delay_seconds"])
    assert delays == pytest.approx([delays[0]] * 3, rel=0.05)  # the draws differ


class BySpeed:
    """Draws a node for each task, in proportion to speed, whatever the queues."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(0)

    def assign(self, window: TaskWindow, state: NodeState) -> Assignment:
        speed = 1 / window.times_seconds[0]
        node = self.random.choice(len(speed), size=window.num_tasks, p=speed / speed.sum())
        return Assignment(node, np.zeros(len(speed)), 0.0, np.zeros(1))

    def state_dict(self) -> dict:
        return {}

    def load_state_dict(self, state: dict) -> None: ...


@pytest.mark.parametrize("load", [0.5, 0.8])
@pytest.mark.parametrize("dispatch", ["pooled", "per node"])
def test_inference_waits_as_long_as_the_planner_says(dispatch: str, load: float) -> None:
    seconds = np.full(6, 0.1) if dispatch == "pooled" else np.array([0.05, 0.1, 0.15])
    rate = load * (1 / seconds).sum()
    fleet = Fleet.preset("raspberry-pi-4", len(seconds), speed_spread=0.0, memory_bytes=None, link=LINK)
    scheduler: Scheduler = as_scheduler("atsa") if dispatch == "pooled" else BySpeed()
    costs = SplitCosts(seconds, 0.0, 0.005, 20_000.0, 0.0, 0.0, 0.0, 0.002, 1e6)
    workload = make_workload(arrival_rate=rate)
    simulator = Simulator(costs, fleet, workload, scheduler)
    for _ in range(8 if dispatch == "per node" else 80):
        simulator.step(5000 if dispatch == "pooled" else 2000)
    shares = (1 / seconds) / (1 / seconds).sum()
    offered = Load(rate, shares[:, None], seconds[:, None], np.ones(1))
    if dispatch == "pooled":
        wait = float(pooled_waiting_seconds(offered)[0])
    else:
        wait = float(shares @ waiting_seconds(offered, "md1")[:, 0])
    transfer = 8 * 20_000.0 / 50e6 + 0.01
    served = float(shares @ seconds) + 0.002 + 0.005 + transfer
    measured = simulator.summary()["mean_delay_seconds"]
    assert measured == pytest.approx(served + wait, rel=0.04)
    assert measured - served == pytest.approx(wait, rel=0.1)


def test_a_window_that_no_node_can_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="fits"):
        make(phase="inference", task_memory_bytes=1e15).step(2)


def test_a_state_of_an_earlier_version_is_refused() -> None:
    state = make().state_dict()
    del state["arrived_seconds"]
    with pytest.raises(CheckpointError, match="arrived_seconds"):
        make().load_state_dict(state)


@pytest.mark.parametrize("phase", ["training", "inference"])
def test_a_resumed_run_equals_one_that_was_not_stopped(phase: Phase) -> None:
    whole, first = make(seed=3, phase=phase), make(seed=3, phase=phase)
    for count in (5, 9, 16, 2):
        whole.step(count)
        first.step(count)
    state = json.loads(json.dumps(first.state_dict()))
    second = make(seed=3, phase=phase)
    second.load_state_dict(state)
    for count in (7, 30, 1):
        expected, got = whole.step(count), second.step(count)
        np.testing.assert_array_equal(got.delay_seconds, expected.delay_seconds)
        np.testing.assert_array_equal(got.assignment.node, expected.assignment.node)
    assert second.state_dict() == whole.state_dict()


def test_link_is_correlated_and_as_wide_as_it_says() -> None:
    simulator = make(variation=0.4)
    logs = np.log([simulator.step(1).link_delay_seconds for _ in range(4000)])
    # one task a window: the node's own rate is the same for all, the factor is what varies
    assert np.std(logs) == pytest.approx(0.4, rel=0.12)
    assert np.corrcoef(logs[1:], logs[:-1])[0, 1] == pytest.approx(0.8, abs=0.05)


def test_all_at_the_edge_never_sleeps_and_uploads_nothing() -> None:
    simulator = make(upload_bytes=0.0, download_bytes=0.0, exit_seconds=0.0, cloud_seconds=0.0)
    records = [simulator.step(8) for _ in range(50)]
    assert all(record.awake for record in records)
    assert simulator.summary()["mean_upload_bytes"] == 0
    assert simulator.summary()["share_asleep"] == 0


def test_summary_is_the_mean_over_tasks() -> None:
    simulator = make()
    records = [simulator.step(count) for count in (3, 11, 6)]
    delays = np.concatenate([record.delay_seconds for record in records])
    assert simulator.summary()["mean_delay_seconds"] == pytest.approx(delays.mean())


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        make().step(0)


def test_a_rule_is_told_the_longest_delay_in_time() -> None:
    limits: list[float] = []

    def note(state: DormancyState, delay: float, *, limit_seconds: float) -> DormancyState:
        limits.append(limit_seconds)
        return state

    simulator = make(phase="inference", rate=1e-3)  # so rare that every node is free
    simulator.decide = note
    for _ in range(3):
        simulator.step(1)
    costs = simulator.costs
    fastest = float(costs.execution_seconds.min())
    expected = simulator.workload.max_delay_seconds - costs.terminal_seconds - fastest - costs.cloud_seconds
    assert limits == pytest.approx([expected] * 3)
