"""A sketch of delays: their quantiles to 1%, in a few hundred counters whatever their number, merged or one by one."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from cloudedge_pl.errors import CheckpointError, require_range

RELATIVE_ERROR: Final = 0.01
_GAMMA: Final = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_LOG_GAMMA: Final = math.log(_GAMMA)

SMALLEST_SECONDS, LARGEST_SECONDS = 1e-9, 1e9
"""Delays outside this range count as its ends: a nanosecond, which is no time, and thirty years."""

_FIRST: Final = math.ceil(math.log(SMALLEST_SECONDS) / _LOG_GAMMA)
_BINS: Final = math.ceil(math.log(LARGEST_SECONDS) / _LOG_GAMMA) - _FIRST + 1


class DelaySketch:
    """Counts delays in bins whose limits grow by 2%, so that a bin's middle is within 1% of all that it holds.

    Adding and merging are sums of counts: the order does not matter, and a sketch of parts equals that of the whole.
    Only bins that hold something are in :meth:`state_dict`.

    Source: Masson, Rim and Lee 2019, "DDSketch", VLDB 12(12), Sec. 2. Deviates: the range of delays is fixed, so no bin
    is ever collapsed.

    Attributes:
        counts: int64 [bins].
        total_seconds: sum of all delays.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(_BINS, dtype=np.int64)
        self.total_seconds = 0.0

    def __len__(self) -> int:
        """The number of delays."""
        return int(self.counts.sum())

    def add(self, delay_seconds: np.ndarray) -> None:
        """Adds delays [n]; nan, of a task without an answer, is left out.

        Raises:
            ValueError: if a delay is negative.
        """
        delays = np.asarray(delay_seconds, dtype=np.float64).ravel()
        delays = delays[~np.isnan(delays)]
        if not len(delays):
            return
        require_range("delays", 0, math.inf, shortest=float(delays.min()))
        within = np.clip(delays, SMALLEST_SECONDS, LARGEST_SECONDS)
        bins = np.ceil(np.log(within) / _LOG_GAMMA).astype(np.int64) - _FIRST
        self.counts += np.bincount(bins, minlength=_BINS)
        self.total_seconds += float(delays.sum())

    def merge(self, other: DelaySketch) -> None:
        """Adds all delays of another sketch, which stays as it is."""
        self.counts += other.counts
        self.total_seconds += other.total_seconds

    @property
    def mean_seconds(self) -> float:
        """The mean of all delays, exact; nan without any."""
        count = len(self)
        return self.total_seconds / count if count else math.nan

    def quantile(self, level: float) -> float:
        """The delay that a share ``level`` of all delays does not exceed, to 1%; nan without any delay.

        Of n delays in ascending order it is number floor(level * (n - 1)), counted from 0.

        Raises:
            ValueError: if the level is outside [0, 1].
        """
        require_range("quantile", 0, 1, level=level)
        count = len(self)
        if not count:
            return math.nan
        rank = math.floor(level * (count - 1))
        index = int(np.searchsorted(np.cumsum(self.counts), rank, side="right")) + _FIRST
        return 2 * math.exp(index * _LOG_GAMMA) / (1 + _GAMMA)

    def state_dict(self) -> dict[str, Any]:
        """Returns the bins that hold something, and the sum, as plain values."""
        filled = np.flatnonzero(self.counts)
        return {
            "bins": filled.tolist(),
            "counts": self.counts[filled].tolist(),
            "total_seconds": self.total_seconds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what :meth:`state_dict` returned.

        Raises:
            CheckpointError: if a bin is outside the range, so it is of another version.
        """
        bins = np.array(state["bins"], dtype=np.int64)
        if len(bins) and not 0 <= bins.min() <= bins.max() < _BINS:
            raise CheckpointError(
                f"the checkpoint's sketch of delays has bins up to {bins.max()}, and there are {_BINS}; resume with "
                "the version of cloudedge_pl that wrote it."
            )
        self.counts = np.zeros(_BINS, dtype=np.int64)
        self.counts[bins] = state["counts"]
        self.total_seconds = float(state["total_seconds"])
