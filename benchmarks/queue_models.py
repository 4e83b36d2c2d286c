"""Stations of queueing theory as special cases of the engine: what it gives, and what the theory says."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from queueing_theory import controlled_mean, erlang_wait, joint_distance, pollaczek_khinchine, waits_of

from cloudedge_pl.costs.split import SplitCosts
from cloudedge_pl.fleet import EdgeNode, Fleet, Link
from cloudedge_pl.scheduling.registry import SCHEDULERS
from cloudedge_pl.simulation.engine import Engine
from cloudedge_pl.simulation.link_laws import ConstantLink
from cloudedge_pl.simulation.scenario import Scenario
from cloudedge_pl.simulation.tasks import ServiceNoise, Tasks

Row = dict[str, Any]
UTILISATIONS = (0.5, 0.7, 0.9)
SERVERS, SIGMA = 4, 0.8
INSTANT = 1e18
"""A rate in bit/s at which a transfer takes no time."""


def costs_of(**given: Any) -> SplitCosts:
    """The costs of a task that needs nothing but what is given."""
    names = ("exit_seconds", "cloud_seconds", "upload_bytes", "download_bytes", "exit_upload_bytes")
    nothing = dict.fromkeys((*names, "exit_download_bytes", "terminal_seconds", "task_memory_bytes"), 0.0)
    return SplitCosts(**{**nothing, **given})


def run(engine: Engine, tasks: Tasks) -> Any:
    """Runs all tasks to their ends, and returns their records."""
    engine.feed(tasks, final=True)
    engine.run()
    return engine.take_records()


def station(servers: int, costs: SplitCosts, sigma: float = 0.0) -> Engine:
    """One node, and a cloud with a number of servers; transfers take no time."""
    machine = EdgeNode(
        "node",
        flops_per_second=1e12,
        memory_bytes=1e9,
        memory_bandwidth_bytes_per_second=1e12,
        throughput_bits_per_second=INSTANT,
    )
    fleet = Fleet((machine,), link=Link(bandwidth_bits_per_second=INSTANT, propagation_seconds=0.0))
    scenario = Scenario(link=ConstantLink(), service=ServiceNoise(jitter=sigma), cloud_servers=servers)
    return Engine(costs, fleet, SCHEDULERS["min_completion"](), scenario, phase="inference")


def simulated_waits(model: str, gaps: np.ndarray, draws: np.ndarray, seconds: float) -> np.ndarray:
    """The engine's waits of tasks [num_tasks], from the gaps between their arrivals and draws of their services."""
    tasks = Tasks.equal(len(gaps), gaps.cumsum())
    if model == "M/M/c":
        costs = costs_of(execution_seconds=np.zeros(1), upload_bytes=1.0, cloud_seconds=seconds)
        records = run(station(SERVERS, costs), replace(tasks, work=draws))
        return records.answered_seconds - records.arrived_seconds - seconds * draws
    costs = costs_of(execution_seconds=np.array([seconds]))
    drawn = {"noise": draws} if model == "M/G/1" else {"work": draws}
    records = run(station(1, costs, SIGMA * (model == "M/G/1")), replace(tasks, **drawn))
    return records.started_seconds - records.at_node_seconds


