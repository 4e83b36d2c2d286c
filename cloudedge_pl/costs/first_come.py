"""First come, first served: when given tasks of constant service time finish, at one server."""

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
