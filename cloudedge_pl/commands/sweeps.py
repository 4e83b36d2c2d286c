"""Sweeps (``-m``): a failing job does not stop the others; a list at the end shows the state of every job."""

from __future__ import annotations

import itertools
import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig
from typing_extensions import override

from cloudedge_pl.files import written_whole
from cloudedge_pl.signals import Interrupted, release_signals

FAILURE_FILE = "failure.json"
"""File of a failed job in its folder, so that jobs may run in other processes or on other machines."""

SWEEP_FILE = "sweep.json"
"""File of a sweep in its folder: every job and its state."""

BASIC = (
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
    "hydra._internal.core_plugins.basic_launcher.BasicLauncher",
)
"""Hydra's own sweeper and launcher, with which all jobs are known at the start and run in this process."""


def is_job_of_sweep() -> bool:
    """Returns whether the command runs as a job of a sweep."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def note_failure(message: str) -> None:
    """Shows why the job failed, and writes it to the job's folder for the list at the end."""
    config = HydraConfig.get()
    print(message, file=sys.stderr)
    with written_whole(Path(config.runtime.output_dir) / FAILURE_FILE) as part:
        content = {"job": config.job.num, "overrides": list(config.overrides.task), "error": message}
        part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


@dataclass
class Sweep:
    """A sweep that runs in this process.

    Attributes:
        folder: folder of all jobs.
        jobs: overrides by number, of all planned jobs that are known and all that have started.
        states: by number: "stopped" between start and end of a job, "done" after it.
    """

    folder: Path
    jobs: dict[int, list[str]] = field(default_factory=dict)
    states: dict[int, str] = field(default_factory=dict)

    def results(self) -> list[dict[str, Any]]:
        """Returns the state of each job in order: done, failed, stopped or not started."""
        found = {
            number: {"job": number, "overrides": overrides, "state": self.states.get(number, "not started")}
            for number, overrides in self.jobs.items()
        }
        for path in self.folder.glob(f"**/{FAILURE_FILE}"):
            failure = json.loads(path.read_text(encoding="utf-8"))
            found[int(failure["job"])] = failure | {"state": "failed"}
        return [found[number] for number in sorted(found)]

    def close(self, stopped_by: str | None) -> list[dict[str, Any]]:
        """Writes the jobs and their states to the folder, and returns them."""
        results = self.results()
        with written_whole(self.folder / SWEEP_FILE) as part:
            content = {"interrupted": stopped_by, "jobs": results}
            part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        return results


_running: list[Sweep] = []


class FailureList(Callback):
    """Lists, at the end of a sweep, the jobs that failed, and exits with 1 if there are any."""

    @override
    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        folder = Path(config.hydra.sweep.dir)
        for path in folder.glob(f"**/{FAILURE_FILE}"):  # of an earlier sweep
            path.unlink()
        _running[:] = [Sweep(folder, dict(enumerate(_planned(config))))]
        release_signals()

    @override
    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        for sweep in _running:
            number = int(config.hydra.job.num)
            sweep.jobs[number] = list(config.hydra.overrides.task)
            sweep.states[number] = "stopped"

    @override
    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        for sweep in _running:
            sweep.states[int(config.hydra.job.num)] = "done"

    @override
    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        failures = [each for each in _running.pop().close(None) if each["state"] == "failed"]
        if failures:
            lines = (f"  #{each['job']} {' '.join(each['overrides'])}: {each['error']}" for each in failures)
            sys.exit("\n".join([f"{len(failures)} of the sweep's jobs failed:", *lines]))


def list_stopped(signal: Interrupted) -> None:
    """If a sweep was running, lists the states of its jobs."""
    while _running:
        results = _running.pop().close(signal.signal_name)
        counts = Counter(each["state"] for each in results)
        print(f"{signal.signal_name} stopped the sweep: {_counted(counts)}.", file=sys.stderr)
        for each in results:
            error = f": {each['error']}" if "error" in each else ""
            print(f"  #{each['job']} {' '.join(each['overrides'])}: {each['state']}{error}", file=sys.stderr)


def _counted(counts: Counter[str]) -> str:
    return ", ".join(
        f"{counts[state]} {state}" for state in ("done", "failed", "stopped", "not started") if counts[state]
    )


def _planned(config: DictConfig) -> list[list[str]]:
    """Returns the overrides of every job in order; none if the sweeper chooses them during the sweep."""
    if (config.hydra.sweeper.get("_target_"), config.hydra.launcher.get("_target_")) != BASIC:
        return []
    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]
    choices: dict[str, list[str]] = {}
    for each in OverridesParser.create().parse_overrides([*params, *config.hydra.overrides.task]):
        key = each.get_key_element()
        if each.is_discrete_sweep():
            choices[key] = [f"{key}={value}" for value in each.sweep_string_iterator()]
        elif not each.is_sweep_override():
            choices[key] = [f"{key}={each.get_value_element_as_str()}"]
    return [list(job) for job in itertools.product(*choices.values())]
