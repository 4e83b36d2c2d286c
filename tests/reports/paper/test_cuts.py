"""Table 1 and Figures 5 and 6 are drawn from a result that was read again."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from cloudedge_pl.paper.part import PartResult, Report
from cloudedge_pl.paper.parts import PARTS
from cloudedge_pl.reports.paper import FIGURES
from tests.paper.networks import measured, tiny_setting


@pytest.mark.parametrize("part", ["table1", "fig5", "fig6"])
@pytest.mark.parametrize("tiny", [False, True], ids=["paper", "tiny"])
def test_a_result_is_drawn(part: str, tiny: bool, tmp_path: Path):
    result = PARTS[part].measure(tiny_setting(), Report()) if tiny else measured(part)
    again = PartResult.from_json(json.loads(json.dumps(result.to_json())))
    path = FIGURES[part](again, tmp_path / "new" / f"{part}.png")
    picture = matplotlib.image.imread(path)
    assert picture.shape[1] > 1000
    assert np.ptp(picture[..., :3]) > 0.5
