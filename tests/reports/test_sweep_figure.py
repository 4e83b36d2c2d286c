"""The figure of a sweep: axes by what the values are, a line and a band for each value of the second parameter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from cloudedge_pl.reports import sweep_figure
from cloudedge_pl.reports.run_rows import Value
from cloudedge_pl.reports.sweep_figure import save_sweep_figure, worded, writer_of
from cloudedge_pl.reports.sweep_groups import Group, Grouped


def found(
    xs: list[Value], lines: list[Value], runs: int = 3, *, scale: float = 1.0, search: bool = False
) -> Grouped:
    groups = [
        Group(x=x, line=line, values=tuple(scale**at * (at + 1) + run for run in range(runs)))
        for line in lines
        for at, x in enumerate(xs)
    ]
    over = ("seed",) if runs > 1 else ()
    second = "scheduler" if len(lines) > 1 else None
    return Grouped(
        metric="mean_delay_seconds", x="nodes", lines=second, over=over, groups=tuple(groups), search=search
    )


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Draws, and returns the axes; the file must be a picture that is not empty."""
    kept: list[Figure] = []
    save = sweep_figure.save_figure

    def keep(figure: Figure, path: Path) -> Path:
        kept.append(figure)
        return save(figure, path)

    monkeypatch.setattr(sweep_figure, "save_figure", keep)

    def draw(what: Grouped, spread: str = "range") -> Axes:
        path = save_sweep_figure(what, tmp_path / "figures" / "one.png", spread=spread)
        assert np.asarray(Image.open(path).convert("L")).std() > 0
        return kept[-1].axes[0]

    return draw


def test_a_line_and_a_band_for_each_value(drawn) -> None:
    axes = drawn(found([10, 20, 30], ["fcfs", "lpt"]))
    assert [line.get_label() for line in axes.get_lines()] == ["fcfs", "lpt"]
    assert list(axes.get_lines()[0].get_xdata()) == [10, 20, 30]
    assert list(axes.get_lines()[0].get_ydata()) == [2, 3, 4]
    assert len(axes.collections) == 2
    band = axes.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == 1
    assert band[:, 1].max() == 5
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "linear")


def test_values_over_decades_are_drawn_on_a_logarithmic_axis(drawn) -> None:
    axes = drawn(found([1e-4, 1e-3, 1e-1], [None], runs=1, scale=1000))
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert not axes.collections


def test_names_lie_side_by_side(drawn) -> None:
    axes = drawn(found(["a", True, "c"], ["fcfs", "lpt"]))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "true", "c"]
    first, second = (line.get_xdata() for line in axes.get_lines())
    assert np.all(np.abs(np.asarray(first) - [0, 1, 2]) < 0.5)
    assert np.all(np.asarray(first) < np.asarray(second))


def test_a_search_is_drawn_as_points(drawn) -> None:
    axes = drawn(found([0.1, 0.2, 0.4], [None], runs=1, search=True))
    assert not axes.get_lines()
    assert len(axes.collections[0].get_offsets()) == 3


def test_an_interval_is_narrower_than_the_range_of_many_runs(drawn) -> None:
    wide, narrow = (drawn(found([1, 2], [None], runs=30), spread) for spread in ("range", "interval"))
    heights = [np.ptp(axes.collections[0].get_paths()[0].vertices[:, 1]) for axes in (wide, narrow)]
    assert heights[1] < heights[0]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("mean_delay_seconds", "12.5 ms", "mean delay"),
        ("test_accuracy_cloud", "1.25%", "test accuracy cloud"),
        ("fleet.link.bandwidth_bits_per_second", "0.0125 bit/s", "fleet.link.bandwidth"),
        ("switches", "0.0125", "switches"),
    ],
)
def test_quantities_are_written_by_their_name(name: str, text: str, words: str) -> None:
    assert writer_of(name)(0.0125) == text
    assert worded(name) == words


def test_large_numbers_have_no_exponent() -> None:
    assert writer_of("tasks")(12000) == "12,000"
