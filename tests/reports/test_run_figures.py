"""The figures of a run: drawn from what there is, readable from a metrics file with gaps."""

import csv
import math
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cloudedge_pl.reports.run_figures import read_metrics, running_mean, runs_of, save_run_figures

LAW = settings(max_examples=50)


def _write(path: Path, rows: list[dict[str, float]]) -> Path:
    columns = sorted({name for row in rows for name in row})
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    """Two epochs of 10 steps: losses of every second step, accuracies at the end of each epoch."""
    rows: list[dict[str, float]] = []
    for step in range(1, 20, 2):
        rows.append({"epoch": step // 10, "step": step, "train/loss": 2 / (1 + step)})
        if step % 10 == 9:
            scores = {
                "val/loss": 1 / step,
                "val/accuracy": 0.9,
                "val/accuracy_exit": 0.8,
                "val/accuracy_answered": 0.85,
            }
            rows.append({"epoch": step // 10, "step": step, **scores})
    return _write(tmp_path / "metrics.csv", rows)


@pytest.fixture
def accounts() -> dict:
    return {
        "node_names": ["raspberry-pi-4-0", "jetson-nano-1", "master"],
        "node_tasks": [10, 30, 0],
        "node_joules": [5.0, 9.5, 1.0],
        "steps": {
            "clock_seconds": [1.0, 2.0, 4.0],
            "mean_delay_seconds": [0.2, 0.3, 0.1],
            "link_delay_seconds": [0.05, 0.09, None],
            "awake": [True, True, False],
        },
        "max_delay_seconds": 1.0,
    }


def test_a_run_leaves_three_pictures_and_no_setting_behind(metrics, accounts, tmp_path):
    before = dict(mpl.rcParams)
    paths = save_run_figures(metrics, accounts, tmp_path / "new" / "figures")
    assert [path.name for path in paths] == ["learning_curves.png", "delay_and_dormancy.png", "nodes.png"]
    for path in paths:
        with Image.open(path) as picture:
            assert picture.width >= 1200
            assert len(picture.convert("RGB").getcolors(1 << 24)) > 20, "more than an empty page"
    assert dict(mpl.rcParams) == before


def test_without_a_simulation_only_the_learning_curves_are_drawn(metrics, tmp_path):
    assert [path.name for path in save_run_figures(metrics, {}, tmp_path)] == ["learning_curves.png"]


@pytest.mark.parametrize(
    "rows",
    [
        [{"epoch": 0, "step": 0, "cost/delay_seconds": 1.0}],
        [{"epoch": 0, "step": 3, "train/loss": 1.0}],
        [{"epoch": 0, "step": 3, "val/accuracy_exit": 0.1}],
        [{"epoch": 0, "step": 3, "train/loss": math.nan}],
    ],
)
def test_columns_that_are_missing_are_left_out(tmp_path, rows):
    paths = save_run_figures(_write(tmp_path / "metrics.csv", rows), {}, tmp_path)
    drawable = {name: value for name, value in rows[0].items() if name[0] in "tv" and not math.isnan(value)}
    assert len(paths) == bool(drawable)


def test_no_metrics_file_and_no_accounts_draw_nothing(tmp_path):
    assert save_run_figures(tmp_path / "metrics.csv", {}, tmp_path) == []
    (tmp_path / "metrics.csv").write_text("")
    assert save_run_figures(tmp_path / "metrics.csv", {}, tmp_path) == []


@pytest.mark.parametrize("change", [{"max_delay_seconds": math.inf}, {"max_delay_seconds": 99.0}])
def test_a_limit_out_of_sight_is_no_obstacle(metrics, accounts, tmp_path, change):
    assert len(save_run_figures(metrics, accounts | change, tmp_path)) == 3


def test_a_fleet_of_hundreds_fits_on_a_page(metrics, accounts, tmp_path):
    many = {
        "node_names": [f"node-{n}" for n in range(300)],
        "node_tasks": [1] * 300,
        "node_joules": [2e5] * 300,
    }
    *_, path = save_run_figures(metrics, accounts | many, tmp_path)
    with Image.open(path) as picture:
        assert picture.height < 2500


def test_positions_are_epochs_once_one_is_finished(metrics, tmp_path):
    columns, unit = read_metrics(metrics)
    assert unit == "epoch"
    np.testing.assert_allclose(columns["val/loss"][0], [1.0, 2.0])
    np.testing.assert_allclose(columns["train/loss"][0], np.arange(1, 11) / 5)
    first = _write(tmp_path / "short.csv", [{"epoch": 0, "step": step, "train/loss": 1} for step in (4, 9)])
    columns, unit = read_metrics(first)
    assert unit == "step"
    assert columns["train/loss"][0].tolist() == [5, 10]


@LAW
@given(st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), min_size=1, max_size=40), st.integers(1, 9))
def test_a_running_mean_is_the_mean_of_what_is_there_around(values, width):
    expected = []
    for index in range(len(values)):
        window = values[max(0, index - (width - 1) // 2) : index + width // 2 + 1]
        there = [value for value in window if not math.isnan(value)]
        expected.append(sum(there) / len(there) if there else math.nan)
    np.testing.assert_allclose(running_mean(np.array(values), width), expected, atol=1e-6)


@LAW
@given(st.lists(st.booleans(), max_size=40))
def test_runs_cover_exactly_what_is_true_and_never_touch(mask):
    runs = runs_of(np.array(mask, dtype=bool))
    covered = [index for first, last in runs for index in range(first, last + 1)]
    assert covered == [index for index, value in enumerate(mask) if value]
    assert all(later[0] > earlier[1] + 1 for earlier, later in pairwise(runs))
