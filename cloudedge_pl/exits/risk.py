"""The threshold above which the exit head answers: risk control on samples that were held back.

The loss of a sample at a threshold t is 1 if the sample exits (its score is above t) and the exit does harm, else 0. It
never grows with t, sample by sample, and so does its mean, the risk R(t). That is what both methods rest on.

``ucb`` (default): with probability 1 - delta over the draw of the held-back samples, R(t) <= max_risk. The threshold is
the lowest one at which the upper confidence bound of R is within the limit, and so is that of every higher threshold.
A bound that holds at a single threshold is enough, because R is monotone: let t* be the lowest threshold with
R(t*) <= max_risk. A threshold below t* is chosen only if the bound fails at a threshold whose risk is just above the
limit, which has probability delta at most. The losses are 0 or 1, so the bound is the exact binomial one. Source:
Jazbec et al. 2024, "Fast yet Safe: Early-Exiting with Risk Control" (UCB); Bates et al. 2021, "Distribution-free,
risk-controlling prediction sets", Theorem 1; deviates: the exact bound replaces that of Waudby-Smith and Ramdas, which
is for losses between 0 and 1.

``crc``: the mean of R(t) over draws of the held-back samples is at most max_risk. The threshold is the lowest with
(n R_n(t) + 1) / (n + 1) <= max_risk, where R_n is the mean over the n samples. It exits more than ``ucb`` and a single
draw may well be above the limit. Source: Jazbec et al. 2024 (CRC); Angelopoulos et al. 2024, "Conformal risk control",
Theorem 1.

Both hold for samples like those held back (exchangeable), for one network and one policy. They do not hold for other
data; the audit (:mod:`cloudedge_pl.exits.audit`) measures it there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from cloudedge_pl.errors import lookup, require_range
from cloudedge_pl.exits.intervals import binomial_upper_bound

Method = Literal["ucb", "crc"]
CURVE_POINTS = 256


def disagreement(
    exit_classes: np.ndarray, cloud_classes: np.ndarray, labels: np.ndarray | None
) -> np.ndarray:
    """1 where the exit head's class is not the cloud's; needs no labels.

    Source: Jazbec et al. 2024, the consistency risk of predictions with the 0-1 loss.
    """
    return exit_classes != cloud_classes


def accuracy_loss(
    exit_classes: np.ndarray, cloud_classes: np.ndarray, labels: np.ndarray | None
) -> np.ndarray:
    """1 where the cloud is right and the exit head is wrong.

    The accuracy lost by exiting is at most the mean of this loss: samples on which the exit head is right and the
    cloud is wrong would make it smaller and are not counted. It is never above :func:`disagreement`.

    Source: Jazbec et al. 2024, the performance gap risk of predictions with the 0-1 loss, in its non-negative form
    max(0, l_exit - l_full) of every sample, under which the risk is monotone.
    """
    if labels is None:
        raise ValueError('the risk "accuracy_loss" needs labels; without them use risk="disagreement".')
    return (cloud_classes == labels) & (exit_classes != labels)


RISKS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray | None], np.ndarray]] = {
    "accuracy_loss": accuracy_loss,
    "disagreement": disagreement,
}
"""Losses of an exit by name: (exit head's classes, cloud's classes, labels or None) -> [n] bool."""


@dataclass(frozen=True)
class RiskCurve:
    """What the held-back samples say of thresholds, from the highest one down: columns of equal length.

    Args:
        threshold: exits are the samples whose score is above it.
        exited_share: of the samples.
        risk: share of the samples that exit and are lost by it.
        bound: what the method holds against the limit.
    """

    threshold: tuple[float, ...]
    exited_share: tuple[float, ...]
    risk: tuple[float, ...]
    bound: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A threshold and what is known of it.

    Args:
        threshold: samples of a score above it exit; infinite if no threshold is within the limit, so that none exits.
        max_risk: the limit that was asked for.
        delta: probability with which ``ucb`` may fail.
        method: "ucb" or "crc".
        num_samples: number of held-back samples.
        exited_share: of them, the share that exits.
        empirical_risk: of them, the share that exits and is lost by it.
        bound: upper bound of the risk by the method, at most ``max_risk``; 0 if nothing exits.
        curve: the same for other thresholds, thinned out.
        policy: how the scores were made, if it is known.
        risk: what the losses are, if it is known.
    """

    threshold: float
    max_risk: float
    delta: float
    method: Method
    num_samples: int
    exited_share: float
    empirical_risk: float
    bound: float
    curve: RiskCurve
    policy: str = ""
    risk: str = ""

    @property
    def purpose(self) -> str:
        """What the threshold was chosen for."""
        return purpose(self.policy, self.risk, self.max_risk, self.method, self.delta)

    @property
    def exits_nothing(self) -> bool:
        """Whether no threshold was within the limit."""
        return math.isinf(self.threshold)

    @property
    def guarantee(self) -> str:
        """What holds for samples like those held back, in a sentence."""
        if self.exits_nothing:
            return f"No sample exits: {self._why_nothing()}"
        promise = (
            f"with probability {1 - self.delta:g}" if self.method == "ucb" else "on average over calibrations"
        )
        return f"The {_words(self.risk)} is at most {self.max_risk:g} {promise}."

    def _why_nothing(self) -> str:
        least, needed = _least_bound(self.num_samples, self.delta, self.method), self.samples_needed
        if least > self.max_risk:
            by_mean = math.ceil(1 / self.max_risk - 1 - 1e-9)
            other = f", take the method 'crc', which needs {by_mean}" if by_mean < needed else ""
            return (
                f"{self.num_samples} samples cannot show a risk of at most {self.max_risk:g}; even without one loss "
                f"the bound is {least:.2g}. Calibrate on at least {needed}{other}, or allow a larger risk."
            )
        if not any(self.curve.exited_share):
            return "every sample scores 0."
        return f"the surest samples share one score, and too many of them are lost for a risk of {self.max_risk:g}."

    @property
    def samples_needed(self) -> int:
        """The least number of samples with which the limit can be shown at all."""
        if self.method == "crc":
            return math.ceil(1 / self.max_risk - 1 - 1e-9)
        return math.ceil(math.log(self.delta) / math.log1p(-self.max_risk) - 1e-9)

    def to_dict(self) -> dict[str, Any]:
        """The calibration as plain values, for a checkpoint; :meth:`from_dict` restores it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """The calibration that :meth:`to_dict` wrote."""
        curve = RiskCurve(**{name: tuple(column) for name, column in values["curve"].items()})
        return cls(**{**values, "curve": curve})


def purpose(policy: str, risk: str, max_risk: float, method: str, delta: float) -> str:
    """Names what a threshold is chosen for, for messages."""
    chance = f", delta {delta:g}" if method == "ucb" else ""
    return f"policy {policy!r}, {_words(risk)} of at most {max_risk:g} by {method!r}{chance}"


def _words(risk: str) -> str:
    return risk.replace("_", " ") or "risk"


def calibrate(
    scores: np.ndarray,
    losses: np.ndarray,
    *,
    max_risk: float,
    delta: float = 0.05,
    method: Method = "ucb",
) -> Calibration:
    """Chooses the lowest threshold whose risk is within a limit; see the module for what that promises.

    Args:
        scores: [n] of held-back samples, at least 0, larger where the exit head is surer; a score of 0 never exits.
        losses: [n] bool, or 0 and 1: whether it would do harm to answer the sample by the exit head; see
            :data:`RISKS`.
        max_risk: largest share of all samples that may exit and be lost by it, in (0, 1).
        delta: probability with which ``ucb`` may fail, in (0, 1); ``crc`` does not use it.
        method: "ucb" or "crc".

    Returns:
        The threshold: one of the scores, or just below the lowest; infinite if no sample can exit within the limit.

    Raises:
        ValueError: if an argument is out of range, or the samples do not fit.
    """
    lookup(("ucb", "crc"), method, "method of calibration")
    require_range("calibration", 0, 1, open_low=True, open_high=True, max_risk=max_risk, delta=delta)
    surest, lost = _sorted(scores, losses)
    num_samples = len(surest)
    thresholds, exited = _candidates(surest)
    losses_above = np.concatenate(([0], np.cumsum(lost)))[exited]
    bounds = _bounds(losses_above, num_samples, delta, method)
    # The bound never shrinks from the highest threshold down, so the last one within the limit is the lowest.
    within = np.flatnonzero((bounds <= max_risk) & (exited > 0))
    kept = np.unique(np.linspace(0, len(thresholds) - 1, CURVE_POINTS).round().astype(np.intp))
    at: int | None = None if within.size == 0 else int(within[-1])
    if at is not None:
        kept = np.union1d(kept, [at])
    curve = RiskCurve(
        tuple(thresholds[kept].tolist()),
        tuple((exited[kept] / num_samples).tolist()),
        tuple((losses_above[kept] / num_samples).tolist()),
        tuple(bounds[kept].tolist()),
    )
    return Calibration(
        threshold=math.inf if at is None else float(thresholds[at]),
        max_risk=max_risk,
        delta=delta,
        method=method,
        num_samples=num_samples,
        exited_share=0.0 if at is None else float(exited[at] / num_samples),
        empirical_risk=0.0 if at is None else float(losses_above[at] / num_samples),
        bound=0.0 if at is None else float(bounds[at]),
        curve=curve,
    )


def _sorted(scores: np.ndarray, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores and losses from the surest sample on, checked."""
    values, lost = np.asarray(scores, dtype=np.float64), np.asarray(losses)
    if values.ndim != 1 or values.shape != lost.shape or not len(values):
        raise ValueError(
            f"scores have the shape {values.shape} and losses {lost.shape}; calibration needs one score and one loss "
            "a sample, and at least one sample."
        )
    if not (np.isfinite(values) & (values >= 0)).all():
        wrong = int(np.sum(~(np.isfinite(values) & (values >= 0))))
        raise ValueError(f"{wrong} scores are below 0 or not finite; score such samples 0.")
    if not np.isin(lost, (0, 1)).all():
        raise ValueError(
            "a loss is neither 0 nor 1; the bounds are those of a share, so round the losses first."
        )
    order = np.argsort(-values, kind="stable")
    return values[order], lost[order].astype(np.int64)


def _candidates(surest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Thresholds from the highest down, and the number of samples above each; the last lets every score but 0 exit."""
    last = np.append(np.flatnonzero(np.diff(surest)), len(surest) - 1)  # of each distinct score
    thresholds, exited = surest[last], np.concatenate(([0], last[:-1] + 1))
    if surest[-1] > 0:
        below = np.nextafter(surest[-1], 0.0)
        thresholds, exited = np.append(thresholds, below), np.append(exited, len(surest))
    return thresholds, exited


def _bounds(losses: np.ndarray, num_samples: int, delta: float, method: Method) -> np.ndarray:
    """What is held against the limit where so many samples exit and are lost by it."""
    if method == "crc":
        return (losses + 1) / (num_samples + 1)
    distinct = np.arange(losses.max() + 1)
    return binomial_upper_bound(distinct, num_samples, delta)[losses]


def _least_bound(num_samples: int, delta: float, method: Method) -> float:
    return float(_bounds(np.zeros(1, dtype=np.int64), num_samples, delta, method)[0])
