"""No figure has words over words, or a legend over data, whatever is drawn."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.transforms import Bbox

from cloudedge_pl.exits import calibrate
from cloudedge_pl.offloading import plan_offloading
from cloudedge_pl.reports import (
    exit_figures,
    pareto_figure,
    plan_figures,
    run_figures,
    schedule_figures,
    simulation_figures,
)
from cloudedge_pl.scheduling import NodeState, TaskWindow, schedule
from cloudedge_pl.scheduling.families import generate
from cloudedge_pl.simulation.task_records import TaskRecords
from tests.offloading.cases import make_fleet, make_profile, make_workload
from tests.reports.readable import Drawn, assert_readable, watch
from tests.simulation.record_cases import fleet_at_work, make_records, stations_of


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    return watch(
        monkeypatch,
        (exit_figures, pareto_figure, plan_figures, run_figures, schedule_figures, simulation_figures),
    )


@pytest.mark.parametrize(("tasks", "nodes"), [(1, 1), (20, 3), (100, 10), (40, 30), (200, 60), (600, 1000)])
def test_gantt_charts(tasks: int, nodes: int, tmp_path: Path, drawn: list) -> None:
    window, state = TaskWindow(generate("unrelated", tasks, nodes, seed=0)), NodeState.idle(nodes)
    charts = [
        schedule_figures.Chart(label, window, state, schedule(window, name, seed=0))
        for label, name in (("random", "random"), ("lpt with options=" + "long " * 20, "lpt"))
    ]
    path = schedule_figures.save_gantt(charts, tmp_path / "gantt.png")
    assert_readable(*drawn[0])
    assert _rows_with_bars(path, drawn[0][0].axes[1], nodes) == len(np.unique(charts[1].assignment.node))


def _rows_with_bars(path: Path, axes: Axes, nodes: int) -> int:
    """Rows in whose middle some pixel is neither white nor of a line: what thin bars must leave, too."""
    from PIL import Image

    (bars,) = (part for part in axes.collections if isinstance(part, PatchCollection))
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
    found = 0
    rows: dict[int, list[Bbox]] = {}
    for bar in bars.get_paths():
        box = bar.get_extents()
        rows.setdefault(round((box.y0 + box.y1) / 2), []).append(box)
    for row, boxes in rows.items():
        widest = max(boxes, key=lambda box: box.width)
        x, y = axes.transData.transform(((widest.x0 + widest.x1) / 2, row))
        column = picture[int(picture.shape[0] - y) - 1 : int(picture.shape[0] - y) + 2, int(x)]
        found += bool((column.sum(axis=1) < 3 * 253).any())
    return found


PLANS: dict[str, Callable[[], Any]] = {
    "one segment": lambda: (make_profile(2, 1), make_fleet(1)),
    "limits": lambda: (make_profile(1, 30), make_fleet(memory_bytes=2e6, max_energy_joules=3800.0)),
    "many": lambda: (make_profile(3, 90), make_fleet(1000)),
    "long names": lambda: (
        replace(
            make_profile(1, 6), names=tuple(f"encoder.layers.encoder_layer_1{n}.mlp.3" for n in range(7))
        ),
        make_fleet(60),
    ),
}


@pytest.mark.parametrize("case", PLANS.values(), ids=PLANS)
def test_plans(case: Callable[[], Any], tmp_path: Path, drawn: list) -> None:
    profile, fleet = case()
    workload = make_workload(arrival_rate=0.1, max_delay_seconds=2.0)
    plan_figures.save_plan_figures(plan_offloading(profile, fleet, workload), tmp_path)
    for figure, texts in drawn:
        assert_readable(figure, texts)


@pytest.mark.parametrize("layers", [30, 90])
def test_points_of_the_front_that_coincide_share_a_label(
    layers: int, tmp_path: Path, drawn: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every split point is taken to be on the front, which crowds it."""
    monkeypatch.setattr(pareto_figure, "pareto_front", lambda *_: np.arange(layers + 1))
    plan = plan_offloading(make_profile(3, layers), make_fleet(), make_workload(arrival_rate=0.1))
    pareto_figure.save_pareto_figure(plan, tmp_path / "pareto.png")
    ((figure, texts),) = drawn
    assert_readable(figure, texts)
    for axes in figure.axes:
        labels = [text.get_text() for text in axes.texts if text.get_text()]
        shown = [number for label in labels for number in numbers(label)]
        assert len(set(shown)) == len(shown) > len(labels) > 1
        assert plan.split_point in shown


def numbers(label: str) -> list[int]:
    found = []
    for run in label.removesuffix(", \N{HORIZONTAL ELLIPSIS}").split(", "):
        first, _, last = run.partition("\N{EN DASH}")
        found += range(int(first), int(last or first) + 1)
    return found


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([7], "7"),
        ([3, 4, 5, 8], "3\N{EN DASH}5, 8"),
        ([0, 1, 3, 5, 6], "0\N{EN DASH}1, 3, 5\N{EN DASH}6"),
        ([1, 3, 5, 7], "1, 3, 5, \N{HORIZONTAL ELLIPSIS}"),
    ],
)
def test_consecutive_split_points_are_written_as_a_range(given: list[int], words: str) -> None:
    assert pareto_figure.runs(given) == words


