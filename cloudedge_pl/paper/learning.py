"""Fig. 9: the error over training of the collaborative system, of BranchyNet and of the plain network.

The paper: "our framework achieves the same effect as ResNet after about 30 iterations, which is better than
BranchyNet". Iterations can only mean epochs there: 64,000 steps of 128 samples are 164 epochs of CIFAR-10. A shorter
training is compared at the same share of its steps.

Source: Xu 2020, Sec. 4, Fig. 9; deviates: the paper gives neither the link on which the cloud sleeps, nor BranchyNet's
exit; see :data:`~cloudedge_pl.paper.training_plan.SYSTEMS`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from cloudedge_pl.paper.curves import ANSWERS, CLOUD, EXIT, Curves, read_curve
from cloudedge_pl.paper.part import PartResult, Report, Table
from cloudedge_pl.paper.setting import PaperSetting
from cloudedge_pl.paper.statistics import MeanInterval, mean_interval
from cloudedge_pl.paper.training_plan import BRANCHYNET, EXIT_THRESHOLD, OURS, PLAIN, SYSTEMS, TrainingPlan
from cloudedge_pl.paper.verdict import Trial, Verdict, judge

PAPER_STEPS: Final = 64_000
PAPER_EPOCHS: Final = PAPER_STEPS * 128 / 50_000
CLAIMED_SHARE: Final = 30 / PAPER_EPOCHS
"""The share of the training after which the paper's system has the error of ResNet: 30 of 164 epochs."""

MARGINS_IN_POINTS: Final = (0.0, 0.25, 0.5, 1.0, 2.0, 5.0)
"""Margins that are tried besides that of the plan; nobody would take a larger difference as none."""

PARTS_OF_TRAINING: Final = {
    "first half": (0.0, 0.5),
    "third quarter": (0.5, 0.75),
    "last quarter": (0.75, 1.0),
}
"""By the paper's schedule, each at a tenth of the learning rate of the one before."""


def measure_fig9(setting: PaperSetting, report: Report) -> PartResult:
    """Trains all systems, and compares their errors.

    Args:
        setting: of the reproduction; its ``training`` says what is trained, and the runs are in ``folder / "fig9"``.
        report: is told of the steps.

    Raises:
        ValueError: if the setting has no training.
        DataError: if a run left no validation.
    """
    plan = setting.training
    if plan is None:
        raise ValueError("Fig. 9 is trained, and the setting has training=None; give a TrainingPlan.")
    runs = plan.runs(setting.folder / "fig9")
    plan.start(runs, report)
    curves = Curves.of([read_curve(run.system, run.seed, run.parts) for run in runs])
    commands = [run.command for run in runs if run.seed == 0]
    return compare_learning(curves, plan, commands)


def compare_learning(curves: Curves, plan: TrainingPlan, commands: list[str]) -> PartResult:
    """Judges the paper's claims on curves, and tabulates them.

    Args:
        curves: of all systems.
        plan: how they were trained.
        commands: that made them.
    """
    tables = {
        "errors": _final_errors(curves, plan),
        "curves": _all_errors(curves, plan),
        "differences": _differences(curves, plan),
    }
    verdicts = (same_as_plain(curves, plan), better_than_branchynet(curves))
    return PartResult(verdicts=verdicts, tables=tables, notes=_notes(curves), commands=tuple(commands))


# --- the claims ---


