"""The trainer's face of the engine: training steps by formula, evaluations, aggregations, books, and resumption."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cloudedge_pl.costs import SplitCosts
from cloudedge_pl.costs.exchange import exchange_costs
from cloudedge_pl.costs.queueing import Load, pooled_waiting_seconds, waiting_seconds
from cloudedge_pl.dormancy import Decide, DormancyRule, DormancyState
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
from cloudedge_pl.simulation import Scenario, Simulator, engine
from cloudedge_pl.simulation.churn import Churn
from cloudedge_pl.simulation.history import MAX_ROWS
from cloudedge_pl.simulation.link_laws import ConstantLink, LognormalLink
from cloudedge_pl.simulation.task_records import CLOUD, TaskRecords
from cloudedge_pl.simulation.tasks import ServiceNoise, Tasks
from tests.offloading.cases import LINK, make_workload

RULE = DormancyRule(sleep_ratio=1.3, wake_ratio=1.1, smoothing=0.2, warmup_windows=2, dwell_windows=1)
STEADY = Scenario(link=ConstantLink())


def make(
    num_nodes: int = 4,
    *,
    seed: int = 0,
    rate: float = 20.0,
    phase: Phase = "training",
    scheduler: Scheduler | str = "min_completion",
    scenario: Scenario | None = None,
    rule: DormancyRule | Decide | None = RULE,
    exits: bool = False,
    **costs: float,
) -> Simulator:
    nodes = Fleet.preset("raspberry-pi-4", num_nodes, speed_spread=0.3, memory_bytes=None).nodes
    rates = np.random.default_rng(seed + 1).uniform(10e6, 90e6, num_nodes)
    fleet = Fleet(
        tuple(replace(n, throughput_bits_per_second=float(r)) for n, r in zip(nodes, rates, strict=True)),
        link=replace(LINK, variation=0.5, propagation_seconds=0.02),
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
    return Simulator(
        costs_at_split,
        fleet,
        workload,
        as_scheduler(scheduler),
        scenario=scenario,
        dormancy=rule,
        exits=exits,
        seed=seed,
    )


WITHOUT_EXIT = {"exit_seconds": 0.0, "exit_upload_bytes": 0.0, "exit_download_bytes": 0.0}


def test_a_training_step_of_one_task_a_node_lasts_as_the_formula_says() -> None:
    simulator = make(3, rate=1e3, scenario=STEADY, cloud_seconds=0.0, **WITHOUT_EXIT)
    costs, link = simulator.costs, simulator.fleet.link
    record = simulator.step(3, owners=np.arange(3))
    ways = np.minimum(simulator.fleet.array("throughput_bits_per_second"), link.bandwidth_bits_per_second)
    one_way = 8 * 20_000.0 / ways + link.propagation_seconds
    expected = 0.002 + costs.execution_seconds + 2 * one_way
    np.testing.assert_allclose(record.delay_seconds, expected, rtol=1e-12)
    assert simulator.clock_seconds == pytest.approx(expected.max())
    assert simulator.step(3, owners=np.arange(3)).delay_seconds == pytest.approx(record.delay_seconds)
    assert simulator.clock_seconds == pytest.approx(2 * expected.max())  # nothing is left over


def test_the_next_step_waits_until_its_batch_has_gathered() -> None:
    assert make(3, rate=1.0, scenario=STEADY).step(9).clock_seconds == 9.0


def test_a_radio_sends_one_transfer_at_a_time() -> None:
    simulator = make(1, rate=1e3, scenario=STEADY, cloud_seconds=0.0, download_bytes=0.0, **WITHOUT_EXIT)
    slow = replace(simulator.fleet.link, bandwidth_bits_per_second=20_000 * 8.0)  # a second for each transfer
    simulator = Simulator(
        simulator.costs,
        replace(simulator.fleet, link=slow),
        simulator.workload,
        as_scheduler("atsa"),
        scenario=STEADY,
    )
    delays = simulator.step(4).delay_seconds
    first = 0.002 + simulator.costs.execution_seconds[0] + 1.0 + slow.propagation_seconds
    assert delays == pytest.approx(first + np.arange(4))


@pytest.mark.parametrize("name", sorted(SCHEDULERS))
def test_an_evaluation_dispatches_as_a_stream_in_windows_of_one_task(name: str) -> None:
    nothing = {"terminal_seconds": 0.0, "upload_bytes": 0.0, **WITHOUT_EXIT}  # is sent
    simulator = make(5, phase="inference", scheduler=name, scenario=STEADY, **nothing)
    arrivals = np.cumsum(np.random.default_rng(2).exponential(1 / 60.0, 12))
    simulator.engine.feed(Tasks.equal(12, arrivals), final=True)
    simulator.engine.run()
    nodes = simulator.engine.take_records().node
    seconds = np.broadcast_to(simulator.costs.execution_seconds, (12, 5))
    stream = schedule_stream(TaskWindow(seconds), arrivals, name, tasks_per_window=1, reschedule=False)
    np.testing.assert_array_equal(nodes, stream.node)


def test_the_delay_of_an_evaluation_does_not_depend_on_the_batch_size() -> None:
    summaries = []
    for size in (1, 25, 400):
        simulator = make(rate=25.0, phase="inference", scenario=STEADY, rule=None)
        for _ in range(400 // size):
            simulator.admit(size)
        summaries.append(simulator.summary())
    for summary in summaries[1:]:
        assert summary == pytest.approx(summaries[0], rel=1e-9)


def test_the_tasks_of_a_step_follow_one_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    simulator, taken = make(phase="inference", rule=replace(RULE, mode="paper")), []
    take = simulator.engine.take_records

    def keep() -> TaskRecords:
        taken.append(take())
        return taken[-1]

    monkeypatch.setattr(simulator.engine, "take_records", keep)
    awake = np.repeat([simulator.admit(5).awake for _ in range(60)], 5)
    simulator.finish()
    records = TaskRecords.concatenate(taken)
    np.testing.assert_array_equal(records.path == CLOUD, awake[records.task])
    assert 0 < awake.sum() < 300


def test_tasks_that_exit_upload_nothing() -> None:
    simulator = make(phase="inference", rule=None, exits=True, scenario=STEADY)
    exits, audited = np.arange(100) % 2 == 0, np.arange(100) < 10
    simulator.admit(100, exits, audited)
    summary = simulator.summary()
    assert summary["mean_upload_bytes"] == pytest.approx((50 + 5) / 100 * 20_000.0)
    assert summary["mean_exit_bytes"] == pytest.approx(60_000.0)


class BySpeed:
    """Draws a node for each task, in proportion to speed, whatever the queues."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(0)

    def assign(self, window: TaskWindow, state: NodeState) -> Assignment:
        speed = 1 / window.times_seconds[0]
        node = self.random.choice(len(speed), size=window.num_tasks, p=speed / speed.sum())
        return Assignment(node, np.zeros(len(speed)), 0.0, np.zeros(1))

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@pytest.mark.parametrize("load", [0.5, 0.8])
@pytest.mark.parametrize("dispatch", ["pooled", "per node"])
def test_an_evaluation_waits_as_long_as_the_planner_says(dispatch: str, load: float) -> None:
    seconds = np.full(6, 0.1) if dispatch == "pooled" else np.array([0.05, 0.1, 0.15])
    rate = load * (1 / seconds).sum()
    fleet = Fleet.preset("raspberry-pi-4", len(seconds), speed_spread=0.0, memory_bytes=None, link=LINK)
    scheduler: Scheduler = as_scheduler("atsa") if dispatch == "pooled" else BySpeed()
    costs = SplitCosts(seconds, 0.0, 0.0, 200.0, 0.0, 0.0, 0.0, 0.002, 1e6)
    workload = make_workload(arrival_rate=rate, phase="inference")
    simulator = Simulator(costs, fleet, workload, scheduler, scenario=STEADY)
    simulator.admit(200_000 if dispatch == "pooled" else 30_000)
    shares = (1 / seconds) / (1 / seconds).sum()
    offered = Load(rate, shares[:, None], seconds[:, None], np.ones(1))
    if dispatch == "pooled":
        wait = float(pooled_waiting_seconds(offered)[0])
    else:
        wait = float(shares @ waiting_seconds(offered, "md1")[:, 0])
    served = float(shares @ seconds) + 0.002 + 8 * 200.0 / 50e6 + 0.01
    measured = simulator.summary()["mean_delay_seconds"]
    assert measured - served == pytest.approx(wait, rel=0.1)


