"""The metaheuristics that ATSA is compared with: the paper's printed form, the basic ant system, particle swarms."""

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
"""A node for every task, and the best makespan after each evaluation.

Where memory ruled out every schedule: the last one's nodes, -1 from the task on for which none was left."""


SAMPLES_EACH = 50
"""A search samples so many schedules at most for each that there is, so that a window of one task costs little."""


class SwarmScheduler(SeededScheduler):
    """Samples schedules, better ones as it goes; a subclass defines :meth:`search`.

    The search counts time in units of the window's mean execution time, so that first pheromone and deposit keep
    their proportion whatever the window's scale.
    """

    evaluations: int

    @abstractmethod
    def search(self, instance: Instance, times: np.ndarray, used_memory: np.ndarray) -> Found:
        """Returns the best schedule sampled.

        Args:
            instance: the problem, with at least one task, its seconds in units of their mean.
            times: its execution times, contiguous [num_tasks, num_nodes].
            used_memory: share of each node's free memory that each task takes, [num_tasks, num_nodes].
        """

    def budget(self, times: np.ndarray) -> int:
        """How many schedules to sample: ``evaluations``, or fewer where there are few schedules in all."""
        bits = float(np.log2(np.maximum((times < np.inf).sum(axis=1), 1)).sum())
        if bits >= math.log2(self.evaluations):
            return self.evaluations
        return min(self.evaluations, SAMPLES_EACH * round(2**bits))

    def assign(self, window: TaskWindow, state: NodeState) -> Assignment:
        """Returns a node for every task; raises ValueError where a task fits nowhere."""
        instance = Instance.of(window, state)
        if instance.num_tasks == 0:
            return instance.assignment(np.zeros(0, dtype=np.int64), lower_bound(instance))
        # Of the window, not of the instance: mu grows with every task, even where tasks hold memory one at a time only.
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
        )  # beside a backlog, times may be all but zero
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
    """The basic ant system: ants build schedules task by task, on pheromone and speed alone.

    p_ij ~ tau_ij^alpha * (1 / et_ij)^beta; after a round tau evaporates and every ant lays Q / makespan on its pairs.
    Each window starts anew.

    Source: Dorigo et al. 1996, for schedules as in Tawfeek et al. 2013.

    Args:
        seed: of the ants.
        alpha: weight of the pheromone, in [1, 10].
        beta: weight of the heuristic, in [1, 10].
        evaporation_rate: share of the pheromone that evaporates in a round, in (0, 1).
        deposit: Q, above 0.
        ants: of a round, at least 1.
        evaluations: schedules built in all, at least 1.
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
        """Returns the best schedule that an ant built."""
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

    p_ij ~ tau_ij^alpha * eta_ij^beta with eta = 1 - mu_j, mu_j the share of the node's memory that the ant has used so
    far, and tau0 = 1 / mean et of the node; each ant lays Q / Z, Z the total work of its schedule, and the schedule of
    least Z is kept. As the least total work is that of every task on its fastest node, this works against the
    makespan: the loads of the schedule show it. Where memory does not bind, eta is constant.

    Source: Xu 2020, Sec. 2.2; deviates: the sum of deposits runs over the ants, not over the k tasks; the factor
    delta cancels; eta stays above zero.

    Args:
        seed: of the ants.
        alpha: weight of the pheromone, in [1, 10].
        beta: weight of the heuristic, in [1, 10].
        evaporation_rate: share of the pheromone that evaporates in a round, in (0, 1).
        deposit: Q, above 0.
        ants: of a round, at least 1.
        evaluations: schedules built in all, at least 1.
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

    A particle's coordinate in [0, 1) picks one of the nodes that can run the task, sorted from fastest to slowest.
    Each window starts anew.

    Source: Kennedy and Eberhart 1995, with the constriction of Clerc and Kennedy 2002 as defaults.

    Args:
        seed: of the swarm.
        particles: at least 1.
        inertia: share of its velocity that a particle keeps, in [0, 1).
        cognitive: pull towards its own best position, >= 0.
        social: pull towards the swarm's best position, >= 0.
        evaluations: schedules in all, at least 1.
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
        """Returns the best schedule that a particle stood for."""
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
