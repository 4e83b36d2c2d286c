"""The rule by which the cloud sleeps and wakes: a pure state machine, shared by simulation and training.

While the edge-to-cloud delay is near its average, cloud and edge work together. While it is too long, nothing is
uploaded, the cloud sleeps, and the exit head on the master answers. Which samples leave at the exit head while the
cloud is awake is another question; :mod:`cloudedge_pl.exits` answers it.

Source: Xu 2020, Sec. 2.4 ("cloud dormancy mechanism").
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Protocol, get_args

import numpy as np

from cloudedge_pl.errors import CheckpointError, lookup, require_fields, require_positive, require_range

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

    ``quantile``: the cloud sleeps for ``share_asleep`` of the windows. T0 is the running quantile that this share of
    all delays, probes included, exceeds: it rises by a step after a delay above it and falls by another after any
    other, in the ratio that balances at the share. The steps are a fraction of the mean absolute deviation of the
    delay's logarithm, so they fit any unit and any noise. Without a dwell the cloud sleeps exactly while T_rd > T0.
    A dwell lengthens naps and waking times unequally, and by how much depends on the link's correlation. The delay is
    therefore compared with T0 times a factor. The factor rises after a window in which the cloud slept at a delay of
    at most T0, and falls after one in which it worked at a delay above T0. It settles where both are equally frequent:
    there the cloud sleeps as often as delays exceed T0. Source: Robbins and Monro 1951, "A stochastic approximation
    method", on the logarithm of the delay.

    ``deadline``: the cloud sleeps while its answer would be late; it changes after ``dwell_windows`` such windows in a
    row. There is no warm-up, because the limit is known from the start.

    ``never`` and ``always`` keep it awake or asleep.

    An infinite delay is an outage: the cloud sleeps at once in every mode but ``never``, and T0 does not count it.

    Args:
        mode: a name of the above.
        sleep_ratio: at least ``wake_ratio``; for "hysteresis", as is ``wake_ratio``.
        wake_ratio: above 0.
        smoothing: weight of the newest delay in the average, in (0, 1]. Until 1 / smoothing delays have been measured,
            the average is their plain mean.
        warmup_windows: number of measurements at the start during which the cloud stays awake, so that the average is
            meaningful; for "hysteresis" and "quantile".
        dwell_windows: number of delays in a row that put the cloud to sleep or wake it. An outage puts it to sleep at
            once.
        dwell_seconds: least time between two changes; an outage puts it to sleep at once. Above 0 for "hysteresis",
            "quantile" and "deadline" only, because the other modes know no dwell.
        share_asleep: of the windows, in (0, 1); for "quantile".
        probe_bytes: size of the probe that measures the link while the cloud sleeps.

    Raises:
        ValueError: if a value is outside its range, or the mode knows no dwell.
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
        if self.dwell_seconds > 0 and self.mode in ("paper", "never", "always"):
            raise ValueError(
                f"dormancy.dwell_seconds is {self.dwell_seconds} in mode {self.mode!r}, which knows no dwell; leave it "
                "at 0, or choose hysteresis, quantile or deadline."
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
        measurements: number of delays in T0.
        against: number of delays in a row, including this window's, that call for the other state.
        since_seconds: time of the last change. A clock that is behind it has started anew (a test after training);
            the change then counts as long ago.
        deviation: mean absolute deviation of the delay's logarithm from that of T0; for "quantile".
        margin: logarithm of the factor on T0 that makes up for the dwell; for "quantile".
    """

    awake: bool = True
    average_seconds: float = math.nan
    measurements: int = 0
    against: int = 0
    since_seconds: float = -math.inf
    deviation: float = 0.0
    margin: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Returns the state as plain values; :meth:`from_dict` restores it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DormancyState:
        """Returns the state that :meth:`to_dict` wrote; fields that an earlier version did not have are at their start.

        Raises:
            CheckpointError: if it has fields that this version does not know.
        """
        if unknown := sorted(values.keys() - {field.name for field in fields(cls)}):
            raise CheckpointError(
                f"the checkpoint's dormancy state has {', '.join(unknown)}, which this version of cloudedge_pl does "
                "not know; resume with the version that wrote it."
            )
        return cls(**values)

    def packed(self) -> np.ndarray:
        """Returns the state as :func:`advance` changes it, float64 [8]."""
        values = (
            self.awake,
            self.average_seconds if self.measurements else 0.0,  # equal states are equal numbers
            self.measurements,
            self.against,
            self.since_seconds,
            self.deviation,
            self.margin,
        )
        return np.array([*values, 0.0], dtype=np.float64)

    @classmethod
    def unpacked(cls, values: np.ndarray) -> DormancyState:
        """Returns the state that :meth:`packed` holds."""
        awake, average, measurements, against, since, deviation, margin = values[:7].tolist()
        average = average if measurements else math.nan
        return cls(awake == 1.0, average, int(measurements), int(against), since, deviation, margin)