def test_a_window_that_no_node_can_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="memory_bytes"):
        make(phase="inference", task_memory_bytes=1e15)


def test_a_step_that_no_node_can_do_is_refused() -> None:
    simulator = make(1, scenario=Scenario(churn=Churn(events=[(0.01, "raspberry-pi-4-0", "fail")])))
    with pytest.raises(ValueError, match="wait for a node"):
        simulator.step(3)


def test_a_node_that_dies_in_a_step_loses_no_sample() -> None:
    events = [(0.1, "raspberry-pi-4-1", "fail")]
    simulator = make(3, scenario=Scenario(link=ConstantLink(), churn=Churn(events=events)))
    owners = np.arange(30) % 3
    record = simulator.step(30, owners=owners)
    assert record.assignment.node.shape == (30,)
    assert 1 not in record.assignment.node[3:]
    assert record.assignment.tasks_per_node.sum() == 30
    assert np.isfinite(record.delay_seconds).all()


def test_aggregations_cost_what_the_formula_says() -> None:
    simulator = make(3, scenario=STEADY)
    simulator.step(6)
    clock, before = simulator.clock_seconds, simulator.accounts
    simulator.synchronise(30_000.0)
    exchange = exchange_costs(30_000.0, simulator.fleet)
    assert simulator.clock_seconds == pytest.approx(clock + exchange.seconds)
    after = simulator.accounts
    np.testing.assert_allclose(after.sync_bytes - before.sync_bytes, exchange.num_bytes)
    np.testing.assert_allclose(after.sync_joules - before.sync_joules, exchange.joules)
    np.testing.assert_allclose(after.joules, before.joules)  # idle power is booked once
    assert simulator.history.columns()["clock_seconds"][-1] == simulator.clock_seconds
    simulator.synchronise(0)
    assert simulator.accounts.sync_bytes.sum() == after.sync_bytes.sum()


