"""Prices of a second and a byte of each node: the dual of the LP relaxation, by a subgradient method.

min T subject to sum_i x_ij et_ij + ready_j <= T, sum_i x_ij m_i <= C_j and sum_j x_ij = 1 has the dual max D(u, v)
over prices u >= 0 of sum 1 and rents v >= 0 of a byte, D(u, v) = sum_i min_j (u_j et_ij + v_j m_i) + sum_j u_j
ready_j - sum_j v_j C_j. A task costs ``u_j et_ij + v_j m_i`` on node j; its reduced cost there is what it costs beyond
its cheapest node. The makespan of any schedule is at least D(u, v) plus its reduced costs, so good schedules use cheap
pairs only. This guides the colony.
"""

from __future__ import annotations

import numpy as np

from cloudedge_pl.scheduling.compiled import compiled

FIRST_STEP, LAST_STEP, PATIENCE = 0.1, 4e-4, 6
"""Step sizes of the logarithms of prices: halved after PATIENCE updates without progress, until LAST_STEP."""

MOST_LOAD = 3.0
"""A load counts as at most this many times the bound, so that one very low price does not disturb the others."""

SAMPLE = 1 << 20
"""Number of entries of a larger matrix that are used while prices are still far from their final values."""


def prices(
    times: np.ndarray,
    ready: np.ndarray,
    memory: np.ndarray,
    capacity: np.ndarray,
    starts: np.ndarray,
    updates: int,
) -> tuple[float, np.ndarray, np.ndarray, int]:
    """Improves the best of some initial prices until they converge.

    Args:
        times: [num_tasks, num_nodes] seconds, ``inf`` where a task cannot run.
        ready: [num_nodes] seconds.
        memory: [num_tasks] bytes.
        capacity: [num_nodes] bytes, ``inf`` for no limit.
        starts: [num_starts, num_nodes] logarithms of initial prices.
        updates: largest number of times that all tasks, or a sample of them, are priced.

    Returns:
        The best dual bound, the logarithms of its prices [num_nodes], the rents of a byte [num_nodes] for prices of
        sum 1, and the number of passes over the whole matrix, rounded up.
    """
    passes, step, rent = 0.0, FIRST_STEP, np.zeros(len(ready))
    stride = -(-times.size // SAMPLE)
    if stride > 1:
        part = np.ascontiguousarray(times[::stride])
        share = len(part) / len(times)
        last = min(max(updates // stride, 4), updates)
        few = np.ascontiguousarray(memory[::stride])
        _, start, rent, used = _ascend(
            part, ready * share, few, capacity * share, starts, rent, updates - last, step
        )
        passes, updates, starts, step = used * share, last, start[None], step / 8
    bound, log_prices, rent, used = _ascend(times, ready, memory, capacity, starts, rent, updates, step)
    return bound, log_prices, rent, int(np.ceil(passes + used))


@compiled
def _ascend(
    times: np.ndarray,
    ready: np.ndarray,
    memory: np.ndarray,
    capacity: np.ndarray,
    starts: np.ndarray,
    rent: np.ndarray,
    updates: int,
    step: float,
) -> tuple[float, np.ndarray, np.ndarray, int]:
    """Raises the prices of nodes that the cheapest pairs load above the bound, and lowers the others.

    The rent of a byte rises if these pairs need more memory than there is, and falls to zero if they need less. The
    first steps start from the best of ``starts``.
    """
    num_nodes = times.shape[1]
    log_prices, best_prices = starts[0].copy(), starts[0].copy()
    best, failures, used = -1.0, 0, 0
    price, load, best_load = np.empty(num_nodes), np.empty(num_nodes), np.empty(num_nodes)
    limited = (capacity < np.inf) & (capacity > 0.0)
    binds = bool(memory.sum() > 0.0 and limited.any())
    rent, held = rent.copy(), np.zeros(num_nodes)
    best_rent, best_held = rent.copy(), held.copy()
    while used < updates and step > LAST_STEP:
        price[:] = np.exp(log_prices - log_prices.max())
        price /= price.sum()
        load[:], held[:] = ready, 0.0
        bound = _price_tasks(times, memory, price, rent, binds, load, held)
        for j in range(num_nodes):
            bound += price[j] * ready[j]
            if limited[j]:
                bound -= rent[j] * capacity[j]
        used += 1
        if bound > best * (1.0 + 1e-5):
            best, failures = bound, 0
            best_prices[:], best_load[:] = log_prices, load
            best_rent[:], best_held[:] = rent, held
        elif used > len(starts):
            failures += 1
            if failures == PATIENCE:
                failures, step = 0, step / 2.0
                log_prices[:], rent[:] = best_prices, best_rent
                continue
        if used < len(starts):
            log_prices[:] = starts[used]
            continue
        if used == len(starts):
            bound, log_prices[:], load[:], held[:] = best, best_prices, best_load, best_held
        if best <= 0.0:
            break
        scale = max(bound, 0.5 * best)
        for j in range(num_nodes):
            log_prices[j] += step * (min(load[j] / scale, MOST_LOAD) - 1.0)
            if binds and limited[j]:
                excess = min(held[j] / capacity[j], MOST_LOAD) - 1.0
                rent[j] = max(rent[j] + step * excess * scale / (num_nodes * capacity[j]), 0.0)
    return best, best_prices, best_rent, used


@compiled
def _price_tasks(
    times: np.ndarray,
    memory: np.ndarray,
    price: np.ndarray,
    rent: np.ndarray,
    binds: bool,
    load: np.ndarray,
    held: np.ndarray,
) -> float:
    """Adds every task to the load and the held memory of its cheapest node; returns the sum of the least costs."""
    total = 0.0
    for i in range(len(times)):
        least, at = np.inf, 0
        for j in range(len(load)):
            cost = times[i, j] * price[j]
            if binds:
                cost += memory[i] * rent[j]
            if cost < least:
                least, at = cost, j
        load[at] += times[i, at]
        held[at] += memory[i]
        total += least
    return total
