"""Confidence bounds of a share that was counted: exact, from the binomial distribution."""

from __future__ import annotations

import numpy as np
import scipy

from cloudedge_pl.errors import require_range


def binomial_upper_bound(events: np.ndarray, trials: int, delta: float) -> np.ndarray:
    """Upper bound of a probability, which holds with probability 1 - delta at least.

    The bound is the probability p at which so few events, P(Binomial(trials, p) <= events), have the probability
    delta. Source: Clopper and Pearson 1934, one-sided.

    Args:
        events: number of events, whole, in [0, trials]; any shape.
        trials: number of independent trials, at least 1.
        delta: in (0, 1).

    Returns:
        Bounds in (0, 1], of the shape of ``events``.

    >>> round(float(binomial_upper_bound(np.array(0), 100, 0.05)), 6)  # 1 - 0.05 ** (1 / 100)
    0.029513
    """
    _check(events, trials, delta)
    counted = np.asarray(events, dtype=np.float64)
    below = np.minimum(counted, trials - 1)  # betaincinv needs positive arguments
    # scipy imports its modules on first use: servers import this file, and never get here
    bound = scipy.special.betaincinv(below + 1, trials - below, 1 - delta)
    return np.where(counted >= trials, 1.0, bound)


def binomial_interval(events: int, trials: int, delta: float = 0.05) -> tuple[float, float]:
    """Two-sided interval of a probability, which holds with probability 1 - delta at least.

    Source: Clopper and Pearson 1934. Without a trial it is [0, 1].

    Args:
        events: number of events, in [0, trials].
        trials: number of independent trials, at least 0.
        delta: in (0, 1).

    >>> low, high = binomial_interval(0, 20)
    >>> round(low, 4), round(high, 4)
    (0.0, 0.1684)
    """
    if trials == 0:
        return 0.0, 1.0
    high = float(binomial_upper_bound(np.array(events), trials, delta / 2))
    low = 1 - float(binomial_upper_bound(np.array(trials - events), trials, delta / 2))
    return low, high


def _check(events: np.ndarray, trials: int, delta: float) -> None:
    require_range("binomial bound", 1, np.inf, whole=True, open_high=True, trials=trials)
    require_range("binomial bound", 0, 1, open_low=True, open_high=True, delta=delta)
    counted = np.asarray(events)
    if counted.size:
        require_range("binomial bound", 0, trials, events=float(counted.min()))
        require_range("binomial bound", 0, trials, events=float(counted.max()))
