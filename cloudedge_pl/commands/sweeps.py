"""Sweeps (``-m``): a failing job does not stop the others; a list at the end shows the state of every job.

Jobs may run in other processes, so each leaves a note in a folder of the sweep, which is gone at the end.
"""

from __future__ import annotations

import itertools
import json
import shutil
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
from omegaconf import DictConfig, OmegaConf
from typing_extensions import override

from cloudedge_pl.files import write_json
from cloudedge_pl.reports.run_rows import SWEEP_FILE
from cloudedge_pl.signals import Interrupted, release_signals

NOTES = ".jobs"
"""Folder of the jobs' notes in the folder of a running sweep."""

BASIC_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
"""Hydra's own sweeper, which tries everything, so that all jobs are known at the start."""


def is_job_of_sweep() -> bool:
    """Returns whether the command runs as a job of a sweep."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def note_failure(message: str) -> None:
    """Shows why the job failed, and notes it for the list at the end."""
    print(message, file=sys.stderr)
    _note(HydraConfig.instance().cfg, "failed", error=message)


def note_skipped(folder: Path) -> None:
    """Says that the job was done before, and notes it for the list at the end."""
    config = HydraConfig.get()
    print(f"#{config.job.num} {' '.join(config.overrides.task)} is done in {folder}: skipped.")
    _note(HydraConfig.instance().cfg, "skipped")


def _note_path(config: Any) -> Path:
    return Path(config.hydra.sweep.dir) / NOTES / f"{config.hydra.job.num}.json"


def _note(config: Any, state: str, **more: str) -> None:
    hydra = config.hydra
    content = {"job": int(hydra.job.num), "overrides": list(hydra.overrides.task), "state": state, **more}
    write_json(_note_path(config), content | {"folder": hydra.runtime.output_dir})


@dataclass
class Sweep:
    """A sweep whose jobs are started by this process.

    Attributes:
        folder: folder of all jobs.
        planned: overrides by number, of all jobs that are known at the start.
    """

    folder: Path
    planned: dict[int, list[str]] = field(default_factory=dict)

    def results(self) -> list[dict[str, Any]]:
        """Returns the state of each job in order: done, skipped, failed, stopped or not started."""
        found: dict[int, dict[str, Any]] = {
            number: {"job": number, "overrides": overrides, "state": "not started"}
            for number, overrides in self.planned.items()
        }
        for path in (self.folder / NOTES).glob("*.json"):
            note = json.loads(path.read_text(encoding="utf-8"))
            found[int(note["job"])] = note
        return [found[number] for number in sorted(found)]

    def close(self, stopped_by: str | None) -> list[dict[str, Any]]:
        """Writes the jobs and their states to the folder, and returns them."""
        results = self.results()
        write_json(self.folder / SWEEP_FILE, {"interrupted": stopped_by, "jobs": results})
        shutil.rmtree(self.folder / NOTES, ignore_errors=True)
        return results


_running: list[Sweep] = []


class FailureList(Callback):
    """Lists, at the end of a sweep, the jobs that failed, and exits with 1 if there are any."""

    @override
    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        _check_directions(config)
        folder = Path(config.hydra.sweep.dir)
        shutil.rmtree(folder / NOTES, ignore_errors=True)  # of a sweep that was killed
        _running[:] = [Sweep(folder, dict(enumerate(_planned(config))))]
        release_signals()

    @override
    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        if is_job_of_sweep():
            _note(config, "stopped")  # what it is if it does not come to its end

    @override
    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        if not is_job_of_sweep():
            return
        if json.loads(_note_path(config).read_text(encoding="utf-8"))["state"] == "stopped":
            _note(config, "done")

    @override
    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        results = _running.pop().close(None)
        skipped = sum(each["state"] == "skipped" for each in results)
        if skipped:
            print(f"{skipped} of the sweep's {len(results)} jobs were done before, and skipped.")
        failed = failures(results)
        if failed:
            sys.exit(failed)


def _check_directions(config: DictConfig) -> None:
    """Refuses a search in another direction than the config's, such as Optuna's own default."""
    given, wanted = config.hydra.sweeper.get("direction"), config.get("objective_direction")
    if given is None or wanted is None:
        return
    several = OmegaConf.is_list(given)
    if [str(each) for each in (given if several else [given])] != (list(wanted) if several else [wanted]):
        sys.exit(
            f"hydra.sweeper.direction is {given}, and objective_direction is {wanted}, of objective_metric="
            f"{config.get('objective_metric')}: write sweep=optuna, which takes the latter, or give "
            "hydra.sweeper.direction='${objective_direction}'."
        )


def failures(results: list[dict[str, Any]]) -> str:
    """Lists the failed jobs, a line each below a title; empty if there are none."""
    failed = [each for each in results if each["state"] == "failed"]
    lines = [f"  #{each['job']} {' '.join(each['overrides'])}: {each['error']}" for each in failed]
    return "\n".join([f"{len(failed)} of the sweep's jobs failed:", *lines]) if failed else ""


def list_failed() -> None:
    """If a sweep was running and ends by an error of its own, lists the jobs that failed."""
    while _running:
        print(failures(_running.pop().close(None)), file=sys.stderr)


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
    states = ("done", "skipped", "failed", "stopped", "not started")
    return ", ".join(f"{counts[state]} {state}" for state in states if counts[state])


def _planned(config: DictConfig) -> list[list[str]]:
    """Returns the overrides of every job in order; none if the sweeper chooses them during the sweep."""
    if config.hydra.sweeper.get("_target_") != BASIC_SWEEPER:
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
