"""Says when the cloud sleeps because the link is too slow."""

from __future__ import annotations

from typing_extensions import override

from cloudedge_pl.dormancy import DormancyRule, DormancyState, Mode, next_state
from cloudedge_pl.lightning import pl
from cloudedge_pl.training.callbacks.base import strategy_of


class CloudDormancy(pl.Callback):
    """While the edge-to-cloud delay is too long, the cloud sleeps and the exit head answers.

    A training window in which the cloud sleeps trains edge and exit head on F_e alone and uploads nothing. Without this
    callback the cloud is always awake. Override :meth:`decide` for a rule of your own.

    Source: Xu 2020, Sec. 2.4; see :class:`~cloudedge_pl.dormancy.DormancyRule` for the arguments and for what deviates.
    """

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
        return next_state(self.rule, state, delay_seconds)

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        strategy_of(trainer, self).policies.decide = self.decide
