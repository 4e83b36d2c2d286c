"""What a sweep found: its runs as rows of a CSV file, and a metric in groups of runs that differ in their seed only."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cloudedge_pl.errors import lookup
from cloudedge_pl.files import written_whole
from cloudedge_pl.paper.statistics import mean_interval
from cloudedge_pl.reports.run_rows import RunRow, Value, rows_below

FIRST_METRICS = (
    "test_accuracy_answered",
    "test_accuracy_cloud",
    "best_val_accuracy",
    "mean_delay_seconds",
    "delay_seconds",
)
"""The metric that is drawn if none is named: the first of these that the runs have."""

MOST_LINES = 8
"""A parameter with more values gets no lines of its own."""

SPREADS = ("range", "interval")
"""What is drawn around a mean: from the lowest to the highest run, or the 95% confidence interval of the mean."""

NO_LINES = "none"


@dataclass(frozen=True, eq=False, kw_only=True)
class Run:
    """A run that was found.

    Attributes:
        folder: of the run.
        row: of the run.
        parameters: its values of every parameter of the sweep; of one that it leaves to the config, the config's.
    """

    folder: Path
    row: RunRow
    parameters: Mapping[str, Value]

    def value(self, name: str) -> Value:
        """Its value of a parameter, or of a metric; None if it has neither."""
        if name == "seed":
            return self.row.parameters.get(name, self.row.seed)
        return self.parameters[name] if name in self.parameters else self.row.metrics.get(name)


@dataclass(frozen=True, eq=False, kw_only=True)
class Runs:
    """The runs of one or several folders."""

    runs: tuple[Run, ...]

    @classmethod
    def below(cls, folders: Sequence[Path]) -> Runs:
        """Reads all runs in folders and below them; a run that lies in two of them counts once.

        Raises:
            ValueError: if there is no run.
        """
        found = {
            (path.resolve(), tuple(row.overrides)): (path, row)
            for top in folders
            for path, row in rows_below(top)
        }
        if not found:
            where = ", ".join(map(str, folders))
            raise ValueError(
                f"there is no run (row.json) in {where} or below; give the folder of a sweep or of a run."
            )
        names = list(dict.fromkeys(name for _, row in found.values() for name in row.parameters))
        return cls(
            runs=tuple(
                Run(folder=path, row=row, parameters=_all_parameters(path, row, names))
                for path, row in found.values()
            )
        )

    @property
    def done(self) -> list[Run]:
        """The runs that came to their end."""
        return [run for run in self.runs if run.row.is_done]

    @property
    def parameters(self) -> list[str]:
        """Names of all parameters; every run has a value of each."""
        return list(self.runs[0].parameters)

    @property
    def metrics(self) -> list[str]:
        """Names of all metrics that a run has."""
        return list(dict.fromkeys(name for run in self.runs for name in run.row.metrics))

    @property
    def found(self) -> list[str]:
        """Names of the metrics of which a run that came to its end has a value."""
        numbers = (item for run in self.done for item in run.row.metrics.items())
        return list(dict.fromkeys(name for name, value in numbers if value is not None))

    @cached_property
    def swept(self) -> list[str]:
        """Parameters of which there are several values, the seed excepted; those with the most values first."""
        names = [name for name in self.parameters if name != "seed"]
        counts = {name: len(distinct(run.parameters[name] for run in self.runs)) for name in names}
        return sorted((name for name in names if counts[name] > 1), key=lambda name: -counts[name])

    def save(self, path: Path) -> Path:
        """Writes a CSV file with a row for each run, whatever became of it."""
        parameters = [name for name in self.parameters if name != "seed"]
        columns = [
            "folder",
            "command",
            "state",
            "error",
            *parameters,
            "seed",
            *self.metrics,
            "wall_seconds",
            "fingerprint",
        ]
        with written_whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            for run in self.runs:
                row = run.row
                head = [run.folder, row.command, row.state, row.error]
                given = [value_text(run.parameters[name]) for name in parameters]
                found = [row.metrics.get(name) for name in self.metrics]
                writer.writerow([*head, *given, run.value("seed"), *found, row.wall_seconds, row.fingerprint])
        return path


@dataclass(frozen=True, eq=False, kw_only=True)
class Group:
    """Runs with the same values of what is drawn.

    Attributes:
        x: value along the axis; None if nothing was swept.
        line: value of the line; None if there is one line only.
        values: of the metric, a run each.
    """

    x: Value
    line: Value
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over the runs."""
        return math.fsum(self.values) / len(self.values)

    def around(self, spread: str) -> tuple[float, float]:
        """Lower and upper end of what is drawn around the mean; see :data:`SPREADS`."""
        if lookup(SPREADS, spread, "spread") == "range":
            return min(self.values), max(self.values)
        if len(self.values) < 2:
            return self.mean, self.mean
        interval = mean_interval(np.array(self.values))
        return interval.low, interval.high


