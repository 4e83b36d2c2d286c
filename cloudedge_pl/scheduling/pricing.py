"""What a second of each node is worth: the dual prices of the LP relaxation, by a subgradient method.

min T subject to sum_i x_ij et_ij + ready_j <= T and sum_j x_ij = 1 has the dual max D(u) over prices u >= 0 of sum 1,
D(u) = sum_i min_j u_j et_ij + sum_j u_j ready_j. A task costs ``u_j et_ij`` on node j, and what it costs beyond the
cheapest node is its reduced cost there: the makespan of any schedule is at least D(u) plus its reduced costs,
so a good schedule uses cheap pairs only. That is the guidance of the colony.
"""

from __future__ import annotations

import numpy as np

from cloudedge_pl.scheduling.compiled import compiled

FIRST_STEP, LAST_STEP, PATIENCE = 0.1, 4e-4, 6
"""Steps of the logarithms of prices: halved after PATIENCE updates without progress, ended at LAST_STEP."""

MOST_LOAD = 3.0
"""A load counts as so many times the bound at most: one price that is far too low does not throw all of them off."""

SAMPLE = 1 << 20
"""Of larger matrices, so many entries are looked at while prices are far off."""


def prices(
    times: np.ndarray, ready: np.ndarray, starts: np.ndarray, updates: int
) -> tuple[float, np.ndarray, int]:
    """Improves the best of some first prices until they settle.

    Args:
        times: [num_tasks, num_nodes] seconds, ``inf`` where a task cannot run.
        ready: [num_nodes] seconds.
        starts: [num_starts, num_nodes] logarithms of first prices.
        updates: tasks are priced so often at most, all of them or a sample.

    Returns:
        The best dual bound, the logarithms of its prices [num_nodes], and how often the whole matrix was priced,
        rounded up.
    """
    passes, step = 0.0, FIRST_STEP
    stride = -(-times.size // SAMPLE)
    if stride > 1:
        part = np.ascontiguousarray(times[::stride])
        share = len(part) / len(times)
        last = min(max(updates // stride, 4), updates)
        _, start, used = _ascend(part, ready * share, starts, updates - last, step)
        passes, updates, starts, step = used * share, last, start[None], step / 8
    bound, log_prices, used = _ascend(times, ready, starts, updates, step)
    return bound, log_prices, int(np.ceil(passes + used))


@compiled
def _ascend(
    times: np.ndarray, ready: np.ndarray, starts: np.ndarray, updates: int, step: float
) -> tuple[float, np.ndarray, int]:
    """Multiplies the price of nodes that the cheapest pairs load above the bound, and divides the others'.

    The first steps go from the best of the starts.
    """
    num_tasks, num_nodes = times.shape
    log_prices, best_prices = starts[0].copy(), starts[0].copy()
    best, failures, used = -1.0, 0, 0
    price, load, best_load = np.empty(num_nodes), np.empty(num_nodes), np.empty(num_nodes)
    while used < updates and step > LAST_STEP:
        price[:] = np.exp(log_prices - log_prices.max())
        price /= price.sum()
        load[:] = ready
        bound = 0.0
        for i in range(num_tasks):
            least, at = np.inf, 0
            for j in range(num_nodes):
                cost = times[i, j] * price[j]
                if cost < least:
                    least, at = cost, j
            load[at] += times[i, at]
            bound += least
        for j in range(num_nodes):
            bound += price[j] * ready[j]
        used += 1
        if bound > best * (1.0 + 1e-5):
            best, failures = bound, 0
            best_prices[:], best_load[:] = log_prices, load
        elif used > len(starts):
            failures += 1
            if failures == PATIENCE:
                failures, step = 0, step / 2.0
                log_prices[:] = best_prices
                continue
        if used < len(starts):
            log_prices[:] = starts[used]
            continue
        if used == len(starts):
            bound, log_prices[:], load[:] = best, best_prices, best_load
        if bound <= 0.0:
            break
        for j in range(num_nodes):
            log_prices[j] += step * (min(load[j] / bound, MOST_LOAD) - 1.0)
    return best, best_prices, used
