"""What the mean of several runs, or of differences between paired runs, shows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class MeanInterval:
    """A mean, and the interval that holds the true mean with probability 0.95.

    Args:
        mean: of the values.
        low: lower end; minus infinity for one value, which shows no spread.
        high: upper end.
    """

    mean: float
    low: float
    high: float


def mean_interval(values: np.ndarray) -> MeanInterval:
    """Student's interval for the mean of values, which it takes to be independent and normal.

    Args:
        values: [n], one for each run, or the difference of each pair of runs with the same seed; at least one.

    >>> round(mean_interval(np.array([1.0, 2.0, 3.0])).low, 3)  # 2 - 4.303 / sqrt(3)
    -0.484
    """
    mean, number = float(np.mean(values)), len(values)
    if number == 1:
        return MeanInterval(mean=mean, low=-math.inf, high=math.inf)
    quantile = special.stdtrit(number - 1, 0.5 + CONFIDENCE / 2)
    half = float(quantile * np.std(values, ddof=1) / math.sqrt(number))
    return MeanInterval(mean=mean, low=mean - half, high=mean + half)
