"""The rule by which the cloud sleeps and wakes: a pure state machine, shared by simulation and training.

While the edge-to-cloud delay is near its average, cloud and edge work together. While it is too long, nothing is
uploaded, the cloud sleeps, and the exit head on the master answers.

Source: Xu 2020, Sec. 2.4 ("cloud dormancy mechanism").
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from cloudedge_pl.errors import require_fields, require_range


@dataclass(frozen=True, kw_only=True)
class DormancyRule:
    """Compares the present delay T_rd with its average T0.

    ``hysteresis`` (default): the cloud falls asleep when the delay is above ``sleep_ratio`` times the average, and
    wakes when it is at or below ``wake_ratio`` times the average, in either case after ``dwell_windows`` such delays in
    a row. So it stays in either state for at least that long. While it sleeps, a probe of the link replaces the upload.
    The average counts every finite measurement, including probes. It is therefore an unbiased estimate of the mean
    delay whatever the rule decides, and it follows a link that has become permanently slower or faster: after a tenfold
    slow-down the cloud is awake again within 80 windows at the default smoothing.

    ``paper``: the cloud sleeps exactly while T_rd > T0, where T0 is the mean of all delays so far. On symmetric noise
    this rule sleeps about half of the time, so it is not the default. Source: Xu 2020, Sec. 2.4; deviates: the paper
    does not say over which delays the average is taken.

    An infinite delay is an outage: the cloud sleeps at once in either mode, and the average does not count it.

    Args:
        mode: "hysteresis" or "paper".
        sleep_ratio: at least ``wake_ratio``; for "hysteresis", as are all that follow.
        wake_ratio: above 0.
        smoothing: weight of the newest delay in the average, in (0, 1]. Until 1 / smoothing delays have been measured,
            the average is their plain mean.
        warmup_windows: number of measurements at the start during which the cloud stays awake, so that the average is
            meaningful.
        dwell_windows: number of delays in a row that put the cloud to sleep or wake it. An outage puts it to sleep at
            once.

    Raises:
        ValueError: if a value is outside its range.
    """

    mode: Literal["hysteresis", "paper"] = "hysteresis"
    sleep_ratio: float = 1.5
    wake_ratio: float = 1.25
    smoothing: float = 0.02
    warmup_windows: int = 10
    dwell_windows: int = 3

    def __post_init__(self) -> None:
        require_fields("dormancy", self)
        require_range("dormancy", 0, math.inf, open_low=True, open_high=True, wake_ratio=self.wake_ratio)
        require_range("dormancy", self.wake_ratio, math.inf, open_high=True, sleep_ratio=self.sleep_ratio)
        require_range("dormancy", 0, 1, open_low=True, smoothing=self.smoothing)
        require_range(
            "dormancy",
            1,
            math.inf,
            open_high=True,
            whole=True,
            warmup_windows=self.warmup_windows,
            dwell_windows=self.dwell_windows,
        )


@dataclass(frozen=True)
class DormancyState:
    """State of the rule after a window.

    Args:
        awake: whether the cloud works in this window.
        average_seconds: average delay, the paper's T0; nan before the first finite measurement.
        measurements: number of delays in the average.
        against: number of delays in a row, including this window's, that call for the other state.
    """

    awake: bool = True
    average_seconds: float = math.nan
    measurements: int = 0
    against: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Returns the state as plain values; ``DormancyState(**state.to_dict())`` restores it."""
        return asdict(self)


def next_state(rule: DormancyRule, state: DormancyState, delay_seconds: float) -> DormancyState:
    """Decides on one window from the delay at its start, which is measured, or probed while the cloud sleeps.

    Args:
        rule: the rule.
        state: state after the previous window.
        delay_seconds: present delay from edge to cloud; the paper's T_rd. Infinite while the link is down.

    Returns:
        The state for this window; its ``awake`` is the decision.

    Raises:
        ValueError: if the delay is negative or nan.
    """
    require_range("dormancy", 0, math.inf, delay_seconds=delay_seconds)
    if math.isinf(delay_seconds):
        return DormancyState(False, state.average_seconds, state.measurements)
    count = state.measurements + 1
    before = state.average_seconds if state.measurements else delay_seconds
    if rule.mode == "paper":
        average = before + (delay_seconds - before) / count
        return DormancyState(delay_seconds <= average, average, count)
    average = before + max(rule.smoothing, 1 / count) * (delay_seconds - before)
    if count <= rule.warmup_windows:
        return DormancyState(True, average, count)
    fast = delay_seconds <= (rule.sleep_ratio if state.awake else rule.wake_ratio) * before
    against = 0 if fast == state.awake else state.against + 1
    if against >= rule.dwell_windows:
        return DormancyState(fast, average, count)
    return DormancyState(state.awake, average, count, against)
