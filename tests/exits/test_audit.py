"""The live audit: what is drawn, and what is found."""

from __future__ import annotations

import numpy as np
import pytest

from cloudedge_pl.exits import Audit, binomial_interval, draw_audited


def test_only_samples_that_pass_are_drawn_at_the_share_that_was_asked_for() -> None:
    rng = np.random.default_rng(0)
    exits = rng.random(50_000) < 0.5
    audited = draw_audited(exits, 0.1, np.random.default_rng(1))
    assert not (audited & ~exits).any()
    assert audited[exits].mean() == pytest.approx(0.1, abs=0.005)
    assert not draw_audited(exits, 0.0, rng).any()
    assert (draw_audited(exits, 1.0, rng) == exits).all()


def test_the_draws_do_not_depend_on_the_threshold() -> None:
    few, many = np.arange(100) < 20, np.arange(100) < 60
    one, other = (draw_audited(exits, 0.3, np.random.default_rng(4)) for exits in (few, many))
    assert (one == (other & few)).all()


def test_counts_add_up_over_batches() -> None:
    audit = Audit()
    for _ in range(2):
        audit.count(
            np.array([True, True, True, False]),
            np.array([True, True, False, False]),
            np.array([1, 2, 3, 4]),
            np.array([1, 0, 0, 0]),
        )
    report = audit.report(delta=0.1)
    assert (audit.num_samples, audit.num_passed, audit.num_audited, audit.num_disagreed) == (8, 6, 4, 2)
    assert report["disagreement"] == 0.5
    assert report["risk"] == pytest.approx(0.5 * 6 / 8)
    assert report["disagreement_interval"] == list(binomial_interval(2, 4, 0.1))
    assert report["risk_interval"] == pytest.approx([0.75 * end for end in binomial_interval(2, 4, 0.1)])


def test_without_an_audited_sample_nothing_is_known() -> None:
    report = Audit().report()
    assert report["disagreement"] is None
    assert report["risk"] is None
    assert report["disagreement_interval"] == [0.0, 1.0]


def test_the_interval_covers_the_true_disagreement() -> None:
    rng = np.random.default_rng(7)
    scores = rng.random(20_000)
    differs = (rng.random(20_000) < 0.2 * (1 - scores)).astype(int)
    exits, covered = scores > 0.4, 0
    truth = differs[exits].mean()
    for _ in range(300):
        audit = Audit()
        audit.count(exits, draw_audited(exits, 0.02, rng), differs, np.zeros(20_000, int))
        low, high = audit.report()["disagreement_interval"]
        covered += low <= truth <= high
    assert covered / 300 >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 300)
