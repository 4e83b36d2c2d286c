"""What a simulated fleet says of one window, and of all of them in summary."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cloudedge_pl.scheduling import Assignment
from cloudedge_pl.simulation.accounts import Accounts
from cloudedge_pl.simulation.history import BoundedHistory
from cloudedge_pl.simulation.sketch import DelaySketch


@dataclass(frozen=True)
class Window:
    """What is decided when a window opens.

    Args:
        awake: whether the cloud works in it.
        link_delay_seconds: of a cut tensor from edge to cloud at its opening, measured or probed; the paper's T_rd.
    """

    awake: bool
    link_delay_seconds: float


@dataclass(frozen=True, kw_only=True)
class WindowRecord(Window):
    """What happened in the window of a training step.

    Args:
        assignment: the node of each task; after a failure, the one that did it in the end.
        delay_seconds: [num_tasks], from the window's opening to the return of the gradient, from the cloud while the
            cloud is awake.
        joules: [num_nodes + 1], drawn in the window; the master's is last.
        upload_bytes: [num_nodes + 1].
        download_bytes: [num_nodes + 1].
        exit_bytes: [num_nodes + 1], between each node and the exit head on the master, both ways.
        clock_seconds: virtual time at the end of the window.
    """

    assignment: Assignment
    delay_seconds: np.ndarray
    joules: np.ndarray
    upload_bytes: np.ndarray
    download_bytes: np.ndarray
    exit_bytes: np.ndarray
    clock_seconds: float


def summarise(
    history: BoundedHistory,
    delays: DelaySketch,
    accounts: Accounts,
    *,
    clock_seconds: float,
    sync_seconds: float,
    asleep_seconds: float,
    switches: int,
) -> dict[str, float]:
    """Computes totals and means since the start; means over tasks are nan before the first one is answered.

    Args:
        history: of the windows.
        delays: of all tasks.
        accounts: totals of every machine.
        clock_seconds: virtual time now.
        sync_seconds: virtual time spent in aggregations.
        asleep_seconds: virtual time in which the cloud slept.
        switches: changes of the cloud's state.

    Returns:
        tasks; mean, p50, p95 and p99 of delay_seconds (the quantiles to 1%), mean_energy_joules, mean_upload_bytes (to
        the cloud) and mean_exit_bytes (between nodes and exit head, both ways), per task, without aggregations;
        clock_seconds; sync_seconds, sync_joules and sync_bytes of all aggregations; share_asleep of the virtual time;
        switches; probe_bytes.
    """
    tasks = float(history.tasks)  # the accounts also count attempts that a failed node lost
    each = tasks or math.nan
    exit_bytes = float((accounts.exit_upload_bytes + accounts.exit_download_bytes).sum())
    quantiles = {f"p{level}_delay_seconds": delays.quantile(level / 100) for level in (50, 95, 99)}
    return {
        "tasks": tasks,
        "clock_seconds": clock_seconds,
        "sync_seconds": sync_seconds,
        "sync_joules": float(accounts.sync_joules.sum()),
        "sync_bytes": float(accounts.sync_bytes.sum()),
        "mean_delay_seconds": history.mean_delay_seconds,
        **quantiles,
        "mean_energy_joules": float(accounts.joules.sum()) / each,
        "mean_upload_bytes": float(accounts.upload_bytes.sum()) / each,
        "mean_exit_bytes": exit_bytes / each,
        "share_asleep": asleep_seconds / (clock_seconds or math.nan),
        "switches": float(switches),
        "probe_bytes": float(accounts.probe_bytes.sum()),
    }
