"""The limits that a split point must keep (C1 memory, C2 delay and load, C3 energy), with slack and reasons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cloudedge_pl.costs.units import (
    Writer,
    format_bytes,
    format_joules,
    format_percent,
    format_seconds,
    written_apart,
)
from cloudedge_pl.fleet import EdgeNode, Fleet, Workload
from cloudedge_pl.offloading.table import CostTable


@dataclass(frozen=True, eq=False)
class Constraint:
    """One limit at every split point.

    Args:
        name: "memory", "master_memory", "load", "delay" or "energy".
        value: [N + 1], what each split point uses.
        limit: [N + 1], how much it may use.
        where: [N + 1], name of the node that is closest to its limit.
        write: formats an amount.
        advice: what to change if the limit is in the way.
        strict: whether the value must stay below the limit; otherwise it may reach it.
    """

    name: str
    value: np.ndarray
    limit: np.ndarray
    where: tuple[str, ...]
    write: Writer
    advice: str
    strict: bool = False

    @property
    def slack(self) -> np.ndarray:
        """Limit minus value [N + 1]; negative where the limit is broken."""
        return self.limit - self.value

    @property
    def met(self) -> np.ndarray:
        """Whether the limit is kept [N + 1], bool."""
        return self.value < self.limit if self.strict else self.value <= self.limit

    @property
    def pressure(self) -> np.ndarray:
        """Value over limit [N + 1]: 0.9 is close, above 1 is broken; 0 if there is no limit."""
        return np.where(
            np.isinf(self.limit), 0.0, self.value / np.where(np.isinf(self.limit), 1.0, self.limit)
        )

    def shortfall(self, split_point: int) -> str:
        """Says in a few words by how much a split point breaks the limit."""
        if self.name == "load":
            return f"overload, {self._busy(split_point)} busy"
        return f"{self.name.replace('_', ' ')} over by {self.write(-float(self.slack[split_point]))}"

    def reason(self, split_point: int) -> str:
        """Says why a split point breaks the limit: the value, the limit, the node and the excess."""
        value, limit = float(self.value[split_point]), float(self.limit[split_point])
        where = self.where[split_point]
        if self.name == "load":
            return f"overload: {where} would be busy {self._busy(split_point)} of the time"
        label = "exit head and edge part" if self.name == "master_memory" else self.name
        needed, most = written_apart(self.write, (value, limit))
        return f"{label} {needed} > {most} on {where} (over by {self.write(value - limit)})"

    def _busy(self, split_point: int) -> str:
        """Writes the load with enough digits to differ from the limit."""
        return written_apart(self.write, (float(self.value[split_point]), float(self.limit[split_point])))[0]


def constraints(
    table: CostTable, fleet: Fleet, workload: Workload, memory_share: float
) -> tuple[Constraint, ...]:
    """Returns every limit of a plan: on memory, load, delay and energy.

    Args:
        table: costs of the split points.
        fleet: its smallest memory, slowest node and tightest energy budget count.
        workload: with the limit on the delay.
        memory_share: share of each memory that may be used.

    Source: Xu 2020, Sec. 3 (C1 to C3); deviates: C1 holds for the master too, C2 holds for one task rather than for the
    sum over a window's tasks, and a queue must not be overloaded.
    """
    smallest = min(fleet.nodes, key=lambda node: node.memory_bytes)
    return (
        _memory("memory", table.memory_bytes, smallest, memory_share, "the smallest node"),
        _memory("master_memory", table.master_memory_bytes, fleet.coordinator, memory_share, "the master"),
        _load(table, fleet),
        _delay(table, fleet, workload),
        _energy(table, fleet),
    )


def _memory(name: str, used: np.ndarray, machine: EdgeNode, share: float, whose: str) -> Constraint:
    limit = np.full(len(used), share * machine.memory_bytes)
    where = (machine.name,) * len(used)
    return Constraint(name, used, limit, where, format_bytes, f"memory_bytes of {whose}")


def _load(table: CostTable, fleet: Fleet) -> Constraint:
    where = _names(fleet, table.node_utilisation.argmax(axis=0))
    limit = np.ones(table.num_points)
    return Constraint(
        "load", table.utilisation, limit, where, format_percent, "arrival_rate, or nodes", strict=True
    )


def _delay(table: CostTable, fleet: Fleet, workload: Workload) -> Constraint:
    where = _names(fleet, table.slowest_node)
    limit = np.full(table.num_points, workload.max_delay_seconds)
    advice = "max_delay_seconds of the workload"
    return Constraint("delay", table.delay_seconds, limit, where, format_seconds, advice)


def _energy(table: CostTable, fleet: Fleet) -> Constraint:
    budgets = fleet.array("max_energy_joules")
    # Nodes without a budget count only if no node has one; then the node that draws most is shown.
    counted = np.isfinite(budgets) | np.isinf(budgets).all()
    joules = np.where(counted[:, None], table.node_energy_joules, 0.0)
    ratio = joules / np.where(np.isinf(budgets), 1.0, budgets)[:, None]
    tightest = ratio.argmax(axis=0)
    value = table.node_energy_joules[tightest, np.arange(table.num_points)]
    where, advice = _names(fleet, tightest), "max_energy_joules of the node"
    return Constraint("energy", value, budgets[tightest], where, format_joules, advice)


def _names(fleet: Fleet, indices: np.ndarray) -> tuple[str, ...]:
    return tuple(fleet.nodes[index].name for index in indices)


def broken(limits: tuple[Constraint, ...], split_point: int) -> tuple[Constraint, ...]:
    """Returns the limits that a split point breaks.

    An overloaded queue makes delays, and energies that count waiting, infinite; then only the overload is returned.
    """
    return tuple(
        limit for limit in limits if not limit.met[split_point] and np.isfinite(limit.value[split_point])
    )


def reasons(limits: tuple[Constraint, ...]) -> tuple[str, ...]:
    """Says why each split point is infeasible [N + 1]; empty where it is feasible."""
    points = range(len(limits[0].value))
    return tuple("; ".join(limit.reason(point) for limit in broken(limits, point)) for point in points)


@dataclass(frozen=True)
class Relaxation:
    """The smallest change of one limit that makes a split point feasible, while the other limits stay.

    Args:
        limit: name of the constraint.
        split_point: the split point that becomes feasible.
        where: the node whose limit it is.
        needed: value that the limit must reach.
        now: present value of the limit.
    """

    limit: str
    split_point: int
    where: str
    needed: float
    now: float


def relaxations(limits: tuple[Constraint, ...], wanted: np.ndarray) -> tuple[Relaxation, ...]:
    """Finds for every limit the smallest change of it alone that makes a wanted split point feasible.

    Args:
        limits: every constraint at every split point.
        wanted: [N + 1] bool, the split points that should become feasible.
    """
    found = []
    for limit in limits:
        # An overload says nothing about the limits on delay and energy, because its waits are infinite.
        ignored = {"load", "delay", "energy"} if limit.name == "load" else {limit.name}
        rest = np.all([other.met for other in limits if other.name not in ignored], axis=0)
        points = np.flatnonzero(wanted & rest & ~limit.met & np.isfinite(limit.value))
        if len(points):
            point = int(points[limit.pressure[points].argmin()])
            found.append(
                Relaxation(
                    limit.name,
                    point,
                    limit.where[point],
                    float(limit.value[point]),
                    float(limit.limit[point]),
                )
            )
    return tuple(found)
