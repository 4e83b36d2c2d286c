"""What a user says about exits: one frozen dataclass that checks itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from cloudedge_pl.errors import lookup, require_fields, require_range
from cloudedge_pl.exits.policies import EXIT_POLICIES, exit_scores
from cloudedge_pl.exits.risk import RISKS, Calibration, Method, calibrate, purpose

MAX_DISAGREEMENT = 0.02


@dataclass(frozen=True, kw_only=True)
class ExitSettings:
    """Which samples the exit head answers while the cloud is awake. ``max_disagreement`` is all that is needed.

    Args:
        policy: how sure the exit head is: "confidence" (largest probability), "entropy" (1 - H / log C) or "none",
            under which no sample exits. None is "confidence" if a limit or a threshold is given, else "none".
        max_disagreement: largest share of all samples that may be answered by the exit head and lost by it, in (0, 1);
            None is 0.02. The threshold is calibrated on the validation set to keep it.
        risk: what is lost: "disagreement" (the exit head's class is not the cloud's; needs no labels) or
            "accuracy_loss" (the cloud is right and the exit head is wrong).
        method: "ucb" keeps the limit with probability 1 - delta; "crc" keeps it on average over calibrations.
        delta: probability with which "ucb" may fail, in (0, 1).
        audit_share: share of the samples that pass the threshold and go to the cloud anyway, so that the disagreement
            is measured, in [0, 1].
        threshold: a score instead of a calibration, which then promises nothing, but also holds in validations; None
            calibrates.

    Raises:
        ValueError: on an unknown name, or a value out of range.
    """

    policy: str | None = None
    max_disagreement: float | None = None
    risk: str = "disagreement"
    method: Literal["ucb", "crc"] = "ucb"
    delta: float = 0.05
    audit_share: float = 0.01
    threshold: float | None = None

    def __post_init__(self) -> None:
        require_fields("exits", self)
        if self.policy is not None:
            lookup(EXIT_POLICIES, self.policy, "exit policy")
        lookup(RISKS, self.risk, "risk of exits")
        require_range("exits", 0, 1, open_low=True, open_high=True, delta=self.delta)
        if self.max_disagreement is not None:
            require_range(
                "exits", 0, 1, open_low=True, open_high=True, max_disagreement=self.max_disagreement
            )
        if self.threshold is not None:
            require_range("exits", 0, 1, threshold=self.threshold)
        require_range("exits", 0, 1, audit_share=self.audit_share)

    @property
    def chosen_policy(self) -> str:
        """The policy's name, also where it follows from the other settings."""
        if self.policy is not None:
            return self.policy
        return "none" if self.max_disagreement is None and self.threshold is None else "confidence"

    @property
    def are_on(self) -> bool:
        """Whether a sample may exit at all."""
        return self.chosen_policy != "none"

    @property
    def max_risk(self) -> float:
        """The limit of the risk, also where it is the default."""
        return MAX_DISAGREEMENT if self.max_disagreement is None else self.max_disagreement

    @property
    def purpose(self) -> str:
        """What a threshold is chosen for."""
        return purpose(self.chosen_policy, self.risk, self.max_risk, self.method, self.delta)

    def accept(self, calibration: Calibration) -> bool:
        """Whether a threshold was chosen for these settings."""
        return calibration.purpose == self.purpose

    def scores(self, probabilities: np.ndarray) -> np.ndarray:
        """Scores [n] of probabilities [n, classes]; see :func:`~cloudedge_pl.exits.exit_scores`."""
        return exit_scores(self.chosen_policy, probabilities)

    def calibrate(
        self,
        scores: np.ndarray,
        exit_classes: np.ndarray,
        cloud_classes: np.ndarray,
        labels: np.ndarray | None = None,
    ) -> Calibration:
        """Chooses the threshold on held-back samples.

        Args:
            scores: [n], of :meth:`scores`.
            exit_classes: [n] the exit head's.
            cloud_classes: [n] the cloud's.
            labels: [n], for the risk "accuracy_loss" only.

        Raises:
            ValueError: if labels are missing, or the samples do not fit.
        """
        method: Method = self.method
        losses = RISKS[self.risk](exit_classes, cloud_classes, labels)
        found = calibrate(scores, losses, max_risk=self.max_risk, delta=self.delta, method=method)
        return replace(found, policy=self.chosen_policy, risk=self.risk)
