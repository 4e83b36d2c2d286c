"""A live check of exits: some of the samples that could exit go to the cloud anyway, and the answers are compared."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cloudedge_pl.exits.intervals import binomial_interval


def draw_audited(exits: np.ndarray, audit_share: float, generator: np.random.Generator) -> np.ndarray:
    """[n] bool: which samples are audited; each sample that passes the threshold with probability ``audit_share``.

    One number is drawn for every sample, whether it passes or not, so that the draws do not depend on the threshold.

    Args:
        exits: [n] bool, whether a sample passes the threshold.
        audit_share: in [0, 1].
        generator: of the draws.
    """
    return np.asarray(exits) & (generator.random(len(exits)) < audit_share)


@dataclass
class Audit:
    """Counts what the audit finds.

    Args:
        num_samples: samples that were scored: those of windows in which the cloud was awake.
        num_passed: of these, the samples that passed the threshold, audited ones included.
        num_audited: of these, the samples that went to the cloud anyway.
        num_disagreed: of these, the samples on which the two classes differ.
    """

    num_samples: int = 0
    num_passed: int = 0
    num_audited: int = 0
    num_disagreed: int = 0

    def count(
        self, exits: np.ndarray, audited: np.ndarray, exit_classes: np.ndarray, cloud_classes: np.ndarray
    ) -> None:
        """Counts one batch.

        Args:
            exits: [n] bool, whether a sample passes the threshold.
            audited: [n] bool.
            exit_classes: [n]; read where a sample is audited.
            cloud_classes: [n]; likewise.
        """
        self.num_samples += len(exits)
        self.num_passed += int(np.sum(exits))
        self.num_audited += int(np.sum(audited))
        self.num_disagreed += int(np.sum(exit_classes[audited] != cloud_classes[audited]))

    def report(self, delta: float = 0.05) -> dict[str, Any]:
        """The counts, and the disagreement with its interval.

        ``disagreement`` is that among samples that pass the threshold; ``risk`` is the share of all samples that pass
        and disagree, which is what a calibration limits. Either interval holds with probability 1 - delta; the audited
        samples are drawn at random among those that passed.
        """
        low, high = binomial_interval(self.num_disagreed, self.num_audited, delta)
        passed_share = self.num_passed / self.num_samples if self.num_samples else 0.0
        found = self.num_disagreed / self.num_audited if self.num_audited else None
        return {
            **asdict(self),
            "disagreement": found,
            "disagreement_interval": [low, high],
            "risk": None if found is None else found * passed_share,
            "risk_interval": [low * passed_share, high * passed_share],
            "interval_probability": 1 - delta,
        }
