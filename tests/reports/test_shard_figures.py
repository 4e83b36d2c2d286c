"""The figure of a sharding: what its title says, and that every size of it can be drawn."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cloudedge_pl.data.sharding import make_shards
from cloudedge_pl.reports.shard_figures import CLASS_COLOURS, finding, save_shards


def test_the_title_gives_the_sizes_and_how_lopsided_the_nodes_are():
    alike = np.full((4, 10), 100)
    assert finding(alike) == "A node owns 1,000 samples, on average 10% in one class (overall: 10%)"
    apart = np.array([[90, 10], [0, 0], [50, 150]])
    assert finding(apart) == "A node owns 0 to 200 samples, on average 82% in one class (overall: 53%)"


@pytest.mark.parametrize(
    ("num_nodes", "num_classes"), [(1, 1), (3, len(CLASS_COLOURS)), (3, len(CLASS_COLOURS) + 1), (60, 10)]
)
def test_few_nodes_are_bars_and_many_a_heat_map(tmp_path: Path, num_nodes, num_classes):
    labels = np.arange(600) % num_classes
    counts = make_shards("dirichlet", num_nodes, labels=labels, min_size=0).class_counts(labels)
    path = save_shards(
        counts, [f"class {number}" for number in range(num_classes)], tmp_path / "new" / "s.png"
    )
    with Image.open(path) as picture:
        assert picture.width == 1600
        extrema = picture.convert("L").getextrema()
    assert extrema[0] < extrema[1]


def test_counts_that_do_not_fit_the_names_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="a column for each class"):
        save_shards(np.ones((2, 3), dtype=int), ["a", "b"], tmp_path / "s.png")
    with pytest.raises(ValueError, match="sum 0"):
        save_shards(np.zeros((2, 2), dtype=int), ["a", "b"], tmp_path / "s.png")
