"""Figure 7 is drawn from a result that was read again, and can be read."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from cloudedge_pl.paper import schedules as measuring
from cloudedge_pl.paper.part import PartResult, Report
from cloudedge_pl.reports.paper import FIGURES, schedules
from tests.paper.networks import tiny_setting
from tests.reports.readable import assert_readable, watch


@pytest.fixture(scope="module")
def result() -> PartResult:
    few = {"tasks": (1, 6), "ratio of node speeds": (1.0, 5.0, 20.0), "ratio of task sizes": (1.0, 10.0)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring, "TRIED", few)
        patch.setattr(measuring, "TRIED_AS_PRINTED", {"tasks": (3,)})
        measured = measuring.measure_fig7(tiny_setting(), Report())
    return PartResult.from_json(json.loads(json.dumps(measured.to_json())))


def test_the_figure_is_drawn(result: PartResult, tmp_path: Path):
    picture = matplotlib.image.imread(FIGURES["fig7"](result, tmp_path / "new" / "fig7.png"))
    assert picture.shape[1] > 1000
    assert np.ptp(picture[..., :3]) > 0.5


def test_no_words_meet(result: PartResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    drawn = watch(monkeypatch, [schedules])
    FIGURES["fig7"](result, tmp_path / "fig7.png")
    ((figure, texts),) = drawn
    assert_readable(figure, texts)
