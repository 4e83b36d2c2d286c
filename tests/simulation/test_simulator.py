"""The simulator: a literal event loop agrees with it, nothing is lost, a resumed run is the same run."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudedge_pl.dormancy import DormancyRule, DormancyState, next_state
from cloudedge_pl.fleet import Fleet, Link, Workload
from cloudedge_pl.offloading import SplitCosts
from cloudedge_pl.scheduling import create_scheduler
from cloudedge_pl.simulation import Simulator

RULE = DormancyRule(sleep_ratio=1.3, wake_ratio=1.1, smoothing=0.2, warmup_windows=2, dwell_windows=1)


def decide(state: DormancyState, delay: float) -> DormancyState:
    return next_state(RULE, state, delay)


def make(
    num_nodes: int = 4, *, variation: float = 0.5, seed: int = 0, rate: float = 20.0, **costs: float
) -> Simulator:
    fleet = Fleet.preset(
        "raspberry-pi-4",
        num_nodes,
        speed_spread=0.3,
        link=Link(variation=variation, propagation_seconds=0.02),
    )
    values = {
        "exit_seconds": 0.01,
        "cloud_seconds": 0.005,
        "upload_bytes": 20_000.0,
        "download_bytes": 20_000.0,
        "terminal_seconds": 0.002,
        "input_bytes": 3072.0,
        "task_memory_bytes": 1e6,
        **costs,
    }
    execution = np.random.default_rng(seed).uniform(0.05, 0.2, num_nodes)
    costs_at_split = SplitCosts(execution_seconds=execution, **values)
    workload = Workload(arrival_rate=rate, phase="training")
    return Simulator(costs_at_split, fleet, workload, create_scheduler("fcfs"), decide, seed)


def replay(simulator: Simulator, windows: list[int]) -> list[tuple[np.ndarray, bool]]:
    """The same windows, task by task, from the queueing rules alone; only draws and routing are the simulator's."""
    costs, fleet = simulator.costs, simulator.fleet
    twin = make(
        fleet.num_nodes,
        variation=fleet.link.variation,
        seed=simulator.seed,
        rate=simulator.workload.arrival_rate,
    )
    free_at = dict.fromkeys(range(fleet.num_nodes), 0.0)
    master_free_at, clock, noise, out = 0.0, 0.0, 0.0, []
    state = DormancyState()
    for index, count in enumerate(windows):
        random = np.random.default_rng([simulator.seed, index])
        gaps = random.exponential(1 / simulator.workload.arrival_rate, count)
        normal = random.standard_normal()
        noise = normal if index == 0 else 0.8 * noise + 0.6 * normal
        factor = np.exp(fleet.link.variation * noise)
        route = twin.step(count).assignment.node
        arrivals, done, transfers = [], [], []
        for gap, node in zip(gaps, route, strict=True):
            clock += gap
            start = max(clock + costs.terminal_seconds, free_at[node])
            free_at[node] = start + costs.execution_seconds[node]
            rate = min(fleet.link.bandwidth_bits_per_second, fleet.nodes[node].throughput_bits_per_second)
            arrivals.append(clock)
            done.append(free_at[node])
            transfers.append((8 * costs.upload_bytes / rate + fleet.link.propagation_seconds) * factor)
        state = next_state(RULE, state, float(np.mean(transfers)))
        if state.awake:
            answers = np.array(done) + np.array(transfers) * 2 + costs.cloud_seconds
        else:
            answers = np.array(done)
            for task in np.argsort(answers, kind="stable"):
                master_free_at = max(master_free_at, answers[task]) + costs.exit_seconds
                answers[task] = master_free_at
        out.append((answers - np.array(arrivals), state.awake))
    return out


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.integers(1, 6), st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(0, 1000))
def test_delays_equal_a_literal_event_loop(num_nodes: int, windows: list[int], seed: int) -> None:
    simulator = make(num_nodes, seed=seed)
    for (delays, awake), count in zip(replay(simulator, windows), windows, strict=True):
        record = simulator.step(count)
        np.testing.assert_allclose(record.delay_seconds, delays, rtol=1e-9, atol=1e-9)
        assert record.awake == awake


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.integers(1, 6), st.lists(st.integers(1, 30), min_size=1, max_size=20), st.integers(0, 1000))
def test_nothing_is_lost(num_nodes: int, windows: list[int], seed: int) -> None:
    simulator = make(num_nodes, seed=seed)
    records = [simulator.step(count) for count in windows]
    windows_close = simulator.clock_seconds
    simulator.synchronise(1000.0)
    books = simulator.accounts
    assert books.tasks.sum() == sum(windows)
    assert books.tasks[-1] == 0  # the master coordinates, it runs no task
    assert books.upload_bytes.sum() == pytest.approx(
        20_000 * sum(n for n, r in zip(windows, records, strict=True) if r.awake)
    )
    assert books.download_bytes.sum() == pytest.approx(books.upload_bytes.sum())
    assert books.sync_bytes.sum() == pytest.approx(2 * 1000.0 * num_nodes)
    assert books.joules.sum() == pytest.approx(sum(r.joules.sum() for r in records))
    idle_watts = sum(m.idle_watts for m in (*simulator.fleet.nodes, simulator.fleet.coordinator))
    assert simulator.sync_seconds == pytest.approx(simulator.clock_seconds - windows_close)
    sync_radio = sum(
        n.transmit_watts * 8 * 1000.0 / n.throughput_bits_per_second for n in simulator.fleet.nodes
    )
    assert books.sync_joules.sum() == pytest.approx(idle_watts * simulator.sync_seconds + sync_radio)
    idle = idle_watts * windows_close
    busy = sum(
        (m.busy_watts - m.idle_watts) * s
        for m, s in zip(
            (*simulator.fleet.nodes, simulator.fleet.coordinator), books.busy_seconds, strict=True
        )
    )
    radio = sum(
        m.transmit_watts * 8 * b / min(50e6, m.throughput_bits_per_second)
        for m, b in zip(simulator.fleet.nodes, books.upload_bytes[:-1], strict=True)
    )
    assert books.joules.sum() == pytest.approx(idle + busy + radio)


