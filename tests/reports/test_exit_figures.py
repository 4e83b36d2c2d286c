"""The figure of a calibration: drawn whatever the scores are, with the chosen threshold where there is one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from cloudedge_pl.exits import Calibration, calibrate
from cloudedge_pl.reports import exit_figures
from cloudedge_pl.reports.exit_figures import save_exit_figure


def calibration(scores: np.ndarray, **options: Any) -> Calibration:
    losses = np.random.default_rng(1).random(len(scores)) < 0.5 * (1 - scores)
    return replace(calibrate(scores, losses, **{"max_risk": 0.02, **options}), risk="accuracy_loss")


SCORES = {
    "spread": np.random.default_rng(0).random(2000),
    "crowded": 1 - np.random.default_rng(0).beta(0.3, 3, 2000) ** 2,
    "equal": np.ones(500),
    "few": np.linspace(0.2, 0.9, 30),
}


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    kept: list[Figure] = []
    save = exit_figures.save_figure

    def keep(figure: Figure, path: Path) -> Path:
        kept.append(figure)
        return save(figure, path)

    monkeypatch.setattr(exit_figures, "save_figure", keep)
    return kept


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("method", ["ucb", "crc"])
def test_every_calibration_can_be_drawn(
    tmp_path: Path, figures: list[Figure], name: str, method: str
) -> None:
    found = calibration(SCORES[name], method=method)
    with Image.open(save_exit_figure(found, 4096.0, tmp_path / "new" / "exits.png")) as picture:
        assert picture.width == 1600
    labels = [text.get_text() for axes in figures[0].axes for text in axes.get_legend().get_texts()]
    assert any("chosen" in label for label in labels) != found.exits_nothing
    assert "limit, 2%" in labels
    assert figures[0].axes[0].get_title(loc="left") == "Accuracy loss of exits"


def test_the_curves_hold_what_was_calibrated(tmp_path: Path, figures: list[Figure]) -> None:
    found = calibration(SCORES["spread"])
    save_exit_figure(found, 4096.0, tmp_path / "exits.png")
    risk, bound = (figures[0].axes[0].lines[number].get_ydata() for number in (0, 1))
    saved = figures[0].axes[1].lines[0].get_ydata()
    at = found.curve.threshold.index(found.threshold)
    assert np.asarray(risk)[at] == pytest.approx(100 * found.empirical_risk)
    assert np.asarray(bound)[at] == pytest.approx(100 * found.bound)
    assert np.asarray(saved)[at] == pytest.approx(4096 * found.exited_share)


def test_crowded_thresholds_are_drawn_apart(tmp_path: Path, figures: list[Figure]) -> None:
    for name in ("spread", "crowded"):
        save_exit_figure(calibration(SCORES[name]), 4096.0, tmp_path / "exits.png")
    assert [figure.axes[0].get_xscale() for figure in figures] == ["linear", "log"]
