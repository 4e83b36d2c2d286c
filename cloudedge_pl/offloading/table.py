"""What every split point costs on a fleet under a workload: one table, all split points at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from cloudedge_pl.costs import energy, queueing, transmission
from cloudedge_pl.costs.memory import edge_memory_bytes, master_memory_bytes
from cloudedge_pl.costs.profile import CostProfile
from cloudedge_pl.costs.roofline import FORWARD_PASSES, cloud_seconds, execution_seconds, exit_seconds
from cloudedge_pl.costs.units import format_seconds, written_apart
from cloudedge_pl.fleet import Fleet, Workload

if TYPE_CHECKING:
    from cloudedge_pl.offloading.options import OffloadOptions

DELAY_PARTS = ("uplink", "wait", "execution", "transfer", "cloud")
ENERGY_PARTS = ("static", "compute", "radio")


@dataclass(frozen=True, eq=False)
class CostTable:
    """Costs at every split point; [N + 1] unless said otherwise. What an overloaded queue delays is ``inf``.

    Args:
        memory_bytes: of the edge part on each node.
        master_memory_bytes: on the master.
        upload_bytes: of one task to the cloud.
        download_bytes: of one task from the cloud.
        node_shares: [num_nodes, N + 1] of the arrivals; they sum to 1 over the nodes.
        node_utilisation: [num_nodes, N + 1] share of the time that a node must compute; 1 and more is overload.
        node_delay_seconds: [num_nodes, N + 1] of one task that the node runs.
        slowest_node: index of the node with the longest delay.
        delay_parts: of a task on the slowest node, by :data:`DELAY_PARTS`, in seconds.
        node_wait_seconds: mean wait of a task where every node has a queue of its own and tasks are drawn to nodes at
            random, by their shares (M/D/1), mean over the tasks.
        pooled_wait_seconds: the same where each task goes to the node that is done first (M/D/c).
        node_energy_parts: [num_nodes, N + 1] in one window, by :data:`ENERGY_PARTS`, in joules.
        tasks_per_window: over all nodes, on average.
        link_utilisation: share of the time that the link would be busy, up and down, if all nodes shared it; it limits
            nothing, as every node is taken to have the link's bandwidth for itself.
        master_utilisation: share of the time that the master would be busy if the exit head answered every task; it
            limits nothing either, as the cloud answers while it is awake.
    """

    memory_bytes: np.ndarray
    master_memory_bytes: np.ndarray
    upload_bytes: np.ndarray
    download_bytes: np.ndarray
    node_shares: np.ndarray
    node_utilisation: np.ndarray
    node_delay_seconds: np.ndarray
    slowest_node: np.ndarray
    delay_parts: dict[str, np.ndarray]
    node_wait_seconds: np.ndarray
    pooled_wait_seconds: np.ndarray
    node_energy_parts: dict[str, np.ndarray]
    tasks_per_window: float
    link_utilisation: np.ndarray
    master_utilisation: np.ndarray

    @property
    def num_points(self) -> int:
        """N + 1."""
        return len(self.memory_bytes)

    @property
    def delay_seconds(self) -> np.ndarray:
        """Of one task on the slowest node [N + 1]."""
        return self.node_delay_seconds.max(axis=0)

    @cached_property
    def node_energy_joules(self) -> np.ndarray:
        """Of each node in one window [num_nodes, N + 1]."""
        return np.sum([self.node_energy_parts[part] for part in ENERGY_PARTS], axis=0)

    @cached_property
    def energy_parts(self) -> dict[str, np.ndarray]:
        """Mean of one task over all nodes [N + 1], by :data:`ENERGY_PARTS`, in joules."""
        parts = self.node_energy_parts
        return {name: parts[name].sum(axis=0) / self.tasks_per_window for name in ENERGY_PARTS}

    @property
    def energy_joules(self) -> np.ndarray:
        """Mean of one task over all nodes [N + 1]; the master's and the cloud's energy is not in it."""
        return self.node_energy_joules.sum(axis=0) / self.tasks_per_window

    @property
    def utilisation(self) -> np.ndarray:
        """Of the busiest node [N + 1]."""
        return self.node_utilisation.max(axis=0)


def arrival_shares(execution: np.ndarray, fleet: Fleet, shares: str) -> np.ndarray:
    """Share of the arrivals that each node gets [num_nodes, N + 1].

    Args:
        execution: [num_nodes, N + 1] seconds of one task.
        fleet: the nodes.
        shares: "speed", inversely to execution time, or "equal".
    """
    if shares == "equal":
        return np.full_like(execution, 1 / fleet.num_nodes)
    # Nothing is computed before split point 1: there, the nodes' speeds stand for the times.
    idle = np.broadcast_to(1 / fleet.array("effective_flops_per_second")[:, None], execution.shape)
    rates = 1 / np.where(execution.max(axis=0) > 0, execution, idle)
    return rates / rates.sum(axis=0)


def waiting_seconds(
    execution: np.ndarray,
    rates: np.ndarray,
    flops: np.ndarray,
    fleet: Fleet,
    workload: Workload,
    waiting: str,
) -> np.ndarray:
    """Mean wait on each node [num_nodes, N + 1]; see :class:`OffloadOptions` for the names.

    Raises:
        ValueError: "mmc" with nodes of unlike speed.
    """
    if waiting == "md1":
        return queueing.md1_waiting_seconds(rates, execution)
    if waiting == "mm1":
        return queueing.mm1_waiting_seconds(rates, execution)
    if waiting == "pooled":
        return np.broadcast_to(pooled_waiting_seconds(execution, workload), execution.shape)
    if waiting == "paper":
        return queueing.paper_waiting_seconds(rates, execution, flops)
    quickest, slowest = execution.min(axis=0), execution.max(axis=0)
    if not np.allclose(quickest, slowest, rtol=1e-6, atol=0):
        least, most = written_apart(format_seconds, (quickest[-1], slowest[-1]))
        raise ValueError(
            f"waiting 'mmc' is one queue before like nodes; here a task takes {least} on the "
            f"quickest node and {most} on the slowest. Use waiting='md1' or 'mm1', or like nodes."
        )
    pooled = queueing.mmc_waiting_seconds(fleet.num_nodes, workload.arrival_rate, execution[0])
    return np.broadcast_to(pooled, execution.shape)


def pooled_waiting_seconds(execution: np.ndarray, workload: Workload) -> np.ndarray:
    """Mean wait [N + 1] where each task goes to the node that is done with it first; approximate for unlike nodes."""
    idle = execution.max(axis=0) == 0
    mean = len(execution) / (1 / np.where(idle, 1.0, execution)).sum(axis=0)
    return queueing.mdc_waiting_seconds(len(execution), workload.arrival_rate, np.where(idle, 0.0, mean))


def cost_table(profile: CostProfile, fleet: Fleet, workload: Workload, options: OffloadOptions) -> CostTable:
    """Evaluates every split point.

    Source: Xu 2020, Sec. 3; deviations are named where the formulas are, in :mod:`cloudedge_pl.costs`.
    """
    execution = execution_seconds(profile, fleet, workload.phase, roofline=options.roofline)
    flops = FORWARD_PASSES[workload.phase] * profile.flops
    upload = transmission.upload_bytes(profile, workload, options.codec, options.codec_ratio)
    download = transmission.download_bytes(profile, workload, options.codec, options.codec_ratio)
    shares = arrival_shares(execution, fleet, options.shares)
    rates = shares * workload.arrival_rate

    delays = {
        "uplink": transmission.terminal_seconds(
            transmission.input_bytes(profile, workload), fleet.link.uplink_bits_per_second, options.uplink
        ),
        "wait": waiting_seconds(execution, rates, flops, fleet, workload, options.waiting),
        "execution": execution,
        "transfer": transmission.transfer_seconds(upload, fleet)
        + transmission.transfer_seconds(download, fleet),
        "cloud": cloud_seconds(profile, fleet, workload.phase, roofline=options.roofline),
    }
    if options.delay == "paper":
        delays |= {
            "transfer": transmission.paper_transfer_seconds(profile, fleet),
            "cloud": np.zeros(len(upload)),
        }
    parts = {name: np.broadcast_to(delay, execution.shape) for name, delay in delays.items()}
    node_delay = np.sum([parts[name] for name in DELAY_PARTS], axis=0)
    slowest = node_delay.argmax(axis=0)
    points = np.arange(len(slowest))

    per_task = _task_joules(
        fleet, workload, options, parts, rates, flops, upload, transmission.exit_bytes(profile)
    )
    tasks = rates * workload.window_seconds
    return CostTable(
        memory_bytes=edge_memory_bytes(profile, workload, options.memory),
        master_memory_bytes=master_memory_bytes(profile, workload, options.memory),
        upload_bytes=upload,
        download_bytes=download,
        node_shares=shares,
        node_utilisation=rates * execution,
        node_delay_seconds=node_delay,
        slowest_node=slowest,
        delay_parts={name: part[slowest, points] for name, part in parts.items()},
        node_wait_seconds=(shares * queueing.md1_waiting_seconds(rates, execution)).sum(axis=0),
        pooled_wait_seconds=pooled_waiting_seconds(execution, workload),
        node_energy_parts={name: tasks * joules for name, joules in per_task.items()},
        tasks_per_window=workload.arrival_rate * workload.window_seconds,
        master_utilisation=workload.arrival_rate
        * exit_seconds(profile, fleet.coordinator, workload.phase, roofline=options.roofline),
        link_utilisation=workload.arrival_rate
        * 8
        * (upload + download)
        / fleet.link.bandwidth_bits_per_second,
    )


def _task_joules(
    fleet: Fleet,
    workload: Workload,
    options: OffloadOptions,
    delays: dict[str, np.ndarray],
    rates: np.ndarray,
    flops: np.ndarray,
    upload: np.ndarray,
    exit_upload: np.ndarray,
) -> dict[str, np.ndarray]:
    """Joules of one task on each node by part, each [num_nodes, N + 1]."""
    bits_per_second = transmission.cloud_rate_bits_per_second(fleet)
    if options.static_energy == "powered":
        seconds = 1 / rates  # a window's idle energy, divided among the window's tasks
    elif options.static_energy == "occupied":
        seconds = delays["wait"] + delays["execution"] + 8 * upload / bits_per_second[:, None]
    else:
        seconds = delays["execution"]
    if options.energy == "linear":
        compute = energy.linear_compute_joules(fleet, delays["execution"])
    else:
        compute = energy.omega_compute_joules(fleet, flops, options.omega)
    radio = energy.radio_joules(fleet, upload, bits_per_second)
    if workload.phase == "training":  # the exit head on the master learns at every step
        radio = radio + energy.radio_joules(
            fleet, exit_upload, transmission.master_rate_bits_per_second(fleet)
        )
    return {
        "static": energy.static_joules(fleet, seconds),
        "compute": compute,
        "radio": radio,
    }
