"""What differences between paired runs show."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """The mean of paired differences, and the interval that holds the true mean with probability 0.95.

    Args:
        mean: of the differences.
        low: lower end; minus infinity for one pair, which shows no spread.
        high: upper end.
    """

    mean: float
    low: float
    high: float


def paired_difference(differences: np.ndarray) -> PairedDifference:
    """Student's interval for the mean of differences, which it takes to be independent and normal.

    Args:
        differences: [n], one for each pair, such as the runs of two systems with the same seed; at least one.

    >>> round(paired_difference(np.array([1.0, 2.0, 3.0])).low, 3)  # 2 - 4.303 / sqrt(3)
    -0.484
    """
    mean, number = float(np.mean(differences)), len(differences)
    if number == 1:
        return PairedDifference(mean=mean, low=-math.inf, high=math.inf)
    quantile = special.stdtrit(number - 1, 0.5 + CONFIDENCE / 2)
    half = float(quantile * np.std(differences, ddof=1) / math.sqrt(number))
    return PairedDifference(mean=mean, low=mean - half, high=mean + half)
