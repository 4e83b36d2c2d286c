"""``cloudedge schedule``: every scheduler on one window of tasks: a table, a Gantt chart, convergence curves."""

from __future__ import annotations

import csv
import inspect
import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
    resolved,
    run,
    summary_if_stopped,
    write_json,
)
from cloudedge_pl.commands.times_files import read_times
from cloudedge_pl.costs.units import format_seconds
from cloudedge_pl.errors import require_range, require_seed, require_types
from cloudedge_pl.files import written_whole
from cloudedge_pl.reports.schedule_figures import Chart, save_convergence, save_gantt
from cloudedge_pl.reports.schedule_table import ScheduleRow, schedule_table
from cloudedge_pl.scheduling import SCHEDULERS, Assignment, NodeState, TaskWindow, create_scheduler
from cloudedge_pl.scheduling.comparing import suits, warm_up
from cloudedge_pl.scheduling.families import generate
from cloudedge_pl.scheduling.instance import Instance


@dataclass(frozen=True)
class Entry:
    """A scheduler of the config, with all its options; entries that differ in nothing are one row.

    Args:
        name: of the scheduler.
        options: all of them, by name, the seed too.
        changed: those that are not the defaults.
        label: what the row is called; the config's, or the name, with what was changed where others have that name.
    """

    name: str
    options: dict[str, Any]
    changed: dict[str, Any]
    label: str = ""

    @classmethod
    def of(cls, content: Any, seed: int, where: str) -> Entry:
        """Checks an entry of the config.

        Args:
            content: a name, or a mapping of ``name``, options and perhaps ``label``.
            seed: of an entry that sets none.
            where: the key of the config that has the entry.

        Raises:
            ValueError: if it is neither, or has an option that its scheduler does not have, or has out of range.
        """
        given = {"name": content} if isinstance(content, str) else content
        if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
            raise ValueError(
                f"{where} is {content!r}; it must be the name of a scheduler, or a mapping with a name, such as "
                "{name: aco, ants: 5}."
            )
        options: dict[str, Any] = {
            str(key): value for key, value in given.items() if key not in ("name", "label")
        }
        require_seed(where, seed=options.get("seed", seed))
        name = given["name"]
        create_scheduler(name, **({"seed": seed} | options))
        defaults = {key: each.default for key, each in inspect.signature(SCHEDULERS[name]).parameters.items()}
        defaults["seed"] = seed
        changed = {key: value for key, value in options.items() if value != defaults[key]}
        return cls(name, {**defaults, **changed}, changed, str(given.get("label") or ""))

    def described(self) -> str:
        """The name and what was changed: "aco ants=5, rho=0.2"."""
        changes = ", ".join(f"{key}={value}" for key, value in self.changed.items())
        return f"{self.name} {changes}".rstrip()

    def assign(self, window: TaskWindow, state: NodeState) -> Assignment:
        """The answer of a scheduler that has seen no other window."""
        return create_scheduler(self.name, **self.options).assign(window, state)


@dataclass(frozen=True)
class Selection:
    """What the config asks for, labelled: entries that are equal are the same here."""

    chosen: Entry
    baseline: Entry | None
    rows: list[Entry]
    convergence: list[Entry]

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Selection:
        """Checks and labels the schedulers of the config before any of them runs."""
        require_seed("schedule", seed=options["seed"])
        seed = int(options["seed"])
        chosen = Entry.of(options["scheduler"], seed, "scheduler")
        rows = [
            chosen,
            *(Entry.of(entry, seed, f"compare[{at}]") for at, entry in _listed(options, "compare")),
        ]
        # A bare name here is the chosen scheduler with its options, if it is its name: that is what is looked at.
        known = {chosen.name: chosen} | {entry.label: entry for entry in rows if entry.label}

        def find(content: Any, where: str) -> Entry:
            named = known.get(content) if isinstance(content, str) else None
            return named or Entry.of(content, seed, where)

        baseline = [find(options["baseline"], "baseline")] if options["baseline"] else []
        rows = _distinct([*rows, *baseline])
        drawn = [find(entry, f"convergence[{at}]") for at, entry in _listed(options, "convergence")]
        everything = _distinct([*rows, *drawn])
        labelled = _labelled(everything)
        return cls(
            labelled[0],
            labelled[everything.index(baseline[0])] if baseline else None,
            labelled[: len(rows)],
            [labelled[everything.index(entry)] for entry in _distinct(drawn)],
        )

    def suited(self, num_pairs: int) -> tuple[Selection, list[str]]:
        """Without what takes too long on a matrix of so many entries, unless it was chosen; and what that is."""

        def keeps(entry: Entry) -> bool:
            return entry == self.chosen or suits(entry.name, num_pairs)

        everything = [*self.rows, *self.convergence]
        left_out = list(dict.fromkeys(entry.label for entry in everything if not keeps(entry)))
        kept = replace(
            self,
            baseline=self.baseline if self.baseline and keeps(self.baseline) else None,
            rows=list(filter(keeps, self.rows)),
            convergence=list(filter(keeps, self.convergence)),
        )
        return kept, left_out


