"""The compiled list rules of the schedulers of the same names; they also start the search of ATSA.

Every rule returns the node of each task, and the task for which there was no room, or -1. Ties go to the task or node
of the lower number. Arguments:

    times: [num_rows, num_nodes] seconds, ``inf`` where a task cannot run.
    row: [num_tasks] the row of each task in ``times``; equal tasks may share a row.
    ready: [num_nodes] seconds.
    memory: [num_tasks] bytes.
    capacity: [num_nodes] bytes, ``inf`` for no limit.
"""

from __future__ import annotations

import numpy as np

from cloudedge_pl.scheduling.compiled import compiled

MIN_MIN, MAX_MIN, SUFFERAGE = 0, 1, 2

ENDED = -2
"""In place of a task: the rule stopped because its makespan would have exceeded the known one."""


@compiled
def earliest_finish(
    times: np.ndarray, ready: np.ndarray, memory: np.ndarray, capacity: np.ndarray, order: np.ndarray
) -> tuple[np.ndarray, int]:
    """Places the tasks in ``order`` [num_tasks], each on the node that finishes it first."""
    node = np.full(len(times), -1)
    load, free = ready.copy(), capacity.copy()
    for i in order:
        at, least = -1, np.inf
        for j in range(len(load)):
            done = load[j] + times[i, j]
            if done < least and memory[i] <= free[j]:
                least, at = done, j
        if at < 0:
            return node, i
        node[i] = at
        load[at] = least
        free[at] -= memory[i]
    return node, -1


@compiled
def most_urgent(
    times: np.ndarray, ready: np.ndarray, memory: np.ndarray, capacity: np.ndarray, rule: int, known: float
) -> tuple[np.ndarray, int]:
    """Places the most urgent task on the node that finishes it first, until this exceeds ``known``.

    A task is evaluated again only if the node used last was among its best two nodes, and if it may be the most urgent.
    Loads only grow, so its last evaluation limits its urgency.
    """
    num_tasks = len(times)
    node = np.full(num_tasks, -1)
    load, free = ready.copy(), capacity.copy()
    one, two = np.full(num_tasks, -1), np.full(num_tasks, -1)
    early, late = np.full(num_tasks, -np.inf), np.full(num_tasks, np.inf)
    old = np.ones(num_tasks, dtype=np.bool_)
    waiting = np.arange(num_tasks)
    taken = -1
    for left in range(num_tasks, 0, -1):
        place, most = -1, -np.inf
        for a in range(left):
            i = waiting[a]
            old[i] = old[i] or one[i] == taken or two[i] == taken
            if old[i]:
                limit = -early[i] if rule == MIN_MIN else np.inf
                if rule != MIN_MIN and one[i] >= 0 and memory[i] <= free[one[i]]:
                    limit = load[one[i]] + times[i, one[i]]
                    if rule == SUFFERAGE:
                        second = np.inf
                        if two[i] >= 0 and memory[i] <= free[two[i]]:
                            second = load[two[i]] + times[i, two[i]]
                        limit = max(limit, second) - early[i]
                if limit <= most:
                    continue
                one[i], two[i], early[i], late[i] = _best_two(times[i], load, memory[i], free)
                if one[i] < 0:
                    return node, i
                old[i] = False
            urgency = early[i] if rule == MAX_MIN else -early[i]
            if rule == SUFFERAGE:
                urgency += late[i]
            if place < 0 or urgency > most:
                place, most = a, urgency
        i = waiting[place]
        if early[i] > known:
            return node, ENDED
        taken = one[i]
        node[i] = taken
        load[taken] = early[i]
        free[taken] -= memory[i]
        waiting[place : left - 1] = waiting[place + 1 : left]
    return node, -1


