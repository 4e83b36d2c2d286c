"""Identical tasks: the greedy rule is optimal and can be computed in closed form, without a loop over tasks."""

from __future__ import annotations

import heapq

import numpy as np

from cloudedge_pl.scheduling.instance import Instance, no_memory_left


def assign_identical(instance: Instance) -> np.ndarray:
    """Returns the node of each identical task, int64 [num_tasks], in an optimal schedule.

    Tasks get completions in increasing order, as by the greedy rule "each task to the node that finishes it first".

    Raises:
        ValueError: if the tasks do not fit in the memory of the nodes.
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
    """Returns the number of identical tasks per node, int64 [num_nodes]; their sum is smaller if memory runs out."""
    task_bytes, most = instance.memory_bytes[0], np.full(instance.num_nodes, np.inf)
    if task_bytes > 0:
        most = np.floor(instance.capacity_bytes / task_bytes)
    return smallest_completions(instance.num_tasks, instance.times_seconds[0], instance.ready_seconds, most)


def smallest_completions(
    num_tasks: int, task_seconds: np.ndarray, ready_seconds: np.ndarray, most: np.ndarray
) -> np.ndarray:
    """Returns the number of identical tasks per node, int64 [num_nodes], for the minimum makespan.

    The c-th task of node j ends at ``ready_j + c * et_j``. No schedule completes more tasks by a time T than there are
    such completions up to T, so the makespan is at least the K-th smallest completion, and the K smallest completions
    reach that bound. All completions up to the fluid makespan (of divisible tasks) are among them; a heap chooses the
    others, of which there are fewer than num_nodes.

    Source: the exact case of Xu 2020, Sec. 3.4, where a colony searches for it.

    Args:
        num_tasks: K.
        task_seconds: [num_nodes] et_j, ``inf`` where the node cannot run the task.
        ready_seconds: [num_nodes].
        most: [num_nodes] float, largest number of tasks in the node's memory; ``inf`` for no limit.
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
    """Solves sum over nodes of max(0, T - ready_j) / et_j = num_tasks for T."""
    order = np.argsort(ready)
    rate = np.cumsum(1.0 / seconds[order])
    makespan = (num_tasks + np.cumsum(ready[order] / seconds[order])) / rate
    # T decreases with the number of working nodes, until the next node is ready only after T.
    following = np.append(ready[order][1:], np.inf)
    return float(makespan[np.argmax(makespan <= following)])
