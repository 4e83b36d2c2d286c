"""How sure the exit head is of a sample: scores in [0, 1] from its class probabilities, larger for surer.

:data:`EXIT_POLICIES` is the table of exit policies. A policy scores; the calibrated threshold decides. To add one:

1. write a function of type :data:`Score` here, and enter it in :data:`EXIT_POLICIES`;
2. write ``conf/exits/NAME.yaml`` (``defaults: [default]``, ``policy: NAME``), and name it in conf/exits/default.yaml.

A rule that needs more than probabilities widens :data:`Score`, and ``EarlyExit.decide`` in training/cut/early_exit.py,
which calls it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cloudedge_pl.errors import lookup

Score = Callable[[np.ndarray], np.ndarray]
"""Takes probabilities [n, classes], returns scores [n] in [0, 1]."""


def no_exit(probabilities: np.ndarray) -> np.ndarray:
    """Scores 0 for every sample, which passes no threshold."""
    return np.zeros(len(probabilities))


def confidence(probabilities: np.ndarray) -> np.ndarray:
    """The probability of the most likely class.

    >>> confidence(np.array([[0.9, 0.1], [0.5, 0.5]])).tolist()
    [0.9, 0.5]
    """
    return probabilities.max(axis=1)


def certainty(probabilities: np.ndarray) -> np.ndarray:
    """1 - H / log C, where H is the entropy over C classes: 0 for a uniform distribution, 1 for one sure class.

    Source: BranchyNet (Teerapittayanon 2016) and DDNN (Teerapittayanon 2017), which exit while the entropy, in DDNN
    divided by log C, is below a threshold; deviates: the sign is turned, so that larger is surer in every policy.

    >>> certainty(np.array([[1.0, 0.0], [0.5, 0.5]])).tolist()
    [1.0, 0.0]
    """
    safe = np.where(probabilities > 0, probabilities, 1.0)
    entropy = -(safe * np.log(safe)).sum(axis=1)
    return 1 - entropy / np.log(probabilities.shape[1])


EXIT_POLICIES: dict[str, Score] = {"confidence": confidence, "entropy": certainty, "none": no_exit}
"""The exit policies by name."""


def exit_scores(policy: str, probabilities: np.ndarray) -> np.ndarray:
    """Scores of samples under a policy.

    Args:
        policy: a key of :data:`EXIT_POLICIES`.
        probabilities: [n, classes] of the exit head, rows of sum 1, at least two classes.

    Returns:
        [n] float64 in [0, 1]. A row with a value that is not finite scores 0, so it never exits.

    Raises:
        ValueError: if the policy is unknown, or ``probabilities`` are not rows of probabilities.
    """
    score = lookup(EXIT_POLICIES, policy, "exit policy")
    rows = np.asarray(probabilities, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] < 2:
        raise ValueError(
            f"probabilities have the shape {rows.shape}; exit scores need [samples, classes], at least two classes."
        )
    finite = np.isfinite(rows).all(axis=1)
    known = rows[finite]
    wrong = (known < 0).any(axis=1) | (np.abs(known.sum(axis=1) - 1) > 1e-3)
    if wrong.any():
        row = known[int(np.argmax(wrong))]
        raise ValueError(
            f"a row of probabilities sums to {row.sum():g}, its least value is {row.min():g}; exit scores need values "
            "of at least 0 that sum to 1. Apply a softmax to logits first."
        )
    scores = np.zeros(len(rows))
    scores[finite] = np.clip(score(known), 0.0, 1.0)
    return scores


def passes(scores: np.ndarray, threshold: float) -> np.ndarray:
    """[n] bool: whether the exit head answers; where the score is above the threshold, so never at infinity."""
    return np.asarray(scores) > threshold
