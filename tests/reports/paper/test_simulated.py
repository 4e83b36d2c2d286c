"""Figure 8, Table 2 and the map are drawn from a result that was read again, and can be read."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from cloudedge_pl.paper import systems, wins
from cloudedge_pl.paper.part import PartResult, Report
from cloudedge_pl.paper.parts import PARTS
from cloudedge_pl.reports import paper as drawings
from cloudedge_pl.reports.paper import FIGURES
from tests.paper.networks import tiny_setting
from tests.reports.readable import assert_readable, watch


@pytest.fixture
def few_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((systems, "RATES"), (systems, "LOADS"), (wins, "RATES"), (wins, "LOADS")):
        monkeypatch.setattr(module, name, (0.5, 20.0))


@pytest.mark.usefixtures("few_trials")
@pytest.mark.parametrize("part", ["fig8", "table2", "map"])
@pytest.mark.parametrize("pictures", [True, False], ids=["jpeg", "without"])
def test_a_result_is_drawn(part: str, pictures: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    measure = (lambda codec, size: 900.0) if pictures else None
    setting = tiny_setting(num_tasks=40, seeds=1, node_counts=(2, 4), measure_picture=measure)
    result = PARTS[part].measure(setting, Report())
    again = PartResult.from_json(json.loads(json.dumps(result.to_json())))
    path = FIGURES[part](again, tmp_path / "new" / f"{part}.png")
    picture = matplotlib.image.imread(path)
    assert picture.shape[1] > 1000
    assert np.ptp(picture[..., :3]) > 0.5
    drawn = watch(monkeypatch, [drawings.volume, drawings.systems, drawings.wins])
    FIGURES[part](again, tmp_path / f"{part}.png")
    ((figure, texts),) = drawn
    assert_readable(figure, texts)
