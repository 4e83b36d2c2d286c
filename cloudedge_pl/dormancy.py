"""When the cloud sleeps and when it wakes: a pure state machine, shared by simulation and training.

While the edge-to-cloud delay is as usual, cloud and edge work together; when it is too long, nothing is uploaded, the
cloud sleeps and the exit head on the master answers. Source: Xu 2020, Sec. 2.4 ("cloud dormancy mechanism").
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from cloudedge_pl.errors import lookup, require_range


@dataclass(frozen=True)
class DormancyRule:
    """The rule by which the cloud sleeps, T_rd against T0.

    ``hysteresis`` (default) compares the delay with its average over windows in which the cloud was awake: above
    ``sleep_ratio`` times the average the cloud goes to sleep, at or below ``wake_ratio`` times it wakes. While it
    sleeps, a probe of the link stands in for the upload; the probe's readings do not enter the average.

    ``paper`` sleeps exactly while T_rd > T0, T0 being the mean of every delay so far. Source: Xu 2020, Sec. 2.4;
    deviates: the paper does not say over what the average is taken. On symmetric noise this rule sleeps about half
    the time, which is why it is not the default.

    Args:
        mode: "hysteresis" or "paper".
        sleep_ratio: at least wake_ratio; of hysteresis.
        wake_ratio: above 0; of hysteresis.
        smoothing: weight of the newest awake delay in the average, in (0, 1]; of hysteresis. Until 1 / smoothing
            delays have been measured the average is their plain mean.
        warmup_windows: windows at the start in which the cloud stays awake, so that the average is worth comparing
            with; of hysteresis.
        max_sleep_windows: after so many windows asleep the cloud is woken and its delay taken into the average. Long
            delays are kept out of the average otherwise, and it would drift downwards, the cloud asleep ever longer;
            and a link that has become slower for good is used again. Of hysteresis.
    """

    mode: Literal["hysteresis", "paper"] = "hysteresis"
    sleep_ratio: float = 1.5
    wake_ratio: float = 1.25
    smoothing: float = 0.02
    warmup_windows: int = 10
    max_sleep_windows: int = 20

    def __post_init__(self) -> None:
        lookup({"hysteresis": 0, "paper": 0}, self.mode, "dormancy mode")
        require_range("dormancy", 0, math.inf, open_low=True, wake_ratio=self.wake_ratio)
        require_range("dormancy", self.wake_ratio, math.inf, sleep_ratio=self.sleep_ratio)
        require_range("dormancy", 0, 1, open_low=True, smoothing=self.smoothing)
        require_range(
            "dormancy",
            1,
            math.inf,
            warmup_windows=self.warmup_windows,
            max_sleep_windows=self.max_sleep_windows,
        )


@dataclass(frozen=True)
class DormancyState:
    """Where the rule stands after a window.

    Args:
        awake: whether the cloud works in this window.
        average_seconds: the paper's T0; nan before the first measurement.
        measurements: how many delays the average holds.
        sleeping_windows: windows asleep in a row, this one included.
    """

    awake: bool = True
    average_seconds: float = math.nan
    measurements: int = 0
    sleeping_windows: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The state as plain values; ``DormancyState(**state.to_dict())`` is the state again."""
        return asdict(self)


def next_state(rule: DormancyRule, state: DormancyState, delay_seconds: float) -> DormancyState:
    """Decides on one window from the delay measured (or, asleep, probed) at its start.

    Args:
        rule: the rule.
        state: after the window before.
        delay_seconds: edge to cloud, now; the paper's T_rd.

    Returns:
        The state for this window; its ``awake`` is the decision.
    """
    if rule.mode == "paper":
        count = state.measurements + 1
        before = state.average_seconds if state.measurements else delay_seconds
        average = before + (delay_seconds - before) / count
        asleep = delay_seconds > average
        return DormancyState(not asleep, average, count, state.sleeping_windows + 1 if asleep else 0)

    ratio = rule.sleep_ratio if state.awake else rule.wake_ratio
    too_slow = state.measurements >= rule.warmup_windows and delay_seconds > ratio * state.average_seconds
    if too_slow and state.sleeping_windows < rule.max_sleep_windows:
        return DormancyState(False, state.average_seconds, state.measurements, state.sleeping_windows + 1)
    count = state.measurements + 1
    before = state.average_seconds if state.measurements else delay_seconds
    average = before + max(rule.smoothing, 1 / count) * (delay_seconds - before)
    return DormancyState(True, average, count, 0)
