"""When the cloud sleeps and when it wakes: a pure state machine, shared by simulation and training.

While the edge-to-cloud delay is as usual, cloud and edge work together; when it is too long, nothing is uploaded, the
cloud sleeps and the exit head on the master answers. Source: Xu 2020, Sec. 2.4 ("cloud dormancy mechanism").
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from cloudedge_pl.errors import lookup, require_fields, require_range


@dataclass(frozen=True)
class DormancyRule:
    """The rule by which the cloud sleeps, T_rd against T0.

    ``hysteresis`` (default) compares the delay with its average: above ``sleep_ratio`` times the average the cloud
    goes to sleep, at or below ``wake_ratio`` times it wakes, in either case once ``dwell_windows`` delays in a row
    say so; it stays in either state for that long at least. While it sleeps, a probe of the link stands in for the
    upload. The average counts every finite measurement, probes included: it is an unbiased estimate of the mean delay
    whatever the rule decides, and it follows a link that has become slower or faster for good (after a tenfold
    slow-down the cloud is awake again within 80 windows at the default smoothing).

    ``paper`` sleeps exactly while T_rd > T0, T0 being the mean of every delay so far. Source: Xu 2020, Sec. 2.4;
    deviates: the paper does not say over what the average is taken. On symmetric noise this rule sleeps about half
    the time, which is why it is not the default.

    An infinite delay is an outage: the cloud sleeps at once, whatever the mode, and the average does not count it.

    Args:
        mode: "hysteresis" or "paper".
        sleep_ratio: at least wake_ratio; of hysteresis.
        wake_ratio: above 0; of hysteresis.
        smoothing: weight of the newest delay in the average, in (0, 1]; of hysteresis. Until 1 / smoothing delays have
            been measured the average is their plain mean.
        warmup_windows: measurements at the start during which the cloud stays awake, so that the average is worth
            comparing with; of hysteresis.
        dwell_windows: delays in a row that it takes to send the cloud to sleep, or to wake it; an outage sends it to
            sleep at once. Of hysteresis.
    """

    mode: Literal["hysteresis", "paper"] = "hysteresis"
    sleep_ratio: float = 1.5
    wake_ratio: float = 1.25
    smoothing: float = 0.02
    warmup_windows: int = 10
    dwell_windows: int = 3

    def __post_init__(self) -> None:
        lookup({"hysteresis": 0, "paper": 0}, self.mode, "dormancy mode")
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
    """Where the rule stands after a window.

    Args:
        awake: whether the cloud works in this window.
        average_seconds: the paper's T0; nan before the first finite measurement.
        measurements: how many delays the average has counted.
        against: how many delays in a row, this window's included, have said that the cloud should change.
    """

    awake: bool = True
    average_seconds: float = math.nan
    measurements: int = 0
    against: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The state as plain values; ``DormancyState(**state.to_dict())`` is the state again."""
        return asdict(self)


def next_state(rule: DormancyRule, state: DormancyState, delay_seconds: float) -> DormancyState:
    """Decides on one window from the delay measured (or, asleep, probed) at its start.

    Args:
        rule: the rule.
        state: after the window before.
        delay_seconds: edge to cloud, now; the paper's T_rd. Infinite while the link is down.

    Returns:
        The state for this window; its ``awake`` is the decision.

    Raises:
        ValueError: on a delay that is negative or nan.
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
