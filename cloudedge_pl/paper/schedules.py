"""Figure 7: the execution time of a window of tasks under each scheduler, and how fast the searches converge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from cloudedge_pl.costs.units import format_percent
from cloudedge_pl.paper.part import PartResult, Report, Table
from cloudedge_pl.paper.schedule_claims import CLAIMS, ROUNDING, Claim, verdict_on
from cloudedge_pl.paper.setting import PaperSetting
from cloudedge_pl.paper.trials import Outcome, along
from cloudedge_pl.paper.verdict import Trial
from cloudedge_pl.paper.windows import (
    NODE_RATIO,
    NUM_NODES,
    TASK_RATIO,
    TOLERANCE,
    Outcomes,
    Windows,
    run_schedulers,
)

SCHEDULERS = ("fcfs", "min_completion", "aco", "pso", "atsa", "atsa_paper")
"""What is compared: the paper's four, the rule that needs no search, and ATSA with the formulas as printed."""

SEARCHES = ("aco", "pso", "atsa", "atsa_paper")

BAND = (0.1, 0.9)
"""The quantiles between which the figure is shaded."""

TASKS_AXIS, NODES_AXIS, WORK_AXIS = "tasks", "ratio of node speeds", "ratio of task sizes"

DIGITS = 1
"""Flips are located to this many digits; medians of few windows are too rough for more."""

FEW_WINDOWS = 5
"""Windows of a trial of ATSA as printed, which takes a hundred times as long as one of the others."""


TRIED: dict[str, tuple[float, ...]] = {
    TASKS_AXIS: (1, 2, 5, 10, 20, 50, 100, 200, 500),
    NODES_AXIS: (1.0, 1.1, 1.5, 2.0, 5.0, 10.0, 20.0, 50.0),
    WORK_AXIS: (1.0, 1.1, 1.5, 2.0, 5.0, 10.0, 20.0, 100.0),
}
TRIED_AS_PRINTED: dict[str, tuple[float, ...]] = {
    TASKS_AXIS: (1, 5, 20, 100, 200),
    NODES_AXIS: (1.0, 2.0, 10.0, 50.0),
    WORK_AXIS: (1.0, 2.0, 10.0, 100.0),
}
"""What the claims are tried at, by axis."""


def paper_windows(setting: PaperSetting, num_tasks: int) -> Windows:
    """Returns windows whose tasks are pictures, and whose slowest node is the first one of the setting's fleet."""
    return Windows(
        picture_flops=float(setting.profile.flops[-1]),
        slowest_flops_per_second=setting.fleet().nodes[0].effective_flops_per_second,
        num_tasks=num_tasks,
    )


def measure_fig7(setting: PaperSetting, report: Report) -> PartResult:
    """Schedules windows of every size with every scheduler, and tries the claims along tasks and nodes.

    Args:
        setting: of the paper.
        report: is told of the progress.
    """
    seeds = range(setting.seed, setting.seed + setting.seeds)
    sizes = setting.schedule_sizes
    total = sum(sizes) + setting.schedule_tasks
    found: dict[int, dict[str, Outcomes]] = {}
    for size in sizes:
        report.step(f"{size} tasks", sum(found), total)
        found[size] = run_schedulers(paper_windows(setting, size), SCHEDULERS, seeds)
    largest = found[setting.schedule_tasks]
    trials = _trials(setting, report, sum(sizes), total)
    return PartResult(
        verdicts=tuple(verdict_on(name, found, trials[name]) for name in CLAIMS),
        tables={
            "times": _times_table(found),
            "searches": _search_table(largest),
            "convergence": _convergence_table(largest),
            "trials": _trials_table(trials),
            "runs": _runs_table(found, seeds),
        },
        notes=(
            f"{NUM_NODES} nodes, the fastest up to {NODE_RATIO:g} times as fast as the slowest; a task has 1 to "
            f"{TASK_RATIO:g} times the work of one picture; medians of {len(seeds)} windows.",
            f"A search has converged when it stays within {TOLERANCE:.0%} of its last makespan. Schedules built are "
            "counted, because iterations build different numbers of them.",
            _without_search(setting, largest, seeds),
        ),
        commands=(
            f"cloudedge schedule family=uniform num_tasks={setting.schedule_tasks} num_nodes={NUM_NODES} "
            f"'compare=[{','.join(SCHEDULERS)}]' 'convergence=[{','.join(SEARCHES)}]'",
        ),
    )


def _trials(
    setting: PaperSetting, report: Report, done: float, total: float
) -> dict[str, dict[str, tuple[Trial, ...]]]:
    """The trials of each claim by axis; claims about the same schedulers share what was scheduled."""
    base = paper_windows(setting, setting.schedule_tasks)

    @cache
    def outcomes(axis: str, value: float, printed: bool) -> dict[str, Outcomes]:
        changed = {
            TASKS_AXIS: {"num_tasks": int(value)},
            NODES_AXIS: {"node_ratio": value},
            WORK_AXIS: {"task_ratio": value},
        }[axis]
        names = ("fcfs", "pso", "atsa_paper" if printed else "atsa")
        windows = min(setting.seeds, FEW_WINDOWS) if printed else setting.seeds
        seeds = range(setting.seed, setting.seed + windows)
        return run_schedulers(replace(base, **changed), names, seeds)  # type: ignore[arg-type]  # by axis

    def attempts(claim: Claim, axis: str) -> Callable[[float], Outcome]:
        def attempt(value: float) -> Outcome:
            found = outcomes(axis, value, claim.scheduler == "atsa_paper")
            return claim.compare(found[claim.scheduler], found[claim.rival])

        return attempt

    found: dict[str, dict[str, tuple[Trial, ...]]] = {}
    for at, (name, claim) in enumerate(CLAIMS.items()):
        tried = TRIED_AS_PRINTED if claim.scheduler == "atsa_paper" else TRIED
        found[name] = {}
        for number, (axis, values) in enumerate(tried.items()):
            share = (at + number / len(tried)) / len(CLAIMS)
            report.step(
                f"{claim.scheduler} and {claim.rival} by {axis}", done + share * (total - done), total
            )
            found[name][axis] = along(
                axis, values, attempts(claim, axis), digits=DIGITS, whole=axis == TASKS_AXIS
            )
    return found


