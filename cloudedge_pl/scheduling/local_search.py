"""Compiled local search: moves, swaps and chains that take load off the critical node, cheapest first.

The state of a schedule is a tuple of arrays that the kernels change in place.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cloudedge_pl.scheduling.compiled import compiled

BALANCE = 1e-3
"""Weight of a second of the highest changed load, compared to reduced costs. It is little more than a tie-break: a
schedule that wastes no priced time can be balanced later."""

ALIKE = 4
"""Factor by which more nodes are tried for a task if there are few kinds of nodes."""


class Pairs(NamedTuple):
    """The problem, and the nodes to try for each task.

    times [num_tasks, num_nodes]; memory [num_tasks]; price of a second and rent of a byte [num_nodes]; cheapest
    [num_tasks], the cost of a task on its cheapest node; nodes, reduced and seconds [num_tasks, k]: the k cheapest
    nodes, -1 if there are fewer, their reduced costs in ascending order, and their times, stored contiguously for the
    cache.
    """

    times: np.ndarray
    memory: np.ndarray
    price: np.ndarray
    rent: np.ndarray
    cheapest: np.ndarray
    nodes: np.ndarray
    reduced: np.ndarray
    seconds: np.ndarray


class Partial(NamedTuple):
    """A schedule that changes.

    node [num_tasks], -1 if not placed; load and free (memory) [num_nodes]; here and cost [num_tasks], time and reduced
    cost of a task on its node; first [num_nodes], after and before [num_tasks]: the tasks of each node as a doubly
    linked list; work [1], number of pairs examined so far.
    """

    node: np.ndarray
    load: np.ndarray
    free: np.ndarray
    here: np.ndarray
    cost: np.ndarray
    first: np.ndarray
    after: np.ndarray
    before: np.ndarray
    work: np.ndarray


@compiled
def node_kinds(times: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Groups nodes into kinds: nodes of one kind run every task in the same time.

    Returns:
        The index of each node within its kind, and the size of its kind, both [num_nodes]; the number of kinds.
    """
    num_tasks, num_nodes = times.shape
    turn, size = np.zeros(num_nodes, dtype=np.int64), np.ones(num_nodes, dtype=np.int64)
    first, kind, kinds = np.empty(num_nodes, dtype=np.int64), np.empty(num_nodes, dtype=np.int64), 0
    for j in range(num_nodes):
        at = 0
        while at < kinds:
            i = 0
            while i < num_tasks and times[i, j] == times[i, first[at]]:
                i += 1
            if i == num_tasks:
                break
            at += 1
        if at == kinds:
            first[at], kinds = j, kinds + 1
        kind[j] = at
    count = np.zeros(kinds, dtype=np.int64)
    for j in range(num_nodes):
        turn[j] = count[kind[j]]
        count[kind[j]] += 1
    for j in range(num_nodes):
        size[j] = count[kind[j]]
    return turn, size, kinds


