"""``cloudedge schedule``: every scheduler on one window of tasks: a table, a Gantt chart, convergence curves."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
import numpy as np
from omegaconf import DictConfig

from cloudedge_pl.commands.running import clear_errors, console, output_dir, resolved, write_json
from cloudedge_pl.errors import DataError
from cloudedge_pl.reports.schedule_figures import Chart, save_convergence, save_gantt
from cloudedge_pl.reports.schedule_table import ScheduleRow, schedule_table
from cloudedge_pl.scheduling import Assignment, NodeState, TaskWindow, create_scheduler
from cloudedge_pl.scheduling.families import generate
from cloudedge_pl.scheduling.instance import Instance


def schedule(cfg: DictConfig) -> Assignment:
    """Schedules as the config says; leaves the table's numbers, the chosen schedule and figures in Hydra's directory.

    Args:
        cfg: the composed config; see ``conf/schedule.yaml``.

    Returns:
        The chosen scheduler's answer.
    """
    options = resolved(cfg)
    seed, chosen = int(options["seed"]), {"seed": options["seed"], **options["scheduler"]}
    window = TaskWindow(_times(options, seed))
    state = NodeState.idle(window.num_nodes)
    others = [_named(entry) for entry in options["compare"]]
    baseline = [_named(options["baseline"])] if options["baseline"] else []
    rows = {chosen["name"]: _run(chosen, window, state, seed)}
    for entry in [*others, *baseline]:
        if entry["name"] not in rows:
            rows[entry["name"]] = _run(entry, window, state, seed)

    source = Path(options["file"]).name if options["file"] else options["family"]
    title = f"{window.num_tasks} tasks on {window.num_nodes} nodes ({source})"
    console().print(schedule_table(list(rows.values()), chosen["name"], title))
    folder = output_dir()
    answer = rows[chosen["name"]].assignment
    write_json(folder / "summary.json", _summary(rows, chosen["name"]))
    _save_schedule(folder / "schedule.csv", window, state, answer)
    names = dict.fromkeys([*(entry["name"] for entry in baseline), chosen["name"]])
    save_gantt(
        [Chart(name, window, state, rows[name].assignment) for name in names],
        folder / "figures" / "gantt.png",
    )
    if options["convergence"]:
        _convergence(options, window, chosen, folder / "figures" / "convergence.png")
    console().print(f"summary.json, schedule.csv and figures are in {folder}", soft_wrap=True)
    return answer


def read_times(path: Path) -> np.ndarray:
    """Reads a matrix of execution times, float64 [num_tasks, num_nodes].

    Args:
        path: a NPY file, or text with commas or blanks between the columns; lines that start with # are left out.

    Raises:
        DataError: if there is no such file, or it holds no matrix of numbers.
    """
    if not path.is_file():
        raise DataError(f"file={path}: there is no such file; give a CSV, TXT or NPY file of seconds.")
    try:
        if path.suffix == ".npy":
            times = np.load(path, allow_pickle=False)
        else:
            delimiter = "," if "," in path.read_text() else None
            times = np.loadtxt(path, delimiter=delimiter, ndmin=2)
        return np.asarray(times, dtype=np.float64)
    except (ValueError, EOFError, UnicodeDecodeError) as error:
        raise DataError(
            f"file={path}: not a matrix of seconds, a row per task and a column per node ({error})."
        ) from error


def _times(options: Mapping[str, Any], seed: int) -> np.ndarray:
    if options["file"]:
        return read_times(Path(options["file"]))
    return generate(options["family"], options["num_tasks"], options["num_nodes"], seed)


def _named(entry: str | Mapping[str, Any]) -> dict[str, Any]:
    return {"name": entry} if isinstance(entry, str) else dict(entry)


def _run(entry: Mapping[str, Any], window: TaskWindow, state: NodeState, seed: int) -> ScheduleRow:
    """Runs a scheduler on the window, once on a few tasks first so that no compilation is timed."""
    options = {"seed": seed, **entry}
    create_scheduler(**options).assign(TaskWindow(window.times_seconds[:3]), state)
    scheduler = create_scheduler(**options)
    start = time.perf_counter()
    assignment = scheduler.assign(window, state)
    return ScheduleRow(entry["name"], assignment, time.perf_counter() - start)


def _convergence(
    options: Mapping[str, Any], window: TaskWindow, chosen: Mapping[str, Any], path: Path
) -> None:
    windows = [window]
    if not options["file"]:
        count, tasks, nodes = options["windows"], options["num_tasks"], options["num_nodes"]
        windows += [
            TaskWindow(generate(options["family"], tasks, nodes, options["seed"] + index))
            for index in range(1, count)
        ]
    entries = [chosen if name == chosen["name"] else {"name": name} for name in options["convergence"]]
    drawn = {entry["name"]: _answers(entry, windows, options["seed"]) for entry in entries}
    levels = {name: _answers({"name": name}, windows, options["seed"]) for name in ("fcfs", "lpt")}
    best = {**drawn, **levels}
    bounds = [max(best[name][k].lower_bound_seconds for name in best) for k in range(len(windows))]
    save_convergence(
        {name: [answer.history_seconds for answer in answers] for name, answers in drawn.items()},
        bounds,
        path,
        {name: [answer.makespan_seconds for answer in answers] for name, answers in levels.items()},
    )


def _answers(entry: Mapping[str, Any], windows: Sequence[TaskWindow], seed: int) -> list[Assignment]:
    """A fresh scheduler's answer to each window."""
    return [
        create_scheduler(**{"seed": seed, **entry}).assign(window, NodeState.idle(window.num_nodes))
        for window in windows
    ]


def _summary(rows: Mapping[str, ScheduleRow], chosen: str) -> dict[str, Any]:
    bound = max(row.assignment.lower_bound_seconds for row in rows.values())
    return {
        "chosen": chosen,
        "lower_bound_seconds": bound,
        "schedulers": {
            name: {
                "makespan_seconds": row.assignment.makespan_seconds,
                "ratio": row.assignment.makespan_seconds / bound if bound > 0 else 1.0,
                "evaluations": len(row.assignment.history_seconds),
                "call_seconds": row.call_seconds,
                "tasks_per_node": row.assignment.tasks_per_node.tolist(),
                "loads_seconds": row.assignment.loads_seconds.tolist(),
            }
            for name, row in rows.items()
        },
    }


def _save_schedule(path: Path, window: TaskWindow, state: NodeState, answer: Assignment) -> None:
    finish = Instance.of(window, state).finish_seconds(answer.node)
    start = finish - window.times_seconds[np.arange(window.num_tasks), answer.node]
    columns = zip(answer.node.tolist(), start.tolist(), finish.tolist(), strict=True)
    lines = [f"{task},{node},{begin!r},{end!r}" for task, (node, begin, end) in enumerate(columns)]
    path.write_text("\n".join(["task,node,start_seconds,finish_seconds", *lines]) + "\n")


@hydra.main(version_base="1.3", config_path="pkg://cloudedge_pl.conf", config_name="schedule")
@clear_errors
def _app(cfg: DictConfig) -> None:
    schedule(cfg)


def main() -> None:
    """Entry point of ``cloudedge schedule``."""
    _app()
