"""``cloudedge simulate``: a stream of tasks through a fleet, and what became of every one of them; no training.

Without a run the network is planned as ``cloudedge plan`` does. ``run=DIR`` or ``ckpt=PATH`` of a run of ``cloudedge
train`` takes its config and split point, and the tasks replay the samples of its test.
"""

from __future__ import annotations

import functools
import math
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import hydra
from hydra.utils import instantiate
from omegaconf import DictConfig

from cloudedge_pl.commands.checking import check_config
from cloudedge_pl.commands.own_config import based_on, find_config
from cloudedge_pl.commands.plan import NEEDED as PLANNED
from cloudedge_pl.commands.plan import make_plan
from cloudedge_pl.commands.reporting import (
    Progress,
    clear_errors,
    console,
    output_dir,
    run,
    summary_if_stopped,
    write_json,
)
from cloudedge_pl.commands.rows import leaves_row
from cloudedge_pl.commands.running import versions
from cloudedge_pl.commands.trained_run import Replay, read_replay, simulation_config
from cloudedge_pl.costs.split import split_costs
from cloudedge_pl.errors import lookup
from cloudedge_pl.exits import ExitSettings
from cloudedge_pl.offloading import OffloadPlan, plan_dict
from cloudedge_pl.reports.simulation_figures import save_simulation_figures
from cloudedge_pl.reports.simulation_table import ANSWERED_BY, simulation_tables
from cloudedge_pl.simulation.engine import FINISHES_FIRST
from cloudedge_pl.simulation.fleet_run import FleetRun, SimulationResult
from cloudedge_pl.simulation.scenario import Scenario
from cloudedge_pl.simulation.sure_tasks import Accuracy, SureTasks
from cloudedge_pl.simulation.task_records import require_parquet
from cloudedge_pl.simulation.task_source import TaskSource

NEEDED: Final = (
    *PLANNED,
    "arrivals",
    "scenario",
    "dormancy",
    "exits",
    "scheduler",
    "run",
    "num_tasks",
    "until_seconds",
    "exit_share",
    "seed",
    "records",
    "figures",
)
RECORDS: Final = ("csv", "parquet", "none")


def simulate(cfg: DictConfig) -> dict[str, Any]:
    """Simulates as the config says; writes tasks, summary.json and figures to Hydra's directory.

    Args:
        cfg: the composed config; see ``conf/simulate.yaml``.

    Returns:
        The content of summary.json; see ``docs/simulate.md`` for its keys.
    """
    with summary_if_stopped() as progress:
        return _simulate(cfg, progress)


def _simulate(cfg: DictConfig, progress: Progress) -> dict[str, Any]:
    started = time.perf_counter()
    check_config(cfg, NEEDED)
    lookup(RECORDS, cfg.records, "kind of records")
    if cfg.records == "parquet":
        require_parquet()
    if cfg.workload.phase != "inference":
        raise ValueError(
            f"workload.phase is {cfg.workload.phase!r}; a stream of tasks is served in inference: workload=inference."
        )
    scenario, exits = instantiate(cfg.scenario, _convert_="all"), instantiate(cfg.exits, _convert_="all")
    replay = _replay(cfg, exits)
    plan, _ = make_plan(cfg, progress)
    console().print(f"Split point {plan.split_point} ({plan.name})", markup=False)
    write_json(output_dir() / "plan.json", plan_dict(plan))
    accuracy = Accuracy(replay.outcomes) if replay is not None else None
    going = _fleet_run(cfg, plan, scenario, replay, accuracy)
    progress.stage = "simulation"

    def finish() -> tuple[SimulationResult, dict[str, Any]]:
        result = going.result()
        return result, {**_context(cfg, plan, scenario), **_accuracy(accuracy, replay), **result.summary}

    progress.done = lambda: finish()[1]
    for _ in going.pieces():
        pass
    result, summary = finish()
    summary["wall_seconds"] = time.perf_counter() - started
    progress.stage, progress.done = "report", lambda: summary
    _report(cfg, result, summary, scenario)
    return summary


def _replay(cfg: DictConfig, exits: ExitSettings) -> Replay | None:
    """Returns what the tasks replay, and says so if a run has nothing to replay.

    Raises:
        ValueError: if samples are to exit, and nothing says which.
    """
    replay = None if cfg.run is None else read_replay(Path(cfg.run), exits)
    if replay is not None:
        if cfg.exit_share:
            raise ValueError(
                f"exit_share is {cfg.exit_share}, but the tasks replay samples of {cfg.run}, whose scores say which "
                "exit; leave it out, and give exits.threshold=... for another share."
            )
        return replay
    if cfg.run is not None:
        console().print(
            f"{cfg.run} has no outcomes.npz: the tasks replay no samples.", markup=False, soft_wrap=True
        )
    if exits.are_on and not cfg.exit_share:
        raise ValueError(
            f"exits.policy is {exits.chosen_policy}, and without outcomes of a test nothing says which tasks exit; "
            "give run=DIR of a trained run that was tested, or assume a share of the tasks: exit_share=0.3."
        )
    return None


