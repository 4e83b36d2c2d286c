"""``cloudedge schedule``: compares schedulers on one window of tasks: a table, a Gantt chart, convergence curves."""

from __future__ import annotations

import csv
import inspect
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import hydra
import numpy as np
from omegaconf import DictConfig
from rich.console import Console

from cloudedge_pl.commands.reporting import (
    Progress,
    clear_errors,
    console,
    output_dir,
    require_keys,
    resolved,
    run,
    summary_if_stopped,
    write_json,
)
from cloudedge_pl.commands.rows import leaves_row
from cloudedge_pl.commands.scheduler_entries import Entry, Selection
from cloudedge_pl.commands.times_files import read_times
from cloudedge_pl.costs.units import format_seconds
from cloudedge_pl.errors import require_range, require_types
from cloudedge_pl.files import written_whole
from cloudedge_pl.reports.schedule_figures import Chart, save_convergence, save_gantt
from cloudedge_pl.reports.schedule_table import ScheduleRow, schedule_table
from cloudedge_pl.scheduling import Assignment, NodeState, TaskWindow
from cloudedge_pl.scheduling.comparing import warm_up
from cloudedge_pl.scheduling.families import generate
from cloudedge_pl.scheduling.instance import Instance


def schedule(cfg: DictConfig) -> Assignment:
    """Schedules as the config says; writes the table's numbers, the chosen schedule and figures to Hydra's directory.

    Args:
        cfg: the composed config; see ``conf/schedule.yaml``.

    Returns:
        The assignment of the chosen scheduler.
    """
    with summary_if_stopped() as progress:
        return _schedule(cfg, progress)


def _schedule(cfg: DictConfig, progress: Progress) -> Assignment:
    options = resolved(cfg)
    require_keys(options, (*inspect.signature(_keys).parameters, "seed", "scheduler", "baseline"))
    require_types("schedule", _keys, options)
    require_range("schedule", 1, 10_000, windows=options["windows"])
    selection = Selection.of(options)
    window, state = _problem(options)
    size = f"{window.num_tasks} tasks on {window.num_nodes} nodes"
    selection, left_out = selection.suited(window.num_tasks * window.num_nodes)
    if left_out:
        console().print(
            f"left out: {', '.join(left_out)}, too slow for {size}; scheduler=NAME runs one anyway",
            markup=False,
        )
    rows: dict[str, ScheduleRow] = {}
    progress.stage, progress.done = "comparison", lambda: _summary(selection, rows, state)
    _run(selection.rows, window, state, rows)
    progress.stage = "report"
    source = Path(str(options["file"])).name if options["file"] else options["family"]
    chosen = selection.chosen.label
    console().print(schedule_table(list(rows.values()), chosen, f"{size} ({source})"))
    _report(options, selection, window, state, rows)
    return rows[chosen].assignment


def _report(
    options: Mapping[str, Any],
    selection: Selection,
    window: TaskWindow,
    state: NodeState,
    rows: Mapping[str, ScheduleRow],
) -> None:
    """Writes summary.json, schedule.csv and the figures to Hydra's directory."""
    folder, chosen = output_dir(), selection.chosen.label
    write_json(folder / "summary.json", _summary(selection, rows, state))
    _save_schedule(folder / "schedule.csv", window, state, rows[chosen].assignment)
    drawn = dict.fromkeys([*([selection.baseline.label] if selection.baseline else []), chosen])
    with _at_work("drawing the schedules"):
        save_gantt(
            [Chart(label, window, state, rows[label].assignment) for label in drawn],
            folder / "figures" / "gantt.png",
        )
    if selection.convergence:
        _convergence(options, selection, window, state, folder / "figures" / "convergence.png")
    console().print(f"summary.json, schedule.csv and figures are in {folder}", soft_wrap=True, markup=False)


def _keys(
    file: str | None,
    family: str,
    num_tasks: int,
    num_nodes: int,
    compare: list[Any] | None,
    convergence: list[Any] | None,
    windows: int,
) -> None:
    """The keys of the config, as a signature."""


def _problem(options: Mapping[str, Any]) -> tuple[TaskWindow, NodeState]:
    if not options["file"]:
        window = TaskWindow(_generated(options, 0))
        return window, NodeState.idle(window.num_nodes)
    times, names = read_times(Path(str(options["file"])))
    idle = NodeState.idle(times.shape[1])
    return TaskWindow(times), replace(idle, names=names)


def _generated(options: Mapping[str, Any], index: int) -> np.ndarray:
    return generate(
        options["family"], options["num_tasks"], options["num_nodes"], int(options["seed"]) + index
    )


