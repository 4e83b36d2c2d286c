"""The errors of the package, and the checks that raise them: the value, the limit, the fix.

Every one is a ``ValueError`` or a ``RuntimeError`` too, so that callers need not know this module.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


class InfeasiblePlanError(ValueError):
    """No split point meets every constraint."""


class UntraceableBackboneError(ValueError):
    """A backbone whose graph ``torch.fx`` cannot follow."""


class DataError(ValueError):
    """A data set that is missing, empty or inconsistent."""


class CheckpointError(RuntimeError):
    """A checkpoint that is corrupt, or belongs to another backbone or split point."""


class StrategyError(RuntimeError):
    """A Lightning feature, callback or loop that does not go with the cloud-edge strategy."""


def lookup(registry: Mapping[str, T], name: str, kind: str) -> T:
    """Returns ``registry[name]``; a name that is not there is answered with those that are.

    Args:
        registry: the names there are.
        name: the name that was asked for.
        kind: what the names stand for, in the singular ("scheduler").

    Raises:
        ValueError: on an unknown name.
    """
    if name in registry:
        return registry[name]
    close = difflib.get_close_matches(name, registry, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"unknown {kind} {name!r}.{hint} There are: {', '.join(sorted(registry))}.")


def require_positive(owner: str, allow_infinite: bool = False, **values: float) -> None:
    """Raises ValueError on a value that is not a positive number, naming ``owner`` and the field."""
    for field, value in values.items():
        if not (value > 0) or math.isnan(value) or (math.isinf(value) and not allow_infinite):
            raise ValueError(f"{owner}: {field} is {value}; it must be a positive, finite number.")


def require_range(
    owner: str, low: float, high: float, *, open_low: bool = False, open_high: bool = False, **values: float
) -> None:
    """Raises ValueError on a value outside low..high, naming ``owner``, the field and the range."""
    for field, value in values.items():
        above = value > low if open_low else value >= low
        below = value < high if open_high else value <= high
        if not (above and below):
            interval = f"{'(' if open_low else '['}{low}, {high}{')' if open_high else ']'}"
            raise ValueError(f"{owner}: {field} is {value}; it must lie in {interval}.")
