"""Metaheuristics to compare ATSA with: the paper's printed form, the basic ant system, and a particle swarm."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import replace

import numpy as np

from cloudedge_pl.errors import require_positive, require_range
from cloudedge_pl.scheduling.base import SeededScheduler
from cloudedge_pl.scheduling.bounds import lower_bound, mean_seconds
from cloudedge_pl.scheduling.instance import Instance, no_memory_left
from cloudedge_pl.scheduling.types import Assignment, NodeState, TaskWindow

Found = tuple[np.ndarray, np.ndarray]
"""The node of every task, and the best makespan after each evaluation.

If no schedule fits in memory: the nodes of the last one, -1 from the task on for which there was no room."""


SAMPLES_EACH = 50
"""Largest number of sampled schedules per possible schedule, so that a window of one task costs little."""


class SwarmScheduler(SeededScheduler):
    """Samples schedules with increasing quality; a subclass defines :meth:`search`.

    The search measures time in units of the window's mean execution time, so that the proportion of initial pheromone
    and deposit does not depend on the scale of the window.
    """

    evaluations: int

    @abstractmethod
    def search(self, instance: Instance, times: np.ndarray, used_memory: np.ndarray) -> Found:
        """Returns the best sampled schedule.

        Args:
            instance: the problem, with at least one task and times in units of their mean.
            times: its execution times, contiguous [num_tasks, num_nodes].
            used_memory: share of each node's free memory that each task uses, [num_tasks, num_nodes].
        """

    def budget(self, times: np.ndarray) -> int:
        """Returns the number of schedules to sample: ``evaluations``, or fewer if few schedules exist."""
        bits = float(np.log2(np.maximum((times < np.inf).sum(axis=1), 1)).sum())
        if bits >= math.log2(self.evaluations):
            return self.evaluations
        return min(self.evaluations, SAMPLES_EACH * round(2**bits))

    def assign(self, window: TaskWindow, state: NodeState) -> Assignment:
        """Assigns every task to a node.

        Raises:
            ValueError: if a task fits on no node.
        """
        instance = Instance.of(window, state)
        if instance.num_tasks == 0:
            return instance.assignment(np.zeros(0, dtype=np.int64), lower_bound(instance))
        # The window's memory, not the instance's: mu grows with every task, even if tasks hold memory one at a time.
        used_memory = np.zeros(instance.times_seconds.shape)
        np.divide(
            window.memory_bytes[:, None],
            state.free_memory_bytes,
            out=used_memory,
            where=state.free_memory_bytes > 0,
        )
        unit = float(np.mean(mean_seconds(instance.times_seconds)))
        unit = max(
            unit, float(instance.ready_seconds.max()) * 1e-12
        )  # times may be almost zero compared to a backlog
        scaled = replace(
            instance,
            times_seconds=instance.times_seconds / unit,
            ready_seconds=instance.ready_seconds / unit,
        )
        node, history = self.search(scaled, np.ascontiguousarray(scaled.times_seconds), used_memory)
        if (node < 0).any():
            stuck = int(np.argmax(node < 0))
            held = np.bincount(node[:stuck], instance.memory_bytes[:stuck], minlength=instance.num_nodes)
            raise no_memory_left(instance, stuck, instance.capacity_bytes - held)
        self.windows += 1
        return instance.assignment(node, lower_bound(instance), history * unit)


class AntSystem(SwarmScheduler):
    """The basic ant system: ants build schedules task by task, by pheromone and speed only.

    p_ij ~ tau_ij^alpha * (1 / et_ij)^beta. After each round tau evaporates, and every ant deposits Q / makespan on its
    pairs. Every window starts without pheromone.

    Source: Dorigo et al. 1996, for schedules as in Tawfeek et al. 2013.

    Args:
        seed: of the random draws.
        alpha: weight of the pheromone, in [1, 10].
        beta: weight of the heuristic, in [1, 10].
        evaporation_rate: share of the pheromone that evaporates in each round, in (0, 1); the paper's rho.
        deposit: Q, above 0.
        ants: number of ants per round, at least 1.
        evaluations: number of schedules that are built, at least 1.
    """

    name = "aco"
    printed = False

    def __init__(
        self,
        *,
        seed: int = 0,
        alpha: float = 1.0,
        beta: float = 1.0,
        evaporation_rate: float = 0.1,
        deposit: float = 5.0,
        ants: int = 20,
        evaluations: int = 10_000,
    ) -> None:
        super().__init__(seed=seed)
        require_range(self.name, 1, 10, alpha=alpha, beta=beta)
        require_range(self.name, 0, 1, open_low=True, open_high=True, evaporation_rate=evaporation_rate)
        require_positive(self.name, deposit=deposit)
        require_range(self.name, 1, math.inf, open_high=True, whole=True, ants=ants, evaluations=evaluations)
        self.alpha, self.beta, self.evaporation_rate, self.deposit = (
            float(alpha),
            float(beta),
            float(evaporation_rate),
            float(deposit),
        )
        self.ants, self.evaluations = int(ants), int(evaluations)

    def search(self, instance: Instance, times: np.ndarray, used_memory: np.ndarray) -> Found:
        """Returns the best schedule of all ants."""
        from cloudedge_pl.scheduling.compiled import stream
        from cloudedge_pl.scheduling.swarm_kernels import ant_system

        return ant_system(
            times,
            instance.ready_seconds,
            instance.memory_bytes,
            instance.capacity_bytes,
            used_memory,
            self._first_pheromone(times),
            self.alpha,
            self.beta,
            self.evaporation_rate,
            self.deposit,
            self.ants,
            self.budget(times),
            self.printed,
            stream(self.seed, self.windows),
        )

    def _first_pheromone(self, times: np.ndarray) -> np.ndarray:
        return np.ones_like(times)


class PrintedAdaptiveTaskScheduler(AntSystem):
    """ATSA with the formulas as printed.

    p_ij ~ tau_ij^alpha * eta_ij^beta with eta = 1 - mu_j, where mu_j is the share of the node's memory that the ant has
    used so far, and tau0 = 1 / mean et of the node. Each ant deposits Q / Z, where Z is the total work of its schedule,
    and the schedule of least Z is returned. Total work is least with every task on its fastest node, which contradicts
    the goal of a small makespan. If memory is not limited, eta is constant.

    Source: Xu 2020, Sec. 2.2; deviates: the sum of deposits runs over the ants, not over the k tasks; the factor delta
    cancels; eta stays above zero.

    Args:
        seed: of the random draws.
        alpha: weight of the pheromone, in [1, 10].
        beta: weight of the heuristic, in [1, 10].
        evaporation_rate: share of the pheromone that evaporates in each round, in (0, 1); the paper's rho.
        deposit: Q, above 0.
        ants: number of ants per round, at least 1.
        evaluations: number of schedules that are built, at least 1.
    """

    name = "atsa_paper"
    printed = True

    def __init__(
        self,
        *,
        seed: int = 0,
        alpha: float = 1.0,
        beta: float = 5.0,
        evaporation_rate: float = 0.5,
        deposit: float = 5.0,
        ants: int = 20,
        evaluations: int = 10_000,
    ) -> None:
        super().__init__(
            seed=seed,
            alpha=alpha,
            beta=beta,
            evaporation_rate=evaporation_rate,
            deposit=deposit,
            ants=ants,
            evaluations=evaluations,
        )

    def _first_pheromone(self, times: np.ndarray) -> np.ndarray:
        return np.tile(1.0 / mean_seconds(times), (len(times), 1))


class ParticleSwarm(SwarmScheduler):
    """Particle swarm optimisation with random keys.

    A particle's coordinate in [0, 1) selects one of the nodes that can run the task, sorted from fastest to slowest.
    Every window starts with a new swarm.

    Source: Kennedy and Eberhart 1995, with the constriction of Clerc and Kennedy 2002 as defaults.

    Args:
        seed: of the random draws.
        particles: number of particles, at least 1.
        inertia: share of its velocity that a particle keeps, in [0, 1).
        cognitive: attraction to the particle's own best position, >= 0.
        social: attraction to the swarm's best position, >= 0.
        evaluations: number of schedules that are built, at least 1.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        particles: int = 40,
        inertia: float = 0.7298,
        cognitive: float = 1.4962,
        social: float = 1.4962,
        evaluations: int = 10_000,
    ) -> None:
        super().__init__(seed=seed)
        require_range("pso", 0, 1, open_high=True, inertia=inertia)
        require_range("pso", 0, math.inf, open_high=True, cognitive=cognitive, social=social)
        require_range(
            "pso", 1, math.inf, open_high=True, whole=True, particles=particles, evaluations=evaluations
        )
        self.inertia, self.cognitive, self.social = float(inertia), float(cognitive), float(social)
        self.particles, self.evaluations = int(particles), int(evaluations)

    def search(self, instance: Instance, times: np.ndarray, used_memory: np.ndarray) -> Found:
        """Returns the best schedule of all particles."""
        from cloudedge_pl.scheduling.compiled import stream
        from cloudedge_pl.scheduling.swarm_kernels import particle_swarm

        return particle_swarm(
            times,
            instance.ready_seconds,
            instance.memory_bytes,
            instance.capacity_bytes,
            np.argsort(times, axis=1, kind="stable"),
            (times < np.inf).sum(axis=1),
            self.inertia,
            self.cognitive,
            self.social,
            self.particles,
            self.budget(times),
            stream(self.seed, self.windows),
        )
