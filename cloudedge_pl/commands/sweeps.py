"""Sweeps (``-m``): a job that fails does not stop the others, and is listed at the end."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig
from typing_extensions import override

from cloudedge_pl.files import written_whole

FAILURE_FILE = "failure.json"
"""What a failed job leaves in its folder; files, so that jobs may run in other processes or on other machines."""


def is_job_of_sweep() -> bool:
    """Whether the command runs as one job of several."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def note_failure(message: str) -> None:
    """Shows why the job failed, and leaves it in the job's folder for the list at the end."""
    config = HydraConfig.get()
    print(message, file=sys.stderr)
    with written_whole(Path(config.runtime.output_dir) / FAILURE_FILE) as part:
        content = {"job": config.job.num, "overrides": list(config.overrides.task), "error": message}
        part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


class FailureList(Callback):
    """Lists, at the end of a sweep, the jobs that failed, and exits with 1 if there are any."""

    @override
    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        (Path(config.hydra.runtime.output_dir) / FAILURE_FILE).unlink(missing_ok=True)  # of a sweep before

    @override
    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        found = Path(config.hydra.sweep.dir).glob(f"**/{FAILURE_FILE}")
        failures = sorted((json.loads(path.read_text(encoding="utf-8")) for path in found), key=_job_number)
        if failures:
            lines = (f"  #{each['job']} {' '.join(each['overrides'])}: {each['error']}" for each in failures)
            sys.exit("\n".join([f"{len(failures)} of the sweep's jobs failed:", *lines]))


def _job_number(failure: dict[str, Any]) -> int:
    return int(failure["job"])
