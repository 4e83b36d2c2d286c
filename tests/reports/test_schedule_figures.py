"""Figures and table of schedules: what is drawn is what was scheduled."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import PatchCollection
from rich.console import Console

from cloudedge_pl.reports import schedule_figures
from cloudedge_pl.reports.schedule_figures import Chart, save_convergence, save_gantt
from cloudedge_pl.reports.schedule_table import ScheduleRow, schedule_table
from cloudedge_pl.scheduling import NodeState, TaskWindow, schedule
from cloudedge_pl.scheduling.families import generate

WINDOW = TaskWindow(generate("unrelated", 30, 4, seed=0))
STATE = NodeState(np.array([0.0, 9.0, 0.0, 0.0]), np.full(4, np.inf), np.array([True, True, True, False]))


@pytest.fixture
def drawn(monkeypatch):
    """The figures as they are saved."""
    figures = []
    save = schedule_figures.save_figure

    def spy(figure, path):
        figures.append(figure)
        return save(figure, path)

    monkeypatch.setattr(schedule_figures, "save_figure", spy)
    return figures


def test_every_bar_is_a_task_at_its_node_and_time(tmp_path: Path, drawn) -> None:
    assignment = schedule(WINDOW, "lpt", state=STATE)
    path = save_gantt([Chart("lpt", WINDOW, STATE, assignment)], tmp_path / "new" / "gantt.png")
    assert path.stat().st_size > 10_000
    axes = drawn[0].axes[0]
    (bars,) = (part for part in axes.collections if isinstance(part, PatchCollection))
    boxes = [path.get_extents() for path in bars.get_paths()]
    assert len(boxes) == 30
    for task, box in enumerate(boxes):
        node = assignment.node[task]
        assert box.y0 < node < box.y1
        assert box.width == pytest.approx(WINDOW.times_seconds[task, node])
    assert max(box.x1 for box in boxes) == pytest.approx(assignment.makespan_seconds)
    assert "unavailable" in {text.get_text() for text in axes.texts}


def test_many_nodes_and_several_charts_share_one_scale(tmp_path: Path, drawn) -> None:
    window, state = TaskWindow(generate("uniform", 300, 60, seed=0)), NodeState.idle(60)
    charts = [Chart(name, window, state, schedule(window, name)) for name in ("fcfs", "lpt")]
    save_gantt(charts, tmp_path / "gantt.png")
    first, second = drawn[0].axes[:2]
    assert first.get_xlim() == second.get_xlim()
    assert first.get_xlim()[1] >= max(chart.assignment.makespan_seconds for chart in charts)


def test_convergence_draws_the_median_above_the_bound(tmp_path: Path, drawn) -> None:
    histories = {
        "atsa": [np.array([4.0, 3.0]), np.array([6.0, 5.0])],
        "pso": [np.full(10, 8.0), np.full(10, 8.0)],
    }
    save_convergence(histories, [2.0, 4.0], tmp_path / "convergence.png", {"lpt": [4.0, 6.0]})
    atsa = drawn[0].axes[0].lines[0].get_ydata()
    assert atsa[0] == pytest.approx((100 + 50) / 2)
    assert atsa[-1] == pytest.approx((50 + 25) / 2)  # a search that ended early keeps its last value
    names = [text.get_text().split()[0] for text in drawn[0].axes[0].texts]
    assert sorted(names) == ["atsa", "lpt", "pso"]


def test_convergence_labels_the_true_value_where_the_scale_has_no_zero(tmp_path: Path, drawn) -> None:
    histories = {"atsa": [np.array([4.0, 2.0])], "aco": [np.array([3.0, 2.0001])], "pso": [np.full(5, 2.1)]}
    save_convergence(histories, [2.0], tmp_path / "convergence.png", {"lpt": [2.0 * (1 + 1e-15)]})
    axes = drawn[0].axes[0]
    labels = dict(text.get_text().split() for text in axes.texts)
    assert labels == {"atsa": "0%", "aco": "<0.01%", "pso": "5%", "lpt": "0%"}
    ticks = [tick.get_text() for tick in axes.get_yticklabels()]
    assert "\N{LESS-THAN OR EQUAL TO}0.01%" in ticks
    assert "0.01%" not in ticks


def test_convergence_has_no_share_above_a_bound_of_zero(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bound of 0"):
        save_convergence({"atsa": [np.zeros(2)]}, [0.0], tmp_path / "convergence.png")


def test_schedulers_of_one_figure_have_colours_of_their_own(tmp_path: Path, drawn) -> None:
    names = ["aco ants=5", "aco ants=9", "atsa", "aco", "pso"]
    save_convergence({name: [np.array([4.0, 3.0])] for name in names}, [2.0], tmp_path / "convergence.png")
    assert len({line.get_color() for line in drawn[0].axes[0].lines}) == len(names)


def test_tasks_that_take_no_time_are_drawn(tmp_path: Path, recwarn) -> None:
    window, state = TaskWindow(np.zeros((4, 2))), NodeState.idle(2)
    path = save_gantt([Chart("lpt", window, state, schedule(window, "lpt"))], tmp_path / "gantt.png")
    assert path.is_file()
    assert not recwarn.list


def test_the_table_is_sorted_and_marks_the_chosen_one() -> None:
    rows = [ScheduleRow(name, schedule(WINDOW, name, state=STATE), 0.001) for name in ("random", "lpt")]
    table = schedule_table(rows, "random", "30 tasks")
    assert list(table.columns[1].cells) == ["lpt", "random"]
    assert [bool(cell) for cell in table.columns[0].cells] == [False, True]


def test_a_label_is_shown_as_it_is() -> None:
    row = ScheduleRow("aco [ants=5]", schedule(WINDOW, "lpt", state=STATE), 0.001)
    shown = Console(width=120, record=True, file=StringIO())
    shown.print(schedule_table([row], row.name, "30 tasks"))
    assert "aco [ants=5]" in shown.export_text()