def same_as_plain(curves: Curves, plan: TrainingPlan) -> Verdict:
    """Judges that the collaborative system has the plain network's error from about 30 epochs on.

    Two errors are the same if the mean over seeds of their difference is at most the plan's margin.
    """
    at, share, margin = _claimed(curves), 100 * curves.progress, 100 * plan.margin_share
    gaps = {path: _gap_from(curves, OURS, path) for path in curves.errors[OURS]}
    gap, needed = gaps[ANSWERS], float(gaps[ANSWERS][at])
    reached = np.flatnonzero(gap <= margin)
    ours, plain = curves.final(OURS), curves.final(PLAIN)
    final = mean_interval(100 * (ours - plain))
    exact = math.ceil(100 * needed) / 100
    margins = sorted({*MARGINS_IN_POINTS, margin, *([exact] if 0 < exact < MARGINS_IN_POINTS[-1] else [])})
    along_training, along_margin = "share of the training in %", "margin in points"
    return judge(
        f"From about 30 epochs on, the collaborative system has the error of {plan.network}.",
        f"From {share[at]:.0f}% of the training on, where the paper's 30 of {PAPER_EPOCHS:.0f} epochs are, its error "
        f"is at every validation {_at_most(needed)} that of {plan.title(PLAIN)}, and up to {margin:g} is taken as the "
        f"same. In the last quarter it is {_percent(ours)} against {_percent(plain)}, a difference of "
        f"{_interval(final)}.",
        {
            "seeds": len(curves.seeds),
            "share_of_training_percent": share[at],
            "margin_points": margin,
            "largest_difference_points": needed,
            "same_from_share_percent": share[reached[0]] if len(reached) else math.nan,
            "final_difference_points": final.mean,
            "final_difference_low_points": final.low,
            "final_difference_high_points": final.high,
        },
        at_setting=needed <= margin,
        axes={
            along_training: _trials(along_training, dict(zip(share[at:], gap[at:], strict=True)), margin),
            along_margin: [
                Trial(setting={along_margin: value}, holds=needed <= value, value=needed) for value in margins
            ],
            "answers of": _trials(
                "answers of", {name: gaps[path][at] for path, name in WHO.items() if path in gaps}, margin
            ),
            # Without dormancy the network is trained and answers as the cloud path of BranchyNet.
            "state of the cloud": _trials(
                "state of the cloud",
                {"asleep by the rule": needed, "always awake": _gap_from(curves, BRANCHYNET, CLOUD)[at]},
                margin,
            ),
        },
    )


def _trials(axis: str, values: Mapping[Any, float], limit: float) -> list[Trial]:
    """A trial for each value along an axis; the claim holds up to the limit."""
    return [Trial(setting={axis: name}, holds=value <= limit, value=value) for name, value in values.items()]


def better_than_branchynet(curves: Curves) -> Verdict:
    """Judges that the collaborative system's error is below that of BranchyNet.

    It is if the whole 95% interval of the paired differences is below 0, in the last quarter of the training.
    """
    ours, other = curves.final(OURS), curves.final(BRANCHYNET)
    final = mean_interval(100 * (ours - other))
    by_path = {
        name: mean_interval(100 * (curves.final(OURS, path) - curves.final(BRANCHYNET, path)))
        for path, name in WHO.items()
        if path in curves.errors[OURS] and path in curves.errors[BRANCHYNET]
    }
    by_part = {
        name: mean_interval(
            100 * _difference(curves, ANSWERS, BRANCHYNET)[:, curves.during(part)].mean(axis=1)
        )
        for name, part in PARTS_OF_TRAINING.items()
        if curves.during(part).any()
    }
    axes = {"answers of": by_path, "part of the training": by_part}
    return judge(
        "The error of the collaborative system is below that of BranchyNet.",
        f"In the last quarter of the training it is {_percent(ours)} against {_percent(other)}, a difference of "
        f"{_interval(final)}; it is lower if the whole interval is below 0.",
        {
            "seeds": len(curves.seeds),
            "final_difference_points": final.mean,
            "final_difference_low_points": final.low,
            "final_difference_high_points": final.high,
        },
        at_setting=final.high < 0,
        axes={
            axis: [
                Trial(setting={axis: name}, holds=each.high < 0, value=each.mean)
                for name, each in found.items()
            ]
            for axis, found in axes.items()
        },
    )


WHO: Final = {
    ANSWERS: "the system",
    CLOUD: "the cloud path alone",
    EXIT: "the exit head alone",
}
"""Whose answers are compared, in words."""


def _claimed(curves: Curves) -> int:
    """Index of the first validation from the paper's 30 epochs on."""
    return int(np.argmax(curves.progress >= CLAIMED_SHARE))


def _difference(curves: Curves, path: str, other: str) -> np.ndarray:
    """float64 [seeds, n], the collaborative system's error by a path, less that of the other's answers."""
    less: np.ndarray = curves.errors[OURS][path] - curves.errors[other][ANSWERS]
    return less


def _gap_from(curves: Curves, system: str, path: str) -> np.ndarray:
    """float64 [n], by how many points a system's mean error is above the plain one's at most, at or after each step."""
    gap = 100 * (curves.errors[system][path] - curves.errors[PLAIN][ANSWERS]).mean(axis=0)
    largest: np.ndarray = np.maximum.accumulate(gap[::-1])[::-1]
    return largest