@compiled
def cheapest_pairs(
    times: np.ndarray, memory: np.ndarray, price: np.ndarray, rent: np.ndarray, k: int, epsilon: float
) -> Pairs:
    """Finds the k cheapest nodes of each task; ties, up to ``epsilon``, are spread evenly over the nodes.

    If nodes are equal, more are tried, the same number of each kind, because nodes of one kind are no real choice.
    """
    num_tasks, num_nodes = times.shape
    turn, size, kinds = node_kinds(times)
    few = 2 * kinds <= num_nodes
    k = min(ALIKE * k if few else k, num_nodes)
    share = -(-k // kinds) if few else num_nodes
    nodes = np.full((num_tasks, k), -1)
    reduced = np.full((num_tasks, k), np.inf)
    seconds = np.empty((num_tasks, k))
    cheapest = np.empty(num_tasks)
    for i in range(num_tasks):
        j = (i * 7919) % num_nodes
        for _ in range(num_nodes):
            cost = times[i, j] * price[j] + memory[i] * rent[j]
            if (turn[j] + i) % size[j] >= share:
                cost = np.inf
            if cost < reduced[i, k - 1] - epsilon:
                a = k - 1
                while a > 0 and cost < reduced[i, a - 1] - epsilon:
                    reduced[i, a], nodes[i, a] = reduced[i, a - 1], nodes[i, a - 1]
                    a -= 1
                reduced[i, a], nodes[i, a] = cost, j
            j = j + 1 if j + 1 < num_nodes else 0
        cheapest[i] = reduced[i, 0]
        for a in range(k):
            excess = reduced[i, a] - cheapest[i]
            reduced[i, a] = excess if excess > epsilon else 0.0
            seconds[i, a] = times[i, nodes[i, a]] if nodes[i, a] >= 0 else np.inf
    return Pairs(times, memory, price, rent, cheapest, nodes, reduced, seconds)


@compiled
def loads(times: np.ndarray, ready: np.ndarray, node: np.ndarray) -> np.ndarray:
    """Returns the end of each node [num_nodes], summed as in :meth:`Instance.loads`, with the same rounding."""
    load = np.zeros(len(ready))
    for i in range(len(node)):
        load[node[i]] += times[i, node[i]]
    return ready + load


@compiled
def empty(num_tasks: int, ready: np.ndarray, capacity: np.ndarray) -> Partial:
    """Returns a schedule without tasks."""
    return Partial(
        np.full(num_tasks, -1),
        ready.copy(),
        capacity.copy(),
        np.zeros(num_tasks),
        np.zeros(num_tasks),
        np.full(len(ready), -1),
        np.full(num_tasks, -1),
        np.full(num_tasks, -1),
        np.zeros(1, dtype=np.int64),
    )


@compiled
def place(pairs: Pairs, schedule: Partial, i: int, j: int) -> None:
    """Puts task i, which has no node, on node j."""
    schedule.node[i] = j
    seconds = pairs.times[i, j]
    schedule.here[i] = seconds
    cost = seconds * pairs.price[j] + pairs.memory[i] * pairs.rent[j]
    schedule.cost[i] = max(cost - pairs.cheapest[i], 0.0)
    schedule.load[j] += seconds
    schedule.free[j] -= pairs.memory[i]
    following = schedule.first[j]
    schedule.after[i], schedule.before[i], schedule.first[j] = following, -1, i
    if following >= 0:
        schedule.before[following] = i


@compiled
def remove(pairs: Pairs, schedule: Partial, i: int) -> None:
    """Removes task i from its node."""
    j = schedule.node[i]
    schedule.node[i] = -1
    schedule.load[j] -= schedule.here[i]
    schedule.free[j] += pairs.memory[i]
    before, after = schedule.before[i], schedule.after[i]
    if before >= 0:
        schedule.after[before] = after
    else:
        schedule.first[j] = after
    if after >= 0:
        schedule.before[after] = before


@compiled
def adopt(pairs: Pairs, schedule: Partial, node: np.ndarray, load: np.ndarray) -> None:
    """Makes ``schedule`` equal to a complete one; ``load`` is copied, so that rounding errors do not accumulate."""
    moved = np.flatnonzero(schedule.node != node)
    for i in moved:
        if schedule.node[i] >= 0:
            remove(pairs, schedule, int(i))
    for i in moved:
        place(pairs, schedule, int(i), node[i])
    schedule.load[:] = load


@compiled
def improve(pairs: Pairs, schedule: Partial, enough: float, work_limit: int) -> None:
    """Changes the schedule until no change reduces the load of its critical node, or the makespan is ``enough``.

    The search ends early once ``schedule.work`` exceeds ``work_limit``.
    """
    while schedule.work[0] <= work_limit:
        c = int(np.argmax(schedule.load))
        if schedule.load[c] <= enough:
            return
        i, j, p, h, work = _cheapest_change(pairs, schedule, c)
        schedule.work[0] += work
        if i < 0:
            return
        remove(pairs, schedule, i)
        if p >= 0:
            remove(pairs, schedule, p)
            place(pairs, schedule, p, h)
        place(pairs, schedule, i, j)


@compiled
def _cheapest_change(pairs: Pairs, schedule: Partial, c: int) -> tuple[int, int, int, int, int]:
    """Finds the change that reduces the load of the critical node c and adds least reduced cost.

    A change moves a task i from c to a node j among its candidates. It may move a task p of j to another node h: to c
    (a swap), or to one of its own candidates (a chain). All changed nodes must end below the critical load. Candidates
    are sorted, so a scan ends where no smaller cost is possible.

    Returns:
        i, j, p (-1 for a move), h, and the number of pairs examined; i is -1 if there is no change.
    """
    times, reduced, memory, price = pairs.times, pairs.reduced, pairs.memory, pairs.price
    free, load, here, cost = schedule.free, schedule.load, schedule.here, schedule.cost
    critical, k = load[c], pairs.nodes.shape[1]
    limit = critical * (1.0 - 1e-12)
    least, best_i, best_j, best_p, best_h, work = np.inf, -1, -1, -1, -1, 0
    i = schedule.first[c]
    while i >= 0:
        left = critical - here[i]
        for a in range(k):
            j = pairs.nodes[i, a]
            if j < 0:
                break
            if j == c:
                continue
            added, loaded = reduced[i, a] - cost[i], load[j] + pairs.seconds[i, a]
            work += 1
            if loaded < limit and memory[i] <= free[j]:
                score = added + BALANCE * price[j] * max(left, loaded)
                if score < least:
                    least, best_i, best_j, best_p = score, i, j, -1
            p = schedule.first[j]
            while p >= 0:
                work += 1
                freed, loaded_less = added - cost[p], loaded - here[p]
                if freed < least and loaded_less < limit and memory[i] <= free[j] + memory[p]:
                    back = left + times[p, c]
                    if back < limit and memory[p] <= free[c] + memory[i]:
                        there = times[p, c] * price[c] + memory[p] * pairs.rent[c]
                        swapped = freed + there - pairs.cheapest[p]
                        score = swapped + BALANCE * price[c] * max(back, loaded_less)
                        if score < least:
                            least, best_i, best_j, best_p, best_h = score, i, j, p, c
                    for b in range(k):
                        h, chained = pairs.nodes[p, b], freed + reduced[p, b]
                        if h < 0 or chained >= least:
                            break
                        if h in (j, c):
                            continue
                        work += 1
                        onward = load[h] + pairs.seconds[p, b]
                        if onward < limit and memory[p] <= free[h]:
                            score = chained + BALANCE * price[h] * max(left, loaded_less, onward)
                            if score < least:
                                least, best_i, best_j, best_p, best_h = score, i, j, p, h
                p = schedule.after[p]
        i = schedule.after[i]
    return best_i, best_j, best_p, best_h, work
