"""What the master learns from its calls: how long a node takes for a sample, and how far away the cloud is."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cloudedge_pl.errors import require_positive, require_range


class ServiceEstimate:
    """Seconds that a node takes for a sample: an average in which newer measurements weigh more.

    A node that is slow gets no tasks, so nothing more would be measured on it. An estimate that is not renewed
    therefore falls, halving its distance to the fastest node's every ``half_life_seconds``, until the node is tried
    again.

    Args:
        smoothing: weight of the newest measurement, in (0, 1]; until 1 / smoothing measurements it is their mean.
        half_life_seconds: above 0.

    Attributes:
        measurements: number so far.
    """

    def __init__(self, *, smoothing: float = 0.2, half_life_seconds: float = 10.0) -> None:
        require_range("estimate", 0, 1, open_low=True, smoothing=smoothing)
        require_positive("estimate", half_life_seconds=half_life_seconds)
        self._smoothing, self._half_life_seconds = smoothing, half_life_seconds
        self._mean = math.nan
        self._measured_at = -math.inf
        self.measurements = 0

    def add(self, seconds: float, clock_seconds: float) -> None:
        """Takes a measurement of one sample, at a time of a monotonic clock."""
        self.measurements += 1
        before = self._mean if self.measurements > 1 else seconds
        gain = max(self._smoothing, 1 / self.measurements)
        self._mean = before + gain * (seconds - before)
        self._measured_at = clock_seconds

    @property
    def mean_seconds(self) -> float:
        """The average; nan before the first measurement."""
        return self._mean

    def at(self, clock_seconds: float, fastest_seconds: float) -> float:
        """The estimate at a time.

        Args:
            clock_seconds: the time.
            fastest_seconds: average of the fastest node; also the estimate before the first measurement.
        """
        above = self._mean - fastest_seconds
        if not above > 0:
            return fastest_seconds if math.isnan(self._mean) else self._mean
        idle = max(clock_seconds - self._measured_at, 0.0)
        return float(fastest_seconds + above * 0.5 ** (idle / self._half_life_seconds))


@dataclass
class RoundTrip:
    """The time of a call as a line over its number of samples: a + b n, fitted to the calls so far.

    It turns the time of a call with any number of samples into that of a call with one, so that the rule of the cloud's
    sleep compares equals. Newer calls weigh more.

    Args:
        smoothing: weight of the newest call, in (0, 1].
    """

    smoothing: float = 0.05
    _calls: int = 0
    _samples: float = 0.0
    _seconds: float = 0.0
    _variance: float = 0.0
    _covariance: float = 0.0

    def add(self, seconds: float, samples: int) -> None:
        """Takes the time of a call with ``samples`` samples."""
        self._calls += 1
        gain = max(self.smoothing, 1 / self._calls)
        off_samples, off_seconds = samples - self._samples, seconds - self._seconds
        self._samples += gain * off_samples
        self._seconds += gain * off_seconds
        self._variance = (1 - gain) * (self._variance + gain * off_samples**2)
        self._covariance = (1 - gain) * (self._covariance + gain * off_samples * off_seconds)

    @property
    def line(self) -> tuple[float, float]:
        """a and b of a + b n, neither below 0; without calls of different numbers of samples, b is 0."""
        if not self._calls:
            return 0.0, 0.0
        slope = self._covariance / self._variance if self._variance > 1e-9 else 0.0
        slope = min(max(slope, 0.0), self._seconds / self._samples)
        return self._seconds - slope * self._samples, slope

    def expected_seconds(self, samples: int) -> float:
        """What a call with so many samples takes; 0 before the first call."""
        fixed, each = self.line
        return fixed + each * samples

    def of_one(self, seconds: float, samples: int) -> float:
        """The time of a call of one sample on a link on which one of ``samples`` takes ``seconds``."""
        expected = self.expected_seconds(samples)
        return seconds if samples == 1 or expected <= 0 else seconds * self.expected_seconds(1) / expected
