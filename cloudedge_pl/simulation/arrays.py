"""Makes the arrays of the event engine from costs, fleet and scenario, and makes them larger."""

from __future__ import annotations

import math

import numpy as np

from cloudedge_pl.costs.split import SplitCosts
from cloudedge_pl.costs.transmission import master_rate_bits_per_second
from cloudedge_pl.dormancy import DormancyRule, DormancyState
from cloudedge_pl.fleet import Fleet
from cloudedge_pl.simulation.layout import (
    CHANGE,
    CLOUD_SERVERS,
    DOWNLINKS,
    EVENT,
    NODE,
    NOT_STALLED,
    SEGMENT,
    STATION,
    SWITCH,
    TASK,
    WORLD,
    Arrays,
)
from cloudedge_pl.simulation.scenario import OVERLOAD, Scenario

SWITCHES_KEPT = 4096
"""Changes of the cloud's state whose time is kept; all are counted."""


def new_state(
    costs: SplitCosts,
    fleet: Fleet,
    scenario: Scenario,
    *,
    training: bool,
    exit_policy: bool,
    rule: DormancyRule | None,
    places_itself: bool,
    decides_itself: bool,
) -> Arrays:
    """Makes the arrays of an empty system at time 0.

    Args:
        costs: of one task of size and work 1.
        fleet: nodes, master, cloud and link.
        scenario: queues, windows, servers, backhaul and jitter.
        training: whether gradients return.
        exit_policy: whether the exit head is asked first while the cloud is awake.
        rule: of dormancy; None keeps the cloud awake.
        places_itself: whether the kernel gives each task to the node that finishes it first.
        decides_itself: whether the kernel applies the rule.
    """
    num_nodes = fleet.num_nodes
    world = np.zeros(1, dtype=WORLD)
    limits = scenario.queues
    values = {
        "num_nodes": num_nodes,
        "churn_known": math.inf,
        "terminal_seconds": costs.terminal_seconds,
        "exit_seconds": costs.exit_seconds,
        "cloud_seconds": costs.cloud_seconds,
        "upload_bytes": costs.upload_bytes,
        "download_bytes": costs.download_bytes,
        "exit_upload_bytes": costs.exit_upload_bytes,
        "exit_download_bytes": costs.exit_download_bytes,
        "master_bits_per_second": fleet.coordinator.throughput_bits_per_second,
        "backhaul_bits_per_second": scenario.backhaul_bits_per_second,
        "mean_bits_per_second": fleet.link.bandwidth_bits_per_second,
        "master_compute_watts": fleet.coordinator.busy_watts - fleet.coordinator.idle_watts,
        "master_transmit_watts": fleet.coordinator.transmit_watts,
        "window_seconds": 0.0 if training else scenario.window.seconds or 0.0,
        "window_tasks": np.iinfo(np.int64).max if training else scenario.window.tasks,
        "places_itself": places_itself,
        "decides_itself": decides_itself,
        "has_rule": costs.upload_bytes > 0
        and costs.exit_seconds > 0
        and not (decides_itself and rule is None),
        "awake": True,
        "training": training,
        "exit_policy": exit_policy and costs.exit_seconds > 0 and costs.upload_bytes > 0 and not training,
        "node_capacity": -1 if limits.node_tasks is None else limits.node_tasks,
        "radio_capacity": -1 if limits.radio_transfers is None else limits.radio_transfers,
        "cloud_capacity": -1 if limits.cloud_tasks is None else limits.cloud_tasks,
        "overload": OVERLOAD[limits.policy],
        **dict.fromkeys(("waiting_head", "waiting_tail", "stalled_head", "stalled_tail"), -1),
    }
    for name, value in values.items():
        world[name] = value
    stations = np.zeros((DOWNLINKS + 1) * num_nodes + 5, dtype=STATION)
    stations["servers"] = 1
    stations["servers"][3 * num_nodes + CLOUD_SERVERS] = scenario.cloud_servers
    stations["free_since"] = -math.inf
    for name in ("head", "tail", "job"):
        stations[name] = -1
    world["rule"] = (rule or DormancyRule()).packed()
    world["dormancy"] = DormancyState().packed()
    return Arrays(
        world=world,
        tasks=np.zeros(0, dtype=TASK),
        nodes=_nodes(costs, fleet, scenario),
        stations=stations,
        events=np.zeros(0, dtype=EVENT),
        segments=np.zeros(0, dtype=SEGMENT),
        changes=np.zeros(0, dtype=CHANGE),
        switches=np.zeros(SWITCHES_KEPT, dtype=SWITCH),
    )


def _nodes(costs: SplitCosts, fleet: Fleet, scenario: Scenario) -> np.ndarray:
    nodes = np.zeros(fleet.num_nodes, dtype=NODE)
    fits = costs.task_memory_bytes <= fleet.array("memory_bytes")
    nodes["execution_seconds"] = np.where(fits, costs.execution_seconds, math.inf)
    nodes["jitter"] = scenario.service.jitter_of(fleet.num_nodes)
    nodes["cloud_bits_per_second"] = fleet.array("throughput_bits_per_second")
    nodes["master_bits_per_second"] = master_rate_bits_per_second(fleet)
    nodes["compute_watts"] = fleet.array("busy_watts") - fleet.array("idle_watts")
    nodes["transmit_watts"] = fleet.array("transmit_watts")
    for name in ("held_head", "held_tail", "blocked"):
        nodes[name] = -1
    nodes["available"] = nodes["alive"] = 1
    nodes["stalled_next"] = NOT_STALLED
    return nodes


def make_room(arrays: Arrays, rows: int) -> None:
    """Makes room in the task table for ``rows`` more rows, and in the heap for all their events."""
    used = int(arrays.world["num_rows"][0])
    if used + rows > len(arrays.tasks):
        capacity = max(used + rows, 2 * len(arrays.tasks), 64)
        arrays.tasks = _longer(arrays.tasks, capacity)
        arrays.events = _longer(arrays.events, 2 * capacity + len(arrays.stations))
        arrays.publish()


def _longer(array: np.ndarray, length: int) -> np.ndarray:
    grown = np.zeros(length, dtype=array.dtype)
    grown[: len(array)] = array
    return grown
