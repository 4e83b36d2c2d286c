"""The compiled colony of ATSA; it is imported when a window needs it."""

from __future__ import annotations

import numpy as np

from cloudedge_pl.scheduling.ants import Settings, deposit_pheromone, evaporate, pheromone_by_node, vary
from cloudedge_pl.scheduling.branching import branch
from cloudedge_pl.scheduling.compiled import compiled
from cloudedge_pl.scheduling.local_search import (
    Pairs,
    Partial,
    adopt,
    cheapest_pairs,
    empty,
    improve,
    loads,
    place,
)

WORSE, BACK = 0.1, 50
"""Ants continue from a schedule that exceeds the best by at most WORSE of the distance of best and bound. After BACK
ants without improvement they continue from the best."""

PAIRS = 64
"""Smallest number of examined pairs that count as one evaluation; otherwise it is the number of tasks."""

FEW_TASKS, BRANCHED = 32, 5000
"""Up to FEW_TASKS tasks, branch and bound runs before the ants, for at most BRANCHED evaluations."""


@compiled
def search(
    times: np.ndarray,
    ready: np.ndarray,
    memory: np.ndarray,
    capacity: np.ndarray,
    price: np.ndarray,
    rent: np.ndarray,
    bound: float,
    trail: np.ndarray,
    settings: Settings,
    first: np.ndarray,
    random: np.ndarray,
) -> tuple[np.ndarray, float, np.ndarray, np.ndarray]:
    """Improves a first schedule and one by price, then lets ants vary the better one.

    If tasks are few, branch and bound runs before the ants and usually makes them unnecessary.

    Args:
        times: [num_tasks, num_nodes].
        ready: [num_nodes].
        memory: [num_tasks].
        capacity: [num_nodes].
        price: [num_nodes] price of a second, of sum 1.
        rent: [num_nodes] price of a byte, in the same unit.
        bound: lower bound on the makespan.
        trail: [num_nodes] initial pheromone.
        settings: of the colony.
        first: [num_tasks] node of each task in a schedule that fits in memory.
        random: state of the generator; it changes.

    Returns:
        The node of each task; a lower bound, at least ``bound``; the best makespan by evaluation; the pheromone of each
        node, with mean 1 over the candidates of any task, and unchanged for the other nodes.
    """
    num_tasks = len(times)
    pairs = cheapest_pairs(times, memory, price, rent, settings.candidates, 1e-12 * bound)
    k = pairs.nodes.shape[1]
    enough = bound * (1.0 + settings.tolerance)
    limit = settings.evaluations * max(num_tasks, PAIRS)
    history = np.empty(settings.evaluations + 3)
    schedule, schedules, done = _start(pairs, ready, capacity, bound, enough, limit, first, history)
    if schedule.load.max() > enough and num_tasks <= FEW_TASKS:
        most = min(BRANCHED, settings.evaluations) * PAIRS
        if _branch(pairs, schedule, ready, capacity, enough, most) and schedule.load.max() > enough:
            bound = enough = schedule.load.max()
        done = _record(history, done, schedules + schedule.work[0] // PAIRS, schedule.load.max())
    tau = np.empty((num_tasks, k))
    for i in range(num_tasks):
        for a in range(k):
            tau[i, a] = trail[pairs.nodes[i, a]]
    goal = (bound, enough, limit, schedules)
    node, done = _run_ants(pairs, schedule, tau, capacity, goal, settings, random, history, done)
    return node, bound, history[:done], pheromone_by_node(pairs, tau, trail)


@compiled
def _run_ants(
    pairs: Pairs,
    schedule: Partial,
    tau: np.ndarray,
    capacity: np.ndarray,
    goal: tuple[float, float, int, int],
    settings: Settings,
    random: np.ndarray,
    history: np.ndarray,
    done: int,
) -> tuple[np.ndarray, int]:
    """Lets ants vary a schedule until its makespan is small enough or all evaluations are used.

    Args:
        pairs: the problem.
        schedule: the schedule to start from; it changes.
        tau: [num_tasks, num_candidates] pheromone; it changes.
        capacity: [num_nodes].
        goal: lower bound, makespan that is small enough, limit of work, and number of schedules built before.
        settings: of the colony.
        random: state of the generator.
        history: best makespan by evaluation; it is filled from ``done`` on.
        done: number of evaluations so far.

    Returns:
        The node of each task in the best schedule, and the number of evaluations.
    """
    bound, enough, limit, schedules = goal
    num_tasks = len(pairs.memory)
    best = schedule.load.max()
    best_node, best_load = schedule.node.copy(), schedule.load.copy()
    laid = np.zeros(tau.shape)
    taken = np.empty(min(2 * settings.released, num_tasks), dtype=np.int64)
    now, now_node, now_load, since, ants = best, best_node.copy(), best_load.copy(), 0, 0
    while done < settings.evaluations and best > enough:
        if not vary(pairs, schedule, tau, taken, bound, capacity, settings, random, ants % 2 == 0):
            adopt(pairs, schedule, now_node, now_load)
        improve(pairs, schedule, enough, limit)
        makespan = schedule.load.max()
        ants += 1
        deposit_pheromone(pairs, schedule, laid, settings.deposit * bound / makespan / settings.ants)
        if ants % settings.ants == 0:
            evaporate(tau, laid, settings)
        since = 0 if makespan < best else since + 1
        if makespan <= best:
            best = makespan
            best_node[:], best_load[:] = schedule.node, schedule.load
        if makespan <= now or makespan <= best + WORSE * (best - bound):
            now = makespan
            now_node[:], now_load[:] = schedule.node, schedule.load
        elif since >= BACK:
            now, since = best, 0
            now_node[:], now_load[:] = best_node, best_load
            adopt(pairs, schedule, best_node, best_load)
        else:
            adopt(pairs, schedule, now_node, now_load)
        done = _record(history, done, schedules + ants + schedule.work[0] // max(num_tasks, PAIRS), best)
    return best_node, done


@compiled
def _start(
    pairs: Pairs,
    ready: np.ndarray,
    capacity: np.ndarray,
    bound: float,
    enough: float,
    limit: int,
    first: np.ndarray,
    history: np.ndarray,
) -> tuple[Partial, int, int]:
    """Returns the better of the first schedule and one by price, both improved if that can help.

    Returns:
        The schedule, the number of schedules built, and the number of entries of the history.
    """
    num_tasks = len(pairs.memory)
    shortest = np.empty(num_tasks)
    for i in range(num_tasks):
        shortest[i] = pairs.times[i].min()
    longest_first = np.argsort(-shortest, kind="mergesort")
    listed = empty(num_tasks, ready, capacity)
    for i in longest_first:
        place(pairs, listed, i, first[i])
    best, schedules = listed.load.max(), 1
    done = _record(history, 0, 1, best)
    schedule = listed
    # Even if balanced, a schedule exceeds the bound by the priced time that it wastes.
    wasted = listed.cost.sum()
    if wasted > enough - bound and best > enough:
        priced = empty(num_tasks, ready, capacity)
        if _build(pairs, priced, longest_first, bound):
            schedules += 1
            improve(pairs, priced, enough, limit)
            listed.work[0] = priced.work[0]
            if priced.load.max() < best:
                best, schedule = priced.load.max(), priced
            done = _record(history, done, schedules + priced.work[0] // max(num_tasks, PAIRS), best)
    if bound + wasted < best and best > enough:
        improve(pairs, listed, enough, limit)
        if listed.load.max() < best:
            best, schedule = listed.load.max(), listed
        schedule.work[0] = listed.work[0]
        done = _record(history, done, schedules + listed.work[0] // max(num_tasks, PAIRS), best)
    return schedule, schedules, done


@compiled
def _branch(
    pairs: Pairs, schedule: Partial, ready: np.ndarray, capacity: np.ndarray, enough: float, most: int
) -> bool:
    """Makes the schedule the best that branch and bound finds; returns whether none is better, or it is ``enough``."""
    node = schedule.node.copy()
    proven, work = branch(
        pairs.times, ready, pairs.memory, capacity, pairs.price, pairs.rent, enough, node, most
    )
    load = loads(pairs.times, ready, node)
    if load.max() < schedule.load.max():
        adopt(pairs, schedule, node, load)
    schedule.work[0] += work
    return proven


@compiled
def _build(pairs: Pairs, schedule: Partial, order: np.ndarray, full: float) -> bool:
    """Places the tasks in order; returns whether there was memory for all of them.

    A task goes to its cheapest node whose load stays below ``full``, else to the node that finishes it first.
    """
    for i in order:
        at = -1
        for a in range(pairs.nodes.shape[1]):
            j = pairs.nodes[i, a]
            fits = j >= 0 and pairs.memory[i] <= schedule.free[j]
            if fits and schedule.load[j] + pairs.seconds[i, a] <= full:
                at = j
                break
        if at < 0:
            least = np.inf
            for j in range(len(schedule.load)):
                done = schedule.load[j] + pairs.times[i, j]
                if done < least and pairs.memory[i] <= schedule.free[j]:
                    least, at = done, j
        if at < 0:
            return False
        place(pairs, schedule, i, at)
    return True


@compiled
def _record(history: np.ndarray, done: int, evaluations: int, best: float) -> int:
    """Extends the history to ``evaluations`` entries: the previous best, and the current one at the end."""
    evaluations = min(max(evaluations, done + 1), len(history))
    if done > 0:
        history[done:evaluations] = history[done - 1]
    history[evaluations - 1] = best
    return evaluations