def schedule(cfg: DictConfig) -> Assignment:
    """Schedules as the config says; leaves the table's numbers, the chosen schedule and figures in Hydra's directory.

    Args:
        cfg: the composed config; see ``conf/schedule.yaml``.

    Returns:
        The chosen scheduler's answer.
    """
    with summary_if_stopped() as progress:
        return _schedule(cfg, progress)


def _schedule(cfg: DictConfig, progress: Progress) -> Assignment:
    options = resolved(cfg)
    require_types("schedule", _keys, options)
    require_range("schedule", 1, 10_000, windows=options["windows"])
    selection = Selection.of(options)
    window, state = _problem(options)
    size = f"{window.num_tasks} tasks on {window.num_nodes} nodes"
    selection, left_out = selection.suited(window.num_tasks * window.num_nodes)
    if left_out:
        console().print(
            f"left out: {', '.join(left_out)}, too slow for {size}; scheduler=NAME runs one all the same",
            markup=False,
        )
    rows: dict[str, ScheduleRow] = {}
    progress.stage, progress.done = "comparison", lambda: _summary(selection, rows, state)
    _run(selection.rows, window, state, rows)
    progress.stage = "report"

    source = Path(str(options["file"])).name if options["file"] else options["family"]
    chosen = selection.chosen.label
    console().print(schedule_table(list(rows.values()), chosen, f"{size} ({source})"))
    folder = output_dir()
    answer = rows[chosen].assignment
    write_json(folder / "summary.json", _summary(selection, rows, state))
    _save_schedule(folder / "schedule.csv", window, state, answer)
    drawn = dict.fromkeys([*([selection.baseline.label] if selection.baseline else []), chosen])
    with _at_work("drawing the schedules"):
        save_gantt(
            [Chart(label, window, state, rows[label].assignment) for label in drawn],
            folder / "figures" / "gantt.png",
        )
    if selection.convergence:
        _convergence(options, selection, window, state, folder / "figures" / "convergence.png")
    console().print(f"summary.json, schedule.csv and figures are in {folder}", soft_wrap=True, markup=False)
    return answer


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


def _listed(options: Mapping[str, Any], key: str) -> Iterator[tuple[int, Any]]:
    content = options[key] if options[key] is not None else []
    if not isinstance(content, list):
        raise ValueError(f"{key} is {content!r}; it must be a list, such as {key}=[lpt,atsa].")
    return enumerate(content)


def _distinct(entries: Sequence[Entry]) -> list[Entry]:
    return [entry for at, entry in enumerate(entries) if entry not in entries[:at]]


def _labelled(entries: Sequence[Entry]) -> list[Entry]:
    """Gives each a label of its own: its name, and what was changed where a name comes more than once."""
    names = Counter(entry.name for entry in entries)
    labels = [
        entry.label or (entry.name if names[entry.name] == 1 else entry.described()) for entry in entries
    ]
    label, count = Counter(labels).most_common(1)[0]
    if count > 1:
        raise ValueError(f"{count} schedulers are called {label!r}; give each a label of its own.")
    return [replace(entry, label=label) for entry, label in zip(entries, labels, strict=True)]


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
    """Runs each on the window into ``rows``, by label, and says so as it goes; no compilation is timed."""
    ready: set[str] = set()
    for at, entry in enumerate(entries, 1):
        with _at_work(f"{entry.label} ({at} of {len(entries)})") as say:
            if entry.name not in ready:
                warm_up(entry.name, window, state)
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
    """Says on stderr what goes on: a passing line on a terminal; yields what prints a line that stays."""
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
def _app(cfg: DictConfig) -> None:
    schedule(cfg)


def main() -> None:
    """Entry point of ``cloudedge schedule``."""
    run(_app)
