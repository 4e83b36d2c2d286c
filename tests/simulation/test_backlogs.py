"""What is expected of nodes and radios: the books equal the queues, and tasks go where they leave the radio first."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudedge_pl.fleet import Fleet, Link
from cloudedge_pl.scheduling import Assignment, NodeState, TaskWindow, as_scheduler
from cloudedge_pl.scheduling.lists import MinCompletion
from cloudedge_pl.simulation.backlogs import backlogs
from cloudedge_pl.simulation.engine import Engine
from cloudedge_pl.simulation.layout import INSIDE, RADIOS
from cloudedge_pl.simulation.link_laws import ConstantLink
from cloudedge_pl.simulation.scenario import Scenario, WindowRule
from cloudedge_pl.simulation.tasks import Tasks
from tests.simulation.test_engine import build, costs, fleet, random_tasks, settings_of_engines

STEADY = Scenario(link=ConstantLink())
ALL_TO_CLOUD = {"exit_seconds": 0.0, "exit_upload_bytes": 0.0}


class InPython(MinCompletion):
    """The greedy rule as a scheduler that the kernel does not know, so that it is called.

    Attributes:
        closest: least difference between the completions of the two best nodes of any task.
    """

    closest = math.inf

    def assign(self, window: TaskWindow, state: NodeState) -> Assignment:
        ends = np.sort(np.where(state.available, state.ready_seconds + window.times_seconds[0], math.inf))
        if len(ends) > 1 and math.isfinite(ends[1]):
            self.closest = min(self.closest, float(ends[1] - ends[0]))
        return super().assign(window, state)


def machines(rates: list[float], **link: float) -> Fleet:
    nodes = fleet(len(rates)).nodes
    unlike = tuple(
        replace(node, throughput_bits_per_second=rate) for node, rate in zip(nodes, rates, strict=True)
    )
    return replace(
        fleet(len(rates)),
        nodes=unlike,
        master=replace(nodes[0], name="master", throughput_bits_per_second=1e9),
        link=Link(**{"bandwidth_bits_per_second": 4e6} | link),
    )


def queued_bits(engine: Engine, node: int) -> tuple[float, float]:
    """The bits to the cloud and to the exit head in a radio's queue, counted job by job."""
    job, found = int(engine.arrays.stations["head"][RADIOS * engine.fleet.num_nodes + node]), [0.0, 0.0]
    while job >= 0:
        row = engine.arrays.tasks[job // 2]
        num_bytes = (engine.costs.upload_bytes, engine.costs.exit_upload_bytes)[job & 1]
        found[job & 1] += 8 * num_bytes * row["size"]
        job = int(row["next1"] if job & 1 else row["next0"])
    return found[0], found[1]


def promised_bits(engine: Engine, node: int, phase: str, exits: bool) -> tuple[float, float]:
    """The bits that tasks bring which the node computes, has yet to compute, or cannot pass on."""
    found = [0.0, 0.0]
    blocked = int(engine.arrays.nodes["blocked"][node])
    for at, row in enumerate(engine.arrays.tasks[: int(engine.arrays.world["num_rows"][0])]):
        if row["state"] == INSIDE and row["node"] == node and (math.isnan(row["done"]) or at == blocked):
            cloud, head = (
                8 * engine.costs.upload_bytes * row["size"],
                8 * engine.costs.exit_upload_bytes * row["size"],
            )
            if phase == "training":
                found[0] += cloud * row["awake"]
                found[1] += head
            elif row["awake"] and not exits:
                found[0] += cloud
            else:
                found[1] += head
    return found[0], found[1]


@settings(max_examples=80)
@given(how=settings_of_engines(), seed=st.integers(0, 1000), until=st.floats(0.05, 0.6))
def test_the_books_are_those_of_the_queues(how: dict[str, Any], seed: int, until: float) -> None:
    engine = build(**how)
    engine.feed(random_tasks(80, seed), final=True)
    engine.run(until)
    nodes = engine.arrays.nodes
    for node in range(engine.fleet.num_nodes):
        counted = *promised_bits(engine, node, how["phase"], how["exits"]), *queued_bits(engine, node)
        names = "promised_cloud_bits", "promised_exit_bits", "queued_cloud_bits", "queued_exit_bits"
        assert [nodes[name][node] for name in names] == pytest.approx(counted, abs=1e-6)


@settings(max_examples=60)
@given(how=settings_of_engines(), seed=st.integers(0, 1000))
def test_the_compiled_greedy_rule_is_that_of_python(how: dict[str, Any], seed: int) -> None:
    how = how | {"phase": "inference", "scenario": replace(how["scenario"], window=WindowRule())}
    nodes, in_python = [], InPython()
    for scheduler in (MinCompletion(), in_python):
        engine = build(**how | {"scheduler": scheduler})
        engine.feed(random_tasks(80, seed), final=True)
        engine.run()
        nodes.append(engine.take_records(in_flight=True).node)
    if in_python.closest > 1e-12:  # else rounding decides between nodes that are equally good
        np.testing.assert_array_equal(*nodes)


@settings(max_examples=60)
@given(
    execution=st.lists(st.floats(0.001, 0.1), min_size=2, max_size=5),
    data=st.data(),
    seed=st.integers(0, 1000),
    terminal=st.none() | st.floats(0.001, 0.1),
)
def test_equal_tasks_go_where_a_flow_line_is_done_first(
    execution: list[float], data: st.DataObject, seed: int, terminal: float | None
) -> None:
    """The choice is that of exact lines of two stations, of which each task knows everything.

    Inputs take no time, or all tasks arrive at once.
    """
    rates = data.draw(st.lists(st.floats(2e5, 4e6), min_size=len(execution), max_size=len(execution)))
    way = terminal or 0.0
    system = costs(len(rates), execution_seconds=np.array(execution), terminal_seconds=way, **ALL_TO_CLOUD)
    arrivals = (
        np.cumsum(np.random.default_rng(seed).exponential(0.01, 60)) if terminal is None else np.ones(60)
    )
    engine = Engine(system, machines(rates), as_scheduler("min_completion"), STEADY)
    engine.feed(Tasks.equal(60, arrivals), final=True)
    engine.run()
    records = engine.take_records()
    sending = 8 * system.upload_bytes / np.array(rates)
    node_free, radio_free = np.zeros(len(rates)), np.zeros(len(rates))
    for at, arrival in enumerate(arrivals):
        done = np.maximum(node_free, arrival + way) + execution
        sent = np.maximum(done, radio_free) + sending
        chosen = int(records.node[at])
        assert sent[chosen] == pytest.approx(sent.min(), rel=1e-9)
        assert records.sent_seconds[at] == pytest.approx(sent[chosen], rel=1e-9)
        node_free[chosen], radio_free[chosen] = done[chosen], sent[chosen]


def test_radios_are_balanced_where_nothing_is_computed() -> None:
    system = costs(3, execution_seconds=np.zeros(3), terminal_seconds=0.0, **ALL_TO_CLOUD)
    rates = [1e6, 1e6, 2e6]
    for scheduler in ("min_completion", "atsa", "fcfs"):
        engine = Engine(system, machines(rates), as_scheduler(scheduler), STEADY)
        engine.feed(
            Tasks.equal(400, np.arange(400) / 300.0), final=True
        )  # of 333 a second that the radios can send
        engine.run()
        records = engine.take_records()
        share = np.bincount(records.node, minlength=3) / 400
        np.testing.assert_allclose(share, [0.25, 0.25, 0.5], atol=0.1)
        assert (records.sent_seconds - records.arrival_seconds).max() < 0.05


def test_an_outage_is_expected_to_be_the_mean() -> None:
    scenario = Scenario(link=ConstantLink(outages=[[0.5, 2.0]]))
    system = costs(2, **ALL_TO_CLOUD)
    engine = Engine(
        system, machines([1e9, 1e6], bandwidth_bits_per_second=4e6), as_scheduler("atsa"), scenario
    )
    engine.feed(Tasks.equal(1, 0.1))
    engine.run(1.0)
    np.testing.assert_allclose(backlogs(engine.arrays.world[0])[2], 8 * 1500.0 / np.array([4e6, 1e6]))


def test_a_window_knows_the_radios() -> None:
    system = costs(2, execution_seconds=np.array([0.01, 0.02]), **ALL_TO_CLOUD)
    scenario = replace(STEADY, window=WindowRule(tasks=30))
    for name in ("atsa", "min_completion", "exact"):
        engine = Engine(system, machines([1e5, 4e6]), as_scheduler(name), scenario)
        engine.feed(Tasks.equal(30, 0.0), final=True)
        engine.run()
        assert (
            np.bincount(engine.take_records().node, minlength=2)[1] > 20
        )  # of the fast radio, not the fast node
