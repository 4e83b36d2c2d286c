"""Runs systems on one workload: the same tasks, the same draws of the link, the same churn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from cloudedge_pl.offloading import OffloadPlan
from cloudedge_pl.simulation.fleet_run import SimulationResult, simulate
from cloudedge_pl.simulation.scenario import Scenario
from cloudedge_pl.simulation.task_source import GivenTasks
from cloudedge_pl.simulation.tasks import Tasks
from cloudedge_pl.systems.build import BuiltSystem
from cloudedge_pl.systems.replay import Answers, with_exits

EXIT_PATHS: Final = ("exit_asleep", "early_exit", "exit_overload")
"""Paths on which the exit head answers."""


@dataclass(frozen=True, kw_only=True)
class SystemResult:
    """What one system did on the workload. None is what is not defined or not known.

    Args:
        title: of the system.
        split_point: where it cuts, 0..N.
        split_name: the last weighted layer at the edge.
        broken_limits: why the plan's limits do not allow this split point; empty if they do.
        accuracy: share of the answers that are right.
        mean_delay_seconds: from arrival to answer, as are the next three.
        p50_delay_seconds: median.
        p95_delay_seconds: 95% are faster.
        p99_delay_seconds: 99% are faster.
        mean_energy_joules: of all machines at the edge for an answer, idle power included.
        mean_active_joules: beyond idle power, computing and radios.
        mean_upload_bytes: sent to the cloud for an answer.
        mean_exit_bytes: between node and exit head.
        mean_bytes: all bytes, probes included.
        deadline_miss_share: of the tasks with a deadline.
        rejected: number of tasks that met a full queue.
        share_asleep: of the time; None for a system whose cloud does not sleep by a rule.
        exited_share: of the answers, the share that the exit head gave.
        source: where the system is described.
        deviates: what is different here.
    """

    title: str
    split_point: int
    split_name: str
    broken_limits: str
    accuracy: float | None
    mean_delay_seconds: float | None
    p50_delay_seconds: float | None
    p95_delay_seconds: float | None
    p99_delay_seconds: float | None
    mean_energy_joules: float | None
    mean_active_joules: float | None
    mean_upload_bytes: float | None
    mean_exit_bytes: float | None
    mean_bytes: float | None
    deadline_miss_share: float | None
    rejected: int
    share_asleep: float | None
    exited_share: float | None
    source: str
    deviates: str

    def to_dict(self) -> dict[str, Any]:
        """Returns the result as plain values."""
        return asdict(self)


SIMULATED: Final = (
    "mean_delay_seconds",
    "p50_delay_seconds",
    "p95_delay_seconds",
    "p99_delay_seconds",
    "mean_energy_joules",
    "mean_active_joules",
    "mean_upload_bytes",
    "mean_exit_bytes",
    "mean_bytes",
    "deadline_miss_share",
    "rejected",
)
"""What a result takes from the summary of its simulation."""


def run_system(
    built: BuiltSystem,
    tasks: Tasks,
    scenario: Scenario | None = None,
    *,
    answers: Answers | None = None,
    exit_share: float = 0.0,
    seed: int = 0,
) -> SystemResult:
    """Runs a system on tasks until all are answered.

    Args:
        built: the system.
        tasks: of the workload, the same for all systems; with samples if there are answers.
        scenario: how link, nodes and service times vary; None takes the defaults.
        answers: of a trained network; None leaves out the accuracy.
        exit_share: of the tasks of which the exit head is sure, if there are no answers.
        seed: of link, churn and the draws of sure tasks.
    """
    found = simulate_system(built, tasks, scenario, answers=answers, exit_share=exit_share, seed=seed)
    return system_result(built, found, answers)


def system_result(
    built: BuiltSystem, found: SimulationResult, answers: Answers | None = None
) -> SystemResult:
    """Returns what a system did, from its simulation.

    Args:
        built: the system.
        found: by :func:`simulate_system`.
        answers: of a trained network; None leaves out the accuracy.
    """
    system, summary = built.system, found.summary
    assert found.records is not None
    by_path: Mapping[str, Any] = summary["answered_by"]
    return SystemResult(
        title=system.title,
        split_point=built.plan.split_point,
        split_name=built.plan.name,
        broken_limits=_broken_limits(built.plan),
        accuracy=None if answers is None else _known(answers.accuracy(found.records, built)),
        **{name: summary[name] for name in SIMULATED},
        share_asleep=summary["share_asleep"] if system.sleeps else None,
        exited_share=sum(by_path[path]["share"] for path in EXIT_PATHS if path in by_path),
        source=system.source,
        deviates=system.deviates,
    )


def simulate_system(
    built: BuiltSystem,
    tasks: Tasks,
    scenario: Scenario | None = None,
    *,
    answers: Answers | None = None,
    exit_share: float = 0.0,
    seed: int = 0,
) -> SimulationResult:
    """Runs a system as :func:`run_system` does, and returns the simulation with the records of all tasks."""
    if built.system.may_exit:
        tasks = with_exits(tasks, built.system.exits, exit_share, answers, seed)
    return simulate(
        built.costs,
        built.plan.fleet,
        GivenTasks(tasks),
        built.scheduler,
        num_tasks=len(tasks),
        scenario=scenario,
        dormancy=built.dormancy,
        exits=built.system.may_exit,
        classes=[f"class {kind}" for kind in range(int(tasks.kind.max(initial=0)) + 1)],
        seed=seed,
    )


def _broken_limits(plan: OffloadPlan) -> str:
    return plan.reasons[plan.split_point]


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
