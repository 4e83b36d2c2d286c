"""The limits that a split point must keep: C1 memory, C2 delay and load, C3 energy; with slack and reasons."""

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
from cloudedge_pl.fleet import Fleet, Workload
from cloudedge_pl.offloading.table import CostTable


@dataclass(frozen=True, eq=False)
class Constraint:
    """One limit at every split point.

    Args:
        name: "memory", "master_memory", "load", "delay" or "energy".
        value: [N + 1] what the split point takes of it.
        limit: [N + 1].
        where: [N + 1] name of the node that is closest to its limit.
        write: how an amount is written.
        advice: what to change where the limit is in the way.
        strict: the value must stay below the limit; else it may reach it.
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
        """What is left of the limit [N + 1]; negative where it is broken."""
        return self.limit - self.value

    @property
    def met(self) -> np.ndarray:
        """Whether the limit is kept [N + 1], bool."""
        return self.value < self.limit if self.strict else self.value <= self.limit

    @property
    def pressure(self) -> np.ndarray:
        """Value over limit [N + 1]: 0.9 is close, above 1 is broken; 0 without a limit."""
        return np.where(
            np.isinf(self.limit), 0.0, self.value / np.where(np.isinf(self.limit), 1.0, self.limit)
        )

    def shortfall(self, split_point: int) -> str:
        """By how much the limit is broken there, in a few words."""
        if self.name == "load":
            return f"overload, {self._busy(split_point)} busy"
        return f"{self.name.replace('_', ' ')} over by {self.write(-float(self.slack[split_point]))}"

    def reason(self, split_point: int) -> str:
        """Why the limit is broken there: the value, the limit, the node, by how much."""
        value, limit = float(self.value[split_point]), float(self.limit[split_point])
        where = self.where[split_point]
        if self.name == "load":
            return f"overload: {where} would be busy {self._busy(split_point)} of the time"
        label = "exit head and edge part" if self.name == "master_memory" else self.name
        needed, most = written_apart(self.write, (value, limit))
        return f"{label} {needed} > {most} on {where} (over by {self.write(value - limit)})"

    def _busy(self, split_point: int) -> str:
        """The load there, told apart from the limit."""
        return written_apart(self.write, (float(self.value[split_point]), float(self.limit[split_point])))[0]


def constraints(
    table: CostTable, fleet: Fleet, workload: Workload, memory_share: float
) -> tuple[Constraint, ...]:
    """Every limit of a plan.

    Args:
        table: what the split points cost.
        fleet: whose smallest memory, slowest node and tightest energy budget count.
        workload: with the limit on the delay.
        memory_share: of a memory that may be used.

    Source: Xu 2020, Sec. 3 (C1 to C3); deviates: C1 holds for the master too, C2 is for one task rather than the sum
    over a window's, and a queue must not be overloaded.
    """
    points = table.num_points
    names = [node.name for node in fleet.nodes]
    smallest = min(fleet.nodes, key=lambda node: node.memory_bytes)
    master = fleet.coordinator
    busiest = table.node_utilisation.argmax(axis=0)
    budgets = fleet.array("max_energy_joules")
    # A node without a budget is shown where no node has one; then the one that draws most.
    counted = np.isfinite(budgets) | np.isinf(budgets).all()
    joules = np.where(counted[:, None], table.node_energy_joules, 0.0)
    ratio = joules / np.where(np.isinf(budgets), 1.0, budgets)[:, None]
    tightest = ratio.argmax(axis=0)
    return (
        Constraint(
            "memory",
            table.memory_bytes,
            np.full(points, memory_share * smallest.memory_bytes),
            (smallest.name,) * points,
            format_bytes,
            "memory_bytes of the smallest node",
        ),
        Constraint(
            "master_memory",
            table.master_memory_bytes,
            np.full(points, memory_share * master.memory_bytes),
            (master.name,) * points,
            format_bytes,
            "memory_bytes of the master",
        ),
        Constraint(
            "load",
            table.utilisation,
            np.ones(points),
            tuple(names[node] for node in busiest),
            format_percent,
            "arrival_rate, or nodes",
            strict=True,
        ),
        Constraint(
            "delay",
            table.delay_seconds,
            np.full(points, workload.max_delay_seconds),
            tuple(names[node] for node in table.slowest_node),
            format_seconds,
            "max_delay_seconds of the workload",
        ),
        Constraint(
            "energy",
            table.node_energy_joules[tightest, np.arange(points)],
            budgets[tightest],
            tuple(names[node] for node in tightest),
            format_joules,
            "max_energy_joules of the node",
        ),
    )


def broken(limits: tuple[Constraint, ...], split_point: int) -> tuple[Constraint, ...]:
    """The limits that a split point breaks.

    An overloaded queue makes delays (and energies that count waiting) infinite; then the overload alone is named.
    """
    return tuple(
        limit for limit in limits if not limit.met[split_point] and np.isfinite(limit.value[split_point])
    )


def reasons(limits: tuple[Constraint, ...]) -> tuple[str, ...]:
    """Why each split point is infeasible [N + 1]; empty where it is feasible."""
    points = range(len(limits[0].value))
    return tuple("; ".join(limit.reason(point) for limit in broken(limits, point)) for point in points)


@dataclass(frozen=True)
class Relaxation:
    """The least change of one limit, the others left as they are, that makes a split point feasible.

    Args:
        limit: the constraint's name.
        split_point: that becomes feasible.
        where: the node whose limit it is.
        needed: value that the limit must reach.
        now: the limit as it is.
    """

    limit: str
    split_point: int
    where: str
    needed: float
    now: float


def relaxations(limits: tuple[Constraint, ...], wanted: np.ndarray) -> tuple[Relaxation, ...]:
    """For every limit the least change of it alone that makes one of the wanted split points feasible.

    Args:
        limits: every constraint at every split point.
        wanted: [N + 1] bool.
    """
    found = []
    for limit in limits:
        # An overload says nothing about limits on delay and energy: there, waits are infinite.
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
