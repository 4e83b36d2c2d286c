"""Identical tasks: the greedy rule is optimal, and can be computed at once instead of task by task."""

from __future__ import annotations

import heapq

import numpy as np

from cloudedge_pl.scheduling.instance import Instance, no_memory_left


def assign_identical(instance: Instance) -> np.ndarray:
    """Returns the node of each of identical tasks, int64 [num_tasks], in an optimal schedule.

    The first task gets the earliest completion, the next one the next: the greedy rule "each task to the node that
    finishes it first", and a sensible order for a queue.

    Raises:
        ValueError: if the nodes' memory does not hold all tasks.
    """
    if instance.num_tasks == 0:
        return np.zeros(0, dtype=np.int64)
    seconds, ready = instance.times_seconds[0], instance.ready_seconds
    counts = identical_counts(instance)
    placed = int(counts.sum())
    if placed < instance.num_tasks:
        raise no_memory_left(instance, placed, instance.capacity_bytes - counts * instance.memory_bytes[0])
    node = np.repeat(np.arange(len(counts)), counts)
    nth = np.arange(1, len(node) + 1) - np.repeat(np.cumsum(counts) - counts, counts)
    return node[np.argsort(ready[node] + nth * seconds[node], kind="stable")]


def identical_counts(instance: Instance) -> np.ndarray:
    """Returns how many of the identical tasks each node gets, int64 [num_nodes]; fewer than all if memory runs out."""
    task_bytes, most = instance.memory_bytes[0], np.full(instance.num_nodes, np.inf)
    if task_bytes > 0:
        most = np.floor(instance.capacity_bytes / task_bytes)
    return smallest_completions(instance.num_tasks, instance.times_seconds[0], instance.ready_seconds, most)


def smallest_completions(
    num_tasks: int, task_seconds: np.ndarray, ready_seconds: np.ndarray, most: np.ndarray
) -> np.ndarray:
    """Returns how many of ``num_tasks`` identical tasks each node gets, int64 [num_nodes], for the least makespan.

    The c-th task of node j is done at ``ready_j + c * et_j``. No schedule has more tasks done by a time T than there
    are such completions up to T, so the makespan is at least the K-th smallest of them all: taking the K smallest
    reaches that bound. All completions up to the fluid makespan (tasks cut as finely as one likes) are among them;
    fewer than num_nodes are left for the heap.

    Source: the exact case of Xu 2020, Sec. 3.4, which searches for it with a colony instead.

    Args:
        num_tasks: K.
        task_seconds: [num_nodes] et_j, ``inf`` where the node cannot run the task.
        ready_seconds: [num_nodes].
        most: [num_nodes] float, tasks that fit the node's memory; ``inf`` for no limit.
    """
    counts = np.zeros(len(task_seconds), dtype=np.int64)
    usable = np.flatnonzero((task_seconds < np.inf) & (most >= 1))
    if num_tasks == 0:
        return counts
    seconds, ready, limit = task_seconds[usable], ready_seconds[usable], most[usable]
    if (seconds > 0).all():
        fluid = _fluid_makespan(num_tasks, seconds, ready)
        taken = np.minimum(np.floor(np.maximum(fluid - ready, 0.0) / seconds), limit)
    else:
        taken = np.zeros(len(usable))
    left = num_tasks - int(taken.sum())
    queue = [
        (done, j) for j, done in enumerate((ready + (taken + 1) * seconds).tolist()) if taken[j] < limit[j]
    ]
    heapq.heapify(queue)
    more = taken.astype(np.int64).tolist()
    for _ in range(left):
        if not queue:  # memory is used up
            break
        j = queue[0][1]
        more[j] += 1
        if more[j] < limit[j]:
            heapq.heapreplace(queue, (float(ready[j] + (more[j] + 1) * seconds[j]), j))
        else:
            heapq.heappop(queue)
    counts[usable] = more
    return counts


def _fluid_makespan(num_tasks: int, seconds: np.ndarray, ready: np.ndarray) -> float:
    """The T that solves sum over nodes of max(0, T - ready_j) / et_j = num_tasks."""
    order = np.argsort(ready)
    rate = np.cumsum(1.0 / seconds[order])
    makespan = (num_tasks + np.cumsum(ready[order] / seconds[order])) / rate
    # With the first k nodes at work T falls in k, until the next node is ready only after T.
    following = np.append(ready[order][1:], np.inf)
    return float(makespan[np.argmax(makespan <= following)])
