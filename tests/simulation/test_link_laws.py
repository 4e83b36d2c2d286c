"""Links that follow a law, against theory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from cloudedge_pl.fleet import Link
from cloudedge_pl.simulation.links import LINKS
from tests.simulation.links import LINK, bits, blocks, equal, joined


@pytest.mark.parametrize("correlation", [0.0, 0.7])
def test_the_lognormal_link_has_its_deviation_and_correlation(correlation: float) -> None:
    settings = LINKS["lognormal"](variation=0.4, correlation=correlation, interval_seconds=0.5)
    segments = joined(settings.process(LINK, 5), 60)
    logs = np.log(segments.propagation_seconds / 0.03)
    num = len(logs) * (1 - correlation) / (1 + correlation)  # independent draws of the same weight
    assert abs(logs.mean()) < 4 * 0.4 / math.sqrt(num)
    assert logs.std() == pytest.approx(0.4, rel=0.03)
    for lag in (1, 2, 5):
        measured = np.corrcoef(logs[:-lag], logs[lag:])[0, 1]
        assert measured == pytest.approx(correlation**lag, abs=0.02)
    assert np.allclose(segments.bits_per_second * segments.propagation_seconds, 2e6 * 0.03)
    assert np.array_equal(np.diff(segments.start_seconds), np.full(len(segments) - 1, 0.5))


def test_the_correlation_holds_across_blocks() -> None:
    """Values at the seams would be independent if a block forgot its predecessor."""
    pairs = []
    for seed in range(400):
        first, second = blocks(LINKS["lognormal"](correlation=0.9).process(LINK, seed), 2)
        pairs.append(np.log([first.propagation_seconds[-1], second.propagation_seconds[0]]))
    assert np.corrcoef(np.array(pairs).T)[0, 1] == pytest.approx(0.9, abs=0.04)


def test_the_lognormal_link_takes_what_is_left_out_from_the_link() -> None:
    own = LINKS["lognormal"](variation=0.4, correlation=0.7).process(LINK, 3).next()
    assert equal(own, LINKS["lognormal"]().process(LINK, 3).next())


def test_seeds_differ() -> None:
    first, second = (LINKS["lognormal"]().process(LINK, seed).next() for seed in (0, 1))
    assert not np.array_equal(first.bits_per_second, second.bits_per_second)


@pytest.fixture(scope="module")
def two_states() -> tuple[np.ndarray, np.ndarray]:
    """Lengths of some 60,000 segments, and whether the link is bad in each."""
    settings = LINKS["gilbert_elliott"](
        good_seconds=3.0, bad_seconds=1.0, bad_rate_share=0.25, bad_propagation_factor=4.0
    )
    segments = joined(settings.process(LINK, 2), 60)
    bad = segments.bits_per_second < 2e6
    assert np.array_equal(np.unique(segments.bits_per_second), [0.5e6, 2e6])
    assert np.array_equal(segments.propagation_seconds, np.where(bad, 0.12, 0.03))
    return np.diff(np.append(segments.start_seconds, segments.end_seconds)), bad


def test_a_gilbert_elliott_link_is_bad_for_its_share_of_the_time(two_states: Any) -> None:
    lengths, bad = two_states
    assert lengths[bad].sum() / lengths.sum() == pytest.approx(1 / 4, rel=0.03)
    assert (bad[1:] != bad[:-1]).all()  # also at the seams of blocks


@pytest.mark.parametrize(("state", "mean"), [(True, 1.0), (False, 3.0)])
def test_a_gilbert_elliott_link_stays_in_a_state_for_exponential_times(
    two_states: Any, state: bool, mean: float
) -> None:
    lengths, bad = two_states
    times = lengths[bad == state]
    assert times.mean() == pytest.approx(mean, rel=0.03)
    assert times.std() == pytest.approx(mean, rel=0.04)
    assert (times > 2 * mean).mean() == pytest.approx(math.exp(-2), abs=0.01)


def test_a_gilbert_elliott_link_starts_in_its_stationary_law() -> None:
    settings = LINKS["gilbert_elliott"](good_seconds=3.0, bad_seconds=1.0)
    bad = [settings.process(LINK, seed).next().bits_per_second[0] < 2e6 for seed in range(1500)]
    assert np.mean(bad) == pytest.approx(1 / 4, abs=0.045)  # four standard deviations


def test_a_bad_time_can_be_an_outage() -> None:
    segments = LINKS["gilbert_elliott"](bad_rate_share=0.0).process(LINK).next()
    assert set(segments.bits_per_second.tolist()) == {0.0, 2e6}


def test_the_mean_of_a_diurnal_link_is_its_bandwidth() -> None:
    settings = LINKS["diurnal"](period_seconds=100.0, amplitude=0.8, peak_seconds=37.0, steps=7)
    segments = joined(settings.process(LINK), 3)
    assert segments.end_seconds == pytest.approx(300)
    for period in (1, 2, 3):
        assert bits(segments, period * 100.0) == pytest.approx(period * 100 * 2e6, rel=1e-12)
    assert (segments.propagation_seconds == 0.03).all()


def test_a_diurnal_link_follows_a_cosine() -> None:
    settings = LINKS["diurnal"](period_seconds=100.0, amplitude=0.8, peak_seconds=37.0, steps=8)
    segments = joined(settings.process(LINK), 2)
    within = (np.arange(10_000) + 0.5) / 10_000 * 12.5
    for start, rate in zip(segments.start_seconds, segments.bits_per_second, strict=True):
        curve = 2e6 * (1 + 0.8 * np.cos(2 * np.pi * (start + within - 37) / 100))
        assert rate == pytest.approx(curve.mean(), rel=1e-6)
    assert segments.at(37.0) == np.argmax(segments.bits_per_second[:8])


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("lognormal", {"variation": -0.1}),
        ("lognormal", {"variation": 51}),
        ("lognormal", {"correlation": 1.0}),
        ("lognormal", {"interval_seconds": 0}),
        ("lognormal", {"variation": "0.3"}),
        ("gilbert_elliott", {"good_seconds": 0.0}),
        ("gilbert_elliott", {"bad_seconds": math.inf}),
        ("gilbert_elliott", {"bad_rate_share": 1.1}),
        ("gilbert_elliott", {"bad_propagation_factor": 0.5}),
        ("diurnal", {"period_seconds": 0.5}),
        ("diurnal", {"amplitude": 1.0}),
        ("diurnal", {"peak_seconds": -1.0}),
        ("diurnal", {"steps": 2}),
        ("diurnal", {"steps": 4.5}),
    ],
)
def test_bad_settings_are_refused(kind: str, values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"link_process {LINKS[kind].__name__}: {next(iter(values))} is"):
        LINKS[kind](**values)


def test_a_link_may_vary_too_much() -> None:
    with pytest.raises(ValueError, match="link: variation is 60"):
        LINKS["lognormal"]().process(Link(variation=60.0))
