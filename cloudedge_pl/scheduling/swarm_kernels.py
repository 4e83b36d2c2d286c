"""Inner loops of the basic ant system and of particle swarm optimisation: compiled, imported by who needs them."""

from __future__ import annotations

import numpy as np

from cloudedge_pl.scheduling.compiled import choose, compiled, uniform

LEAST = 1e-12
"""Keeps eta above zero where the printed form would make it zero or negative."""


@compiled
def ant_system(
    times: np.ndarray,
    ready: np.ndarray,
    memory: np.ndarray,
    capacity: np.ndarray,
    share: np.ndarray,
    tau: np.ndarray,
    alpha: float,
    beta: float,
    evaporation_rate: float,
    deposit: float,
    ants: int,
    evaluations: int,
    printed: bool,
    random: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Ants build schedules from nothing, tasks in order of arrival; pheromone on pairs of task and node.

    Args:
        times: [num_tasks, num_nodes].
        ready: [num_nodes].
        memory: [num_tasks].
        capacity: [num_nodes].
        share: [num_tasks, num_nodes] of the node's memory that the task takes.
        tau: [num_tasks, num_nodes] pheromone, changed in place.
        alpha: weight of the pheromone.
        beta: weight of the heuristic.
        evaporation_rate: share that evaporates.
        deposit: Q.
        ants: of a round.
        evaluations: schedules built in all.
        printed: take Xu 2020 at its word: eta = 1 - memory in use, L = total work, the best ant is that of least L.
            Otherwise eta = 1 / time and L = makespan (Dorigo et al. 1996).
        random: state of the generator.

    Returns:
        node of each task in the best schedule, and best makespan by evaluation (of the least total work if
        ``printed``); if memory ruled out all, the last schedule's nodes, -1 from the task on that found no room.
    """
    num_tasks, num_nodes = times.shape
    node, best_node = np.empty(num_tasks, dtype=np.int64), np.full(num_tasks, -1)
    history = np.full(evaluations, np.inf)
    least, makespan_of_best = np.inf, np.inf
    weights = np.empty(num_nodes)
    laid = np.zeros_like(tau)
    for evaluation in range(evaluations):
        load, free, in_use = ready.copy(), capacity.copy(), np.zeros(num_nodes)
        work, at = 0.0, -1
        for i in range(num_tasks):
            for j in range(num_nodes):
                weights[j] = 0.0
                if times[i, j] < np.inf and memory[i] <= free[j]:
                    eta = 1.0 - in_use[j] if printed else 1.0 / max(times[i, j], LEAST)
                    eta = max(eta, LEAST)
                    weights[j] = max(tau[i, j] ** alpha * eta**beta, 1e-290)
            if weights.max() == 0.0:
                at = -1
                if least == np.inf:
                    best_node[:i], best_node[i:] = node[:i], -1
                break
            at = choose(weights, random)
            node[i] = at
            load[at] += times[i, at]
            free[at] -= memory[i]
            in_use[at] += share[i, at]
            work += times[i, at]
        if at >= 0:
            length = work if printed else load.max()
            if length < least:
                least, makespan_of_best = length, load.max()
                best_node[:] = node
            for i in range(num_tasks):
                laid[i, node[i]] += deposit / max(length, LEAST)
        history[evaluation] = makespan_of_best
        if (evaluation + 1) % ants == 0:
            for i in range(num_tasks):
                for j in range(num_nodes):
                    tau[i, j] = (1.0 - evaporation_rate) * tau[i, j] + laid[i, j]
                    laid[i, j] = 0.0
    return best_node, history


@compiled
def particle_swarm(
    times: np.ndarray,
    ready: np.ndarray,
    memory: np.ndarray,
    capacity: np.ndarray,
    order: np.ndarray,
    allowed: np.ndarray,
    inertia: float,
    cognitive: float,
    social: float,
    particles: int,
    evaluations: int,
    random: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Particles fly through [0, 1)^num_tasks; a coordinate picks one of its task's nodes, the fastest first.

    Args:
        times: [num_tasks, num_nodes].
        ready: [num_nodes].
        memory: [num_tasks].
        capacity: [num_nodes].
        order: [num_tasks, num_nodes] each task's nodes by time.
        allowed: [num_tasks] how many of them can run it.
        inertia: share of its velocity that a particle keeps.
        cognitive: pull towards its own best position.
        social: pull towards the swarm's best position.
        particles: in the swarm.
        evaluations: schedules in all.
        random: state of the generator.

    Returns:
        node of each task in the best schedule, and best makespan by evaluation; if memory ruled out all, the last
        schedule's nodes, -1 from the task on that found no room.
    """
    num_tasks = len(allowed)
    position = np.empty((particles, num_tasks))
    velocity = np.empty((particles, num_tasks))
    for p in range(particles):
        for i in range(num_tasks):
            position[p, i] = uniform(random)
            velocity[p, i] = 0.2 * uniform(random) - 0.1
    own, own_best = position.copy(), np.full(particles, np.inf)
    best_position, best = position[0].copy(), np.inf
    node, best_node = np.empty(num_tasks, dtype=np.int64), np.full(num_tasks, -1)
    history = np.empty(evaluations)
    for evaluation in range(evaluations):
        p = evaluation % particles
        if evaluation >= particles:
            for i in range(num_tasks):
                pull = cognitive * uniform(random) * (own[p, i] - position[p, i])
                pull += social * uniform(random) * (best_position[i] - position[p, i])
                velocity[p, i] = min(max(inertia * velocity[p, i] + pull, -0.5), 0.5)
                position[p, i] += velocity[p, i]
                if position[p, i] < 0.0 or position[p, i] >= 1.0:
                    position[p, i] = min(max(position[p, i], 0.0), 1.0 - 1e-12)
                    velocity[p, i] = 0.0
        load, free = ready.copy(), capacity.copy()
        makespan = 0.0
        for i in range(num_tasks):
            first, at = int(position[p, i] * allowed[i]), -1
            for step in range(allowed[i]):
                j = order[i, (first + step) % allowed[i]]
                if memory[i] <= free[j]:
                    at = j
                    break
            if at < 0:
                makespan = np.inf
                if best == np.inf:
                    best_node[:i], best_node[i:] = node[:i], -1
                break
            node[i] = at
            load[at] += times[i, at]
            free[at] -= memory[i]
        makespan = max(makespan, load.max())
        if makespan < own_best[p]:
            own_best[p] = makespan
            own[p] = position[p]
        if makespan < best:
            best = makespan
            best_position[:] = position[p]
            best_node[:] = node
        history[evaluation] = best
    return best_node, history
