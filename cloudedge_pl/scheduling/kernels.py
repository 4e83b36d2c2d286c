"""Compiled inner loops of the searching schedulers; imported only when a window needs them."""

from __future__ import annotations

import numba
import numpy as np

_compiled = numba.njit(cache=True, nogil=True, error_model="numpy")


@_compiled
def uniform(state):  # type: ignore[no-untyped-def] # numba infers the types
    """Draws from [0, 1) and moves the generator (xorshift64*) on; ``state`` is uint64 [1]."""
    x = state[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    state[0] = x
    return float((x * np.uint64(2685821657736338717)) >> np.uint64(11)) / 9007199254740992.0


@_compiled
def _improve(times, memory, capacity, node, load, free):  # type: ignore[no-untyped-def] # as above
    """Moves tasks off the critical node while that lowers the larger of the two loads."""
    n, m = times.shape
    for _ in range(4 * n):
        critical = np.argmax(load)
        best, best_i, best_j = load[critical], -1, -1
        for i in range(n):
            if node[i] != critical:
                continue
            without = load[critical] - times[i, critical]
            for j in range(m):
                if j != critical and memory[i] <= free[j]:
                    after = max(without, load[j] + times[i, j])
                    if after < best:
                        best, best_i, best_j = after, i, j
        if best_i < 0:
            return
        load[critical] -= times[best_i, critical]
        free[critical] += memory[best_i]
        load[best_j] += times[best_i, best_j]
        free[best_j] -= memory[best_i]
        node[best_i] = best_j


@_compiled
def colony(times, ready, memory, capacity, prior, bound, alpha, beta, rho, deposit, ants, rounds, seed):  # type: ignore[no-untyped-def] # as above
    """Runs the colony; returns best node [tasks], history, pheromone by node, and the task that was stuck or -1."""
    n, m = times.shape
    rng = np.array([seed | np.uint64(1)], dtype=np.uint64)
    tau = np.empty((n, m))
    for i in range(n):
        tau[i] = prior
    order = np.argsort(-np.array([np.min(times[i]) for i in range(n)]), kind="mergesort")
    best = np.full(n, -1)
    best_makespan = np.inf
    history = np.empty(ants * rounds)
    evaluations, stuck = 0, -1
    node = np.empty(n, dtype=np.int64)
    for _ in range(rounds):
        tau *= 1.0 - rho
        for ant in range(ants):
            load, free = ready.copy(), capacity.copy()
            complete = True
            for i in order:
                weights = np.zeros(m)
                total, greedy, greedy_at = 0.0, np.inf, -1
                for j in range(m):
                    if times[i, j] < np.inf and memory[i] <= free[j]:
                        done = load[j] + times[i, j]
                        if done < greedy:
                            greedy, greedy_at = done, j
                if greedy_at < 0:
                    complete, stuck = False, i
                    break
                pick = greedy_at
                if evaluations > 0:
                    for j in range(m):
                        if times[i, j] < np.inf and memory[i] <= free[j]:
                            eta = (greedy + 1e-300) / (load[j] + times[i, j] + 1e-300)
                            if capacity[j] < np.inf:
                                eta *= free[j] / capacity[j]
                            weights[j] = tau[i, j] ** alpha * eta**beta
                            total += weights[j]
                    draw = uniform(rng) * total
                    for j in range(m):
                        draw -= weights[j]
                        if weights[j] > 0.0 and draw <= 0.0:
                            pick = j
                            break
                node[i] = pick
                load[pick] += times[i, pick]
                free[pick] -= memory[i]
            if not complete:
                continue
            _improve(times, memory, capacity, node, load, free)
            makespan = load.max()
            if makespan < best_makespan:
                best_makespan = makespan
                best[:] = node
            history[evaluations] = best_makespan
            evaluations += 1
            for i in range(n):
                tau[i, node[i]] += deposit * bound / max(makespan, 1e-300) / ants
            if best_makespan <= bound * (1.0 + 1e-9):
                break
        if evaluations > 0 and best_makespan <= bound * (1.0 + 1e-9):
            break
    trail = np.zeros(m)
    for j in range(m):
        trail[j] = tau[:, j].mean()
    if evaluations > 0:
        stuck = -1
    return best, history[:evaluations], trail / max(trail.mean(), 1e-300), stuck
