"""Costs of every split point on a fleet under a workload, in one table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cloudedge_pl.costs import energy
from cloudedge_pl.costs.codec import CodecConfig
from cloudedge_pl.costs.formulas import CostFormulas
from cloudedge_pl.costs.memory import edge_memory_bytes, master_memory_bytes
from cloudedge_pl.costs.profile import CostProfile
from cloudedge_pl.costs.queueing import (
    Load,
    arrival_shares,
    md1_waiting_seconds,
    pooled_waiting_seconds,
    waiting_seconds,
)
from cloudedge_pl.costs.roofline import FORWARD_PASSES
from cloudedge_pl.costs.split import TaskCosts, task_costs
from cloudedge_pl.costs.transmission import (
    cloud_rate_bits_per_second,
    master_rate_bits_per_second,
    paper_transfer_seconds,
    sending_seconds,
    transfer_seconds,
)
from cloudedge_pl.fleet import Fleet, Workload

DELAY_PARTS = ("uplink", "wait", "execution", "transfer", "cloud")
ENERGY_PARTS = ("static", "compute", "radio")


@dataclass(frozen=True, eq=False)
class CostTable:
    """Costs at every split point, [N + 1] unless a shape is given. Delays that an overloaded queue causes are ``inf``.

    Args:
        memory_bytes: of the edge part on each node.
        master_memory_bytes: on the master.
        upload_bytes: of one task to the cloud.
        download_bytes: of one task from the cloud.
        node_shares: [num_nodes, N + 1] of the arrivals; they sum to 1 over the nodes.
        node_utilisation: [num_nodes, N + 1], share of the time during which a node computes; 1 and more is overload.
        node_delay_seconds: [num_nodes, N + 1], of one task that the node runs.
        slowest_node: index of the node with the longest delay.
        delay_parts: of a task on the slowest node, by :data:`DELAY_PARTS`, in seconds.
        node_wait_seconds: mean wait over the tasks if every node has its own queue and tasks are sent to nodes at
            random, by their shares (M/D/1).
        pooled_wait_seconds: mean wait if each task goes to the node that finishes it first (M/D/c).
        node_energy_parts: [num_nodes, N + 1], in one window, by :data:`ENERGY_PARTS`, in joules.
        tasks_per_window: mean over all nodes together.
        link_utilisation: share of the time during which the link would be busy, up and down, if all nodes shared it. It
            is not a limit, because every node is taken to have the link's bandwidth for itself.
        master_utilisation: share of the time during which the master would be busy if the exit head answered every
            task. It is not a limit either, because the cloud answers while it is awake.
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
        """Delay of one task on the slowest node [N + 1]."""
        return self.node_delay_seconds.max(axis=0)

    @cached_property
    def node_energy_joules(self) -> np.ndarray:
        """Energy of each node in one window [num_nodes, N + 1]."""
        return np.sum([self.node_energy_parts[part] for part in ENERGY_PARTS], axis=0)

    @cached_property
    def energy_parts(self) -> dict[str, np.ndarray]:
        """Mean energy of one task over all nodes [N + 1], by :data:`ENERGY_PARTS`, in joules."""
        parts = self.node_energy_parts
        return {name: parts[name].sum(axis=0) / self.tasks_per_window for name in ENERGY_PARTS}

    @property
    def energy_joules(self) -> np.ndarray:
        """Mean energy of one task over all nodes [N + 1], without the master's and the cloud's energy."""
        return self.node_energy_joules.sum(axis=0) / self.tasks_per_window

    @property
    def utilisation(self) -> np.ndarray:
        """Utilisation of the busiest node [N + 1]."""
        return self.node_utilisation.max(axis=0)