def test_a_node_that_is_away_pays_for_no_aggregation() -> None:
    scenario = Scenario(link=ConstantLink(), churn=Churn(absent=["raspberry-pi-4-1"]))
    simulator = make(3, scenario=scenario)
    simulator.step(6)
    before = simulator.accounts
    for _ in range(3):  # longer than the step
        simulator.synchronise(3e6)
    after = simulator.accounts
    present = np.array([True, False, True])
    exchange = exchange_costs(3e6, simulator.fleet, present)
    assert simulator.sync_seconds == pytest.approx(3 * exchange.seconds)
    np.testing.assert_allclose(after.sync_bytes, [3 * 6e6, 0, 3 * 6e6, 0])
    np.testing.assert_allclose(after.sync_joules, 3 * exchange.joules)
    assert after.sync_joules[1] == 0
    np.testing.assert_allclose(after.joules, before.joules)  # idle power is booked once
    simulator.step(6)
    idle = simulator.fleet.array("idle_watts") * (simulator.clock_seconds - simulator.sync_seconds)
    assert (simulator.accounts.joules[:3] >= idle * present - 1e-9).all()


def test_a_node_that_has_left_hands_in_what_it_learned() -> None:
    events = [(0.5, "raspberry-pi-4-1", "leave"), (0.5, "raspberry-pi-4-2", "fail")]
    simulator = make(3, rate=1.0, scenario=Scenario(link=ConstantLink(), churn=Churn(events=events)))
    simulator.step(3)
    simulator.step(3)
    np.testing.assert_array_equal(simulator.present, [True, False, False])
    np.testing.assert_array_equal(simulator.failures, [0, 0, 1])
    simulator.synchronise(1e3, np.array([True, True, False]))
    np.testing.assert_array_equal(simulator.accounts.sync_bytes, [2e3, 2e3, 0, 0])


def test_a_state_of_an_earlier_version_is_refused() -> None:
    state = make().state_dict()
    del state["engine"]
    with pytest.raises(CheckpointError, match="engine"):
        make().load_state_dict(state)


