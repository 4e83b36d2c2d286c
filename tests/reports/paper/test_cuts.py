"""Table 1 and Figures 5 and 6 are drawn from results that were read again, and can be read."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from cloudedge_pl.paper.part import PartResult, Report
from cloudedge_pl.paper.parts import PARTS
from cloudedge_pl.reports.paper import FIGURES, cuts
from tests.paper.networks import measured, tiny_setting
from tests.reports.readable import assert_readable, watch

PARTS_HERE = ("table1", "fig5", "fig6")


def result_of(part: str, network: str) -> PartResult:
    found = measured(part) if network == "paper" else PARTS[part].measure(tiny_setting(), Report())
    return PartResult.from_json(json.loads(json.dumps(found.to_json())))


@pytest.mark.parametrize("part", PARTS_HERE)
def test_a_result_is_drawn(part: str, tmp_path: Path):
    path = FIGURES[part](result_of(part, "paper"), tmp_path / "new" / f"{part}.png")
    picture = matplotlib.image.imread(path)
    assert picture.shape[1] > 1000
    assert np.ptp(picture[..., :3]) > 0.5


@pytest.mark.parametrize("part", PARTS_HERE)
@pytest.mark.parametrize("network", ["paper", "tiny"])
def test_no_words_meet(part: str, network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    drawn = watch(monkeypatch, [cuts])
    FIGURES[part](result_of(part, network), tmp_path / f"{part}.png")
    ((figure, texts),) = drawn
    assert_readable(figure, texts)