@dataclass(frozen=True, eq=False, kw_only=True)
class Grouped:
    """A metric of a sweep, in groups.

    Attributes:
        metric: its name.
        x: parameter or metric along the axis; None if nothing was swept.
        lines: parameter of the lines; None for one line.
        over: what runs of a group differ in.
        groups: in the order of their values.
        search: whether values along the axis were searched rather than swept, so that points are not joined.
    """

    metric: str
    x: str | None
    lines: str | None
    over: tuple[str, ...]
    groups: tuple[Group, ...] = field(repr=False)
    search: bool = False

    def of_line(self, line: Value) -> list[Group]:
        """The groups of a line, in the order of the axis."""
        return [group for group in self.groups if group.line == line]

    @property
    def line_values(self) -> list[Value]:
        """Values of the lines, in order."""
        return distinct(group.line for group in self.groups)


def grouped(
    runs: Runs, *, metric: str | None = None, x: str | None = None, lines: str | None = None
) -> Grouped:
    """Groups the finished runs of a sweep by two of its parameters.

    Args:
        runs: of the sweep.
        metric: name of the metric; None takes the first there is of :data:`FIRST_METRICS`.
        x: parameter, or another metric, along the axis; None takes the swept one that has the most values, or the seed
            if nothing else was swept.
        lines: parameter with a line for each value; None takes the swept one that has the most values after ``x``, but
            at most :data:`MOST_LINES`; "none" takes no parameter.

    Raises:
        ValueError: if there is no such metric or parameter, or no run that came to its end with a number.
    """
    metrics = runs.found
    if not metrics:
        raise ValueError("no run came to its end with a number, so there is nothing to draw.")
    if metric is None:
        metric = next((name for name in FIRST_METRICS if name in metrics), metrics[0])
    lookup(metrics, metric, "metric")
    done = [run for run in runs.done if run.row.metrics.get(metric) is not None]
    if x is None:
        x = next((name for name in runs.swept if name != lines), "seed" if _has_seeds(done) else None)
    else:
        lookup([*runs.parameters, *metrics], x, "parameter or metric, x")
    rest = [name for name in runs.swept if name != x]
    if lines is None:
        few = (name for name in rest if len(distinct(run.parameters[name] for run in done)) <= MOST_LINES)
        lines = next(few, None) if x in runs.swept else None
    elif lines == NO_LINES:
        lines = None
    else:
        lookup(runs.parameters, lines, "parameter, lines")
    rest = [name for name in rest if name != lines]
    cells: dict[tuple[Value, Value], list[float]] = {}
    for run in done:
        key = (_at(run, x), _at(run, lines))
        cells.setdefault(key, []).append(float(run.row.metrics[metric]))
    order = sorted(cells, key=lambda key: (_order(key[1]), _order(key[0])))
    groups = tuple(Group(x=key[0], line=key[1], values=tuple(cells[key])) for key in order)
    search = x in metrics or (bool(rest) and all(len(group.values) == 1 for group in groups))
    over = (*(("seed",) if x != "seed" and _has_seeds(done) else ()), *(() if search else rest))
    return Grouped(metric=metric, x=x, lines=lines, over=over, groups=groups, search=search)


def distinct(values: Iterable[Value]) -> list[Value]:
    """The different values, in the order in which they come; true is not 1."""
    return list({(type(value) is bool, value): value for value in values}.values())


def is_number(value: Value) -> bool:
    """Whether a value can be placed on an axis of numbers."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _has_seeds(runs: Sequence[Run]) -> bool:
    return len({run.value("seed") for run in runs}) > 1


def _at(run: Run, name: str | None) -> Value:
    return None if name is None else run.value(name)


def _order(value: Value) -> tuple[bool, float, str]:
    """Sorts numbers before text."""
    if isinstance(value, (int, float)) and is_number(value):
        return False, float(value), ""
    return True, 0.0, value_text(value)


def _all_parameters(folder: Path, row: RunRow, names: Sequence[str]) -> dict[str, Value]:
    """A run's values of all parameters; one that its command line does not give has the value of its config."""
    given = row.parameters
    if all(name in given for name in names):
        return {name: given[name] for name in names}
    config, choices = _config(folder / ".hydra" / "config.yaml"), _config(folder / ".hydra" / "hydra.yaml")
    chosen = OmegaConf.select(choices, "hydra.runtime.choices") or {}
    found: dict[str, Value] = {}
    for name in names:
        value = (
            given.get(name, chosen.get(name)) if name in given or name in chosen else _selected(config, name)
        )
        found[name] = value if isinstance(value, (int, float, bool, str)) or value is None else str(value)
    return found


def _config(path: Path) -> DictConfig:
    config = OmegaConf.load(path) if path.is_file() else OmegaConf.create()
    assert isinstance(config, DictConfig)
    return config


def _selected(config: DictConfig, name: str) -> Any:
    try:
        return OmegaConf.select(config, name)
    except OmegaConfBaseException:  # it refers to what only the run knows
        return None


def value_text(value: Value) -> str:
    """Writes a value as the command line does."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
