"""Verdicts on the paper's claims, computed from trials: whether a claim holds, and where that changes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from types import MappingProxyType
from typing import Any

from cloudedge_pl.errors import lookup, require_fields

HOLDS, CONDITIONAL, FAILS = "holds", "holds under conditions", "does not hold"

STATES = (HOLDS, CONDITIONAL, FAILS)

MOST_RANGES = 2
"""Of more ranges in a sentence, the values just outside are not named."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A claim, tried at one setting.

    Args:
        setting: what the trial was made with, by name and unit: ``{"link rate in Mbit/s": 5.0, "network": "vgg16"}``.
        holds: whether the claim holds there.
        value: what was compared, such as a ratio; for tables.
    """

    setting: Mapping[str, float | str]
    holds: bool
    value: float | None = None

    def __post_init__(self) -> None:
        # numpy's bools would not go into JSON
        object.__setattr__(self, "holds", bool(self.holds))
        object.__setattr__(self, "setting", MappingProxyType(dict(self.setting)))


@dataclass(frozen=True, kw_only=True)
class Flip:
    """Where along one axis a claim holds.

    Args:
        axis: name of what varies ("link rate").
        unit: of its values; "" if they have none.
        tried: the values that were tried; numbers ascend.
        holds: for each value, whether the claim holds.

    Raises:
        ValueError: if nothing was tried, or the lengths differ.
    """

    axis: str
    unit: str
    tried: tuple[float | str, ...]
    holds: tuple[bool, ...]

    def __post_init__(self) -> None:
        require_fields("flip", self)
        if not self.tried or len(self.tried) != len(self.holds):
            raise ValueError(
                f"flip along {self.axis!r}: {len(self.tried)} values are tried and {len(self.holds)} judged; give a "
                "judgement of each value, and at least one value."
            )

    @property
    def changes(self) -> bool:
        """Whether the claim holds at some of the values and not at others."""
        return any(self.holds) and not all(self.holds)

    @property
    def holds_in(self) -> tuple[tuple[float, float], ...]:
        """The ranges of tried numbers in which the claim holds, ends inclusive; none for an axis of names."""
        ranges: list[tuple[float, float]] = []
        for first, last in self._runs():
            low, high = self.tried[first], self.tried[last]
            if not isinstance(low, str) and not isinstance(high, str):
                ranges.append((low, high))
        return tuple(ranges)

    @property
    def text(self) -> str:
        """Where the claim holds, in words: ``link rate: up to 6.25 Mbit/s, not at 6.5 (tried: 0.5 to 100)``."""
        return f"{self.axis}: {self._where()}"

    def _where(self) -> str:
        if any(isinstance(value, str) for value in self.tried):
            return self._names()
        low, high = _number(self.tried[0]), _number(self.tried[-1])
        whole = f"at {low}{self._suffix}" if len(self.tried) == 1 else f"from {low} to {high}{self._suffix}"
        if not self.changes:
            return f"{'everywhere' if any(self.holds) else 'nowhere'} {whole}"
        runs = self._runs()
        if len(runs) > MOST_RANGES:
            ranges = ", ".join(self._inside(*run) for run in runs)
        else:
            ranges = "; ".join(f"{self._inside(*run)}, not at {self._outside(*run)}" for run in runs)
        return f"{ranges} (tried: {low} to {high})"

    def _names(self) -> str:
        good = ", ".join(str(name) for name, holds in zip(self.tried, self.holds, strict=True) if holds)
        bad = ", ".join(str(name) for name, holds in zip(self.tried, self.holds, strict=True) if not holds)
        if not good:
            return f"for none of {bad}"
        return f"for {good}{f', not for {bad}' if bad else ''}"

    def _inside(self, first: int, last: int) -> str:
        """A range in words, by its first and last index."""
        low, high = _number(self.tried[first]), _number(self.tried[last])
        if first == last:
            return f"at {low}{self._suffix}"
        if first == 0:
            return f"up to {high}{self._suffix}"
        if last == len(self.tried) - 1:
            return f"from {low}{self._suffix} on"
        return f"from {low} to {high}{self._suffix}"

    def _outside(self, first: int, last: int) -> str:
        """The nearest tried values on both sides of a range, at which the claim does not hold."""
        return " or ".join(
            _number(self.tried[at]) for at in (first - 1, last + 1) if 0 <= at < len(self.tried)
        )

    @property
    def _suffix(self) -> str:
        return f" {self.unit}" if self.unit else ""

    def _runs(self) -> list[tuple[int, int]]:
        """First and last index of each run of neighbours at which the claim holds."""
        runs = []
        for holds, run in groupby(range(len(self.holds)), key=self.holds.__getitem__):
            indices = list(run)
            if holds:
                runs.append((indices[0], indices[-1]))
        return runs


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is found of one claim of the paper. :func:`judge` makes it; none is written by hand.

    Args:
        claim: the paper's claim in one sentence.
        state: one of :data:`STATES`.
        measured: one sentence with the numbers at the paper's setting.
        numbers: those numbers by name.
        at_setting: whether the claim holds at the paper's setting.
        flips: where the claim holds along every axis that was tried.
    """

    claim: str
    state: str
    measured: str
    numbers: Mapping[str, float]
    at_setting: bool
    flips: tuple[Flip, ...] = ()

    def __post_init__(self) -> None:
        lookup(STATES, self.state, "state of a verdict")
        numbers = {str(name): float(value) for name, value in self.numbers.items()}
        object.__setattr__(self, "numbers", MappingProxyType(numbers))
        object.__setattr__(self, "flips", tuple(self.flips))

    def to_dict(self) -> dict[str, Any]:
        """Returns the verdict as plain containers."""
        flips = [
            {"axis": flip.axis, "unit": flip.unit, "tried": list(flip.tried), "holds": list(flip.holds)}
            for flip in self.flips
        ]
        return {
            "claim": self.claim,
            "state": self.state,
            "measured": self.measured,
            "numbers": dict(self.numbers),
            "at_setting": self.at_setting,
            "flips": flips,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Verdict:
        """Returns the verdict of :meth:`to_dict`."""
        flips = tuple(
            Flip(**{**flip, "tried": tuple(flip["tried"]), "holds": tuple(flip["holds"])})
            for flip in content["flips"]
        )
        return cls(**{**content, "flips": flips})


def judge(
    claim: str,
    measured: str,
    numbers: Mapping[str, float],
    *,
    at_setting: bool,
    axes: Mapping[str, Sequence[Trial]] | None = None,
) -> Verdict:
    """Judges a claim by how it did at the paper's setting and along the axes that were tried.

    It holds if it holds at the setting and in every trial, does not hold if it holds in none of them, and otherwise
    holds under conditions. At a value that was tried more than once it holds if it does so in each of these trials.

    Args:
        claim: the paper's claim in one sentence.
        measured: one sentence with the numbers at the paper's setting.
        numbers: those numbers by name.
        at_setting: whether the claim holds at the paper's setting.
        axes: the trials by what varies among them, with its unit: ``{"link rate in Mbit/s": trials}``. The axis is a
            key of every trial's setting.

    Raises:
        ValueError: if an axis has no trial, or a trial lacks the axis.
    """
    trials = {axis: list(each) for axis, each in (axes or {}).items()}
    found = [bool(at_setting), *(trial.holds for each in trials.values() for trial in each)]
    state = HOLDS if all(found) else CONDITIONAL if any(found) else FAILS
    flips = tuple(_flip(axis, each) for axis, each in trials.items())
    return Verdict(
        claim=claim,
        state=state,
        measured=measured,
        numbers=numbers,
        at_setting=bool(at_setting),
        flips=flips,
    )


def _flip(axis: str, trials: Sequence[Trial]) -> Flip:
    name, _, unit = axis.partition(" in ")
    outcomes: dict[float | str, bool] = {}
    for trial in trials:
        if axis not in trial.setting:
            raise ValueError(
                f"a trial along {axis!r} has no such setting; it has: {', '.join(trial.setting) or 'none'}."
            )
        value = trial.setting[axis]
        value = value if isinstance(value, str) else float(value)
        outcomes[value] = outcomes.get(value, True) and trial.holds
    tried = list(outcomes)
    if not any(isinstance(value, str) for value in tried):
        tried.sort()
    return Flip(axis=name, unit=unit, tried=tuple(tried), holds=tuple(outcomes[value] for value in tried))


def _number(value: float | str) -> str:
    """A number of an axis in words: four digits, without an exponent where that is short."""
    if isinstance(value, str):
        return value
    if math.isfinite(value) and (float(value).is_integer() or abs(value) >= 1e4):
        return f"{value:,.0f}"
    return f"{value:.4g}"
