"""First come, first served: when given tasks of constant service time finish, at one server or at several."""

from __future__ import annotations

import numpy as np


def serve_at_one(arrivals: np.ndarray, service_seconds: float, free_at: float) -> np.ndarray:
    """Finishing time of each task at one server [num_tasks].

    Args:
        arrivals: [num_tasks], in any order.
        service_seconds: of every task.
        free_at: when the server has finished its earlier work.
    """
    order = np.argsort(arrivals, kind="stable")
    rank = np.arange(len(arrivals))
    done = np.empty_like(arrivals)
    # Lindley's recursion with constant service time s: start_k = k s + max over i <= k of (arrival_i - i s).
    earliest = np.maximum(arrivals[order], free_at) - rank * service_seconds
    done[order] = np.maximum.accumulate(earliest) + (rank + 1) * service_seconds
    return done


def serve_at_nodes(
    arrivals: np.ndarray, node: np.ndarray, service_seconds: np.ndarray, free_at: np.ndarray
) -> np.ndarray:
    """Finishing time of each task at its node [num_tasks].

    Args:
        arrivals: [num_tasks], ascending.
        node: [num_tasks] int64, the node of each task.
        service_seconds: [num_nodes], of one task.
        free_at: [num_nodes], when each node has finished its earlier work.
    """
    order = np.argsort(node, kind="stable")
    counts = np.bincount(node, minlength=len(service_seconds))
    rank = np.empty(len(node), dtype=np.int64)
    rank[order] = np.arange(len(node)) - np.repeat(np.cumsum(counts) - counts, counts)
    earliest = np.full((len(service_seconds), int(counts.max())), -np.inf)
    earliest[node, rank] = np.maximum(arrivals, free_at[node]) - rank * service_seconds[node]
    start = np.maximum.accumulate(earliest, axis=1)[node, rank] + rank * service_seconds[node]
    return start + service_seconds[node]