def draw_services(model: str, random: np.random.Generator, num_tasks: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws, and service times of mean 1 that follow from them."""
    if model == "M/D/1":
        return np.ones(num_tasks), np.ones(num_tasks)
    if model == "M/G/1":
        normal = random.standard_normal(num_tasks)
        return normal, np.exp(SIGMA * normal - SIGMA**2 / 2)
    draws = random.exponential(size=num_tasks)
    return draws, draws


MEAN_SQUARES = {"M/M/1": 2.0, "M/D/1": 1.0, "M/G/1": math.exp(SIGMA**2), "M/M/c": 2.0}
"""Of service times with mean 1, by model."""


def queue_row(model: str, utilisation: float, num_tasks: int, runs: int) -> Row:
    """Runs one model at one utilisation; tasks arrive at rate 1."""
    servers = SERVERS if model == "M/M/c" else 1
    seconds, square = servers * utilisation, MEAN_SQUARES[model]
    exact = (
        pollaczek_khinchine(1.0, seconds, square * seconds**2)
        if servers == 1
        else erlang_wait(1.0, 1 / seconds, servers)
    )
    waits, gaps, services, largest = [], [], [], 0.0
    for seed in range(runs):
        random = np.random.default_rng(seed)
        gaps.append(random.exponential(size=num_tasks))
        draws, service = draw_services(model, random, num_tasks)
        services.append(seconds * service)
        waits.append(simulated_waits(model, gaps[-1], draws, seconds))
        recursion = waits_of(gaps[-1].cumsum(), services[-1], servers)
        largest = max(largest, float(np.abs(waits[-1] - recursion).max()))
    moments = (1.0, seconds, square * seconds**2)
    estimate = controlled_mean(np.array(waits), np.array(gaps), np.array(services), moments)
    return {
        "model": model,
        "servers": servers,
        "utilisation": utilisation,
        "tasks": num_tasks,
        "runs": runs,
        "mean_wait": estimate.mean,
        "closed_form": exact,
        "error": estimate.mean / exact - 1,
        "standard_error": estimate.standard_error / exact,
        "largest_difference": largest / exact,
    }


def queues(num_tasks: int, runs: int) -> Iterator[Row]:
    for model in MEAN_SQUARES:
        for utilisation in UTILISATIONS:
            yield queue_row(model, utilisation, num_tasks, runs)


AT_NODE, IN_CLOUD = 0.7, 0.8
"""Mean seconds of service in the tandem, where tasks arrive at rate 1."""


def tandem_run(seed: int, num_tasks: int) -> tuple[list[float], np.ndarray]:
    """Mean wait at node and cloud, one server each, and the numbers of tasks there at equally spaced times.

    A task's two service times are independent: its work multiplies both, and the noise of the first divides it out.
    """
    costs = costs_of(execution_seconds=np.array([AT_NODE]), upload_bytes=1.0, cloud_seconds=IN_CLOUD)
    random = np.random.default_rng(seed)
    arrivals = random.exponential(size=num_tasks).cumsum()
    first, second = random.exponential(size=(2, num_tasks))
    sigma = 1.0
    noise = np.log(first / second) / sigma + sigma / 2
    tasks = replace(Tasks.equal(num_tasks, arrivals), work=second, noise=noise)
    records = run(station(1, costs, sigma), tasks)
    at_node = records.started_seconds - records.at_node_seconds
    in_cloud = records.answered_seconds - records.arrived_seconds - IN_CLOUD * second
    times = np.arange(arrivals[-1] / 100, arrivals[-1], 1.0)
    arrived, done, answered = (
        np.searchsorted(np.sort(stamps), times, side="right")
        for stamps in (arrivals, records.done_seconds, records.answered_seconds)
    )
    waits = [float(at_node.mean()), float(in_cloud.mean())]
    return waits, np.column_stack([arrived - done, done - answered])


def tandem(num_tasks: int, runs: int) -> Iterator[Row]:
    waits, counts = zip(*(tandem_run(seed, num_tasks) for seed in range(runs)), strict=True)
    exact = np.array([pollaczek_khinchine(1.0, mean, 2 * mean**2) for mean in (AT_NODE, IN_CLOUD)])
    mean = np.mean(waits, axis=0)
    errors = np.std(waits, axis=0, ddof=1) / math.sqrt(runs) if runs > 1 else np.full(2, math.nan)
    yield {
        "model": "M/M/1 -> M/M/1",
        "utilisation": [AT_NODE, IN_CLOUD],
        "tasks": num_tasks,
        "runs": runs,
        "mean_wait": mean.tolist(),
        "closed_form": exact.tolist(),
        "error": (mean / exact - 1).tolist(),
        "standard_error": (errors / exact).tolist(),
        "joint_distance": joint_distance(np.concatenate(counts), (AT_NODE, IN_CLOUD)),
    }