def _at_most(points: float) -> str:
    return f"at most {points:.1f} points above" if points >= 0 else f"at least {-points:.1f} points below"


def _percent(errors: np.ndarray) -> str:
    return f"{np.mean(errors):.1%}"


def _interval(found: MeanInterval) -> str:
    if math.isinf(found.high):
        return f"{found.mean:+.2f} points (one seed shows no spread)"
    return f"{found.mean:+.2f} points (95% interval {found.low:+.2f} to {found.high:+.2f})"


# --- tables and notes ---


def _final_errors(curves: Curves, plan: TrainingPlan) -> Table:
    columns: dict[str, list[Any]] = {name: [] for name in ("system", "answers_of", "error_share")}
    columns |= {"lowest_seed_share": [], "highest_seed_share": []}
    for system, paths in curves.errors.items():
        for path in paths:
            if system == PLAIN and path != ANSWERS:
                continue  # one path
            final = curves.final(system, path)
            row = (plan.title(system), WHO[path], final.mean(), final.min(), final.max())
            for column, value in zip(columns.values(), row, strict=True):
                column.append(value)
    return Table(
        title=f"error in the last quarter of the training, mean of {len(curves.seeds)} seeds", columns=columns
    )


def _all_errors(curves: Curves, plan: TrainingPlan) -> Table:
    count = len(curves.steps)
    columns: dict[str, list[Any]] = {
        name: [] for name in ("system", "seed", "step", "epoch", "training_share", "learning_rate")
    }
    columns |= {name: [] for name in ERROR_COLUMNS.values()}
    for system, paths in curves.errors.items():
        for row, seed in enumerate(curves.seeds):
            columns["system"] += [plan.title(system)] * count
            columns["seed"] += [seed] * count
            columns["step"] += curves.steps.tolist()
            columns["epoch"] += curves.epochs.tolist()
            columns["training_share"] += curves.progress.tolist()
            columns["learning_rate"] += curves.rates.tolist()
            for path, name in ERROR_COLUMNS.items():
                columns[name] += paths[path][row].tolist() if path in paths else [None] * count
    return Table(title="error at each validation of each run", columns=columns)


ERROR_COLUMNS: Final = {
    ANSWERS: "error_share",
    CLOUD: "cloud_path_error_share",
    EXIT: "exit_head_error_share",
}


def _differences(curves: Curves, plan: TrainingPlan) -> Table:
    columns: dict[str, list[Any]] = {
        name: []
        for name in ("against", "step", "training_share", "difference_share", "low_share", "high_share")
    }
    for system in SYSTEMS:
        if system == OURS:
            continue
        found = [mean_interval(each) for each in _difference(curves, ANSWERS, system).T]
        columns["against"] += [plan.title(system)] * len(found)
        columns["step"] += curves.steps.tolist()
        columns["training_share"] += curves.progress.tolist()
        columns["difference_share"] += [each.mean for each in found]
        columns["low_share"] += [each.low for each in found]
        columns["high_share"] += [each.high for each in found]
    return Table(
        title="error of the collaborative system less that of the others, with its 95% interval",
        columns=columns,
    )


def _notes(curves: Curves) -> tuple[str, ...]:
    rates = ", ".join(f"{rate:g}" for rate in dict.fromkeys(curves.rates[curves.rates > 0].tolist()))
    dry = (
        "There is one validation only: such a dry run shows that everything works, and nothing of learning.",
    )
    return (
        *(dry if len(curves.steps) == 1 else ()),
        f"Trained are {int(curves.steps[-1]):,} steps, at learning rates of {rates or 'unknown size'}. The paper "
        f"trains {PAPER_STEPS:,} steps, at 0.1, 0.01 and 0.001. Its iterations are taken as epochs.",
        "All systems have the same backbone, initial weights, data, order of samples and schedule, seed by seed. The "
        "error is that on the validation set, which chooses nothing here.",
        "Nodes that average their weights after every step train as one machine would. So the collaborative system and "
        "BranchyNet, with the same cut, exit head and joint loss, differ in training by the steps in which the cloud "
        "slept, and otherwise by who answers.",
        f"BranchyNet's samples exit above a score of {EXIT_THRESHOLD:g} (1 - entropy / log of the number of classes); "
        "the collaborative system's exit head answers while the cloud sleeps.",
    )
