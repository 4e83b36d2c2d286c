"""The books of a simulated run: every task, second, joule and byte stands in exactly one node's account."""

from __future__ import annotations

from typing import Any

import numpy as np

COLUMNS = (
    "tasks",
    "busy_seconds",
    "joules",
    "upload_bytes",
    "download_bytes",
    "exit_upload_bytes",
    "exit_download_bytes",
    "sync_bytes",
    "sync_joules",
)


class Accounts:
    """Totals per node; the last account is the master's.

    Attributes of :data:`COLUMNS`, each float64 [num_nodes + 1]: tasks run; seconds busy; joules drawn in windows; bytes
    of cut tensors sent to the cloud; bytes of gradients that came back; bytes of cut tensors sent to the exit head on
    the master; bytes of gradients that came back from there; bytes of weights exchanged for aggregation, and joules
    drawn meanwhile. Bytes stand with the node that sent or received them; joules of a radio with the sender, so the
    master's are those of gradients and averaged weights.
    """

    tasks: np.ndarray
    busy_seconds: np.ndarray
    joules: np.ndarray
    upload_bytes: np.ndarray
    download_bytes: np.ndarray
    exit_upload_bytes: np.ndarray
    exit_download_bytes: np.ndarray
    sync_bytes: np.ndarray
    sync_joules: np.ndarray

    def __init__(self, num_nodes: int) -> None:
        for column in COLUMNS:
            setattr(self, column, np.zeros(num_nodes + 1))

    def add(self, **amounts: np.ndarray) -> None:
        """Adds amounts, each [num_nodes + 1], to the columns that are named."""
        for column, amount in amounts.items():
            getattr(self, column)[:] += amount

    def state_dict(self) -> dict[str, list[float]]:
        """The columns as lists."""
        return {column: getattr(self, column).tolist() for column in COLUMNS}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what :meth:`state_dict` gave."""
        for column in COLUMNS:
            getattr(self, column)[:] = state[column]