def _run(
    entries: Sequence[Entry], window: TaskWindow, state: NodeState, rows: dict[str, ScheduleRow]
) -> None:
    """Runs every scheduler on the window, fills ``rows`` by label and shows progress; compilation is not timed."""
    ready: set[str] = set()
    for at, entry in enumerate(entries, 1):
        with _at_work(f"{entry.label} ({at} of {len(entries)})") as say:
            if entry.name not in ready:
                warm_up(entry.build(), window, state)
                ready.add(entry.name)
            start = time.perf_counter()
            assignment = entry.assign(window, state)
            seconds = time.perf_counter() - start
            say(
                f"{at:2}/{len(entries)} {entry.label}: makespan {assignment.makespan_seconds:.5g} s, "
                f"found in {format_seconds(seconds)}"
            )
        rows[entry.label] = ScheduleRow(entry.label, assignment, seconds)


@contextmanager
def _at_work(what: str) -> Iterator[Any]:
    """Shows a status line on stderr if it is a terminal; yields a function that prints a lasting line there."""
    shown = Console(stderr=True, soft_wrap=True)

    def say(line: str) -> None:
        shown.print(line, markup=False, highlight=False, style="dim")

    if shown.is_terminal:
        with shown.status(what):
            yield say
    else:
        yield say


def _convergence(
    options: Mapping[str, Any], selection: Selection, window: TaskWindow, state: NodeState, path: Path
) -> None:
    windows = [window]
    if not options["file"]:
        windows += [TaskWindow(_generated(options, index)) for index in range(1, int(options["windows"]))]
    seed = int(options["seed"])
    levels = [replace(Entry.of(name, seed, name), label=name) for name in ("fcfs", "lpt")]
    levels = [
        level for level in levels if level.label not in {entry.label for entry in selection.convergence}
    ]
    answers: dict[str, list[Assignment]] = {}
    for entry in [*selection.convergence, *levels]:
        with _at_work(f"convergence of {entry.label}") as say:
            start = time.perf_counter()
            answers[entry.label] = [entry.assign(each, state) for each in windows]
            if entry not in levels:
                took = format_seconds(time.perf_counter() - start)
                say(
                    f"convergence of {entry.label}: {took}, {len(windows)} window{'s' if len(windows) > 1 else ''}"
                )
    bounds = [max(each[at].lower_bound_seconds for each in answers.values()) for at in range(len(windows))]
    if not min(bounds) > 0:
        console().print("convergence.png is left out: the lower bound is 0 s, nothing is a share above it")
        return
    save_convergence(
        {
            entry.label: [answer.history_seconds for answer in answers[entry.label]]
            for entry in selection.convergence
        },
        bounds,
        path,
        {level.label: [answer.makespan_seconds for answer in answers[level.label]] for level in levels},
    )


def _summary(selection: Selection, rows: Mapping[str, ScheduleRow], state: NodeState) -> dict[str, Any]:
    bound = max((row.assignment.lower_bound_seconds for row in rows.values()), default=math.nan)
    return {
        "chosen": selection.chosen.label,
        "lower_bound_seconds": bound,
        "nodes": list(state.names),
        "schedulers": {
            entry.label: _numbers(entry, rows[entry.label], bound)
            for entry in selection.rows
            if entry.label in rows
        },
    }


def _numbers(entry: Entry, row: ScheduleRow, bound: float) -> dict[str, Any]:
    makespan = row.assignment.makespan_seconds
    return {
        "name": entry.name,
        "options": entry.options,
        "makespan_seconds": makespan,
        "ratio": makespan / bound if bound > 0 else 1.0,
        "evaluations": len(row.assignment.history_seconds),
        "call_seconds": row.call_seconds,
        "tasks_per_node": row.assignment.tasks_per_node.tolist(),
        "loads_seconds": row.assignment.loads_seconds.tolist(),
    }


def _save_schedule(path: Path, window: TaskWindow, state: NodeState, answer: Assignment) -> None:
    finish = Instance.of(window, state).finish_seconds(answer.node)
    start = finish - window.times_seconds[np.arange(window.num_tasks), answer.node]
    columns = zip(answer.node.tolist(), start.tolist(), finish.tolist(), strict=True)
    with written_whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["task", "node", "start_seconds", "finish_seconds"])
        for task, (node, begin, end) in enumerate(columns):
            writer.writerow([task, state.names[node], repr(begin), repr(end)])


@hydra.main(version_base="1.3", config_path="pkg://cloudedge_pl.conf", config_name="schedule")
@clear_errors
@leaves_row
def _app(cfg: DictConfig) -> None:
    schedule(cfg)


def main() -> None:
    """Entry point of ``cloudedge schedule``."""
    run(_app)
