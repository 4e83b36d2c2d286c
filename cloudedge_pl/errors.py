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


class NamespaceError(RuntimeError):
    """Classes of ``pytorch_lightning`` and of ``lightning`` in one run."""


def lookup(registry: Mapping[str, T], name: str, kind: str) -> T:
    """Returns ``registry[name]``; a name that is not there is answered with those that are.

    Args:
        registry: the names there are.
        name: the name that was asked for.
        kind: what the names stand for, in the singular ("scheduler").

    Raises:
        ValueError: on an unknown name.
    """
    if not isinstance(name, str):
        there_are = ", ".join(sorted(registry))
        raise ValueError(f"{kind} {name!r} is not a name (text). There are: {there_are}.")
    if name in registry:
        return registry[name]
    close = difflib.get_close_matches(name, registry, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"unknown {kind} {name!r}.{hint} There are: {', '.join(sorted(registry))}.")


def require_positive(owner: str, allow_infinite: bool = False, **values: float) -> None:
    """Raises ValueError on a value that is not a positive number, naming ``owner`` and the field."""
    for field, value in values.items():
        good = _is_number(value) and value > 0
        if not good or math.isnan(value) or (math.isinf(value) and not allow_infinite):
            raise ValueError(f"{owner}: {field} is {_shown(value)}; it must be a positive, finite number.")


def require_range(
    owner: str,
    low: float,
    high: float,
    *,
    open_low: bool = False,
    open_high: bool = False,
    whole: bool = False,
    **values: float,
) -> None:
    """Raises ValueError on a value outside low..high, naming ``owner``, the field and the range.

    Args:
        owner: whose values they are.
        low: the least value.
        high: the greatest value.
        open_low: whether ``low`` itself is out of the range.
        open_high: likewise ``high``.
        whole: whether a value must be without a fraction, as what is counted.
        values: by their fields.
    """
    for field, value in values.items():
        good = _is_number(value)
        above = good and (value > low if open_low else value >= low)
        below = good and (value < high if open_high else value <= high)
        if not (above and below) or (whole and value != math.floor(value)):
            interval = f"{'(' if open_low else '['}{low}, {high}{')' if open_high else ']'}"
            what = f"be a whole number in {interval}" if whole else f"lie in {interval}"
            raise ValueError(f"{owner}: {field} is {_shown(value)}; it must {what}.")


def _is_number(value: object) -> bool:
    """Whether a value compares with numbers: of Python, numpy or torch, but neither text nor yes and no."""
    return hasattr(value, "__float__") and not isinstance(value, bool)


def _shown(value: object) -> str:
    return str(value) if _is_number(value) else repr(value)
