"""Trials of claims along axes, with the places where they change located between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from cloudedge_pl.paper.part import Report
from cloudedge_pl.paper.verdict import Trial

Outcome = tuple[bool, float | None]
"""Whether a claim holds, and what was compared."""

Conditions = TypeVar("Conditions")
Measured = TypeVar("Measured")


def along(
    axis: str,
    values: Sequence[float] | Sequence[str],
    attempt: Callable[..., Outcome],
    *,
    digits: int = 3,
    whole: bool = False,
) -> tuple[Trial, ...]:
    """Tries a claim at values of one axis, and between neighbours at which it comes out differently.

    The interval between such neighbours is halved until its ends differ by one unit of the last digit. So the change is
    located to that precision, provided there is only one between the neighbours. Names are tried as they are.

    Args:
        axis: what varies, with its unit ("link rate in Mbit/s"): the key of the trials' setting.
        values: numbers above 0 in any order, or names.
        attempt: takes a value; returns whether the claim holds there and what was compared.
        digits: significant digits of the values tried in between.
        whole: whether the axis has whole numbers only.

    Returns:
        The trials by ascending number, or names in their order.

    Raises:
        ValueError: if there is no value.
    """
    if not values:
        raise ValueError(f"trials along {axis!r}: there is no value to try; give at least one.")
    if any(isinstance(value, str) for value in values):
        return tuple(_trial(axis, value, attempt) for value in values)
    ordered = sorted({float(value) for value in values})
    trials = [_trial(axis, int(value) if whole else value, attempt) for value in ordered]
    found = [trials[0]]
    for trial in trials[1:]:
        found += [*_between(axis, found[-1], trial, attempt, digits, whole), trial]
    return tuple(found)


def along_all(
    axes: Mapping[str, tuple[Sequence[Any], Callable[..., Conditions]]],
    measure: Callable[[Conditions], Measured],
    claims: Mapping[str, Callable[[Measured], Outcome]],
    report: Report,
    subject: str,
) -> dict[str, dict[str, tuple[Trial, ...]]]:
    """Tries several claims along several axes. Each value is measured once, for all claims.

    Args:
        axes: for each axis its values, and what returns the conditions at one of them.
        measure: takes conditions; returns what the claims are about.
        claims: by name: each takes what was measured, and returns whether the claim holds and what was compared.
        report: is told of each axis.
        subject: what is measured, for the report.

    Returns:
        The trials of :func:`along`, by claim and axis.
    """
    found: dict[str, dict[str, tuple[Trial, ...]]] = {name: {} for name in claims}
    for at, (axis, (values, conditions)) in enumerate(axes.items()):
        report.step(f"{subject} by {axis}", at, len(axes))
        measured = cache(_chained(conditions, measure))
        for name, claim in claims.items():
            found[name][axis] = along(axis, values, _chained(measured, claim))
    return found


def _chained(first: Callable[..., Any], second: Callable[[Any], Measured]) -> Callable[[Any], Measured]:
    return lambda value: second(first(value))


def _trial(axis: str, value: float | str, attempt: Callable[..., Outcome]) -> Trial:
    holds, compared = attempt(value)
    return Trial(setting={axis: value}, holds=holds, value=compared)


def _between(
    axis: str, low: Trial, high: Trial, attempt: Callable[..., Outcome], digits: int, whole: bool
) -> list[Trial]:
    """Trials between two that differ, ascending; the last two of them enclose the change."""
    below, above = [low], [high]
    while below[-1].holds != above[-1].holds:
        middle = _middle(_value(axis, below[-1]), _value(axis, above[-1]), digits, whole)
        if middle is None:
            break
        trial = _trial(axis, middle, attempt)
        (below if trial.holds == below[-1].holds else above).append(trial)
    return [*below[1:], *above[:0:-1]]


def _value(axis: str, trial: Trial) -> float:
    return float(trial.setting[axis])


def _middle(low: float, high: float, digits: int, whole: bool) -> float | None:
    """The rounded geometric mean of two numbers above 0; None if there is no such number between them."""
    middle = max(low * high, 0.0) ** 0.5
    middle = float(f"{round(middle) if whole else middle:.{digits - 1}e}")
    middle = int(middle) if whole else middle
    return middle if low < middle < high else None
