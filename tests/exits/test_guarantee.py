"""The promise of a calibration, tested by repetition on populations whose risk is known at every threshold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cloudedge_pl.exits import calibrate

NUM_SPLITS = 1000
NUM_HELD_BACK = 1000

Population = tuple[np.ndarray, np.ndarray]
"""Scores and losses of all samples."""


def overconfident(size: int = 200_000) -> Population:
    """Scores pile up near 1, as a trained network's; even the surest samples are lost now and then."""
    rng = np.random.default_rng(11)
    scores = rng.beta(4, 0.8, size)
    return scores, rng.random(size) < 0.6 * (1 - scores) + 0.01


def coarse(size: int = 200_000) -> Population:
    """Scores of few values, so that many are tied, and a loss that is not monotone in the score."""
    rng = np.random.default_rng(12)
    scores = rng.integers(1, 40, size) / 40
    return scores, rng.random(size) < 0.02 + 0.5 * (scores < 0.5) + 0.03 * (scores > 0.9)


POPULATIONS = {"overconfident": overconfident(), "coarse": coarse()}


def risk_at(population: Population, thresholds: np.ndarray) -> np.ndarray:
    """Share of the whole population that exits, and is lost by it, at each threshold."""
    scores, losses = population
    lost = np.sort(scores[losses])
    return (len(lost) - np.searchsorted(lost, thresholds, side="right")) / len(scores)


def thresholds_of(
    population: Population, choose: Callable[[np.ndarray, np.ndarray], float], seed: int
) -> np.ndarray:
    """What is chosen on each of many random splits."""
    scores, losses = population
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(NUM_SPLITS):
        held_back = rng.choice(len(scores), NUM_HELD_BACK, replace=False, shuffle=False)
        found.append(choose(scores[held_back], losses[held_back]))
    return np.array(found)


def most_violations(delta: float) -> float:
    """The share of broken bounds that chance explains: delta and three standard errors."""
    return delta + 3 * np.sqrt(delta * (1 - delta) / NUM_SPLITS)


@pytest.mark.parametrize("name", POPULATIONS)
@pytest.mark.parametrize(("max_risk", "delta"), [(0.02, 0.05), (0.05, 0.05), (0.02, 0.2)])
def test_ucb_breaks_its_bound_no_more_often_than_it_promises(
    name: str, max_risk: float, delta: float
) -> None:
    population = POPULATIONS[name]
    thresholds = thresholds_of(
        population, lambda s, k: calibrate(s, k, max_risk=max_risk, delta=delta).threshold, seed=1
    )
    broken = float(np.mean(risk_at(population, thresholds) > max_risk))
    assert broken <= most_violations(delta)
    assert np.mean(np.isfinite(thresholds)) > 0.9  # not by letting nothing exit


@pytest.mark.parametrize("name", POPULATIONS)
@pytest.mark.parametrize("max_risk", [0.01, 0.02, 0.05])
def test_crc_keeps_the_mean_risk_within_its_bound(name: str, max_risk: float) -> None:
    population = POPULATIONS[name]
    thresholds = thresholds_of(
        population, lambda s, k: calibrate(s, k, max_risk=max_risk, method="crc").threshold, seed=2
    )
    risks = risk_at(population, thresholds)
    assert risks.mean() <= max_risk + 3 * risks.std() / np.sqrt(NUM_SPLITS)
    assert risks.mean() >= max_risk / 2  # and is not needlessly far below it


def empirical_threshold(scores: np.ndarray, losses: np.ndarray, max_risk: float) -> float:
    """The naive choice: the lowest threshold at which the held-back samples themselves keep the limit."""
    order = np.argsort(-scores)
    risks = np.cumsum(losses[order]) / len(scores)
    within = np.flatnonzero(risks <= max_risk)
    return float(np.nextafter(scores[order][within[-1]], -1)) if within.size else np.inf


def test_a_naive_threshold_breaks_both_promises() -> None:
    population, max_risk, delta = POPULATIONS["overconfident"], 0.02, 0.05
    thresholds = thresholds_of(population, lambda s, k: empirical_threshold(s, k, max_risk), seed=3)
    risks = risk_at(population, thresholds)
    assert np.mean(risks > max_risk) > 5 * most_violations(delta)
    assert risks.mean() > max_risk + 3 * risks.std() / np.sqrt(NUM_SPLITS)


def test_crc_promises_nothing_of_a_single_draw() -> None:
    """Why ``ucb`` is the default: under ``crc`` a large share of the draws is above the limit."""
    population = POPULATIONS["overconfident"]
    thresholds = thresholds_of(
        population, lambda s, k: calibrate(s, k, max_risk=0.02, method="crc").threshold, seed=4
    )
    assert np.mean(risk_at(population, thresholds) > 0.02) > 0.3


def test_the_held_out_rest_of_a_small_pool_agrees_on_average() -> None:
    """The risk on the samples that a split leaves out, as a test set shows it."""
    rng = np.random.default_rng(5)
    scores, losses = (column[:4000] for column in POPULATIONS["overconfident"])
    risks = []
    for _ in range(NUM_SPLITS):
        order = rng.permutation(len(scores))
        held_back, rest = order[:NUM_HELD_BACK], order[NUM_HELD_BACK:]
        found = calibrate(scores[held_back], losses[held_back], max_risk=0.03, method="crc")
        risks.append(np.mean(losses[rest] & (scores[rest] > found.threshold)))
    assert np.mean(risks) <= 0.03 + 3 * np.std(risks) / np.sqrt(NUM_SPLITS)
