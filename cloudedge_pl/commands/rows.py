"""Every run leaves a row in its folder; a sweep that is started again runs only what is not done.

A run is known by the fingerprint of its config, not by its number in the sweep: a sweep over more values, or in another
order, finds what is there and puts what is new into folders of its own.
"""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from cloudedge_pl import __version__
from cloudedge_pl.commands.own_config import resumable_checkpoint
from cloudedge_pl.commands.reporting import console, described, output_dir
from cloudedge_pl.commands.sweeps import BASIC_SWEEPER, is_job_of_sweep, note_skipped
from cloudedge_pl.errors import MAX_SEED, lookup
from cloudedge_pl.reports.run_rows import RunRow
from cloudedge_pl.signals import Interrupted

SUMMARIES = ("summary.json", "compare.json")
"""Files in which a command leaves its numbers."""

COMPARED = ("systems", "schedulers")
"""Their keys that hold the numbers of several things by name; the metrics of a run are "NAME.KEY" then."""

NO_PART = ("hydra", "objective_metric", "objective_direction")
"""Keys that change nothing in a run: what a sweeper wants to know of it, and Hydra's own."""


def leaves_row(command: Callable[[DictConfig], Any]) -> Callable[[DictConfig], Any]:
    """Writes the row of a run; in a sweep, skips what is done and lets an interrupted training go on.

    What the command returns is left out; a sweeper that looks for the best gets the metrics that it asked for.
    """

    @functools.wraps(command)
    def wrapper(cfg: DictConfig) -> Any:
        folder = output_dir()
        row = _row(cfg)
        before = RunRow.load(folder) if is_job_of_sweep() else None
        if before is not None and before.fingerprint == row.fingerprint:
            if before.is_done:
                note_skipped(folder)
                return _objective(cfg, before.metrics)
            row = _goes_on(cfg, folder, before, row)
        with _recorded(folder, row) as end:
            command(cfg)
        return _objective(cfg, end["metrics"])

    return wrapper


def fingerprint(name: str, cfg: DictConfig) -> str:
    """Returns what identifies a run: a hash of its command, of all keys of its config, and of our version."""
    content = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(content, dict)
    keys = {str(key): value for key, value in content.items() if key not in NO_PART}
    text = json.dumps([name, __version__, keys], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def job_folder(number: int, *, _root_: DictConfig) -> str:
    """Returns the name of a job's folder in the folder of its sweep, and makes it.

    It is the folder of an earlier job with the same config, or a new one: the job's number, or the next that is free.

    Args:
        number: of the job.
    """
    sweep = Path(_root_.hydra.sweep.dir)
    wanted = fingerprint(_root_.hydra.job.name, _root_)
    for path in sorted(sweep.glob("*/row.json")):
        if _fingerprint_at(path, path.stat().st_mtime_ns) == wanted:
            return path.parent.name
    sweep.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            (sweep / str(number)).mkdir()
        except FileExistsError:
            number += 1
        else:
            row = RunRow(
                command=_root_.hydra.job.name, fingerprint=wanted, overrides=list(_root_.hydra.overrides.task)
            )
            row.save(sweep / str(number))
            return str(number)


OmegaConf.register_new_resolver("job_folder", job_folder, use_cache=False, replace=True)


@functools.lru_cache(maxsize=100_000)
def _fingerprint_at(path: Path, changed: int) -> str:
    row = RunRow.load(path.parent)
    return "" if row is None else row.fingerprint


def _row(cfg: DictConfig) -> RunRow:
    config, seed = HydraConfig.get(), cfg.get("seed")
    return RunRow(
        command=config.job.name,
        overrides=list(config.overrides.task),
        fingerprint=fingerprint(config.job.name, cfg),
        seed=seed if type(seed) is int and 0 <= seed <= MAX_SEED else None,
    )


def _goes_on(cfg: DictConfig, folder: Path, before: RunRow, row: RunRow) -> RunRow:
    """Lets a training go on with its newest checkpoint; other commands, and a training without one, start anew."""
    checkpoint = resumable_checkpoint([folder])
    if "ckpt_path" not in cfg or cfg.ckpt_path is not None or checkpoint is None:
        return row
    cfg.ckpt_path = str(checkpoint)
    console().print(f"The training in {folder} goes on with {checkpoint.name}.", soft_wrap=True, markup=False)
    return replace(row, wall_seconds=before.wall_seconds)


@contextmanager
def _recorded(folder: Path, row: RunRow) -> Iterator[dict[str, Any]]:
    """Writes the row before the block and after it, whatever becomes of it; yields its end, filled by then."""
    started, before = time.perf_counter(), _changed(folder)
    end: dict[str, Any] = {}

    def ends(state: str, error: str | None = None) -> None:
        end.update(state=state, error=error, metrics=_metrics(folder, before))
        replace(row, **end, wall_seconds=row.wall_seconds + time.perf_counter() - started).save(folder)

    row.save(folder)
    try:
        yield end
    except (Interrupted, KeyboardInterrupt) as stop:
        ends("interrupted", stop.signal_name if isinstance(stop, Interrupted) else "SIGINT")
        raise
    except BaseException as error:
        ends("failed", described(error))
        raise
    ends("done")


def _changed(folder: Path) -> dict[str, int]:
    """Returns when each file of numbers was written, so that one of an earlier run in the folder is not taken."""
    paths = [folder / name for name in SUMMARIES]
    return {path.name: path.stat().st_mtime_ns for path in paths if path.is_file()}


def _metrics(folder: Path, before: Mapping[str, int]) -> dict[str, float]:
    """Returns the numbers that the run left, by key."""
    metrics: dict[str, float] = {}
    for name, changed in _changed(folder).items():
        if before.get(name) == changed:
            continue
        content = json.loads((folder / name).read_text(encoding="utf-8"))
        metrics |= _numbers(content)
        for key in COMPARED:
            for each, inner in (content.get(key) or {}).items():
                metrics |= {f"{each}.{name}": value for name, value in _numbers(inner).items()}
    return {key: value for key, value in metrics.items() if key not in ("seed", "wall_seconds")}


def _numbers(content: Any) -> dict[str, float]:
    items = content.items() if isinstance(content, Mapping) else ()
    return {key: value for key, value in items if isinstance(value, (int, float))}


def _objective(cfg: DictConfig, metrics: Mapping[str, float]) -> float | list[float] | None:
    """Returns the metrics that a sweeper looks for; None for one that only tries everything.

    Raises:
        ValueError: if the run has no such metric.
    """
    if not is_job_of_sweep() or HydraConfig.get().sweeper._target_ == BASIC_SWEEPER:
        return None
    wanted = cfg.get("objective_metric")
    if wanted is None:
        raise ValueError("objective_metric is null; name the metric that the sweeper is to optimise.")
    names: Sequence[str] = [wanted] if isinstance(wanted, str) else list(wanted)
    values = [float(lookup(metrics, each, "metric of this run, objective_metric")) for each in names]
    return values[0] if isinstance(wanted, str) else values
