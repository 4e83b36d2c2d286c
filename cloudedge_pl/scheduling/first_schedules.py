"""The start of a search: the best schedule of all list rules, so that the result is no worse than any of them."""

from __future__ import annotations

import numpy as np

from cloudedge_pl.scheduling.compiled import compiled
from cloudedge_pl.scheduling.local_search import loads
from cloudedge_pl.scheduling.rules import (
    MAX_MIN,
    MIN_MIN,
    SUFFERAGE,
    earliest_finish,
    first_free,
    in_turn,
    most_urgent,
    stealing,
)

MOST_PAIRS = 10**6
"""Largest number of pairs for which min_min, max_min and sufferage are tried; beyond it, each takes seconds."""


@compiled
def best_listed(
    times: np.ndarray, ready: np.ndarray, memory: np.ndarray, capacity: np.ndarray
) -> tuple[np.ndarray, bool]:
    """Finds the best schedule of all rules in :mod:`cloudedge_pl.scheduling.rules`.

    If lpt runs out of memory, a rule that places the task with the largest memory first is tried too.

    Args:
        times: [num_tasks, num_nodes].
        ready: [num_nodes].
        memory: [num_tasks].
        capacity: [num_nodes].

    Returns:
        The node of each task, and whether any rule found memory for all tasks; if not, the nodes are meaningless.
    """
    num_tasks = len(times)
    arrival, shortest = np.arange(num_tasks), np.empty(num_tasks)
    for i in range(num_tasks):
        shortest[i] = times[i].min()
    longest_first = np.argsort(-shortest, kind="mergesort")
    answer = earliest_finish(times, ready, memory, capacity, longest_first)
    best, least = _better(times, ready, answer, arrival, np.inf)
    if least == np.inf:
        most_first = np.argsort(-memory, kind="mergesort")
        answer = earliest_finish(times, ready, memory, capacity, most_first)
        best, least = _better(times, ready, answer, best, least)
    answer = earliest_finish(times, ready, memory, capacity, arrival)
    best, least = _better(times, ready, answer, best, least)
    answer = first_free(times, arrival, ready, memory, capacity)
    best, least = _better(times, ready, answer, best, least)
    answer = in_turn(times, arrival, memory, capacity, 0)
    best, least = _better(times, ready, answer, best, least)
    answer = stealing(times, arrival, ready, memory, capacity)
    best, least = _better(times, ready, answer, best, least)
    if times.size <= MOST_PAIRS:
        for rule in (MAX_MIN, SUFFERAGE, MIN_MIN):
            answer = most_urgent(times, ready, memory, capacity, rule, least * (1.0 + 1e-12))
            best, least = _better(times, ready, answer, best, least)
    return best, least < np.inf


@compiled
def _better(
    times: np.ndarray, ready: np.ndarray, answer: tuple[np.ndarray, int], best: np.ndarray, least: float
) -> tuple[np.ndarray, float]:
    """Returns the better of the best schedule so far and a rule's complete schedule, and its makespan."""
    node, stuck = answer
    if stuck == -1:
        makespan = loads(times, ready, node).max()
        if makespan < least:
            return node, makespan
    return best, least
