"""Calibration against the definition, written out threshold by threshold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cloudedge_pl.exits import RISKS, Calibration, calibrate

SAMPLES = st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=60)


def by_definition(
    scores: np.ndarray, losses: np.ndarray, max_risk: float, delta: float, method: str
) -> float:
    """Walks down the thresholds while the bound holds; the bound is asked as a test of the limit."""
    found, n = math.inf, len(scores)
    below_all = [] if scores.min() == 0 else [float(np.nextafter(scores.min(), 0))]
    for threshold in [*sorted(set(scores.tolist()), reverse=True), *below_all]:
        exits = scores > threshold
        lost = int(np.sum(losses & exits))
        holds = (
            stats.binom.cdf(lost, n, max_risk) <= delta if method == "ucb" else lost + 1 <= max_risk * (n + 1)
        )
        if not holds:
            break
        if exits.any():
            found = threshold
    return found


@given(SAMPLES, st.sampled_from([0.043, 0.11, 0.31]), st.sampled_from(["ucb", "crc"]))
def test_the_threshold_is_that_of_the_definition(
    samples: list[tuple[int, bool]], max_risk: float, method: Any
) -> None:
    scores = np.array([score for score, _ in samples]) / 12
    losses = np.array([loss for _, loss in samples])
    found = calibrate(scores, losses, max_risk=max_risk, delta=0.1, method=method)
    assert found.threshold == by_definition(scores, losses, max_risk, 0.1, method)
    exits = scores > found.threshold
    assert found.exited_share == pytest.approx(exits.mean())
    assert found.empirical_risk == pytest.approx((exits & losses).mean())
    assert found.empirical_risk <= found.bound or found.exits_nothing
    assert found.bound <= max_risk


@given(SAMPLES)
def test_the_curve_is_monotone_and_holds_the_chosen_point(samples: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in samples]) / 12
    losses = np.array([loss for _, loss in samples])
    found = calibrate(scores, losses, max_risk=0.3, delta=0.1)
    curve = found.curve
    assert np.all(np.diff(curve.threshold) < 0)
    for column in (curve.exited_share, curve.risk, curve.bound):
        assert np.all(np.diff(column) >= 0)
    assert found.exits_nothing or found.threshold in curve.threshold


def test_a_long_curve_is_thinned_out() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(5000)
    found = calibrate(scores, rng.random(5000) < 0.1 * (1 - scores), max_risk=0.02)
    assert len(found.curve.threshold) <= 257
    assert found.threshold in found.curve.threshold


def test_too_few_samples_exit_nothing_and_say_how_many_are_needed() -> None:
    scores, losses = np.linspace(0.1, 1, 148), np.zeros(148, bool)
    found = calibrate(scores, losses, max_risk=0.02, delta=0.05)
    assert found.exits_nothing
    assert found.threshold == math.inf
    assert (found.exited_share, found.empirical_risk, found.bound) == (0, 0, 0)
    assert (
        "at least 149, take the method 'crc', which needs 49, or allow" in found.guarantee
    )  # 0.98 ** 148 is just above 0.05
    enough = calibrate(np.linspace(0.1, 1, 149), np.zeros(149, bool), max_risk=0.02, delta=0.05)
    assert enough.threshold == np.nextafter(0.1, 0)
    assert enough.exited_share == 1
    assert enough.guarantee == "The risk is at most 0.02 with probability 0.95."


def test_crc_needs_fewer_samples() -> None:
    assert calibrate(np.linspace(0.1, 1, 48), np.zeros(48), max_risk=0.02, method="crc").exits_nothing
    enough = calibrate(np.linspace(0.1, 1, 49), np.zeros(49), max_risk=0.02, method="crc")
    assert not enough.exits_nothing
    assert enough.samples_needed == 49
    assert "on average" in enough.guarantee


def test_surest_samples_that_are_lost_exit_nothing() -> None:
    found = calibrate(np.ones(500), np.arange(500) < 30, max_risk=0.02)
    assert found.exits_nothing
    assert "the surest samples share one score" in found.guarantee


def test_the_limit_is_a_share_of_all_samples() -> None:
    """A few samples may exit even if all of them are lost, because the others do not."""
    found = calibrate(np.linspace(0, 1, 500), np.ones(500), max_risk=0.02)
    assert 0 < found.exited_share == found.empirical_risk < 0.02


def test_a_network_that_is_always_sure_may_exit_always() -> None:
    found = calibrate(np.ones(500), np.zeros(500), max_risk=0.02)
    assert found.exited_share == 1
    assert found.threshold < 1


def test_samples_of_score_0_never_exit() -> None:
    found = calibrate(np.zeros(500), np.zeros(500), max_risk=0.02)
    assert found.exits_nothing
    assert "every sample scores 0" in found.guarantee


def test_a_calibration_survives_plain_containers() -> None:
    found = calibrate(np.linspace(0, 1, 500), np.zeros(500), max_risk=0.05)
    values = found.to_dict()
    values["curve"] = {name: list(column) for name, column in values["curve"].items()}
    assert Calibration.from_dict(values) == found


def test_the_risks() -> None:
    exit_classes, cloud_classes = np.array([0, 1, 1, 0]), np.array([0, 0, 1, 1])
    labels = np.array([0, 0, 0, 0])
    assert RISKS["disagreement"](exit_classes, cloud_classes, None).tolist() == [False, True, False, True]
    assert RISKS["accuracy_loss"](exit_classes, cloud_classes, labels).tolist() == [False, True, False, False]
    with pytest.raises(ValueError, match="needs labels"):
        RISKS["accuracy_loss"](exit_classes, cloud_classes, None)


@pytest.mark.parametrize(
    ("scores", "losses", "options", "message"),
    [
        ([0.5], [0, 1], {}, "one score and one loss"),
        ([], [], {}, "at least one sample"),
        ([np.nan], [0], {}, "1 scores are below 0 or not finite"),
        ([0.5], [0.5], {}, "neither 0 nor 1"),
        ([0.5], [0], {"max_risk": 0.0}, "max_risk is 0.0"),
        ([0.5], [0], {"delta": 1.0}, "delta is 1.0"),
        ([0.5], [0], {"method": "cr"}, "Did you mean 'crc'"),
    ],
)
def test_what_does_not_fit_is_refused(scores: Any, losses: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        calibrate(np.array(scores), np.array(losses), **{"max_risk": 0.1, **options})
