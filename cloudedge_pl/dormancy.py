"""The rule by which the cloud sleeps and wakes: a pure state machine, shared by simulation and training.

While the edge-to-cloud delay is near its average, cloud and edge work together. While it is too long, nothing is
uploaded, the cloud sleeps, and the exit head on the master answers. Which samples leave at the exit head while the
cloud is awake is another question; :mod:`cloudedge_pl.exits` answers it.

Source: Xu 2020, Sec. 2.4 ("cloud dormancy mechanism").
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np

from cloudedge_pl.errors import lookup, require_fields, require_positive, require_range

Mode = Literal["hysteresis", "paper", "quantile", "deadline", "never", "always"]
MODES: tuple[Mode, ...] = get_args(Mode)
"""The modes; the number of a mode in packed rules is its place."""

HYSTERESIS, PAPER, QUANTILE, DEADLINE, NEVER, ALWAYS = range(6)


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

    ``quantile``: the cloud sleeps while T_rd is above T0, the running quantile of all delays, probes included, that
    ``share_asleep`` of them exceed. T0 rises by a step while the cloud sleeps and falls by a smaller one while it is
    awake, in the ratio that balances at ``share_asleep`` (a Robbins-Monro recursion on the logarithm of the delay; the
    step is a share of its mean absolute deviation). Without a dwell this is the unbiased quantile. A dwell of several
    windows lengthens naps and waking times unequally; T0 then settles where the cloud still sleeps for that share.

    ``deadline``: the cloud sleeps while its answer would be late, after ``dwell_windows`` such windows in a row.

    ``never`` and ``always`` keep it awake or asleep.

    An infinite delay is an outage: the cloud sleeps at once in every mode but ``never``, and T0 does not count it.

    Args:
        mode: a name of the above.
        sleep_ratio: at least ``wake_ratio``; for "hysteresis", as is ``wake_ratio``.
        wake_ratio: above 0.
        smoothing: weight of the newest delay in the average, in (0, 1]. Until 1 / smoothing delays have been measured,
            the average is their plain mean.
        warmup_windows: number of measurements at the start during which the cloud stays awake, so that the average is
            meaningful.
        dwell_windows: number of delays in a row that put the cloud to sleep or wake it. An outage puts it to sleep at
            once.
        dwell_seconds: least time between two changes, outages excepted; not for "paper".
        share_asleep: of the windows, in (0, 1); for "quantile".
        probe_bytes: size of the probe that measures the link while the cloud sleeps.

    Raises:
        ValueError: if a value is outside its range.
    """

    mode: Mode = "hysteresis"
    sleep_ratio: float = 1.5
    wake_ratio: float = 1.25
    smoothing: float = 0.02
    warmup_windows: int = 10
    dwell_windows: int = 3
    dwell_seconds: float = 0.0
    share_asleep: float = 0.3
    probe_bytes: float = 64.0

    def __post_init__(self) -> None:
        require_fields("dormancy", self)
        lookup(MODES, self.mode, "dormancy mode")
        require_range("dormancy", 0, math.inf, open_low=True, open_high=True, wake_ratio=self.wake_ratio)
        require_range("dormancy", self.wake_ratio, math.inf, open_high=True, sleep_ratio=self.sleep_ratio)
        require_range("dormancy", 0, 1, open_low=True, smoothing=self.smoothing)
        require_range("dormancy", 0, 1, open_low=True, open_high=True, share_asleep=self.share_asleep)
        require_range("dormancy", 0, math.inf, open_high=True, dwell_seconds=self.dwell_seconds)
        require_positive("dormancy", probe_bytes=self.probe_bytes)
        require_range(
            "dormancy",
            1,
            math.inf,
            open_high=True,
            whole=True,
            warmup_windows=self.warmup_windows,
            dwell_windows=self.dwell_windows,
        )

    def packed(self) -> np.ndarray:
        """Returns the rule as :func:`advance` reads it, float64 [16]."""
        values = (
            MODES.index(self.mode),
            self.sleep_ratio,
            self.wake_ratio,
            self.smoothing,
            self.warmup_windows,
            self.dwell_windows,
            self.dwell_seconds,
            self.share_asleep,
        )
        return np.array([*values, *[0.0] * (16 - len(values))])