class TimedDecide(Protocol):
    """A rule that is told the longest delay in time and the present time, as :func:`next_state` is."""

    def __call__(
        self, state: DormancyState, delay_seconds: float, /, *, limit_seconds: float, clock_seconds: float
    ) -> DormancyState:
        """Returns the state for this window."""


Decide = Callable[[DormancyState, float], DormancyState] | TimedDecide
"""Takes the dormancy state and the present delay in seconds; returns the state for this window. One that has parameters
``limit_seconds`` or ``clock_seconds`` is given them, too."""


def timed(decide: Decide) -> TimedDecide:
    """Returns a rule that takes limit and clock; it passes on those that ``decide`` has parameters for."""
    parameters = inspect.signature(decide).parameters
    taken = [name for name in ("limit_seconds", "clock_seconds") if name in parameters]

    def asked(
        state: DormancyState, delay_seconds: float, /, *, limit_seconds: float, clock_seconds: float
    ) -> DormancyState:
        times = {"limit_seconds": limit_seconds, "clock_seconds": clock_seconds}
        return decide(state, delay_seconds, **{name: times[name] for name in taken})

    return asked


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
        ValueError: if the delay is negative, or a value is nan.
    """
    require_range("dormancy", 0, math.inf, delay_seconds=delay_seconds)
    require_range("dormancy", -math.inf, math.inf, limit_seconds=limit_seconds, clock_seconds=clock_seconds)
    values = state.packed()
    advance(rule.packed(), values, delay_seconds, limit_seconds, clock_seconds)
    return DormancyState.unpacked(values)


QUANTILE_STEPS = 4.0
"""Steps of T0 in "quantile", in units of smoothing times the deviation of the delay's logarithm."""

LARGEST_LOG, LARGEST_MARGIN = 600.0, 50.0
"""Bounds on the logarithms of T0 and of its factor in "quantile"; absurd delays then overflow nothing."""


def advance(rule: np.ndarray, state: np.ndarray, delay: float, limit: float, clock: float) -> None:
    """:func:`next_state` on packed values, in place. The event engine compiles it, so it calls no function of its own.

    Args:
        rule: of :meth:`DormancyRule.packed`.
        state: of :meth:`DormancyState.packed`; [0] is 1 where the cloud is awake.
        delay: as in :func:`next_state`, as are all that follow.
        limit: longest delay in time.
        clock: present time.
    """
    mode, was_awake, awake = int(rule[0]), state[0] == 1.0, False
    if state[4] > clock:
        state[4] = -math.inf
    if mode in (NEVER, ALWAYS) or math.isinf(delay):
        awake, state[3] = mode == NEVER, 0.0
    else:
        state[2] += 1.0
        before = state[1] if state[2] > 1.0 else delay
        gain = max(rule[3], 1.0 / state[2])
        if mode == PAPER:
            state[1] = before + (delay - before) / state[2]
            awake, state[3] = delay <= state[1], 0.0
        else:
            if mode == QUANTILE:
                fast = delay <= before * math.exp(state[6])
            elif mode == DEADLINE:
                fast = delay <= limit
            else:
                fast = delay <= (rule[1] if was_awake else rule[2]) * before
            warming = state[2] <= rule[4] and mode != DEADLINE
            waited = clock - state[4] >= rule[6]
            against = 0.0 if warming or fast == was_awake else state[3] + 1.0
            changes = waited and (against >= rule[5] or (warming and not was_awake))
            awake, state[3] = was_awake != changes, (0.0 if changes else against)
            if mode != QUANTILE or before == 0.0:
                state[1] = delay if mode == QUANTILE else before + gain * (delay - before)
            else:
                slow = 1.0 if delay > before else 0.0
                if delay > 0.0:
                    state[5] += gain * (abs(math.log(delay) - math.log(before)) - state[5])
                step = QUANTILE_STEPS * gain * state[5]
                logarithm, move = math.log(before), step * (slow - rule[7])
                move = max(
                    min(move, LARGEST_LOG, LARGEST_LOG - logarithm), -LARGEST_LOG, -LARGEST_LOG - logarithm
                )
                state[1] = before * math.exp(move)
                if not warming:
                    margin = state[6] + step * ((0.0 if awake else 1.0) - slow)
                    state[6] = min(max(margin, -LARGEST_MARGIN), LARGEST_MARGIN)
    state[0] = 1.0 if awake else 0.0
    if awake != was_awake:
        state[4] = clock
