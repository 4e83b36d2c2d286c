"""The accounts of a simulated run: every task, second, joule and byte is in exactly one machine's account."""

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
    "probe_bytes",
    "sync_bytes",
    "sync_joules",
)


class Accounts:
    """Totals per machine; the last account is the master's.

    Bytes are in the account of the node that sent or received them, joules of a radio in the sender's: the master's are
    those of gradients and averaged weights.

    Args:
        num_nodes: number of nodes, without the master.

    Attributes:
        tasks: [num_nodes + 1] float64, tasks run; all others have the same shape.
        busy_seconds: time spent computing.
        joules: drawn in windows.
        upload_bytes: cut tensors sent to the cloud.
        download_bytes: gradients received from the cloud.
        exit_upload_bytes: cut tensors sent to the exit head on the master.
        exit_download_bytes: gradients received from the exit head.
        probe_bytes: of probes that the master sent to measure the link while the cloud slept.
        sync_bytes: weights exchanged in aggregations.
        sync_joules: drawn in aggregations.
    """

    tasks: np.ndarray
    busy_seconds: np.ndarray
    joules: np.ndarray
    upload_bytes: np.ndarray
    download_bytes: np.ndarray
    exit_upload_bytes: np.ndarray
    exit_download_bytes: np.ndarray
    probe_bytes: np.ndarray
    sync_bytes: np.ndarray
    sync_joules: np.ndarray

    def __init__(self, num_nodes: int) -> None:
        for column in COLUMNS:
            setattr(self, column, np.zeros(num_nodes + 1))

    def add(self, **amounts: np.ndarray) -> None:
        """Adds amounts, each [num_nodes + 1], to the named columns."""
        for column, amount in amounts.items():
            getattr(self, column)[:] += amount

    @property
    def exit_bytes(self) -> np.ndarray:
        """Bytes between each node and the exit head, both ways, [num_nodes + 1]."""
        return self.exit_upload_bytes + self.exit_download_bytes

    def state_dict(self) -> dict[str, list[float]]:
        """Returns the columns as lists."""
        return {column: getattr(self, column).tolist() for column in COLUMNS}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what :meth:`state_dict` returned."""
        for column in COLUMNS:
            getattr(self, column)[:] = state[column]