def _fleet_run(
    cfg: DictConfig, plan: OffloadPlan, scenario: Scenario, replay: Replay | None, accuracy: Accuracy | None
) -> FleetRun:
    limit = plan.workload.max_delay_seconds
    classes = [
        replace(each, deadline_seconds=limit) if math.isinf(each.deadline_seconds) else each
        for each in scenario.task_classes
    ]
    tasks = TaskSource(
        arrivals=instantiate(cfg.arrivals, _convert_="all"),
        classes=classes,
        noise=scenario.service,
        seed=cfg.seed,
    )
    if replay is None:
        audit = instantiate(cfg.exits, _convert_="all").audit_share
        source, exits = (
            SureTasks(tasks, share=cfg.exit_share, audit_share=audit, seed=cfg.seed),
            cfg.exit_share > 0,
        )
    else:
        threshold = math.inf if replay.threshold is None else replay.threshold
        sure, exits = replay.outcomes.exits(threshold), replay.threshold is not None
        source = SureTasks(tasks, sure=sure, audit_share=replay.audit_share, seed=cfg.seed)
    return FleetRun(
        split_costs(plan.profile, plan.fleet, plan.workload, plan.split_point, plan.formulas, plan.codec),
        plan.fleet,
        source,
        instantiate(cfg.scheduler, _convert_="all"),
        num_tasks=cfg.num_tasks,
        until_seconds=math.inf if cfg.until_seconds is None else cfg.until_seconds,
        scenario=scenario,
        dormancy=instantiate(cfg.dormancy, _convert_="all"),
        exits=exits,
        classes=[each.name for each in classes],
        seed=cfg.seed,
        keep_records=cfg.figures or cfg.records != "none",
        observe=None if accuracy is None else accuracy.add,
    )


def _context(cfg: DictConfig, plan: OffloadPlan, scenario: Scenario) -> dict[str, Any]:
    return {
        "model": plan.profile.model,
        "split_point": plan.split_point,
        "split_name": plan.name,
        "run": cfg.run,
        "scheduler": str(cfg.scheduler._target_).rpartition(".")[2],
        "dormancy": cfg.dormancy.get("mode"),
        "scheduling_decides": decides(scenario),
        "seed": cfg.seed,
        "versions": versions(),
    }


def _accuracy(accuracy: Accuracy | None, replay: Replay | None) -> dict[str, Any]:
    if accuracy is None or replay is None:
        return {"accuracy": None}
    return {**accuracy.report(), "exit_threshold": replay.threshold}


def _report(cfg: DictConfig, result: SimulationResult, summary: dict[str, Any], scenario: Scenario) -> None:
    folder = output_dir()
    write_json(folder / "summary.json", summary)
    for table in simulation_tables(summary):
        console().print(table)
    if summary["accuracy"] is not None:
        sides = [f"{ANSWERED_BY[name]} {value:.1%}" for name, value in summary["accuracy_by_path"].items()]
        console().print(
            f"Accuracy of the answers: {summary['accuracy']:.1%} ({'; '.join(sides)})", soft_wrap=True
        )
    console().print(what_decides(scenario, cfg), soft_wrap=True, markup=False)
    written = ["plan.json", "summary.json"]
    if cfg.records != "none" and result.records is not None:
        written.append(result.records.save(folder / f"tasks.{cfg.records}").name)
    if cfg.figures and result.records is not None:
        paths = save_simulation_figures(
            result.records,
            folder / "figures",
            clock_seconds=result.totals.clock_seconds,
            asleep=result.asleep,
            stations=result.stations,
        )
        written += ["figures"] if paths else []
    listed = " and ".join([", ".join(written[:-1]), written[-1]])
    console().print(f"{listed} are in {folder}", soft_wrap=True, markup=False)


def decides(scenario: Scenario) -> bool:
    """Whether a scheduler has something to decide: several tasks at once, or tasks that are unlike."""
    window = scenario.window
    return not (scenario.equal_tasks and window.tasks == 1 and window.seconds is None)


def what_decides(scenario: Scenario, cfg: DictConfig) -> str:
    """Says whether a run is greedy, or one in which scheduling decides."""
    window = scenario.window
    one_by_one = window.tasks == 1 and window.seconds is None
    if one_by_one and scenario.equal_tasks:
        follows = hydra.utils.get_class(cfg.scheduler._target_) in FINISHES_FIRST
        return (
            "This run is greedy: tasks are equal and dispatched one by one, so each is best off on the node that "
            + (
                "finishes it first, and gets it."
                if follows
                else "finishes it first; this scheduler may differ."
            )
        )
    if one_by_one:
        return (
            "Tasks are unlike, but a scheduler sees them one by one, at their arrival; with scenario.window.tasks=16 "
            "it decides on several at once."
        )
    unlike = "unlike" if not scenario.equal_tasks else "equal"
    return f"Scheduling decides in this run: {unlike} tasks wait for a window and are scheduled together."


@hydra.main(version_base="1.3", config_path="pkg://cloudedge_pl.conf", config_name="simulate")
@clear_errors
@leaves_row
def _app(cfg: DictConfig) -> None:
    simulate(cfg)


def main() -> None:
    """Entry point of ``cloudedge simulate``."""
    run(functools.partial(with_run, "simulate", _app))


def with_run(config: str, app: Callable[[], Any]) -> None:
    """Runs a Hydra command; ``run=DIR`` or ``ckpt=PATH`` on the command line bases it on a run's config.

    Args:
        config: name of the command's config.
        app: reads ``sys.argv``; its config has ``run``.
    """
    given = [each for each in sys.argv[1:] if each.startswith(("run=", "ckpt=")) and each != "run=null"]
    if not given:
        app()
        return
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)} are given; one run or checkpoint is enough.")
    key, _, path = given[0].partition("=")
    folder = find_config(Path(path)).parent if key == "ckpt" else Path(path)
    saved, missing = simulation_config(folder, config)
    rest = [each for each in sys.argv[1:] if each not in given]
    named = {each.partition("=")[0] for each in rest}
    with based_on(
        saved, [*(each for each in missing if each.partition("=")[0] not in named), *rest]
    ) as sys.argv[1:]:
        app()
