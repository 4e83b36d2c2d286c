"""Synthetic learning curves, and the files that runs leave."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cloudedge_pl.paper.curves import ANSWERS, CLOUD, EXIT, Curve, Curves
from cloudedge_pl.paper.training_plan import BRANCHYNET, OURS, PLAIN, TrainingPlan

STEPS = np.arange(8, 161, 8)
RATES = np.where(STEPS <= 80, 0.02, np.where(STEPS <= 120, 0.002, 0.0002))


def plan(**changes: Any) -> TrainingPlan:
    return TrainingPlan(
        **{"overrides": ("experiment=paper_quick",), "start": lambda runs, report: None, **changes}
    )


def curve(
    system: str, seed: int, errors: np.ndarray, steps: np.ndarray = STEPS, **paths: np.ndarray
) -> Curve:
    own = (
        {} if system == PLAIN else {CLOUD: paths.get("cloud", errors), EXIT: paths.get("exit", errors + 0.05)}
    )
    rates = RATES if len(steps) == len(RATES) else np.full(len(steps), 0.1)
    return Curve(
        system=system,
        seed=seed,
        steps=steps,
        epochs=steps / 8 - 1,
        rates=rates,
        errors={ANSWERS: errors, **own},
    )


def curves(
    ours: np.ndarray, branchynet: np.ndarray, plain: np.ndarray, spread: Sequence[float] = (0.0,)
) -> Curves:
    """Curves with a seed for each number in ``spread``, which is added to the collaborative system's errors."""
    return Curves.of(
        [
            curve(system, seed, errors + (more if system == OURS else 0.0))
            for seed, more in enumerate(spread)
            for system, errors in ((OURS, ours), (BRANCHYNET, branchynet), (PLAIN, plain))
        ]
    )


def write_metrics(folder: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Writes rows as Lightning's CSVLogger does."""
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted({name for row in rows for name in row})
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def write_part(folder: Path, **summary: Any) -> None:
    """Writes what says that a part of a run began, and with a summary that it ended."""
    (folder / ".hydra").mkdir(parents=True, exist_ok=True)
    (folder / ".hydra" / "config.yaml").write_text("{}")
    if summary:
        (folder / "summary.json").write_text(json.dumps(summary))