@compiled
def _best_two(
    times: np.ndarray, load: np.ndarray, memory: float, free: np.ndarray
) -> tuple[int, int, float, float]:
    """Returns a task's best two nodes and completions; -1 and ``inf`` if there are none."""
    one, two, early, late = -1, -1, np.inf, np.inf
    for j in range(len(load)):
        done = load[j] + times[j]
        if done < late and memory <= free[j]:
            if done < early:
                one, two, early, late = j, one, done, early
            else:
                two, late = j, done
    return one, two, early, late


@compiled
def first_free(
    times: np.ndarray, row: np.ndarray, ready: np.ndarray, memory: np.ndarray, capacity: np.ndarray
) -> tuple[np.ndarray, int]:
    """Places tasks in order of arrival on the node that is free first; among equals, the fastest."""
    node = np.full(len(row), -1)
    load, free = ready.copy(), capacity.copy()
    for i in range(len(row)):
        at = -1
        for j in range(len(load)):
            seconds = times[row[i], j]
            if seconds == np.inf or memory[i] > free[j]:
                continue
            if at < 0 or load[j] < load[at] or (load[j] == load[at] and seconds < times[row[i], at]):
                at = j
        if at < 0:
            return node, i
        node[i] = at
        load[at] += times[row[i], at]
        free[at] -= memory[i]
    return node, -1


@compiled
def in_turn(
    times: np.ndarray, row: np.ndarray, memory: np.ndarray, capacity: np.ndarray, turn: int
) -> tuple[np.ndarray, int]:
    """Places tasks in order of arrival on the nodes in turn, starting with ``turn``, where they fit."""
    num_nodes = len(capacity)
    node, free = np.full(len(row), -1), capacity.copy()
    for i in range(len(row)):
        for step in range(num_nodes):
            j = (turn + step) % num_nodes
            if times[row[i], j] < np.inf and memory[i] <= free[j]:
                node[i], turn = j, j + 1
                free[j] -= memory[i]
                break
        if node[i] < 0:
            return node, i
    return node, -1


@compiled
def stealing(
    times: np.ndarray, row: np.ndarray, ready: np.ndarray, memory: np.ndarray, capacity: np.ndarray
) -> tuple[np.ndarray, int]:
    """Deals tasks out in turn; an idle node takes the last task that it can run from the longest queue.

    Of equally long queues the one of the lowest number is tried first. If the node can run none of its tasks, the next
    longest queue is tried.
    """
    num_tasks, num_nodes = len(row), len(ready)
    dealt, stuck = in_turn(times, row, memory, capacity, 0)
    if stuck >= 0:
        return dealt, stuck
    node, free, clock = np.full(num_tasks, -1), capacity.copy(), ready.copy()
    first, last = np.full(num_nodes, -1), np.full(num_nodes, -1)
    length = np.zeros(num_nodes, dtype=np.int64)
    before, after = np.full(num_tasks, -1), np.full(num_tasks, -1)
    for i in range(num_tasks):
        j = dealt[i]
        before[i] = last[j]
        if last[j] >= 0:
            after[last[j]] = i
        else:
            first[j] = i
        last[j] = i
        length[j] += 1
        free[j] -= memory[i]
    tried = np.zeros(num_nodes, dtype=np.int64)
    for turn in range(1, num_tasks + num_nodes + 1):
        thief = int(np.argmin(clock))
        task, victim = first[thief], thief
        while task < 0:
            victim = -1
            for j in range(num_nodes):
                if length[j] > 0 and tried[j] < turn and (victim < 0 or length[j] > length[victim]):
                    victim = j
            if victim < 0:
                break
            tried[victim], task = turn, last[victim]
            while task >= 0 and (times[row[task], thief] == np.inf or memory[task] > free[thief]):
                task = before[task]
        if task < 0:
            clock[thief] = np.inf
            continue
        if before[task] >= 0:
            after[before[task]] = after[task]
        else:
            first[victim] = after[task]
        if after[task] >= 0:
            before[after[task]] = before[task]
        else:
            last[victim] = before[task]
        length[victim] -= 1
        free[victim] += memory[task]
        free[thief] -= memory[task]
        node[task] = thief
        clock[thief] += times[row[task], thief]
    return node, -1
