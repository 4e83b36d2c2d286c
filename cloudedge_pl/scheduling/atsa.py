"""ATSA, the adaptive task scheduling algorithm: an ant colony that knows when it need not search."""

from __future__ import annotations

from typing import Any

import numpy as np

from cloudedge_pl.errors import require_positive, require_range
from cloudedge_pl.scheduling.bounds import lower_bound, tasks_that_fit
from cloudedge_pl.scheduling.identical import counts_of_identical_tasks, order_of_arrival
from cloudedge_pl.scheduling.instance import Instance, no_memory_left
from cloudedge_pl.scheduling.types import Assignment, NodeState, TaskWindow


class AdaptiveTaskScheduler:
    """ATSA, improved.

    Identical tasks (a training batch under one split) are scheduled exactly, without a colony. Otherwise ants
    choose nodes with probability in proportion to tau^alpha * eta^beta, tau the pheromone and eta one over the
    completion time, times the share of memory left; the best schedules are improved by moving tasks off the
    critical node; and the search ends at the lower bound.

    Source: Xu 2020, Sec. 3.4 (parameters of its Fig. 7); deviates: an ant deposits Q / makespan where the paper
    takes the total work, whose minimum is every task on the fastest node; eta counts completion time and releases
    memory; local search, bound and exact case are added.

    Args:
        seed: of the ants; the same seed makes the same schedules.
        alpha: weight of the pheromone, in [1, 10].
        beta: weight of the heuristic, in [1, 10].
        rho: share of the pheromone that evaporates in a round, in (0, 1).
        deposit: Q, above 0: the pheromone that a schedule of the lower bound's makespan would lay.
        ants: schedules built in a round, at least 1.
        rounds: at most; at least 1.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        alpha: float = 1.0,
        beta: float = 5.0,
        rho: float = 0.5,
        deposit: float = 5.0,
        ants: int = 10,
        rounds: int = 10,
    ) -> None:
        require_range("atsa", 1, 10, alpha=alpha, beta=beta)
        require_range("atsa", 0, 1, open_low=True, open_high=True, rho=rho)
        require_positive("atsa", deposit=deposit)
        require_range("atsa", 1, np.inf, ants=ants, rounds=rounds)
        self.seed = int(seed)
        self.alpha, self.beta, self.rho, self.deposit = float(alpha), float(beta), float(rho), float(deposit)
        self.ants, self.rounds = int(ants), int(rounds)
        self.windows = 0
        self._trail: dict[str, float] = {}

    def assign(self, window: TaskWindow, state: NodeState) -> Assignment:
        """Returns a node for every task; raises ValueError where a task fits nowhere."""
        instance = Instance.of(window, state)
        if instance.num_tasks == 0:
            assignment = instance.assignment(np.zeros(0, dtype=np.int64), float(instance.ready_seconds.max()))
        elif instance.identical:
            assignment = _exact(instance)
        else:
            assignment = self._search(instance, state.names)
        self.windows += 1
        return assignment

    def _search(self, instance: Instance, names: tuple[str, ...]) -> Assignment:
        from cloudedge_pl.scheduling import kernels

        bound = lower_bound(instance)
        known = np.array([self._trail.get(name, np.nan) for name in names])
        tau = np.where(np.isnan(known), np.nanmean(known) if not np.isnan(known).all() else 1.0, known)
        seed = np.random.SeedSequence([self.seed, self.windows]).generate_state(1, np.uint64)[0]
        node, history, tau, stuck = kernels.colony(
            np.ascontiguousarray(instance.times_seconds),
            instance.ready_seconds,
            instance.memory_bytes,
            instance.capacity_bytes,
            tau,
            bound,
            self.alpha,
            self.beta,
            self.rho,
            self.deposit,
            self.ants,
            self.rounds,
            seed,
        )
        if stuck >= 0:
            raise no_memory_left(instance, stuck, instance.capacity_bytes)
        self._trail.update(zip(names, tau.tolist(), strict=True))
        return instance.assignment(node, bound, history)

    def state_dict(self) -> dict[str, Any]:
        """Windows so far, and the pheromone of each node by its name."""
        return {"windows": self.windows, "trail": dict(self._trail)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what :meth:`state_dict` gave."""
        self.windows = int(state["windows"])
        self._trail = {str(name): float(value) for name, value in state["trail"].items()}


def _exact(instance: Instance) -> Assignment:
    row, ready = instance.times_seconds[0], instance.ready_seconds
    most = tasks_that_fit(instance.capacity_bytes, float(instance.memory_bytes[0]))
    counts = counts_of_identical_tasks(instance.num_tasks, row, ready, most)
    placed = int(counts.sum())
    if placed < instance.num_tasks:
        raise no_memory_left(instance, placed, instance.capacity_bytes - counts * instance.memory_bytes[0])
    node = order_of_arrival(counts, row, ready)
    return instance.assignment(node, float(instance.loads(node).max()))