def cost_table(
    profile: CostProfile,
    fleet: Fleet,
    workload: Workload,
    formulas: CostFormulas | None = None,
    codec: CodecConfig | None = None,
) -> CostTable:
    """Evaluates every split point.

    Args:
        profile: of the network.
        fleet: nodes, master, cloud and link.
        workload: arrival rate, phase and window.
        formulas: by which costs are computed; None takes the defaults.
        codec: form in which the cut tensors are sent to the cloud; None takes the default, int8.

    Source: Xu 2020, Sec. 3; :mod:`cloudedge_pl.costs` names the deviations beside each formula.
    """
    formulas = formulas or CostFormulas()
    task = task_costs(profile, fleet, workload, formulas, codec)
    execution = task.execution_seconds
    speed = fleet.array("effective_flops_per_second")
    shares = arrival_shares(execution, speed, formulas.shares)
    flops = FORWARD_PASSES[workload.phase] * profile.flops
    load = Load(workload.arrival_rate, shares, execution, flops)
    delays = delay_parts(profile, fleet, task, load, formulas)
    node_delay = np.sum([delays[name] for name in DELAY_PARTS], axis=0)
    slowest = node_delay.argmax(axis=0)
    points = np.arange(len(slowest))
    joules = energy_parts(fleet, workload, task, load, delays, formulas)
    tasks = load.rates * workload.window_seconds
    busy_bits = workload.arrival_rate * 8 * (task.upload_bytes + task.download_bytes)
    return CostTable(
        memory_bytes=edge_memory_bytes(profile, workload, formulas.memory),
        master_memory_bytes=master_memory_bytes(profile, workload, formulas.memory),
        upload_bytes=task.upload_bytes,
        download_bytes=task.download_bytes,
        node_shares=shares,
        node_utilisation=load.utilisation,
        node_delay_seconds=node_delay,
        slowest_node=slowest,
        delay_parts={name: part[slowest, points] for name, part in delays.items()},
        node_wait_seconds=(shares * md1_waiting_seconds(load.rates, execution)).sum(axis=0),
        pooled_wait_seconds=pooled_waiting_seconds(load),
        node_energy_parts={name: tasks * part for name, part in joules.items()},
        tasks_per_window=workload.arrival_rate * workload.window_seconds,
        master_utilisation=workload.arrival_rate * task.exit_seconds,
        link_utilisation=busy_bits / fleet.link.bandwidth_bits_per_second,
    )


def delay_parts(
    profile: CostProfile, fleet: Fleet, task: TaskCosts, load: Load, formulas: CostFormulas
) -> dict[str, np.ndarray]:
    """Delay of one task on each node by part, in seconds, each [num_nodes, N + 1]."""
    if formulas.delay == "paper":
        transfer, cloud = paper_transfer_seconds(profile, fleet), np.zeros_like(task.cloud_seconds)
    else:
        transfer = transfer_seconds(task.upload_bytes, fleet) + transfer_seconds(task.download_bytes, fleet)
        cloud = task.cloud_seconds
    delays: dict[str, np.ndarray | float] = {
        "uplink": task.terminal_seconds,
        "wait": waiting_seconds(load, formulas.waiting),
        "execution": load.service_seconds,
        "transfer": transfer,
        "cloud": cloud,
    }
    return {name: np.broadcast_to(part, load.service_seconds.shape) for name, part in delays.items()}


def energy_parts(
    fleet: Fleet,
    workload: Workload,
    task: TaskCosts,
    load: Load,
    delays: dict[str, np.ndarray],
    formulas: CostFormulas,
) -> dict[str, np.ndarray]:
    """Energy of one task on each node by part, in joules, each [num_nodes, N + 1]."""
    idle, busy, transmit = (
        fleet.array(watts)[:, None] for watts in ("idle_watts", "busy_watts", "transmit_watts")
    )
    to_cloud = sending_seconds(task.upload_bytes, cloud_rate_bits_per_second(fleet)[:, None])
    if formulas.static_energy == "powered":
        seconds = 1 / load.rates  # the window's idle energy, divided among its tasks
    elif formulas.static_energy == "occupied":
        seconds = delays["wait"] + delays["execution"] + to_cloud
    else:
        seconds = delays["execution"]
    if formulas.energy == "linear":
        compute = energy.linear_compute_joules(idle, busy, delays["execution"])
    else:
        speed = fleet.array("effective_flops_per_second")[:, None]
        compute = energy.omega_compute_joules(idle, busy, speed, load.flops, formulas.omega)
    radio = energy.radio_joules(transmit, to_cloud)
    if workload.phase == "training":  # the exit head on the master learns in every step
        to_master = sending_seconds(task.exit_upload_bytes, master_rate_bits_per_second(fleet)[:, None])
        radio = radio + energy.radio_joules(transmit, to_master)
    return {"static": energy.static_joules(idle, seconds), "compute": compute, "radio": radio}