@dataclass(frozen=True)
class DormancyState:
    """State of the rule after a window.

    Args:
        awake: whether the cloud works in this window.
        average_seconds: average delay or quantile, the paper's T0; nan before the first finite measurement.
        measurements: number of delays in the average.
        against: number of delays in a row, including this window's, that call for the other state.
        since_seconds: time of the last change.
        deviation: mean absolute deviation of the delay's logarithm from that of T0; for "quantile".
    """

    awake: bool = True
    average_seconds: float = math.nan
    measurements: int = 0
    against: int = 0
    since_seconds: float = -math.inf
    deviation: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Returns the state as plain values; ``DormancyState(**state.to_dict())`` restores it."""
        return asdict(self)

    def packed(self) -> np.ndarray:
        """Returns the state as :func:`advance` changes it, float64 [8]."""
        values = (
            self.awake,
            self.average_seconds,
            self.measurements,
            self.against,
            self.since_seconds,
            self.deviation,
        )
        return np.array([*values, 0.0, 0.0], dtype=np.float64)

    @classmethod
    def unpacked(cls, values: np.ndarray) -> DormancyState:
        """Returns the state that :meth:`packed` holds."""
        awake, average, measurements, against, since, deviation = values[:6].tolist()
        return cls(awake == 1.0, average, int(measurements), int(against), since, deviation)


def next_state(
    rule: DormancyRule,
    state: DormancyState,
    delay_seconds: float,
    *,
    limit_seconds: float = math.inf,
    clock_seconds: float = 0.0,
) -> DormancyState:
    """Decides on one window from the delay at its start, which is measured, or probed while the cloud sleeps.

    Args:
        rule: the rule.
        state: state after the previous window.
        delay_seconds: present delay from edge to cloud; the paper's T_rd. Infinite while the link is down.
        limit_seconds: longest delay with which the cloud's answer is in time; for "deadline".
        clock_seconds: present time; for ``dwell_seconds``.

    Returns:
        The state for this window; its ``awake`` is the decision.

    Raises:
        ValueError: if the delay is negative or nan.
    """
    require_range("dormancy", 0, math.inf, delay_seconds=delay_seconds)
    values = state.packed()
    advance(rule.packed(), values, delay_seconds, limit_seconds, clock_seconds)
    return DormancyState.unpacked(values)


def advance(rule: np.ndarray, state: np.ndarray, delay: float, limit: float, clock: float) -> None:
    """:func:`next_state` on packed values, in place; the event engine compiles it.

    Args:
        rule: of :meth:`DormancyRule.packed`.
        state: of :meth:`DormancyState.packed`; [0] is 1 where the cloud is awake.
        delay: as in :func:`next_state`, as are all that follow.
        limit: longest delay in time.
        clock: present time.
    """
    mode, awake = int(rule[0]), state[0] == 1.0
    if mode in (NEVER, ALWAYS) or math.isinf(delay):
        now_awake = mode == NEVER
        if now_awake != awake:
            state[4] = clock
        state[0], state[3] = (1.0 if now_awake else 0.0), 0.0
        return
    count = state[2] + 1.0
    before = state[1] if state[2] > 0.0 else delay
    state[2] = count
    if mode == PAPER:
        state[1] = before + (delay - before) / count
        state[0], state[3] = (1.0 if delay <= state[1] else 0.0), 0.0
        return
    gain = max(rule[3], 1.0 / count)
    if mode == QUANTILE:
        fast = delay <= before
    elif mode == DEADLINE:
        fast = delay <= limit
    else:
        fast = delay <= (rule[1] if awake else rule[2]) * before
    against = 0.0 if fast == awake else state[3] + 1.0
    warming = count <= rule[4]
    if warming:
        awake, against = True, 0.0
    elif against >= rule[5] and clock - state[4] >= rule[6]:
        awake, against, state[4] = fast, 0.0, clock
    state[0], state[3] = (1.0 if awake else 0.0), against
    if mode == QUANTILE and before > 0.0 and delay > 0.0:
        distance = math.log(delay / before)
        state[5] += gain * (abs(distance) - state[5])
        asleep = (not fast) if warming else (not awake)
        state[1] = before * math.exp(QUANTILE_STEPS * gain * state[5] * ((1.0 if asleep else 0.0) - rule[7]))
    else:
        state[1] = before + gain * (delay - before)


QUANTILE_STEPS = 4.0
"""Steps of T0 in "quantile", in units of smoothing times the deviation of the delay's logarithm."""
