"""The claims about Figure 7, how they are decided, and what is measured in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cloudedge_pl.costs.units import format_percent, format_seconds
from cloudedge_pl.paper.trials import Outcome
from cloudedge_pl.paper.verdict import Trial, Verdict, judge
from cloudedge_pl.paper.windows import TOLERANCE, Outcomes

REMARKABLE = 0.1
"""A time is remarkably less if it is less by at least this share."""

ROUNDING = 1e-9
"""Ratios that differ by less are equal."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim about one scheduler and a rival.

    Args:
        text: the claim in one sentence.
        scheduler: the one it praises.
        rival: the other one.
        compare: takes the outcomes of both; returns whether the claim holds, and the ratio that decides.
    """

    text: str
    scheduler: str
    rival: str
    compare: Callable[[Outcomes, Outcomes], Outcome]


def less_time(one: Outcomes, other: Outcomes) -> Outcome:
    """Whether the median ratio of execution times is below 1; that ratio."""
    ratio = float(np.median(one.makespan_seconds / other.makespan_seconds))
    return ratio < 1 - ROUNDING, ratio


def remarkably_less_time(one: Outcomes, other: Outcomes) -> Outcome:
    """Whether that ratio is below 1 by :data:`REMARKABLE` or more; the ratio."""
    _, ratio = less_time(one, other)
    return ratio is not None and ratio <= 1 - REMARKABLE, ratio


def fewer_evaluations(one: Outcomes, other: Outcomes) -> Outcome:
    """Whether a search has converged after fewer evaluations, and its time is no longer; the ratio of evaluations.

    Both are medians. A search that gives up early with a worse schedule is not the faster one.
    """
    ratio = float(np.median(one.converged()) / np.median(other.converged()))
    no_worse = float(np.median(one.makespan_seconds / other.makespan_seconds)) < 1 + ROUNDING
    return ratio < 1 - ROUNDING and no_worse, ratio


CLAIMS: dict[str, Claim] = {
    "less": Claim(
        text="ATSA's execution time is less than that of FCFS.",
        scheduler="atsa", rival="fcfs", compare=less_time,
    ),
    "remarkable": Claim(
        text=f"ATSA's execution time is remarkably less than that of FCFS: by {REMARKABLE:.0%} or more.",
        scheduler="atsa", rival="fcfs", compare=remarkably_less_time,
    ),
    "faster": Claim(
        text="ATSA converges faster than PSO, to a time that is no longer.",
        scheduler="atsa", rival="pso", compare=fewer_evaluations,
    ),
    "printed": Claim(
        text="With the formulas as printed, ATSA's execution time is less than that of FCFS.",
        scheduler="atsa_paper", rival="fcfs", compare=less_time,
    ),
    "printed faster": Claim(
        text="With the formulas as printed, ATSA converges faster than PSO, to a time that is no longer.",
        scheduler="atsa_paper", rival="pso", compare=fewer_evaluations,
    ),
}  # fmt: skip
"""What is judged: the paper's claims, of this project's ATSA and of the printed one."""


def verdict_on(
    name: str, found: Mapping[int, Mapping[str, Outcomes]], trials: Mapping[str, Sequence[Trial]]
) -> Verdict:
    """Judges a claim.

    Args:
        name: key of :data:`CLAIMS`.
        found: the outcomes of each scheduler by number of tasks; the largest number is the paper's setting.
        trials: by axis.
    """
    claim = CLAIMS[name]
    at_sizes = {
        size: claim.compare(outcomes[claim.scheduler], outcomes[claim.rival])
        for size, outcomes in found.items()
    }
    largest = max(found)
    one, other = found[largest][claim.scheduler], found[largest][claim.rival]
    if claim.compare is fewer_evaluations:
        measured, numbers = _convergence_in_words(claim, largest, one, other)
    else:
        measured, numbers = _times_in_words(claim, largest, one, other, at_sizes)
    return judge(claim.text, measured, numbers, at_setting=at_sizes[largest][0], axes=trials)


def _times_in_words(
    claim: Claim, num_tasks: int, one: Outcomes, other: Outcomes, at_sizes: Mapping[int, Outcome]
) -> tuple[str, dict[str, float]]:
    times = [float(np.median(each.makespan_seconds)) for each in (one, other)]
    ratios = {size: ratio or 0.0 for size, (_, ratio) in at_sizes.items()}
    smallest = min(ratios)
    measured = (
        f"{num_tasks} tasks take {format_seconds(times[0])} with {claim.scheduler} and {format_seconds(times[1])} with "
        f"{claim.rival}; in the median window it is {_difference(ratios[num_tasks])}, and with {smallest} tasks "
        f"{_difference(ratios[smallest])}."
    )
    return measured, {
        f"time of {claim.scheduler} over {claim.rival}, {size} tasks": ratio for size, ratio in ratios.items()
    }


def _difference(ratio: float) -> str:
    if abs(ratio - 1) < ROUNDING:
        return "no difference"
    return f"{format_percent(abs(1 - ratio), 2)} {'less' if ratio < 1 else 'more'}"


def _convergence_in_words(
    claim: Claim, num_tasks: int, one: Outcomes, other: Outcomes
) -> tuple[str, dict[str, float]]:
    parts, numbers = [], {}
    for name, each in ((claim.scheduler, one), (claim.rival, other)):
        converged, above = float(np.median(each.converged())), float(np.median(each.above_bound))
        near = float(np.isfinite(each.reached()).mean())
        parts.append(
            f"{name} has converged after {converged:,.0f} schedule{'s' if converged > 1 else ''}, "
            f"{format_percent(above, 2)} above the lower bound (in {near:.0%} of the windows within {TOLERANCE:.0%})"
        )
        numbers[f"schedules until {name} has converged"] = converged
        numbers[f"excess of {name} over the lower bound"] = above
        numbers[f"share of windows where {name} comes near the lower bound"] = near
    return f"With {num_tasks} tasks, {'; '.join(parts)}.", numbers
