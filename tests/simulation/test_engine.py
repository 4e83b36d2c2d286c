"""The event engine's laws: nothing is lost, books add up, time goes forward, and pieces do not matter."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudedge_pl.costs.split import SplitCosts
from cloudedge_pl.dormancy import DormancyRule, DormancyState
from cloudedge_pl.fleet import Fleet, Link
from cloudedge_pl.scheduling import as_scheduler
from cloudedge_pl.simulation.churn import Churn
from cloudedge_pl.simulation.engine import Engine
from cloudedge_pl.simulation.link_laws import ConstantLink, LognormalLink
from cloudedge_pl.simulation.links import LinkSettings
from cloudedge_pl.simulation.scenario import QueueLimits, Scenario, WindowRule
from cloudedge_pl.simulation.task_records import DTYPES, TaskRecords
from cloudedge_pl.simulation.tasks import ServiceNoise, Tasks

STAMPS = (
    "arrival_seconds",
    "window_seconds",
    "at_node_seconds",
    "started_seconds",
    "done_seconds",
    "sent_seconds",
    "answered_seconds",
)


def costs(num_nodes: int, training: bool = False, **changes: Any) -> SplitCosts:
    values: dict[str, Any] = {
        "execution_seconds": np.linspace(0.01, 0.03, num_nodes),
        "exit_seconds": 0.002,
        "cloud_seconds": 0.001,
        "upload_bytes": 1500.0,
        "download_bytes": 1500.0 * training,
        "exit_upload_bytes": 6000.0,
        "exit_download_bytes": 6000.0 * training,
        "terminal_seconds": 0.0015,
        "task_memory_bytes": 10.0,
    }
    return SplitCosts(**values | changes)


def fleet(num_nodes: int, **link: Any) -> Fleet:
    return Fleet.preset(num_nodes=num_nodes, link=Link(**{"bandwidth_bits_per_second": 2e6} | link))


def random_tasks(num_tasks: int, seed: int, rate: float = 200.0) -> Tasks:
    random = np.random.default_rng(seed)
    return Tasks(
        arrival_seconds=np.cumsum(random.exponential(1 / rate, num_tasks)),
        kind=random.integers(0, 2, num_tasks),
        size=random.choice([0.5, 1.0, 2.0], num_tasks),
        work=random.uniform(0.5, 2.0, num_tasks),
        deadline_seconds=random.choice([0.1, 0.3, math.inf], num_tasks),
        noise=random.standard_normal(num_tasks),
        slowdown=np.where(random.random(num_tasks) < 0.05, 4.0, 1.0),
        exits=random.integers(0, 2, num_tasks),
        audited=random.random(num_tasks) < 0.1,
        sample=random.integers(-1, 50, num_tasks),
    )


@st.composite
def settings_of_engines(draw: st.DrawFn) -> dict[str, Any]:
    num_nodes = draw(st.integers(1, 4))
    names = [node.name for node in fleet(num_nodes).nodes]
    events = draw(
        st.lists(
            st.tuples(
                st.floats(0.0, 2.0), st.sampled_from(names), st.sampled_from(["join", "leave", "fail"])
            ),
            max_size=6,
        )
    )
    training = draw(st.booleans())
    queues = QueueLimits(
        node_tasks=draw(st.none() | st.integers(0, 3)),
        radio_transfers=draw(st.none() | st.integers(0, 3)),
        cloud_tasks=draw(st.none() | st.integers(0, 3)),
        policy="block" if training else draw(st.sampled_from(["block", "reject", "exit"])),
    )
    link: LinkSettings = draw(
        st.sampled_from(
            [ConstantLink(outages=[[0.3, 0.6]]), LognormalLink(interval_seconds=0.01), ConstantLink()]
        )
    )
    scenario = Scenario(
        link=link,
        churn=Churn(events=sorted(events)),
        service=ServiceNoise(jitter=draw(st.sampled_from([0.0, 0.4]))),
        queues=queues,
        window=draw(st.sampled_from([WindowRule(), WindowRule(tasks=7), WindowRule(seconds=0.05)])),
        cloud_servers=draw(st.integers(1, 3)),
        backhaul_bits_per_second=draw(st.sampled_from([math.inf, 3e6])),
    )
    mode: Any = draw(st.sampled_from(["hysteresis", "paper", "quantile", "deadline", "never", "always"]))
    return {
        "num_nodes": num_nodes,
        "scheduler": draw(st.sampled_from(["min_completion", "round_robin", "fcfs", "atsa"])),
        "scenario": scenario,
        "phase": "training" if training else "inference",
        "dormancy": draw(st.none() | st.just(DormancyRule(mode=mode, warmup_windows=1, dwell_windows=1))),
        "exits": draw(st.booleans()),
    }


def build(num_nodes: int, scheduler: str, phase: Any, **others: Any) -> Engine:
    return Engine(
        costs(num_nodes, phase == "training"),
        fleet(num_nodes),
        as_scheduler(scheduler),
        phase=phase,
        seed=3,
        **others,
    )


def in_pieces(engine: Engine, tasks: Tasks, ends: list[int]) -> TaskRecords:
    parts = []
    for start, end in zip([0, *ends], [*ends, len(tasks)], strict=True):
        engine.feed(tasks[start:end], final=end == len(tasks))
        engine.run()
        parts.append(engine.take_records(in_flight=end == len(tasks)))
    return by_task(TaskRecords.concatenate(parts))


def by_task(records: TaskRecords) -> TaskRecords:
    order = np.argsort(records.task, kind="stable")
    return TaskRecords(**{name: getattr(records, name)[order] for name in DTYPES})


def assert_same(one: TaskRecords, other: TaskRecords) -> None:
    for name in DTYPES:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@settings(max_examples=150)
@given(how=settings_of_engines(), seed=st.integers(0, 1000))
def test_no_task_is_lost_and_the_books_add_up(how: dict[str, Any], seed: int) -> None:
    engine, tasks = build(**how), random_tasks(80, seed)
    records = in_pieces(engine, tasks, [])
    np.testing.assert_array_equal(records.task, np.arange(80))
    answered = ~np.isnan(records.answered_seconds)
    assert (answered == (records.path >= 0)).all()
    nodes, world = engine.arrays.nodes, engine.arrays.world[0]
    assert records.upload_bytes.sum() == pytest.approx(nodes["upload_bytes"].sum())
    assert records.download_bytes.sum() == pytest.approx(nodes["download_bytes"].sum())
    exits = nodes["exit_upload_bytes"].sum() + nodes["exit_download_bytes"].sum()
    assert records.exit_bytes.sum() == pytest.approx(exits)
    assert records.joules.sum() == pytest.approx(nodes["joules"].sum() + world["master_joules"])
    if not how["scenario"].churn.events:
        assert (records.path != -2).all()


@settings(max_examples=150)
@given(how=settings_of_engines(), seed=st.integers(0, 1000))
def test_time_goes_forward(how: dict[str, Any], seed: int) -> None:
    records = in_pieces(build(**how), random_tasks(80, seed), [])
    stamps = np.array([getattr(records, name) for name in STAMPS])
    if how["phase"] == "training":
        stamps = stamps[[0, 1, 2, 3, 4, 6]]  # the transfer to the exit head may end after the cloud's answer
    for task in stamps.T:
        passed = task[~np.isnan(task)]
        assert (np.diff(passed) >= 0).all()
    arrived = ~np.isnan(records.arrived_seconds) & ~np.isnan(records.answered_seconds)
    assert (records.arrived_seconds <= records.answered_seconds)[arrived].all()


@settings(max_examples=100)
@given(
    how=settings_of_engines(),
    seed=st.integers(0, 1000),
    cuts=st.lists(st.integers(1, 79), max_size=4, unique=True),
)
def test_a_stream_in_pieces_is_the_stream_in_one(how: dict[str, Any], seed: int, cuts: list[int]) -> None:
    if how["phase"] == "training":
        return  # in training a piece is a window
    tasks = random_tasks(80, seed)
    assert_same(in_pieces(build(**how), tasks, []), in_pieces(build(**how), tasks, sorted(cuts)))


@settings(max_examples=60)
@given(how=settings_of_engines(), seed=st.integers(0, 1000), cut=st.integers(1, 79))
def test_a_restored_engine_goes_on_as_the_first(how: dict[str, Any], seed: int, cut: int) -> None:
    tasks = random_tasks(80, seed)
    if how["phase"] == "training":
        tasks = Tasks(**vars(tasks) | {"arrival_seconds": np.where(np.arange(80) < cut, 0.0, 50.0)})
    first, second = build(**how), build(**how)
    first.feed(tasks[:cut], final=how["phase"] == "training")
    first.run()
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for engine in (first, second):
        engine.feed(tasks[cut:], final=True)
        engine.run()
    assert_same(first.take_records(in_flight=True), second.take_records(in_flight=True))
    assert first.clock_seconds == second.clock_seconds
    assert str(first.dormancy) == str(second.dormancy)


@settings(max_examples=40)
@given(how=settings_of_engines(), seed=st.integers(0, 1000))
def test_a_rule_of_python_is_the_compiled_one(how: dict[str, Any], seed: int) -> None:
    from cloudedge_pl.dormancy import next_state

    rule = how["dormancy"]
    if rule is None:
        return

    def decide(
        state: DormancyState, delay_seconds: float, *, limit_seconds: float, clock_seconds: float
    ) -> DormancyState:
        return next_state(
            rule, state, delay_seconds, limit_seconds=limit_seconds, clock_seconds=clock_seconds
        )

    tasks = random_tasks(60, seed)
    compiled = in_pieces(build(**how), tasks, [])
    assert_same(compiled, in_pieces(build(**how | {"dormancy": decide}), tasks, []))


def test_a_task_that_fits_no_node_is_refused() -> None:
    with pytest.raises(ValueError, match="memory_bytes"):
        Engine(costs(2, task_memory_bytes=1e12), fleet(2), as_scheduler("atsa"))


def test_rejection_in_training_is_refused() -> None:
    scenario = Scenario(queues=QueueLimits(node_tasks=1, policy="reject"))
    with pytest.raises(ValueError, match="in training"):
        Engine(costs(2), fleet(2), as_scheduler("atsa"), scenario, phase="training")


def test_tasks_of_the_past_are_refused() -> None:
    engine = build(2, "atsa", "inference")
    engine.feed(Tasks.equal(3, 5.0), final=True)
    engine.run()
    with pytest.raises(ValueError, match="clock"):
        engine.feed(Tasks.equal(1, 4.0))


def test_running_until_a_time_leaves_tasks_in_flight() -> None:
    engine = build(2, "min_completion", "inference")
    engine.feed(random_tasks(200, 1), final=True)
    assert not engine.run(until=0.4)
    records = engine.take_records(in_flight=True)
    assert len(records.task) == 200
    assert 0 < (records.path == -2).sum() < 200
    assert engine.clock_seconds == 0.4
    engine.run()
    later = engine.take_records()
    assert (records.path == -2).sum() == len(later.task)


@pytest.mark.parametrize("scheduler", ["min_completion", "round_robin"])
def test_tasks_wait_for_a_node_that_they_fit(scheduler: str) -> None:
    small, large = fleet(2).nodes
    machines = replace(fleet(2), nodes=(replace(small, memory_bytes=5.0), large))
    churn = Churn(events=[(0.1, large.name, "fail"), (3.0, large.name, "join")])
    scenario = Scenario(link=ConstantLink(), churn=churn)
    engine = Engine(costs(2, task_memory_bytes=10.0), machines, as_scheduler(scheduler), scenario)
    records = in_pieces(engine, Tasks.equal(40, np.linspace(0.0, 1.0, 40)), [])
    assert (records.node == 1).all()
    assert (records.path == 0).all()
    assert (records.window_seconds[records.attempts > 1] == 3.0).all()
    assert (records.window_seconds[records.arrival_seconds > 0.1] == 3.0).all()
