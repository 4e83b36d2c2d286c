"""The engine and a simpy model of the same system, written from its description alone, agree on every time stamp."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from simpy_fleet import AMOUNTS, FAIL, JOIN, LEAVE, STAMPS, SimpyFleet, setup_of
from simpy_fleet.setup import EARLY_EXIT, EDGE, EXIT_ASLEEP, EXIT_OVERLOAD, REJECTED

from cloudedge_pl.costs.split import SplitCosts
from cloudedge_pl.dormancy import DormancyRule
from cloudedge_pl.fleet import EdgeNode, Fleet, Link
from cloudedge_pl.scheduling.registry import SCHEDULERS
from cloudedge_pl.simulation.churn import Churn
from cloudedge_pl.simulation.engine import Engine
from cloudedge_pl.simulation.link_laws import ConstantLink, LognormalLink
from cloudedge_pl.simulation.scenario import QueueLimits, Scenario, WindowRule
from cloudedge_pl.simulation.tasks import ServiceNoise, Tasks

NODES, RATE, BATCH = 6, 50.0, 16
KINDS = {JOIN: "join", LEAVE: "leave", FAIL: "fail"}
LIMITS = {"node_tasks": 2, "radio_transfers": 1, "cloud_tasks": 2}
COSTS = SplitCosts(
    execution_seconds=np.array([0.061, 0.072, 0.083, 0.097, 0.109, 0.131]),
    exit_seconds=0.0041,
    cloud_seconds=0.0153,
    upload_bytes=5000.0,
    download_bytes=0.0,
    exit_upload_bytes=9000.0,
    exit_download_bytes=0.0,
    terminal_seconds=0.013,
    task_memory_bytes=0.0,
)
OUTAGES = [[4.03, 5.21], [17.3, 18.9]]
GRADIENTS = {"download_bytes": 4000.0, "exit_download_bytes": 9000.0}


@dataclass(frozen=True, kw_only=True)
class Case:
    """What differs from a fleet at moderate load with room everywhere.

    ``equal``: nodes and tasks are equal and tasks come at equal intervals, so that much happens at the same instant.
    """

    scenario: dict[str, Any] = field(default_factory=dict)
    costs: dict[str, float] = field(default_factory=dict)
    phase: str = "inference"
    equal: bool = False
    churn: bool = False
    failures_per_hour: float = 0.0
    absent: tuple[int, ...] = ()
    exits: bool = False
    dormancy: DormancyRule | None = None
    tasks: int = 2000
    rate: float = RATE


def fleet(equal: bool) -> Fleet:
    nodes = [
        EdgeNode(
            f"node-{index}",
            flops_per_second=1e10,
            memory_bytes=1e9,
            memory_bandwidth_bytes_per_second=1e10,
            throughput_bits_per_second=rate,
            idle_watts=1.0 + 0.1 * index,
            busy_watts=5.0 + index,
            transmit_watts=0.4 + 0.05 * index,
        )
        for index, rate in enumerate((3e6, 20e6, 2e6, 50e6, 7e6, 1.5e6))
    ]
    if equal:
        nodes = [replace(nodes[0], name=node.name) for node in nodes]
    master = replace(nodes[0], name="master", throughput_bits_per_second=9e6)
    link = Link(bandwidth_bits_per_second=4e6, propagation_seconds=0.02, variation=0.4, correlation=0.7)
    return Fleet(nodes, link=link, master=master)


def tasks_of(case: Case, seed: int = 3) -> Tasks:
    random, count = np.random.default_rng(seed), case.tasks
    arrivals = random.exponential(1 / case.rate, count).cumsum()
    if case.equal:
        arrivals = np.arange(1, count + 1) / case.rate
    if case.phase == "training":
        arrivals = arrivals[::BATCH].repeat(BATCH)[:count]
    if case.equal:
        return replace(Tasks.equal(count, arrivals), exits=(np.arange(count) % 3 == 0).astype(np.uint8))
    return replace(
        Tasks.equal(count, arrivals),
        size=random.uniform(0.5, 1.6, count),
        work=random.uniform(0.4, 1.7, count),
        deadline_seconds=random.uniform(0.2, 0.8, count),
        noise=random.standard_normal(count),
        slowdown=np.where(random.random(count) < 0.02, 4.0, 1.0),
        exits=(random.random(count) < 0.5).astype(np.uint8),
        audited=(random.random(count) < 0.1).astype(np.uint8),
    )


def changes_until(end: float, seed: int = 5) -> list[tuple[float, int, int]]:
    """Nodes leave or fail and join again, now and then all of them at once."""
    random = np.random.default_rng(seed)
    changes = []
    for node in range(NODES):
        time = float(random.exponential(end / 12))
        while time < end:
            back = time + float(random.exponential(end / 30))
            changes += [(time, node, int(random.choice([LEAVE, FAIL, FAIL]))), (back, node, JOIN)]
            time = back + float(random.exponential(end / 12))
    gone = float(random.uniform(0.4, 0.5)) * end
    changes += [(gone + 1e-4 * node, node, FAIL) for node in range(NODES)]
    changes += [(gone + 2.0 + 0.01 * node, node, JOIN) for node in range(NODES)]
    return sorted(changes)


def compare(case: Case) -> dict[str, np.ndarray]:
    """Runs both on the same tasks; returns the model's records once they have been found equal."""
    tasks, costs, machines = tasks_of(case), replace(COSTS, **case.costs), fleet(case.equal)
    if case.equal:
        costs = replace(costs, execution_seconds=np.full(NODES, 0.1))
    training = case.phase == "training"
    end = float(tasks.arrival_seconds[-1])
    changes = changes_until(end) if case.churn else []
    churn = Churn(
        failures_per_hour=case.failures_per_hour,
        repair_seconds=end / 20,
        events=[(time, machines.nodes[node].name, KINDS[kind]) for time, node, kind in changes],
        absent=[machines.nodes[node].name for node in case.absent],
    )
    if case.failures_per_hour:
        drawn = churn.process([node.name for node in machines.nodes], 0).until(50 * end)
        columns = (drawn.time_seconds, drawn.node, drawn.kind)
        changes = list(zip(*(column.tolist() for column in columns), strict=True))
    scenario = Scenario(**{"link": LognormalLink(outages=OUTAGES), "churn": churn, **case.scenario})
    model = setup_of(
        costs,
        machines,
        scenario,
        50 * end,
        churn=changes,
        absent=case.absent,
        training=training,
        exits=case.exits,
        dormancy=case.dormancy,
    )
    expected = SimpyFleet(model, tasks).run()
    engine = Engine(
        costs,
        machines,
        SCHEDULERS["min_completion"](),
        scenario,
        phase=case.phase,
        dormancy=case.dormancy,
        exits=case.exits,
    )
    for start in range(0, case.tasks, BATCH if training else case.tasks):
        after = start + BATCH if training else case.tasks
        engine.feed(tasks[start:after], final=True)
        engine.run(float(tasks.arrival_seconds[after]) if after < case.tasks else math.inf)
    records = engine.take_records(in_flight=True)
    order = np.argsort(records.task)
    for name in ("path", "node", "attempts"):
        np.testing.assert_array_equal(getattr(records, name)[order], expected[name], name)
    for name in (*(f"{stamp}_seconds" for stamp in STAMPS), *AMOUNTS):
        np.testing.assert_allclose(getattr(records, name)[order], expected[name], 1e-9, 1e-12, err_msg=name)
    return expected


