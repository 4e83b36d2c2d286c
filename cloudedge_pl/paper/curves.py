"""Learning curves, read from the folders that runs of ``cloudedge train`` leave."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, Final

import numpy as np

from cloudedge_pl.errors import DataError

ANSWERS, CLOUD, EXIT = "answers", "cloud path", "exit head"

METRICS: Final = {ANSWERS: "val/accuracy_answered", CLOUD: "val/accuracy", EXIT: "val/accuracy_exit"}
"""Who answers, and the metric of the accuracy of these answers in the validation."""

SUMMARY_KEYS: Final = {
    ANSWERS: "val_accuracy_answered",
    CLOUD: "val_accuracy_cloud",
    EXIT: "val_accuracy_exit",
}
"""The same after the last validation, in summary.json."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Curve:
    """The error of one run at each of its validations, n of them.

    Args:
        system: key of what was trained.
        seed: of the run.
        steps: int64 [n], optimizer steps before each validation, ascending.
        epochs: float64 [n], the epoch in which it was, from 0 on; nan if unknown.
        rates: float64 [n], learning rate of the step before; nan if it was not logged.
        errors: by who answers, float64 [n], the share of wrong answers. A network that is not cut has one path only,
            which gives the answers.
    """

    system: str
    seed: int
    steps: np.ndarray
    epochs: np.ndarray
    rates: np.ndarray
    errors: Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False, kw_only=True)
class Curves:
    """The errors of several systems at the validations that all of their runs have: n of them, for each of S seeds.

    Args:
        seeds: of the runs of every system, which pair them.
        steps: int64 [n], optimizer steps before each validation, ascending.
        epochs: float64 [n], the epoch in which it was; nan if unknown.
        rates: float64 [n], learning rate of the step before; nan if unknown.
        errors: by system and who answers, float64 [S, n], the share of wrong answers.
    """

    seeds: tuple[int, ...]
    steps: np.ndarray
    epochs: np.ndarray
    rates: np.ndarray
    errors: Mapping[str, Mapping[str, np.ndarray]]

    @classmethod
    def of(cls, curves: Sequence[Curve]) -> Curves:
        """Joins curves.

        Args:
            curves: of the same seeds for every system.

        Raises:
            DataError: if a system lacks a seed, or the runs have no validation in common.
        """
        systems = list(dict.fromkeys(curve.system for curve in curves))
        seeds = sorted({curve.seed for curve in curves})
        found = {(curve.system, curve.seed): curve for curve in curves}
        if lacking := [
            f"{system}, seed {seed}" for system in systems for seed in seeds if (system, seed) not in found
        ]:
            raise DataError(f"runs are paired by their seeds, and there is none for: {'; '.join(lacking)}.")
        steps = reduce(np.intersect1d, (curve.steps for curve in curves))
        if not len(steps):
            raise DataError(
                "the runs have no validation at the same step; train all with the same schedule and data."
            )
        errors = {}
        for system in systems:
            runs = [found[system, seed] for seed in seeds]
            shared = [path for path in METRICS if all(path in run.errors for run in runs)]
            errors[system] = {
                path: np.array([_at(run, steps, run.errors[path]) for run in runs]) for path in shared
            }
        first = curves[0]
        return cls(
            seeds=tuple(seeds),
            steps=steps,
            epochs=_at(first, steps, first.epochs),
            rates=_at(first, steps, first.rates),
            errors=errors,
        )

    @property
    def progress(self) -> np.ndarray:
        """float64 [n], the share of the training that is done."""
        share: np.ndarray = self.steps / self.steps[-1]
        return share

    def during(self, part: tuple[float, float]) -> np.ndarray:
        """bool [n], which validations are after the first and up to the second of two shares of the training."""
        within: np.ndarray = (self.progress > part[0]) & (self.progress <= part[1])
        return within

    def final(self, system: str, path: str = ANSWERS) -> np.ndarray:
        """float64 [S], the mean error in the last quarter of the training, at the paper's lowest learning rate."""
        mean: np.ndarray = self.errors[system][path][:, self.during((0.75, 1.0))].mean(axis=1)
        return mean


def _at(curve: Curve, steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A curve's values at some of its steps."""
    return values[np.isin(curve.steps, steps)]


def read_curve(system: str, seed: int, folders: Sequence[Path]) -> Curve:
    """Reads the curve of a run.

    Args:
        system: key of what was trained.
        seed: of the run.
        folders: of the run; if it was interrupted and resumed, of all its parts in order. Where two parts hold the same
            step, the later one counts.

    Raises:
        DataError: if the run left no validation.
    """
    validations: dict[int, dict[str, float]] = {}
    rates: dict[int, float] = {}
    for folder in folders:
        for row in _rows(folder / "metrics.csv"):
            step = int(row["step"])
            if "val/accuracy" in row:
                validations[step + 1] = row
            for name in sorted((name for name in row if name.startswith("lr-")), reverse=True):
                rates[step + 1] = row[name]  # of the first group of parameters
    if not validations:
        validations = _last_validation(folders)
    if not validations:
        places = ", ".join(map(str, folders)) or "no folder"
        raise DataError(
            f"{system}, seed {seed}: no validation in {places}; data.val_fraction must be above 0, and the training "
            "long enough for one validation."
        )
    steps = np.array(sorted(validations))
    rows = [validations[step] for step in steps.tolist()]
    errors = {
        path: np.array([1 - row[metric] for row in rows])
        for path, metric in METRICS.items()
        if all(metric in row for row in rows)
    }
    return Curve(
        system=system,
        seed=seed,
        steps=steps,
        epochs=np.array([row.get("epoch", math.nan) for row in rows]),
        rates=np.array([rates.get(step, math.nan) for step in steps.tolist()]),
        errors={ANSWERS: errors[CLOUD], **errors},
    )


def steps_done(folders: Sequence[Path]) -> int:
    """Returns how many optimizer steps a run has logged so far, in all its parts."""
    return max((_last_step(folder / "metrics.csv") + 1 for folder in folders), default=0)


def _last_step(path: Path) -> int:
    """The step of the last whole row; -1 if there is none. Reads no more than the ends of the file."""
    if not path.is_file():
        return -1
    with path.open("rb") as file:
        names = file.readline().strip().split(b",")
        start = file.tell()
        file.seek(max(start, path.stat().st_size - 8192))
        rows = [line.split(b",") for line in file.read().split(b"\n")[:-1]]
    for row in reversed(rows):
        if len(row) == len(names) and b"step" in names and row[names.index(b"step")].isdigit():
            return int(row[names.index(b"step")])
    return -1


def _rows(path: Path) -> list[dict[str, float]]:
    """The rows of a CSVLogger's file with their numbers; a row that is being written is left out."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = [_numbers(row) for row in csv.DictReader(file)]
    return [row for row in rows if "step" in row]


def _numbers(row: Mapping[str | None, Any]) -> dict[str, float]:
    found = {}
    for name, text in row.items():
        try:
            found[str(name)] = float(text)
        except (TypeError, ValueError):
            continue
    return found


def _last_validation(folders: Sequence[Path]) -> dict[int, dict[str, float]]:
    """The last validation by the summary, as a row: all there is of a run without loggers (trainer.fast_dev_run)."""
    for folder in reversed(folders):
        path = folder / "summary.json"
        summary = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        row = {
            METRICS[name]: summary[key] for name, key in SUMMARY_KEYS.items() if summary.get(key) is not None
        }
        if row:
            return {int(summary["steps"]): row}
    return {}