def test_a_state_without_what_this_version_counts_is_refused() -> None:
    state = make().state_dict()
    del state["engine"]["arrays"]["nodes"]["sending_until"]
    with pytest.raises(CheckpointError, match="nodes have no sending_until"):
        make().load_state_dict(state)


def test_a_state_of_another_fleet_is_refused() -> None:
    with pytest.raises(CheckpointError, match="3 nodes"):
        make(4).load_state_dict(make(3).state_dict())


UNLIKE = Scenario(
    classes=[{"name": "small", "work": 0.5}, {"name": "large", "work": 2.0, "size": 2.0}],
    service=ServiceNoise(jitter=0.3, straggler_probability=0.05),
)


@pytest.mark.parametrize("scenario", [None, UNLIKE], ids=["equal", "unlike"])
@pytest.mark.parametrize("phase", ["training", "inference"])
def test_a_resumed_run_equals_one_that_was_not_stopped(phase: Phase, scenario: Scenario | None) -> None:
    def run(simulator: Simulator, counts: tuple[int, ...]) -> None:
        for count in counts:
            simulator.step(count) if phase == "training" else simulator.admit(count)
            if phase == "training":
                simulator.synchronise(1000.0)

    whole, first, second = (make(seed=3, phase=phase, scenario=scenario) for _ in range(3))
    run(whole, (5, 9, 16, 2, 7, 30, 1))
    run(first, (5, 9, 16, 2))
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    run(second, (7, 30, 1))
    assert whole.summary() == second.summary()
    assert json.dumps(whole.report()) == json.dumps(second.report())


def test_a_long_run_has_a_small_state() -> None:
    simulator = make(10, rate=1e4, scheduler="round_robin")
    for _ in range(3 * MAX_ROWS):
        simulator.step(1)
    assert len(json.dumps(simulator.state_dict())) < 300_000
    assert simulator.summary()["tasks"] == 3 * MAX_ROWS


def test_all_at_the_edge_never_sleeps_and_uploads_nothing() -> None:
    simulator = make(upload_bytes=0.0, download_bytes=0.0, cloud_seconds=0.0, **WITHOUT_EXIT)
    assert all(simulator.step(8).awake for _ in range(50))
    assert simulator.summary()["mean_upload_bytes"] == 0
    assert simulator.summary()["share_asleep"] == 0


def test_summary_is_that_of_all_tasks() -> None:
    simulator = make()
    records = [simulator.step(count) for count in (3, 11, 6)]
    delays = np.concatenate([record.delay_seconds for record in records])
    summary = simulator.summary()
    assert summary["mean_delay_seconds"] == pytest.approx(delays.mean())
    assert summary["p95_delay_seconds"] == pytest.approx(
        np.quantile(delays, 0.95, method="inverted_cdf"), rel=0.02
    )
    joules = sum(record.joules for record in records)
    np.testing.assert_allclose(joules, simulator.accounts.joules)


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        make().step(0)


def test_a_rule_is_told_the_longest_delay_in_time() -> None:
    limits: list[float] = []

    def note(state: DormancyState, delay: float, *, limit_seconds: float) -> DormancyState:
        limits.append(limit_seconds)
        return state

    simulator = make(phase="inference", rate=1e-3, rule=note)  # so rare that every node is free
    for _ in range(3):
        simulator.admit(1)
    costs = simulator.costs
    fastest = float(costs.execution_seconds.min())
    expected = simulator.workload.max_delay_seconds - costs.terminal_seconds - fastest - costs.cloud_seconds
    assert limits == pytest.approx([expected] * 3)


@pytest.mark.parametrize(
    "scenario",
    [Scenario(backhaul_bits_per_second=1e-300), Scenario(link=LognormalLink(outages=((0.0, 1e12),)))],
)
@pytest.mark.parametrize("phase", ["training", "inference"])
def test_a_transfer_that_never_ends_is_refused(
    scenario: Scenario, phase: Phase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "MAX_BLOCKS", 50)
    simulator = make(scenario=scenario, phase=phase, rule=None)
    if phase == "inference":
        simulator.admit(5)
    run = simulator.finish if phase == "inference" else lambda: simulator.step(5)
    with pytest.raises(ValueError, match=r"tasks wait for what never ends\. Check outages"):
        run()