PAPER, HYSTERESIS = DormancyRule(mode="paper"), DormancyRule(mode="hysteresis", dwell_windows=2)


def limits(policy: str, **given: int) -> dict[str, Any]:
    return {"queues": QueueLimits(policy=policy, **(given or LIMITS))}


CASES = {
    "plain": Case(),
    "constant link": Case(scenario={"link": ConstantLink()}),
    "jitter": Case(scenario={"service": ServiceNoise(jitter=0.5)}),
    "windows by count": Case(scenario={"window": WindowRule(tasks=7)}),
    "windows by time": Case(scenario={"window": WindowRule(seconds=0.25)}),
    "cloud servers": Case(scenario={"cloud_servers": 3}),
    "backhaul": Case(scenario={"backhaul_bits_per_second": 3e6}, dormancy=PAPER),
    "edge only": Case(costs={"upload_bytes": 0.0, "exit_seconds": 0.0, "exit_upload_bytes": 0.0}),
    "cloud only": Case(costs={"exit_seconds": 0.0, "exit_upload_bytes": 0.0}),
    "exits": Case(exits=True),
    "asleep, paper": Case(dormancy=PAPER),
    "asleep, hysteresis": Case(dormancy=HYSTERESIS, exits=True),
    "asleep, deadline": Case(
        dormancy=DormancyRule(mode="deadline"), scenario={"window": WindowRule(tasks=3)}
    ),
    "asleep, quantile": Case(dormancy=DormancyRule(mode="quantile"), exits=True),
    "asleep, always": Case(dormancy=DormancyRule(mode="always")),
    "churn": Case(churn=True),
    "churn, exits": Case(churn=True, exits=True, dormancy=HYSTERESIS),
    "churn, windows by count": Case(churn=True, scenario={"window": WindowRule(tasks=7)}),
    "churn, windows by time": Case(churn=True, scenario={"window": WindowRule(seconds=0.25)}),
    "churn, failures at random": Case(failures_per_hour=600.0, exits=True),
    "churn, absent nodes": Case(churn=True, absent=(1, 4)),
    "training": Case(phase="training", costs=GRADIENTS, rate=30.0),
    "training, asleep": Case(phase="training", costs=GRADIENTS, rate=30.0, dormancy=PAPER),
    "training, churn": Case(phase="training", costs=GRADIENTS, rate=30.0, dormancy=PAPER, churn=True),
    "training, full": Case(phase="training", costs=GRADIENTS, scenario=limits("block"), dormancy=PAPER),
    "training, full, churn": Case(phase="training", costs=GRADIENTS, scenario=limits("block"), churn=True),
    "node full, block": Case(scenario=limits("block", node_tasks=1), rate=70.0),
    "node full, reject": Case(scenario=limits("reject", node_tasks=1), rate=70.0),
    "radio full, block": Case(scenario=limits("block", radio_transfers=0), exits=True),
    "radio full, reject": Case(scenario=limits("reject", radio_transfers=0), exits=True),
    "cloud full, block": Case(scenario=limits("block", cloud_tasks=0)),
    "cloud full, reject": Case(scenario=limits("reject", cloud_tasks=0)),
    "cloud full, exit": Case(scenario=limits("exit", cloud_tasks=0)),
    "exits, cloud full, reject": Case(scenario=limits("exit", cloud_tasks=0), exits=True),
    **{
        f"all full, {policy}, churn": Case(
            scenario=limits(policy), exits=policy == "reject", churn=True, dormancy=HYSTERESIS
        )
        for policy in ("block", "reject", "exit")
    },
    **{
        f"equal, {name}": Case(equal=True, **given)
        for name, given in {
            "constant link": {"scenario": {"link": ConstantLink()}},
            "windows": {"scenario": {"window": WindowRule(tasks=BATCH)}},
            "exits": {"exits": True},
            "full": {"scenario": limits("block")},
            "training": {"phase": "training", "costs": GRADIENTS, "rate": 30.0},
            "training, no way": {"phase": "training", "costs": {**GRADIENTS, "terminal_seconds": 0.0}},
        }.items()
    },
    "everything, inference": Case(
        scenario={
            **limits("exit"),
            "service": ServiceNoise(jitter=0.3),
            "window": WindowRule(tasks=3),
            "cloud_servers": 2,
            "backhaul_bits_per_second": 5e6,
        },
        exits=True,
        churn=True,
        dormancy=HYSTERESIS,
        tasks=10_000,
    ),
    "everything, training": Case(
        scenario={
            **limits("block"),
            "service": ServiceNoise(jitter=0.3),
            "cloud_servers": 2,
            "backhaul_bits_per_second": 5e6,
        },
        phase="training",
        costs=GRADIENTS,
        churn=True,
        dormancy=PAPER,
        tasks=10_000,
        rate=30.0,
    ),
}


MEETS = {
    "asleep": EXIT_ASLEEP,
    "exits": EARLY_EXIT,
    "edge only": EDGE,
    "reject": REJECTED,
    "full, exit": EXIT_OVERLOAD,
}
"""Paths that tasks must take in cases that are called so."""


@pytest.mark.parametrize("name", CASES)
def test_both_give_every_task_the_same_time_stamps(name):
    records = compare(CASES[name])
    assert all(path in records["path"] for word, path in MEETS.items() if word in name)
    assert (records["attempts"].max() > 1) == ("churn" in name or "everything" in name)
