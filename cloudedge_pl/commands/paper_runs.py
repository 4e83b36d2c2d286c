"""Makes the trainings of the paper's Fig. 9: each is a ``cloudedge train`` in a process of its own.

A finished run is not made again. One that was stopped goes on from its last checkpoint, as a further part of the run
in a folder of its own: ``1``, ``2`` and so on.
"""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from cloudedge_pl.commands.machine import usable_cores
from cloudedge_pl.commands.own_config import resumable_checkpoint
from cloudedge_pl.commands.reporting import quoted
from cloudedge_pl.errors import require_range
from cloudedge_pl.paper.curves import steps_done
from cloudedge_pl.paper.part import Report
from cloudedge_pl.paper.training_plan import TrainingPlan, TrainingRun

TRAINED: Final = (
    "data",
    "model",
    "fleet",
    "trainer",
    "callbacks",
    "strategy",
    "exit_head",
    "codec",
    "link_process",
)
"""Groups of the reproduction's config whose overrides also hold in the trainings; the others set up simulations."""

PROGRAM: Final = "from cloudedge_pl.commands.cli import main; main()"

POLL_SECONDS: Final = 0.5
PATIENCE_SECONDS: Final = 120.0
"""How long a stopped run may take to finish its batch and write a checkpoint before it is killed."""

LAST_LINES: Final = 15


def training_plan(cfg: DictConfig, overrides: Sequence[str], experiment: str | None = None) -> TrainingPlan:
    """Returns what Fig. 9 trains.

    Args:
        cfg: of the reproduction, with ``training.seeds``, ``training.parallel`` and ``training.margin``.
        overrides: that the user gave; those of the groups in :data:`TRAINED` hold in the trainings, too.
        experiment: that was chosen; None asks Hydra.

    Raises:
        ValueError: if a number is out of its range.
    """
    parallel = cfg.training.parallel
    if parallel is not None:
        require_range("training", 1, math.inf, whole=True, parallel=parallel)
    if experiment is None:
        experiment = HydraConfig.get().runtime.choices.get("experiment")
    chosen = [f"experiment={experiment}"] if experiment else []
    chosen += [each for each in overrides if re.split(r"[^a-z_]", each.lstrip("+~"))[0] in TRAINED]
    steps = 1 if cfg.trainer.get("fast_dev_run") else cfg.trainer.get("max_steps", -1)
    return TrainingPlan(
        overrides=tuple(chosen),
        start=partial(train_all, max_steps=steps if steps > 0 else None, parallel=parallel),
        seeds=cfg.training.seeds,
        margin_share=cfg.training.margin,
        network=re.sub(r"^resnet(?=\d)", "ResNet-", cfg.model.backbone),
    )


def train_all(
    runs: Sequence[TrainingRun], report: Report, *, max_steps: int | None = None, parallel: int | None = None
) -> None:
    """Makes all runs that are not finished.

    If it is interrupted, the runs finish their batch and write a checkpoint, from which the next call goes on.

    Args:
        runs: in the order in which they start.
        report: is told of the steps of all runs.
        max_steps: optimizer steps of each run; None reports whole runs.
        parallel: number of runs at the same time; None is one for each processor core, or one on a GPU.

    Raises:
        RuntimeError: if a run fails.
    """
    waiting, jobs = [run for run in runs if not run.is_finished], dict[TrainingRun, _Job]()
    places = _places(len(runs), parallel)
    try:
        while waiting or jobs:
            while waiting and len(jobs) < places:
                run = waiting.pop(0)
                jobs[run] = _Job(run, threads=max(1, usable_cores() // places))
            _report(runs, jobs, report, max_steps)
            time.sleep(POLL_SECONDS)
            for run in [run for run, job in jobs.items() if job.process.poll() is not None]:
                jobs.pop(run).check()
    finally:
        _stop(list(jobs.values()))
    _report(runs, jobs, report, max_steps)


class _Job:
    """A part of a run that is being made.

    It has a session of its own, so that a Ctrl-C reaches this process only, which then asks it to stop.
    """

    def __init__(self, run: TrainingRun, threads: int) -> None:
        self.run, number = run, len(run.parts) + 1
        run.folder.mkdir(parents=True, exist_ok=True)
        self.log = run.folder / f"{number}.log"
        checkpoint = resumable_checkpoint(run.parts)
        arguments = list(run.overrides) if checkpoint is None else [f"ckpt_path={quoted(str(checkpoint))}"]
        arguments.append(f"hydra.run.dir={quoted(str(run.folder / str(number)))}")
        with self.log.open("w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, "train", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), **os.environ},
                start_new_session=True,
            )

    def check(self) -> None:
        """Raises an error if the run ended before its end."""
        if self.process.returncode == 0 and self.run.is_finished:
            return
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise RuntimeError(
            f"the training of {self.run.title}, seed {self.run.seed}, ended with status {self.process.returncode}; its "
            f"output is in {self.log}, and ends with: {' '.join(lines[-LAST_LINES:])}"
        )


def _stop(jobs: Sequence[_Job]) -> None:
    """Asks runs to stop, waits until they did, and kills those that take too long, or all on a second signal."""
    try:
        for job in jobs:
            job.process.terminate()
        for job in jobs:
            with suppress(subprocess.TimeoutExpired):
                job.process.wait(PATIENCE_SECONDS)
    finally:
        for job in jobs:
            if job.process.poll() is None:
                job.process.kill()
                job.process.wait()


def _report(
    runs: Sequence[TrainingRun], jobs: Mapping[TrainingRun, _Job], report: Report, max_steps: int | None
) -> None:
    done = [run for run in runs if run not in jobs and run.is_finished]
    text = f"run {len(done) + 1} of {len(runs)}" if len(done) < len(runs) else "trained"
    if jobs:
        text = "training " + " and ".join(f"{run.title} (seed {run.seed})" for run in jobs)
    if max_steps is None:
        report.step(text, len(done), len(runs))
        return
    steps = sum(min(max_steps, steps_done(run.parts)) for run in runs if run not in done)
    report.step(text, steps + max_steps * len(done), max_steps * len(runs))


def _places(num_runs: int, parallel: int | None) -> int:
    """How many runs are made at the same time: networks this small gain more from that than from several threads."""
    if parallel is not None:
        require_range("training", 1, math.inf, whole=True, parallel=parallel)
        return parallel
    on_gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    return 1 if on_gpu else min(num_runs, usable_cores())
