"""A node and its radio as a scheduler sees them: one server in place of two stations in a row."""

from __future__ import annotations

import numpy as np

from cloudedge_pl.costs.split import SplitCosts
from cloudedge_pl.scheduling.types import NodeState, TaskWindow
from cloudedge_pl.simulation.backlogs import backlogs
from cloudedge_pl.simulation.layout import Arrays


def as_one_server(
    execution_seconds: np.ndarray,
    sending_seconds: np.ndarray,
    ready_seconds: np.ndarray,
    radio_seconds: np.ndarray,
) -> np.ndarray:
    """Computes when a single server would have to be ready, so that its tasks end when the radio has sent them.

    A task leaves the line at ``max(ready + execution, radio) + sending``, and every further one at least
    ``max(execution, sending)`` later. A server that takes this maximum for each task and is ready by it earlier than
    the line's first task ends with the line. It is exact for the first task, and for any number of equal tasks if
    they are sent no faster than computed, or the radio has no more to do than the node; otherwise the line is faster,
    because the radio catches up.

    Args:
        execution_seconds: [num_nodes], of a task on the node.
        sending_seconds: [num_nodes], of its transfer; 0 where nothing is sent.
        ready_seconds: [num_nodes], until the node has computed what it has.
        radio_seconds: [num_nodes], until the radio has sent what it has and what the node computes before.

    Returns:
        [num_nodes], at least 0.

    Source: the recursion of a permutation flow shop with two machines (Johnson 1954), for equal tasks.

    >>> as_one_server(np.array([2.0]), np.array([3.0]), np.array([1.0]), np.array([0.0]))
    array([3.])
    """
    shorter = np.minimum(execution_seconds, sending_seconds)
    slack = np.maximum(execution_seconds - sending_seconds, 0.0)
    return np.asarray(np.maximum(ready_seconds + shorter, radio_seconds - slack))


def problem_of(
    arrays: Arrays, costs: SplitCosts, memory_bytes: np.ndarray, tasks: np.ndarray
) -> tuple[TaskWindow, NodeState]:
    """Makes the scheduling problem of the window that opens now; each node with its radio is one server.

    Unlike tasks share one time at which a server is ready, that for a task of their mean work and size.

    Args:
        arrays: of the engine.
        costs: of one task of size and work 1.
        memory_bytes: [num_nodes] of the nodes.
        tasks: rows of the task table, at least one.
    """
    work, size, seconds = tasks["work"], tasks["size"], costs.execution_seconds
    ready, radio, sending = backlogs(arrays.world[0])
    ready = np.maximum(ready, costs.terminal_seconds * size.mean())
    ready = as_one_server(work.mean() * seconds, size.mean() * sending, ready, radio)
    equal = bool((work == work[0]).all() and (size == size[0]).all())
    distinct = slice(1) if equal else slice(None)
    times = np.maximum(work[distinct, None] * seconds, size[distinct, None] * sending)
    window = TaskWindow(
        np.broadcast_to(times, (len(tasks), len(seconds))) if equal else times,
        costs.task_memory_bytes * size,
        deadline_seconds=tasks["arrival"] + tasks["deadline"] - float(arrays.world["clock"][0]),
    )
    return window, NodeState(ready, memory_bytes, arrays.nodes["available"].astype(bool))