def test_an_aggregation_waits_for_every_node_and_the_next_window_for_it() -> None:
    simulator, twin = make(3, seed=1), make(3, seed=1)
    first = simulator.step(12)
    arrivals = np.cumsum(np.random.default_rng([1, 0]).exponential(1 / 20.0, 12))
    done = [0.0] * 3
    for arrival, node in zip(arrivals, first.assignment.node, strict=True):
        done[node] = max(arrival + 0.002, done[node]) + simulator.costs.execution_seconds[node]
    sending = [8 * 3e6 / n.throughput_bits_per_second for n in simulator.fleet.nodes]
    collected = max(max(free, arrivals[-1]) + send for free, send in zip(done, sending, strict=True))
    simulator.synchronise(3e6)
    assert simulator.clock_seconds == pytest.approx(collected + max(sending))
    assert simulator.history["clock_seconds"] == [simulator.clock_seconds]
    second = simulator.step(5)
    gaps = np.random.default_rng([1, 1]).exponential(1 / 20.0, 5)
    assert second.clock_seconds == pytest.approx(collected + max(sending) + gaps.sum())
    twin.step(12)
    twin.synchronise(0.0)  # everything runs in the cloud: there is nothing to wait for
    assert twin.clock_seconds == first.clock_seconds


def test_a_resumed_run_equals_one_that_was_not_stopped() -> None:
    whole, first = make(seed=3), make(seed=3)
    for count in (5, 9, 16, 2):
        whole.step(count)
        first.step(count)
    state = json.loads(json.dumps(first.state_dict()))
    second = make(seed=3)
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
