"""``cloudedge compare``: systems of the literature and ours on the same tasks; a table, JSON, CSV and a figure.

Without a run it compares costs. With ``run=FOLDER`` of a `cloudedge train`, every task is a picture of the run's test
set, and the accuracy is that of what the run's network answers on the path that the task took.
"""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import hydra
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from cloudedge_pl.commands.checking import check_config
from cloudedge_pl.commands.exit_report import say_calibrated
from cloudedge_pl.commands.reporting import Progress, summary_if_stopped
from cloudedge_pl.commands.rows import leaves_row
from cloudedge_pl.commands.run_config import arguments_of_run, config_of_run
from cloudedge_pl.commands.running import (
    clear_errors,
    console,
    output_dir,
    resolved,
    run,
    versions,
    write_json,
)
from cloudedge_pl.commands.trained_answers import TrainedNetwork, checkpoint_of, trained_network
from cloudedge_pl.costs.input_codec import InputCodec
from cloudedge_pl.data import ImageDataModule
from cloudedge_pl.errors import InfeasiblePlanError, lookup, require_range, require_types
from cloudedge_pl.files import written_whole
from cloudedge_pl.partition import build_backbone, profile, trace
from cloudedge_pl.reports.system_figure import save_system_figure
from cloudedge_pl.reports.system_table import limits_text, system_table
from cloudedge_pl.simulation.arrivals import PoissonArrivals
from cloudedge_pl.simulation.scenario import Scenario
from cloudedge_pl.simulation.task_source import TaskSource
from cloudedge_pl.simulation.tasks import TaskClass, Tasks
from cloudedge_pl.systems import (
    PRESETS,
    Setting,
    System,
    SystemResult,
    build_system,
    run_system,
    with_samples,
)

NEEDED = (
    "data",
    "model",
    "fleet",
    "workload",
    "link_process",
    "churn",
    "scenario",
    "offloading",
    "formulas",
    "codec",
    "exit_head",
    "exits",
    "scheduler",
    "dormancy",
    "seed",
    "granularity",
)

MOST_TASKS = 10_000_000


def _keys(
    run: str | None, num_tasks: int, systems: list[str] | None, exit_share: float, accuracy_gap: float
) -> None:
    """The keys of the config, as a signature."""


def compare(cfg: DictConfig) -> dict[str, SystemResult]:
    """Compares as the config says; writes compare.json, compare.csv and a figure to Hydra's directory.

    Args:
        cfg: the composed config; see ``conf/compare.yaml``.

    Returns:
        The results by the systems' names.
    """
    with summary_if_stopped() as progress:
        return _compare(cfg, progress)


def _compare(cfg: DictConfig, progress: Progress) -> dict[str, SystemResult]:
    started = time.perf_counter()
    systems = _checked(cfg)
    data: ImageDataModule = instantiate(cfg.data, _convert_="all")
    progress.stage = "planning"
    setting = _setting(cfg, data)
    trained = None
    if cfg.run is not None:
        progress.stage = "evaluation of the run"
        trained = _evaluated(cfg, systems, setting)
        gap = trained.accuracy_gap
        setting = setting if gap is None else replace(setting, accuracy_gap=gap)
    scenario: Scenario = instantiate(cfg.scenario, _convert_="all")
    tasks = _tasks(cfg, setting, scenario)
    if trained is not None:
        tasks = with_samples(tasks, len(trained.answers), cfg.seed)
    progress.stage = "simulation"
    results: dict[str, SystemResult] = {}
    progress.done = lambda: {"systems": {name: each.to_dict() for name, each in results.items()}}
    for name, system in systems.items():
        try:
            built = build_system(system, setting)
        except InfeasiblePlanError as error:
            console().print(f"left out: {name}: {str(error).splitlines()[0]}", markup=False, soft_wrap=True)
            continue
        answers = None if trained is None else trained.answers
        results[name] = run_system(
            built, tasks, scenario, answers=answers, exit_share=cfg.exit_share, seed=cfg.seed
        )
    progress.stage = "report"
    summary = {
        **_context(cfg, setting, trained),
        "systems": {name: each.to_dict() for name, each in results.items()},
        "wall_seconds": time.perf_counter() - started,
    }
    _report(cfg, summary, results, trained)
    return results


def _checked(cfg: DictConfig) -> dict[str, System]:
    """Checks the config, and returns the systems that it names."""
    check_config(cfg, NEEDED)
    options = resolved(cfg)
    require_types("", _keys, options)
    require_range("", 1, MOST_TASKS, num_tasks=cfg.num_tasks)
    require_range("", 0, 1, exit_share=cfg.exit_share)
    require_range("", -1, 1, accuracy_gap=cfg.accuracy_gap)
    names = list(PRESETS) if options["systems"] is None else options["systems"]
    if not names:
        raise ValueError(f"systems is []; name at least one of: {', '.join(PRESETS)}; null takes all.")
    return {name: lookup(PRESETS, name, "system") for name in names}


