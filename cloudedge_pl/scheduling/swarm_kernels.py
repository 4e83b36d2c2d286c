"""Compiled loops of the basic ant system and of particle swarm optimisation, imported when a window needs them."""

from __future__ import annotations

import numpy as np

from cloudedge_pl.scheduling.compiled import choose, compiled, uniform

LEAST = 1e-12
"""Lower limit of eta, which the printed form can make zero or negative."""


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
    """Ants build schedules task by task, in order of arrival, with pheromone on pairs of task and node.

    Args:
        times: [num_tasks, num_nodes].
        ready: [num_nodes].
        memory: [num_tasks].
        capacity: [num_nodes].
        share: [num_tasks, num_nodes] share of the node's memory that the task uses.
        tau: [num_tasks, num_nodes] pheromone; it changes.
        alpha, beta, evaporation_rate, deposit, ants, evaluations: see :class:`~cloudedge_pl.scheduling.AntSystem`.
        printed: whether to use the printed form of Xu 2020: eta = 1 - memory in use, L = total work, and the best ant
            is that of least L. Otherwise eta = 1 / time and L = makespan (Dorigo et al. 1996).
        random: state of the generator; it changes.

    Returns:
        The node of each task in the best schedule, and the best makespan by evaluation (that of the least total work if
        ``printed``). If no schedule fits in memory: the last one's nodes, -1 from the task on for which there was no
        room.
    """
    num_tasks = len(times)
    node, best_node = np.empty(num_tasks, dtype=np.int64), np.full(num_tasks, -1)
    history = np.full(evaluations, np.inf)
    least, makespan_of_best = np.inf, np.inf
    laid = np.zeros_like(tau)
    for evaluation in range(evaluations):
        load, free = ready.copy(), capacity.copy()
        nodes = (memory, share, load, free)
        placed, work = _build(times, tau, nodes, alpha, beta, printed, random, node)
        if placed == num_tasks:
            length = work if printed else load.max()
            if length < least:
                least, makespan_of_best = length, load.max()
                best_node[:] = node
            for i in range(num_tasks):
                laid[i, node[i]] += deposit / max(length, LEAST)
        elif least == np.inf:
            best_node[:placed], best_node[placed:] = node[:placed], -1
        history[evaluation] = makespan_of_best
        if (evaluation + 1) % ants == 0:
            tau[:] = (1.0 - evaporation_rate) * tau + laid
            laid[:] = 0.0
    return best_node, history


@compiled
def _build(
    times: np.ndarray,
    tau: np.ndarray,
    nodes: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    alpha: float,
    beta: float,
    printed: bool,
    random: np.ndarray,
    node: np.ndarray,
) -> tuple[int, float]:
    """Builds the schedule of one ant in ``node``; returns the number of tasks placed, and their total work.

    ``nodes`` holds the memory of each task, its share of each node's memory, and load and free memory of the nodes,
    which change.
    """
    memory, share, load, free = nodes
    num_tasks, num_nodes = times.shape
    in_use, weights, work = np.zeros(num_nodes), np.empty(num_nodes), 0.0
    for i in range(num_tasks):
        for j in range(num_nodes):
            weights[j] = 0.0
            if times[i, j] < np.inf and memory[i] <= free[j]:
                eta = 1.0 - in_use[j] if printed else 1.0 / max(times[i, j], LEAST)
                eta = max(eta, LEAST)
                weights[j] = max(tau[i, j] ** alpha * eta**beta, 1e-290)
        if weights.max() == 0.0:
            return i, work
        at = choose(weights, random)
        node[i] = at
        load[at] += times[i, at]
        free[at] -= memory[i]
        in_use[at] += share[i, at]
        work += times[i, at]
    return num_tasks, work


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
    """Particles move through [0, 1)^num_tasks; a coordinate selects one of its task's nodes, fastest first.

    Args:
        times: [num_tasks, num_nodes].
        ready: [num_nodes].
        memory: [num_tasks].
        capacity: [num_nodes].
        order: [num_tasks, num_nodes] nodes of each task, sorted by time.
        allowed: [num_tasks] number of nodes that can run the task.
        inertia, cognitive, social, particles, evaluations: see :class:`~cloudedge_pl.scheduling.ParticleSwarm`.
        random: state of the generator; it changes.

    Returns:
        The node of each task in the best schedule, and the best makespan by evaluation. If no schedule fits in memory:
        the last one's nodes, -1 from the task on for which there was no room.
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
            _move(position[p], velocity[p], own[p], best_position, inertia, cognitive, social, random)
        load = ready.copy()
        placed = _decode(position[p], times, memory, order, allowed, load, capacity.copy(), node)
        if placed < num_tasks and best == np.inf:
            best_node[:placed], best_node[placed:] = node[:placed], -1
        makespan = load.max() if placed == num_tasks else np.inf
        if makespan < own_best[p]:
            own_best[p] = makespan
            own[p] = position[p]
        if makespan < best:
            best = makespan
            best_position[:] = position[p]
            best_node[:] = node
        history[evaluation] = best
    return best_node, history


@compiled
def _move(
    position: np.ndarray,
    velocity: np.ndarray,
    own: np.ndarray,
    best: np.ndarray,
    inertia: float,
    cognitive: float,
    social: float,
    random: np.ndarray,
) -> None:
    """Moves a particle towards its own best position and the swarm's, within [0, 1); all are [num_tasks]."""
    for i in range(len(position)):
        pull = cognitive * uniform(random) * (own[i] - position[i])
        pull += social * uniform(random) * (best[i] - position[i])
        velocity[i] = min(max(inertia * velocity[i] + pull, -0.5), 0.5)
        position[i] += velocity[i]
        if position[i] < 0.0 or position[i] >= 1.0:
            position[i] = min(max(position[i], 0.0), 1.0 - 1e-12)
            velocity[i] = 0.0


@compiled
def _decode(
    position: np.ndarray,
    times: np.ndarray,
    memory: np.ndarray,
    order: np.ndarray,
    allowed: np.ndarray,
    load: np.ndarray,
    free: np.ndarray,
    node: np.ndarray,
) -> int:
    """Builds the schedule of a particle in ``node``; returns the number of tasks placed."""
    for i in range(len(position)):
        first, at = int(position[i] * allowed[i]), -1
        for step in range(allowed[i]):
            j = order[i, (first + step) % allowed[i]]
            if memory[i] <= free[j]:
                at = j
                break
        if at < 0:
            return i
        node[i] = at
        load[at] += times[i, at]
        free[at] -= memory[i]
    return len(position)
