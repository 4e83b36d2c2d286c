"""What the ants of ATSA do to a schedule: draw new nodes by pheromone and price, and deposit pheromone. Compiled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cloudedge_pl.scheduling.compiled import choose, compiled, uniform
from cloudedge_pl.scheduling.local_search import Pairs, Partial, place, remove

LEAST_TRAIL = 0.02
"""Pheromone never falls below this share of Q, so that no pair is excluded (Stuetzle and Hoos 2000)."""


class Settings(NamedTuple):
    """See :class:`cloudedge_pl.scheduling.atsa.AdaptiveTaskScheduler`."""

    alpha: float
    beta: float
    evaporation_rate: float
    deposit: float
    ants: int
    released: int
    candidates: int
    evaluations: int
    tolerance: float


@compiled
def vary(
    pairs: Pairs,
    schedule: Partial,
    tau: np.ndarray,
    taken: np.ndarray,
    bound: float,
    capacity: np.ndarray,
    settings: Settings,
    random: np.ndarray,
    one_by_one: bool,
) -> bool:
    """Moves some tasks to other nodes, one by one or together; returns whether the schedule is complete."""
    if not one_by_one:
        return _rebuild(pairs, schedule, tau, taken, bound, capacity, settings, random)
    for _ in range(settings.released):
        i = int(uniform(random) * len(pairs.memory))
        _walk(pairs, schedule, tau, i, bound, capacity, settings, random)
    return True


@compiled
def _walk(
    pairs: Pairs,
    schedule: Partial,
    tau: np.ndarray,
    i: int,
    bound: float,
    capacity: np.ndarray,
    settings: Settings,
    random: np.ndarray,
) -> None:
    """Removes task i from its node and draws another node for it."""
    weights = np.zeros(pairs.nodes.shape[1])
    weigh(pairs, schedule, tau, i, schedule.node[i], bound, capacity, settings, weights)
    if weights.sum() > 0.0:
        remove(pairs, schedule, i)
        place(pairs, schedule, i, pairs.nodes[i, choose(weights, random)])


@compiled
def weigh(
    pairs: Pairs,
    schedule: Partial,
    tau: np.ndarray,
    i: int,
    but: int,
    bound: float,
    capacity: np.ndarray,
    settings: Settings,
    weights: np.ndarray,
) -> None:
    """Fills in tau^alpha * eta^beta for the candidates of task i; 0 where it does not fit and for node ``but``.

    eta is the product of bound over completion time, average cost over average plus reduced cost, and the share of
    memory that the task leaves free.
    """
    weights[:] = 0.0
    average = bound / len(schedule.node)
    for a in range(len(weights)):
        j = pairs.nodes[i, a]
        if j < 0 or j == but or pairs.memory[i] > schedule.free[j]:
            continue
        eta = bound / (schedule.load[j] + pairs.times[i, j]) * average / (average + pairs.reduced[i, a])
        if 0.0 < capacity[j] < np.inf:
            eta *= (schedule.free[j] - pairs.memory[i] + 1e-9 * capacity[j]) / capacity[j]
        weights[a] = tau[i, a] ** settings.alpha * eta**settings.beta


@compiled
def _rebuild(
    pairs: Pairs,
    schedule: Partial,
    tau: np.ndarray,
    taken: np.ndarray,
    bound: float,
    capacity: np.ndarray,
    settings: Settings,
    random: np.ndarray,
) -> bool:
    """Removes tasks from three nodes, including the critical node, and draws new nodes, largest memory first.

    Returns whether there was a node for all of them; if not, the schedule is incomplete until another is adopted.
    """
    num_tasks, num_nodes = len(schedule.node), len(schedule.load)
    first = int(np.argmax(schedule.load))
    second, third = int(uniform(random) * num_nodes), int(uniform(random) * num_nodes)
    size = 2 + int(uniform(random) * (len(taken) - 1)) if len(taken) > 1 else 1
    count = 0
    for _ in range(8 * size):
        if count == size:
            break
        i = int(uniform(random) * num_tasks)
        j = schedule.node[i]
        if j >= 0 and (j in (first, second, third) or uniform(random) < 0.1):
            remove(pairs, schedule, i)
            a = count
            while a > 0 and pairs.memory[taken[a - 1]] < pairs.memory[i]:
                taken[a] = taken[a - 1]
                a -= 1
            taken[a] = i
            count += 1
    weights = np.zeros(pairs.nodes.shape[1])
    for a in range(count):
        i = taken[a]
        weigh(pairs, schedule, tau, i, -1, bound, capacity, settings, weights)
        if weights.sum() <= 0.0:
            return False
        place(pairs, schedule, i, pairs.nodes[i, choose(weights, random)])
    return True


@compiled
def deposit_pheromone(pairs: Pairs, schedule: Partial, laid: np.ndarray, amount: float) -> None:
    """Adds an amount of pheromone to the pairs of a schedule."""
    for i in range(len(schedule.node)):
        for a in range(pairs.nodes.shape[1]):
            if pairs.nodes[i, a] == schedule.node[i]:
                laid[i, a] += amount
                break


@compiled
def evaporate(tau: np.ndarray, laid: np.ndarray, settings: Settings) -> None:
    """Ends a round: pheromone evaporates, and what the ants deposited is added."""
    least = LEAST_TRAIL * settings.deposit
    tau[:] = np.maximum((1.0 - settings.evaporation_rate) * tau + laid, least)
    laid[:] = 0.0


@compiled
def pheromone_by_node(pairs: Pairs, tau: np.ndarray, trail: np.ndarray) -> np.ndarray:
    """Returns the mean pheromone on the pairs of each node, scaled to mean 1; ``trail`` for nodes without pairs."""
    total, count = np.zeros(len(trail)), np.zeros(len(trail))
    for i in range(tau.shape[0]):
        for a in range(tau.shape[1]):
            if pairs.nodes[i, a] >= 0:
                total[pairs.nodes[i, a]] += tau[i, a]
                count[pairs.nodes[i, a]] += 1.0
    by_node = trail.copy()
    for j in range(len(trail)):
        if count[j] > 0.0:
            by_node[j] = total[j] / count[j] * count.sum() / total.sum()
    return by_node
