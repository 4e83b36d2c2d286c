"""The list rules, compiled: what a search starts from, so that none of them can be better than its outcome."""

from __future__ import annotations

import numpy as np

from cloudedge_pl.scheduling.compiled import compiled
from cloudedge_pl.scheduling.local_search import node_kinds

MOST_PAIRS, FEW_PAIRS = 10**6, 10**4
"""Pairs of task and node up to which every rule is tried: where at least half of the nodes are like others, and in
general. Above, most rules take longer than the search, which was measured to be better; the longest task goes first."""

MIN_MIN, MAX_MIN, SUFFERAGE = 0, 1, 2


@compiled
def best_listed(
    times: np.ndarray, ready: np.ndarray, memory: np.ndarray, capacity: np.ndarray
) -> tuple[np.ndarray, bool]:
    """The best schedule of the rules lpt, min_completion, min_min, max_min and sufferage.

    If lpt runs out of memory, the task of most memory goes first instead of the longest.

    Args:
        times: [num_tasks, num_nodes].
        ready: [num_nodes].
        memory: [num_tasks].
        capacity: [num_nodes].

    Returns:
        node of each task, and whether any rule found memory for all of them; if not, the nodes are void.
    """
    num_tasks = len(times)
    shortest = np.empty(num_tasks)
    for i in range(num_tasks):
        shortest[i] = times[i].min()
    best, fits, least = _earliest_finish(times, ready, memory, capacity, shortest)
    if not fits:
        best, fits, least = _earliest_finish(times, ready, memory, capacity, memory)
    most = MOST_PAIRS if 2 * node_kinds(times)[2] <= len(ready) else FEW_PAIRS
    if times.size <= most:
        node, fit, makespan = _earliest_finish(times, ready, memory, capacity, np.zeros(num_tasks))
        if fit and (makespan < least or not fits):
            best, fits, least = node, True, makespan
        for rule in (MIN_MIN, MAX_MIN, SUFFERAGE):
            node, fit, makespan = _most_urgent(times, ready, memory, capacity, rule)
            if fit and (makespan < least or not fits):
                best, fits, least = node, True, makespan
    return best, fits


@compiled
def _earliest_finish(
    times: np.ndarray, ready: np.ndarray, memory: np.ndarray, capacity: np.ndarray, keys: np.ndarray
) -> tuple[np.ndarray, bool, float]:
    """The task of largest key first, each where it is done first; returns nodes, whether all fit, and the makespan."""
    num_tasks, num_nodes = times.shape
    node = np.full(num_tasks, -1)
    load, free = ready.copy(), capacity.copy()
    for i in np.argsort(-keys, kind="mergesort"):
        at, least = -1, np.inf
        for j in range(num_nodes):
            done = load[j] + times[i, j]
            if done < least and memory[i] <= free[j]:
                least, at = done, j
        if at < 0:
            return node, False, np.inf
        node[i] = at
        load[at] = least
        free[at] -= memory[i]
    return node, True, load.max()


@compiled
def _most_urgent(
    times: np.ndarray, ready: np.ndarray, memory: np.ndarray, capacity: np.ndarray, rule: int
) -> tuple[np.ndarray, bool, float]:
    """The most urgent task goes where it is done first, again and again.

    Only tasks that had the node just taken among their best two are looked at anew: for others nothing changed.
    """
    num_tasks, num_nodes = times.shape
    node = np.full(num_tasks, -1)
    load, free = ready.copy(), capacity.copy()
    one, two = np.full(num_tasks, -1), np.full(num_tasks, -1)
    early, late = np.empty(num_tasks), np.empty(num_tasks)
    taken = -1
    for _ in range(num_tasks):
        at, most = -1, -np.inf
        for i in range(num_tasks):
            if node[i] >= 0:
                continue
            if taken < 0 or one[i] == taken or two[i] == taken:
                one[i], two[i], early[i], late[i] = -1, -1, np.inf, np.inf
                for j in range(num_nodes):
                    done = load[j] + times[i, j]
                    if done < late[i] and memory[i] <= free[j]:
                        if done < early[i]:
                            one[i], two[i], early[i], late[i] = j, one[i], done, early[i]
                        else:
                            two[i], late[i] = j, done
                if one[i] < 0:
                    return node, False, np.inf
            urgency = early[i] if rule == MAX_MIN else -early[i]
            if rule == SUFFERAGE:
                urgency += late[i]
            if at < 0 or urgency > most:
                at, most = i, urgency
        taken = one[at]
        node[at] = taken
        load[taken] = early[at]
        free[taken] -= memory[at]
    return node, True, load.max()
