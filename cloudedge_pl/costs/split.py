"""Seconds and bytes of one task, at every split point or at one: the numbers that planner and simulator share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cloudedge_pl.costs.codec import CodecConfig
from cloudedge_pl.costs.formulas import CostFormulas
from cloudedge_pl.costs.memory import activation_bytes, resolve_memory_formula
from cloudedge_pl.costs.profile import CostProfile
from cloudedge_pl.costs.roofline import cloud_seconds, execution_seconds, exit_seconds
from cloudedge_pl.costs.transmission import (
    download_bytes,
    exit_bytes,
    input_bytes,
    terminal_seconds,
    upload_bytes,
)
from cloudedge_pl.fleet import Fleet, Workload


@dataclass(frozen=True, eq=False)
class SplitCosts:
    """Seconds and bytes of one task at one split point.

    Args:
        execution_seconds: [num_nodes], of the edge part.
        exit_seconds: of the exit head on the master; 0 where there is no exit head.
        cloud_seconds: of the cloud part.
        upload_bytes: from node to cloud.
        download_bytes: from cloud to node: the gradient in training, else 0.
        exit_upload_bytes: from node to the exit head on the master, which gets the cut tensors unchanged, whatever the
            codec; 0 where there is no exit head.
        exit_download_bytes: from master to node: the exit head's gradient in training, else 0.
        terminal_seconds: from the terminal to its node; the paper's T_te.
        task_memory_bytes: that a task occupies on a node while it runs.
    """

    execution_seconds: np.ndarray
    exit_seconds: float
    cloud_seconds: float
    upload_bytes: float
    download_bytes: float
    exit_upload_bytes: float
    exit_download_bytes: float
    terminal_seconds: float
    task_memory_bytes: float


@dataclass(frozen=True, eq=False)
class TaskCosts:
    """Seconds and bytes of one task at every split point; fields as in :class:`SplitCosts`, with a last axis [N + 1].

    Args:
        execution_seconds: [num_nodes, N + 1].
        exit_seconds: [N + 1].
        cloud_seconds: [N + 1].
        upload_bytes: [N + 1].
        download_bytes: [N + 1].
        exit_upload_bytes: [N + 1].
        exit_download_bytes: [N + 1].
        terminal_seconds: the same at every split point.
        task_memory_bytes: [N + 1].
    """

    execution_seconds: np.ndarray
    exit_seconds: np.ndarray
    cloud_seconds: np.ndarray
    upload_bytes: np.ndarray
    download_bytes: np.ndarray
    exit_upload_bytes: np.ndarray
    exit_download_bytes: np.ndarray
    terminal_seconds: float
    task_memory_bytes: np.ndarray

    def at(self, split_point: int) -> SplitCosts:
        """The costs at one split point of 0..N."""
        return SplitCosts(
            execution_seconds=self.execution_seconds[:, split_point],
            exit_seconds=float(self.exit_seconds[split_point]),
            cloud_seconds=float(self.cloud_seconds[split_point]),
            upload_bytes=float(self.upload_bytes[split_point]),
            download_bytes=float(self.download_bytes[split_point]),
            exit_upload_bytes=float(self.exit_upload_bytes[split_point]),
            exit_download_bytes=float(self.exit_download_bytes[split_point]),
            terminal_seconds=self.terminal_seconds,
            task_memory_bytes=float(self.task_memory_bytes[split_point]),
        )


def task_costs(
    profile: CostProfile,
    fleet: Fleet,
    workload: Workload,
    formulas: CostFormulas | None = None,
    codec: CodecConfig | None = None,
) -> TaskCosts:
    """Computes seconds and bytes of one task at every split point.

    Args:
        profile: of the network.
        fleet: nodes, master, cloud and link.
        workload: its phase and input size.
        formulas: None takes the defaults.
        codec: form in which the cut tensors are sent to the cloud; None takes the default, int8.
    """
    formulas, phase = formulas or CostFormulas(), workload.phase
    to_exit, raw_bytes = exit_bytes(profile), input_bytes(profile, workload)
    return TaskCosts(
        execution_seconds=execution_seconds(profile, fleet, phase, roofline=formulas.roofline),
        exit_seconds=exit_seconds(profile, fleet.coordinator, phase, roofline=formulas.roofline),
        cloud_seconds=cloud_seconds(profile, fleet, phase, roofline=formulas.roofline),
        upload_bytes=upload_bytes(profile, workload, codec),
        download_bytes=download_bytes(profile, workload, codec),
        exit_upload_bytes=to_exit,
        exit_download_bytes=to_exit * (phase == "training"),
        terminal_seconds=terminal_seconds(raw_bytes, fleet.link.uplink_bits_per_second, formulas.uplink),
        task_memory_bytes=activation_bytes(profile, resolve_memory_formula(formulas.memory, workload)),
    )


def split_costs(
    profile: CostProfile,
    fleet: Fleet,
    workload: Workload,
    split_point: int,
    formulas: CostFormulas | None = None,
    codec: CodecConfig | None = None,
) -> SplitCosts:
    """Computes seconds and bytes of one task at one split point.

    Args:
        profile: of the network.
        fleet: nodes, master, cloud and link.
        workload: its phase and input size.
        split_point: 0..N.
        formulas: those of the plan, so that both agree; None takes the defaults.
        codec: form in which the cut tensors are sent to the cloud; None takes the default, int8.

    Raises:
        ValueError: if the split point is outside 0..N.
    """
    at = profile.check_split_point(split_point)
    return task_costs(profile, fleet, workload, formulas, codec).at(at)
