"""What is kept of a simulated run: a record of every window, the history in columns, and their summary."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from cloudedge_pl.scheduling import Assignment
from cloudedge_pl.simulation.accounts import Accounts

HISTORY = ("clock_seconds", "tasks", "mean_delay_seconds", "link_delay_seconds", "awake")
"""Columns of the history, one value per window."""


@dataclass(frozen=True)
class WindowRecord:
    """What happened in one window.

    Args:
        assignment: the node of each task.
        delay_seconds: [num_tasks], from a task's arrival (in training: the window's opening) to its answer. In training
            the answer is the gradient's return, from the cloud while the cloud is awake.
        link_delay_seconds: edge to cloud in this window, mean over its tasks, measured or probed; the paper's T_rd.
        awake: whether the cloud worked.
        joules: [num_nodes + 1], drawn in the window; the master's is last.
        upload_bytes: [num_nodes + 1].
        download_bytes: [num_nodes + 1].
        exit_bytes: [num_nodes + 1], between each node and the exit head on the master, both ways.
        clock_seconds: virtual time at the end of the window.
    """

    assignment: Assignment
    delay_seconds: np.ndarray
    link_delay_seconds: float
    awake: bool
    joules: np.ndarray
    upload_bytes: np.ndarray
    download_bytes: np.ndarray
    exit_bytes: np.ndarray
    clock_seconds: float

    def row(self) -> dict[str, Any]:
        """The window's values by :data:`HISTORY`."""
        delay = float(self.delay_seconds.mean())
        values = (self.clock_seconds, len(self.delay_seconds), delay, self.link_delay_seconds, self.awake)
        return dict(zip(HISTORY, values, strict=True))


def summarise(
    history: dict[str, list[Any]], accounts: Accounts, clock_seconds: float, sync_seconds: float
) -> dict[str, float]:
    """Computes totals and means since the start; means over tasks are nan before the first window.

    Args:
        history: lists by :data:`HISTORY`.
        accounts: totals per node.
        clock_seconds: virtual time now.
        sync_seconds: virtual time spent in aggregations.

    Returns:
        tasks; mean_delay_seconds, mean_energy_joules, mean_upload_bytes (to the cloud) and mean_exit_bytes (between
        nodes and exit head, both ways), per task, without aggregations; clock_seconds; sync_seconds, sync_joules and
        sync_bytes of all aggregations; share_asleep of the virtual time.
    """
    tasks = np.array(history["tasks"], dtype=np.float64)
    asleep = ~np.array(history["awake"], dtype=bool)
    elapsed = np.diff(np.array(history["clock_seconds"], dtype=np.float64), prepend=0.0)
    total = float(tasks.sum()) or math.nan
    exit_bytes = float((accounts.exit_upload_bytes + accounts.exit_download_bytes).sum())
    return {
        "tasks": float(tasks.sum()),
        "clock_seconds": clock_seconds,
        "sync_seconds": sync_seconds,
        "sync_joules": float(accounts.sync_joules.sum()),
        "sync_bytes": float(accounts.sync_bytes.sum()),
        "mean_delay_seconds": float(tasks @ np.array(history["mean_delay_seconds"])) / total,
        "mean_energy_joules": float(accounts.joules.sum()) / total,
        "mean_upload_bytes": float(accounts.upload_bytes.sum()) / total,
        "mean_exit_bytes": exit_bytes / total,
        "share_asleep": float(elapsed[asleep].sum()) / (clock_seconds or math.nan),
    }
