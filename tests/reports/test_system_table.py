"""The table and the figure of compared systems."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from rich.console import Console

from cloudedge_pl.reports import system_figure
from cloudedge_pl.reports.system_figure import save_system_figure
from cloudedge_pl.reports.system_table import limits_text, system_table
from cloudedge_pl.systems import SystemResult

RESULT = SystemResult(
    title="ours",
    split_point=9,
    split_name="layer2",
    broken_limits="",
    accuracy=0.9560,
    mean_delay_seconds=0.08,
    p50_delay_seconds=0.0629,
    p95_delay_seconds=0.174,
    p99_delay_seconds=0.3,
    mean_energy_joules=1.05,
    mean_active_joules=0.0139,
    mean_upload_bytes=1814.0,
    mean_exit_bytes=900.0,
    mean_bytes=2714.0,
    deadline_miss_share=0.008,
    rejected=0,
    share_asleep=0.115,
    exited_share=0.118,
    source="somewhere",
    deviates="nothing",
)
EDGE = replace(
    RESULT,
    title="edge [only]",
    split_point=34,
    broken_limits="memory 85 MB > 9.6 MB",
    p95_delay_seconds=0.005,
    share_asleep=None,
    mean_upload_bytes=0.0,
    exited_share=0.0,
)


def lines(*results: SystemResult) -> list[str]:
    shown = StringIO()
    Console(width=140, file=shown).print(system_table(results))
    return shown.getvalue().splitlines()


def row_of(title: str, *results: SystemResult) -> str:
    return next(line for line in lines(*results) if title in line)


def test_a_row_shows_what_a_system_did():
    row = row_of("ours", RESULT)
    for text in (
        "9 ",
        "95.60%",
        "62.9 ms",
        "174 ms",
        "1.05 J",
        "13.9 mJ",
        "1.814 kB",
        "0.8%",
        "11.5%",
        "11.8%",
    ):
        assert text in row


def test_what_is_not_known_is_a_dash_and_broken_limits_are_marked():
    row = row_of("edge [only]", RESULT, EDGE)
    assert "34!" in row
    assert "\N{EN DASH}" in row
    assert (
        limits_text([RESULT, EDGE]) == "! 2 (edge [only]) breaks a limit of the plan: memory 85 MB > 9.6 MB"
    )
    assert limits_text([RESULT]) == ""


def test_columns_without_any_value_are_left_out():
    unknown = replace(RESULT, accuracy=None)
    assert not any("accuracy" in line or "rejected" in line for line in lines(unknown))
    full = replace(RESULT, rejected=1234)
    assert "1,234" in row_of("ours", full)


@pytest.fixture
def panels(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    saved: list[Figure] = []

    def save(figure: Figure, path: Path) -> Path:
        saved.append(figure)
        return path

    monkeypatch.setattr(system_figure, "save_figure", save)
    return saved


def words(figure: Figure, panel: int) -> set[str]:
    return {text.get_text() for text in figure.axes[panel].texts if text.get_text()}


def test_the_figure_numbers_every_row_and_shares_labels_of_equal_ones(panels: list[Figure], tmp_path: Path):
    save_system_figure([RESULT, replace(RESULT, title="twin"), EDGE], tmp_path / "x.png")
    assert len(panels[0].axes) == 2
    assert words(panels[0], 0) == words(panels[0], 1) == {"1\N{EN DASH}2", "3"}
    shown = [text.get_text() for text in panels[0].legends[0].get_texts()]
    assert shown == ["1  ours", "2  twin", "3  edge [only]"]


def test_without_accuracy_there_is_one_panel_and_unanswered_systems_are_left_out(
    panels: list[Figure], tmp_path: Path
):
    silent = replace(RESULT, p95_delay_seconds=None, accuracy=None)
    save_system_figure([silent, replace(RESULT, accuracy=None)], tmp_path / "x.png")
    assert len(panels[0].axes) == 1
    assert words(panels[0], 0) == {"2"}


def test_no_label_lies_on_another(panels: list[Figure], tmp_path: Path):
    crowd = [
        replace(RESULT, p95_delay_seconds=0.1 * 1.03**k, mean_active_joules=0.01 + 1e-4 * (k % 3))
        for k in range(14)
    ]
    save_system_figure(crowd, tmp_path / "x.png")
    boxes = [text.get_window_extent() for axes in panels[0].axes for text in axes.texts if text.get_text()]
    assert len(boxes) > 5
    for at, box in enumerate(boxes):
        assert not box.count_overlaps(boxes[:at])


def test_the_figure_is_a_png(tmp_path: Path):
    path = save_system_figure([RESULT, EDGE], tmp_path / "figures" / "compare.png")
    assert path.read_bytes().startswith(b"\x89PNG")