def _setting(cfg: DictConfig, data: ImageDataModule) -> Setting:
    model = resolved(cfg)["model"]
    backbone = build_backbone(
        model["backbone"], num_classes=data.num_classes, **(model.get("backbone_options") or {})
    )
    example = torch.zeros(1, *data.input_shape)
    chain = trace(backbone, example, granularity=cfg.granularity)
    return Setting(
        profile=profile(chain, example, exit_head=instantiate(cfg.exit_head), name=model["backbone"]),
        fleet=instantiate(cfg.fleet),
        workload=instantiate(cfg.workload),
        num_classes=data.num_classes,
        goal=instantiate(cfg.offloading, _convert_="all"),
        formulas=instantiate(cfg.formulas),
        codec=instantiate(cfg.codec),
        make_scheduler=lambda: instantiate(cfg.scheduler),
        dormancy=instantiate(cfg.dormancy),
        accuracy_gap=cfg.accuracy_gap,
        measure_picture=data.picture_bytes,
    )


def _evaluated(cfg: DictConfig, systems: Mapping[str, System], setting: Setting) -> TrainedNetwork:
    policies = {system.exits: system.exit_method for system in systems.values() if system.may_exit}
    names = {"raw", *(system.input_codec for system in systems.values())}
    jpeg = replace(setting.goal, input_codec="jpeg").picture
    pictures = [InputCodec() if name == "raw" else jpeg for name in sorted(names)]
    saved = config_of_run(cfg)
    return trained_network(saved, checkpoint_of(Path(cfg.run)), policies, pictures)


def _tasks(cfg: DictConfig, setting: Setting, scenario: Scenario) -> Tasks:
    """Draws the tasks; where all are equal, the limit on their delay is the workload's."""
    workload = setting.workload
    source = TaskSource(
        arrivals=PoissonArrivals(tasks_per_second=workload.arrival_rate),
        classes=scenario.classes or [TaskClass(deadline_seconds=workload.max_delay_seconds)],
        noise=scenario.service,
        seed=cfg.seed,
    )
    return source.next(cfg.num_tasks)


def _context(cfg: DictConfig, setting: Setting, trained: TrainedNetwork | None) -> dict[str, Any]:
    return {
        "model": setting.profile.model,
        "run": cfg.run,
        "test_samples": None if trained is None else len(trained.answers),
        "tasks": cfg.num_tasks,
        "seed": cfg.seed,
        "deadline_seconds": setting.workload.max_delay_seconds,
        "accuracy_gap": setting.accuracy_gap,
        "exit_thresholds": {} if trained is None else trained.thresholds,
        "versions": versions(),
    }


def _report(
    cfg: DictConfig,
    summary: Mapping[str, Any],
    results: Mapping[str, SystemResult],
    trained: TrainedNetwork | None,
) -> None:
    """Shows the table, and writes compare.json, compare.csv and the figure."""
    folder, rows = output_dir(), list(results.values())
    for calibration in () if trained is None else trained.calibrations.values():
        say_calibrated(calibration)
    write_json(folder / "compare.json", dict(summary))
    _save_csv(folder / "compare.csv", results)
    if any(row.p95_delay_seconds is not None for row in rows):
        save_system_figure(rows, folder / "figures" / "compare.png")
    source = "costs only: no run is given" if cfg.run is None else f"test set of {cfg.run}"
    console().print(system_table(rows, f"{cfg.num_tasks:,} tasks, {source}"))
    if limits_text(rows):
        console().print(limits_text(rows), markup=False)
    console().print(f"compare.json, compare.csv and a figure are in {folder}", soft_wrap=True, markup=False)


def _save_csv(path: Path, results: Mapping[str, SystemResult]) -> None:
    names: Sequence[str] = [field.name for field in fields(SystemResult)]
    with written_whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["system", *names])
        for name, result in results.items():
            row = result.to_dict()
            writer.writerow([name, *("" if row[column] is None else row[column] for column in names)])


@hydra.main(version_base="1.3", config_path="pkg://cloudedge_pl.conf", config_name="compare")
@clear_errors
@leaves_row
def _app(cfg: DictConfig) -> None:
    compare(cfg)


def main() -> None:
    """Entry point of ``cloudedge compare``."""
    run(_on_run)


def _on_run() -> None:
    with arguments_of_run(sys.argv[1:], "compare") as arguments:
        sys.argv[1:] = arguments
        _app()