def _without_search(setting: PaperSetting, largest: Mapping[str, Outcomes], seeds: Sequence[int]) -> str:
    """What the rule without a search does, and with equal tasks, in words."""
    equal = replace(paper_windows(setting, setting.schedule_tasks), task_ratio=1.0)
    alike = run_schedulers(equal, ("min_completion", "atsa"), seeds)
    above = [
        format_percent(float(np.median(largest[name].above_bound)), 2) for name in ("min_completion", "atsa")
    ]
    same = np.allclose(
        alike["min_completion"].makespan_seconds, alike["atsa"].makespan_seconds, rtol=ROUNDING
    )
    return (
        f"min_completion, which builds one schedule without a search, ends {above[0]} above the lower bound with "
        f"{setting.schedule_tasks} tasks, and atsa {above[1]}; with equal tasks, the case of the paper's formula, "
        f"their times are {'the same' if same else 'not the same'}."
    )


def _spread(name: str, values: np.ndarray, suffix: str) -> dict[str, float]:
    """Median and band of some values, as cells."""
    low, high = np.quantile(values, BAND)
    return {
        f"{name}_{suffix}": float(np.median(values)),
        f"{name}_low_{suffix}": float(low),
        f"{name}_high_{suffix}": float(high),
    }


def _times_table(found: Mapping[int, Mapping[str, Outcomes]]) -> Table:
    rows: list[dict[str, Any]] = []
    for size, outcomes in found.items():
        bound = next(iter(outcomes.values())).bound_seconds
        times = {"lower bound": bound, **{name: each.makespan_seconds for name, each in outcomes.items()}}
        for name, seconds in times.items():
            rows.append(
                {
                    "scheduler": name,
                    "tasks": size,
                    **_spread("time", seconds, "seconds"),
                    **_spread("above_bound", seconds / bound - 1, "share"),
                }
            )
    rows.sort(key=lambda row: row["scheduler"] != "lower bound")
    shown = ("scheduler", "tasks", "time_seconds", "above_bound_share")
    return Table.of_rows(
        "Execution time of a window (medians, and the quantiles of 10% and 90%)", rows, shown
    )


def _search_table(outcomes: Mapping[str, Outcomes]) -> Table:
    rows = []
    for name in SEARCHES:
        each = outcomes[name]
        reached = float(np.median(each.reached()))
        rows.append(
            {
                "scheduler": name,
                "schedules_to_converge": float(np.median(each.converged())),
                "schedules_to_come_near_the_bound": reached if np.isfinite(reached) else None,
                "near_the_bound_share": float(np.isfinite(each.reached()).mean()),
                "first_above_bound_share": float(np.median(each.above_bound_at(np.array([1])))),
                "last_above_bound_share": float(np.median(each.above_bound)),
            }
        )
    return Table.of_rows("How the searches converge (medians of the largest windows)", rows)


def _convergence_table(outcomes: Mapping[str, Outcomes]) -> Table:
    rows: list[dict[str, Any]] = []
    for name in SEARCHES:
        longest = max(map(len, outcomes[name].histories_seconds))
        at = np.unique(np.geomspace(1, longest, 80).astype(np.int64))
        above = outcomes[name].above_bound_at(at)
        for column, evaluations in enumerate(at.tolist()):
            rows.append(
                {
                    "scheduler": name,
                    "schedules": evaluations,
                    **_spread("above_bound", above[:, column], "share"),
                }
            )
    return Table.of_rows("Excess over the lower bound by schedules built, largest windows", rows)


def _trials_table(trials: Mapping[str, Mapping[str, Sequence[Trial]]]) -> Table:
    rows = [
        {
            "claim": CLAIMS[name].text,
            "scheduler": CLAIMS[name].scheduler,
            "rival": CLAIMS[name].rival,
            "axis": axis,
            "value": float(trial.setting[axis]),
            "holds": trial.holds,
            "ratio": trial.value,
        }
        for name, axes in trials.items()
        for axis, each in axes.items()
        for trial in each
    ]
    return Table.of_rows("Where the claims were tried", rows)


def _runs_table(found: Mapping[int, Mapping[str, Outcomes]], seeds: Sequence[int]) -> Table:
    rows = [
        {
            "scheduler": name,
            "tasks": size,
            "seed": seed,
            "time_seconds": each.makespan_seconds[at],
            "lower_bound_seconds": each.bound_seconds[at],
        }
        for size, outcomes in found.items()
        for name, each in outcomes.items()
        for at, seed in enumerate(seeds)
    ]
    return Table.of_rows("Every window", rows)
