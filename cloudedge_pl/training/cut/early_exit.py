"""Who exits early in a validation, test or prediction: the exit policy at work on batches, and what it finds.

The rule is in :mod:`cloudedge_pl.exits`. :class:`~cloudedge_pl.training.cut.forward.CutForward` asks for a
:class:`Decision` before a window opens, so that the simulated fleet can know who exits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cloudedge_pl.errors import StrategyError
from cloudedge_pl.exits import (
    PATHS,
    Audit,
    Calibration,
    ExitSettings,
    Outcomes,
    draw_audited,
    exit_scores,
    passes,
)
from cloudedge_pl.lightning import pl

Decide = Callable[[Tensor], "Decision"]
"""Takes the exit head's logits [B, classes], decides which samples exit."""


@dataclass(frozen=True, eq=False)
class Decision:
    """What is decided about one batch, for the case that the cloud is awake.

    Args:
        logits: the exit head's, [B, classes].
        scores: how sure it is, float64 [B].
        sure: [B] bool, whether the score passes the threshold.
        audited: [B] bool, which of these go to the cloud anyway.
        exit_mask: [B] bool on the logits' device, whether the exit head answers: sure, and not audited.
        all_exit: whether the exit head answers every sample.
    """

    logits: Tensor
    scores: np.ndarray
    sure: np.ndarray
    audited: np.ndarray
    exit_mask: Tensor
    all_exit: bool

    @property
    def exits(self) -> np.ndarray:
        """[B] bool, whether the exit head answers."""
        return self.sure & ~self.audited

    @property
    def classes(self) -> np.ndarray:
        """The exit head's classes, int64 [B]."""
        return classes_of(self.logits)

    def answered(self, cloud_logits: Tensor, awake: bool) -> Tensor:
        """The logits that the system gives: the exit head's while the cloud sleeps and of samples that exit."""
        if not awake:
            return self.logits
        return torch.where(self.exit_mask[:, None], self.logits.to(cloud_logits.dtype), cloud_logits)


class EarlyExit:
    """Decides who exits in one validation, test or prediction, and keeps what both paths answered.

    Args:
        settings: the policy and the share that is audited.
        threshold: samples of a score above it exit; infinity lets none exit.
        seed: of the draws of audited samples.

    Attributes:
        audit: what the audited samples showed.
    """

    def __init__(self, settings: ExitSettings, threshold: float, seed: int) -> None:
        self.settings, self.threshold = settings, threshold
        self.audit = Audit()
        # Without a policy nothing exits; the table of outcomes still says how sure the exit head is.
        self._policy = settings.chosen_policy if settings.are_on else "confidence"
        self._generator = np.random.default_rng([seed, 1])
        self._parts: list[Outcomes] = []
        self._samples = self._exited = 0

    @property
    def outcomes(self) -> Outcomes:
        """The samples so far to which both paths answered."""
        return Outcomes.concatenate(self._parts)

    @property
    def exited_share(self) -> float:
        """Of the samples so far, the share that the exit head answered although the cloud was awake."""
        return self._exited / self._samples if self._samples else 0.0

    def decide(self, logits: Tensor) -> Decision:
        """Decides about a batch.

        Args:
            logits: the exit head's, [B, classes].

        Raises:
            StrategyError: if they are no class logits.
        """
        if logits.ndim != 2 or logits.shape[1] < 2:
            raise StrategyError(
                f"the backbone returns {list(logits.shape[1:])} for a sample; exits are decided by the logits of two "
                "classes or more. Cut a backbone that contains the classifier, or leave exits out."
            )
        # In double precision, because the surest samples' probabilities are close to 1; not every device has it.
        probabilities = torch.softmax(logits.detach().cpu().double(), dim=1).numpy()
        scores = exit_scores(self._policy, probabilities)
        sure = passes(scores, self.threshold)
        audited = draw_audited(sure, self.settings.audit_share, self._generator)
        exits = sure & ~audited
        exit_mask = torch.from_numpy(exits).to(logits.device)
        return Decision(logits, scores, sure, audited, exit_mask, bool(exits.all()))

    def count(self, decision: Decision, cloud_logits: Tensor | None, awake: bool, batch: Any) -> None:
        """Counts a batch that is answered.

        Args:
            decision: about the batch.
            cloud_logits: of the batch; None if the cloud did not run, because all exited or it slept.
            awake: whether the cloud was awake.
            batch: as the module's step got it, for its labels.
        """
        exit_classes = decision.classes
        cloud_classes = np.full_like(exit_classes, -1) if cloud_logits is None else classes_of(cloud_logits)
        if awake:
            self.audit.count(decision.sure, decision.audited, exit_classes, cloud_classes)
        number = len(exit_classes)
        labels = labels_of(batch, number)
        path = np.where(decision.audited, PATHS.index("audited"), PATHS.index("cloud"))
        path[decision.exits] = PATHS.index("early_exit")
        if not awake:
            path[:] = PATHS.index("exit_asleep")
        if cloud_logits is not None:
            self._parts.append(
                Outcomes(
                    sample=self._samples + np.arange(number),
                    label=np.full(number, -1) if labels is None else labels,
                    exit_class=exit_classes,
                    exit_score=decision.scores,
                    cloud_class=cloud_classes,
                    path=path,
                )
            )
        self._samples += number
        self._exited += int(np.sum(path == PATHS.index("early_exit")))


def exit_threshold(settings: ExitSettings, calibration: Calibration | None) -> float:
    """The threshold above which samples exit; infinity, with a warning, without a calibration for these settings."""
    if settings.threshold is not None:
        return settings.threshold
    if calibration is None:
        pl.utilities.rank_zero_warn(
            "no sample exits: the exits are not calibrated for these weights. Call calibrate_exits(trainer, module), "
            "or run `cloudedge calibrate ckpt=PATH`."
        )
        return math.inf
    if not settings.accept(calibration):
        pl.utilities.rank_zero_warn(
            f"no sample exits: the checkpoint is calibrated for {calibration.purpose}, and this run asks for "
            f"{settings.purpose}. Calibrate it again: `cloudedge calibrate ckpt=PATH`."
        )
        return math.inf
    return calibration.threshold


def classes_of(logits: Tensor) -> np.ndarray:
    """The class of the largest logit, int64 [B]."""
    return logits.detach().argmax(dim=1).cpu().numpy()


def labels_of(batch: Any, number: int) -> np.ndarray | None:
    """The labels of a batch (inputs, labels, ...) or {"labels": ...}, int64 [number]; None if it has none."""
    found: Any = None
    if isinstance(batch, (tuple, list)) and len(batch) > 1:
        found = batch[1]
    elif isinstance(batch, Mapping):
        found = next(
            (batch[name] for name in ("labels", "label", "targets", "target") if name in batch), None
        )
    if isinstance(found, Tensor) and found.shape == (number,) and not found.is_floating_point():
        return found.detach().cpu().numpy().astype(np.int64)
    return None
