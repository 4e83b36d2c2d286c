"""Says when the cloud sleeps because the link is too slow."""

from __future__ import annotations

import math
from dataclasses import dataclass

from typing_extensions import override

from cloudedge_pl.dormancy import DormancyRule, DormancyState, Mode, next_state
from cloudedge_pl.lightning import pl
from cloudedge_pl.training.callbacks.base import strategy_of


@dataclass(frozen=True, kw_only=True)
class WindowTimes:
    """The times of the window that a rule decides on.

    Args:
        clock_seconds: virtual time at which it opens.
        limit_seconds: longest edge-to-cloud delay with which the cloud answers within the workload's
            ``max_delay_seconds``.
    """

    clock_seconds: float = 0.0
    limit_seconds: float = math.inf


class CloudDormancy(pl.Callback):
    """While the edge-to-cloud delay is too long, the cloud sleeps and the exit head answers.

    A training window in which the cloud sleeps trains edge and exit head on F_e alone and uploads nothing. Without this
    callback the cloud is always awake. Override :meth:`decide` for a rule of your own. The mode "deadline" sleeps where
    the cloud would answer later than the workload's ``max_delay_seconds``.

    Source: Xu 2020, Sec. 2.4; see :class:`~cloudedge_pl.dormancy.DormancyRule` for the arguments and for what deviates.

    Attributes:
        rule: what the arguments say.
        window_times: of the window that :meth:`decide` is asked about.
    """

    window_times = WindowTimes()

    def __init__(
        self,
        *,
        mode: Mode = "hysteresis",
        sleep_ratio: float = 1.5,
        wake_ratio: float = 1.25,
        smoothing: float = 0.02,
        warmup_windows: int = 10,
        dwell_windows: int = 3,
        dwell_seconds: float = 0.0,
        share_asleep: float = 0.3,
        probe_bytes: float = 64.0,
    ) -> None:
        self.rule = DormancyRule(
            mode=mode,
            sleep_ratio=sleep_ratio,
            wake_ratio=wake_ratio,
            smoothing=smoothing,
            warmup_windows=warmup_windows,
            dwell_windows=dwell_windows,
            dwell_seconds=dwell_seconds,
            share_asleep=share_asleep,
            probe_bytes=probe_bytes,
        )

    def decide(self, state: DormancyState, delay_seconds: float) -> DormancyState:
        """Returns the state for a window.

        Args:
            state: after the window before.
            delay_seconds: edge to cloud, measured (asleep: probed) at the start of the window.
        """
        return next_state(
            self.rule,
            state,
            delay_seconds,
            limit_seconds=self.window_times.limit_seconds,
            clock_seconds=self.window_times.clock_seconds,
        )

    def _decide_at(
        self, state: DormancyState, delay_seconds: float, *, limit_seconds: float, clock_seconds: float
    ) -> DormancyState:
        self.window_times = WindowTimes(clock_seconds=clock_seconds, limit_seconds=limit_seconds)
        return self.decide(state, delay_seconds)

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        own = getattr(self.decide, "__func__", None) is not CloudDormancy.decide
        strategy_of(trainer, self).policies.dormancy = self._decide_at if own else self.rule
