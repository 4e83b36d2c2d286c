"""Scores of exit policies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cloudedge_pl.exits import EXIT_POLICIES, exit_scores, passes


@given(st.integers(2, 20), st.integers(0, 1000), st.floats(0.05, 5))
def test_scores_lie_between_0_and_1_and_entropy_is_scipys(
    classes: int, seed: int, concentration: float
) -> None:
    rows = np.random.default_rng(seed).dirichlet(np.full(classes, concentration), 30)
    for policy in EXIT_POLICIES:
        scores = exit_scores(policy, rows)
        assert scores.shape == (30,)
        assert ((scores >= 0) & (scores <= 1)).all()
    expected = 1 - stats.entropy(rows, axis=1) / np.log(classes)
    assert exit_scores("entropy", rows) == pytest.approx(expected, abs=1e-12)
    assert exit_scores("confidence", rows).tolist() == rows.max(axis=1).tolist()
    assert not exit_scores("none", rows).any()


def test_what_is_not_finite_never_exits() -> None:
    rows = np.array([[np.nan, 1.0], [np.inf, 0.0], [0.5, 0.5]], dtype=np.float32)
    scores = exit_scores("confidence", rows)
    assert scores.tolist() == [0, 0, 0.5]
    assert passes(scores, 0.0).tolist() == [False, False, True]


def test_the_threshold_itself_does_not_pass() -> None:
    assert passes(np.array([0.2, 0.5, 1.0]), 0.5).tolist() == [False, False, True]
    assert not passes(np.array([0.2, 1.0]), np.inf).any()


@pytest.mark.parametrize(
    ("policy", "rows", "message"),
    [
        ("entropi", [[0.5, 0.5]], "Did you mean 'entropy'"),
        ("entropy", [0.5, 0.5], r"the shape \(2,\)"),
        ("entropy", [[1.0], [1.0]], "at least two classes"),
        ("confidence", [[2.0, 3.0]], "Apply a softmax"),
        ("confidence", [[-0.5, 1.5]], "least value is -0.5"),
    ],
)
def test_what_is_no_probability_is_refused(policy: str, rows: list[object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        exit_scores(policy, np.array(rows))