def test_close_ticks_have_texts_of_their_own(tmp_path: Path, drawn: list) -> None:
    fleet = make_fleet()
    plan_figures.save_plan_figures(
        plan_offloading(make_profile(2, 2), fleet, make_workload(arrival_rate=0.1)), tmp_path
    )
    for figure, _ in drawn:
        for axes in figure.axes:
            for axis in (axes.xaxis, axes.yaxis):
                texts = [tick.get_text() for tick in axis.get_majorticklabels() if tick.get_text()]
                assert len(set(texts)) == len(texts)


def accounts(names: list[str], link: float | None = 0.05) -> dict[str, Any]:
    return {
        "node_names": [*names, "master"],
        "node_tasks": [*(7 * (n % 3) for n in range(len(names))), 0],
        "node_joules": [*(1e3 + n for n in range(len(names))), 10.0],
        "steps": {
            "clock_seconds": [1.0, 2.0, 4.0],
            "mean_delay_seconds": [0.2, 0.3, 0.1],
            "link_delay_seconds": [link] * 3,
            "awake": [True, True, False],
        },
        "max_delay_seconds": 1.0,
    }


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    """Curves that end in the corners where a legend likes to be."""
    path = tmp_path / "metrics.csv"
    scores = {"val/loss": 2.5, "val/accuracy": 0.9, "val/accuracy_exit": 0.02, "val/accuracy_answered": 0.5}
    rows = [
        {"epoch": epoch, "step": 4 * epoch + 3, "train/loss": 2.5, "train/accuracy": 1.0, **scores}
        for epoch in range(5)
    ]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize("nodes", [1, 10, 60, 1000])
@pytest.mark.parametrize("kinds", [4, 1000])
def test_runs(nodes: int, kinds: int, metrics: Path, tmp_path: Path, drawn: list) -> None:
    names = [f"kind{'abcdefghijklmnopqrst'[n % kinds % 20]}{n % kinds}-of-device-{n}" for n in range(nodes)]
    run_figures.save_run_figures(metrics, accounts(names), tmp_path)
    assert len(drawn) == 3
    for figure, texts in drawn:
        assert_readable(figure, texts)
        assert figure.get_figheight() < 16


@pytest.mark.parametrize(("link", "panels"), [(0.05, 2), (0.0, 1), (None, 1)])
def test_a_link_that_is_not_used_has_no_panel(
    link: float | None, panels: int, metrics: Path, tmp_path: Path, drawn: list
) -> None:
    run_figures.save_run_figures(metrics, accounts(["a-0", "a-1"], link), tmp_path)
    assert len(drawn[1][0].axes) == panels


DEVICES = ("raspberry-pi-zero-2w", "raspberry-pi-3b-plus", "jetson-nano")


def all_paths() -> TaskRecords:
    """Every path, in an overload whose delays span five decades."""
    columns = fleet_at_work(3_000, 10, load=1.4).columns()
    columns["path"] = np.where(columns["path"] < 0, columns["path"], np.arange(3_000) % 5)
    columns["answered_seconds"] = columns["answered_seconds"] + 1e4 * (np.arange(3_000) % 7 == 0)
    columns["deadline_seconds"] = np.array([0.5, 2.0, 1e4])[np.arange(3_000) % 3]
    return TaskRecords(**columns)


SIMULATIONS: dict[str, Callable[[], TaskRecords]] = {
    "one task": lambda: make_records(1, path=3, arrival_seconds=1.0, done_seconds=1.5, answered_seconds=1.5),
    "equal tasks": lambda: make_records(
        500, path=0, arrival_seconds=np.arange(500.0), answered_seconds=np.arange(500.0) + 0.1
    ),
    "10 nodes": lambda: fleet_at_work(3_000, 10),
    "60 nodes": lambda: fleet_at_work(3_000, 60),
    "1,000 nodes": lambda: fleet_at_work(3_000, 1000),
    "all paths": all_paths,
}


@pytest.mark.parametrize("case", SIMULATIONS.values(), ids=SIMULATIONS)
def test_simulations(case: Callable[[], TaskRecords], tmp_path: Path, drawn: list) -> None:
    records = case()
    clock = float(np.nanmax(records.answered_seconds))
    names = [f"{DEVICES[at % 3]}-{at}" for at in range(int(records.node.max()) + 1)]
    simulation_figures.save_simulation_figures(
        records,
        tmp_path,
        clock_seconds=clock,
        asleep=np.array([[0.1, 0.3], [0.7, 0.8]]) * clock,
        stations=stations_of(records, names),
    )
    assert len(drawn) == 4
    for figure, texts in drawn:
        assert_readable(figure, texts)
        assert figure.get_figheight() < 16


@pytest.mark.parametrize("largest", [0.1, 1.0])
@pytest.mark.parametrize("max_risk", [0.001, 0.02, 0.4])
def test_calibrations_of_exits(drawn: list[Any], tmp_path: Path, largest: float, max_risk: float) -> None:
    rng = np.random.default_rng(0)
    scores = 1 - largest * rng.beta(0.3, 3, 3000) ** (1 / largest)
    found = calibrate(scores, rng.random(3000) < 0.6 * (1 - scores), max_risk=max_risk)
    exit_figures.save_exit_figure(found, 26_000.0, tmp_path / "exits.png")
    assert_readable(*drawn[0])
