"""Formats of quantities in messages, tables and figures: three or four digits and a suitable prefix.

Values that a sentence or an axis compares get as many digits as it takes to tell them apart (:func:`written_apart`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol

LARGE_PREFIXES = ("", "k", "M", "G", "T", "P")
SMALL_PREFIXES = ("", "m", "µ", "n")

ABSENT = "\N{EN DASH}"


MOST_DIGITS = 17
"""Number of digits that tells any two floating-point numbers apart."""


class Writer(Protocol):
    """Formats a quantity with a number of digits, as ``format_bytes`` does."""

    def __call__(self, value: float, digits: int = 3) -> str: ...


def written_apart(write: Writer, values: Iterable[float]) -> tuple[str, ...]:
    """Formats values that are compared, with three digits or as many as give unequal values unequal texts.

    >>> written_apart(format_seconds, [0.1, 0.10004])
    ('100 ms', '100.04 ms')
    """
    values = tuple(values)
    unequal = len({value for value in values if not math.isnan(value)})
    for digits in range(3, MOST_DIGITS + 1):
        texts = tuple(write(value, digits) for value in values)
        if len(set(texts) - {ABSENT}) >= unequal:
            break
    return texts


def _with_prefix(value: float, unit: str, digits: int, *, small: bool) -> str:
    if math.isnan(value):
        return ABSENT
    if math.isinf(value):
        return f"{'-' if value < 0 else ''}\N{INFINITY} {unit}"
    size, index = abs(value), 0
    while size >= 1000 - 0.5 * 10.0 ** (3 - digits) and index < len(LARGE_PREFIXES) - 1:
        size, index = size / 1000, index + 1
    prefix = LARGE_PREFIXES[index]
    while small and 0 < size < 1 - 0.5 * 10.0**-digits and index < len(SMALL_PREFIXES) - 1:
        size, index = size * 1000, index + 1
        prefix = SMALL_PREFIXES[index]
    return f"{'-' if value < 0 else ''}{size:.{digits}g} {prefix}{unit}"


def format_bytes(value: float, digits: int = 3) -> str:
    """Formats bytes in powers of ten: ``412 MB``.

    >>> format_bytes(21_797_672.0)
    '21.8 MB'
    """
    return _with_prefix(value, "B", digits, small=False)


def format_seconds(value: float, digits: int = 3) -> str:
    """Formats seconds, or parts of a second: ``12.5 ms``.

    >>> format_seconds(0.0125)
    '12.5 ms'
    """
    if 1000 <= value < math.inf:
        return f"{value:.{max(digits, 4)}g} s"
    return _with_prefix(value, "s", digits, small=True)


def format_joules(value: float, digits: int = 3) -> str:
    """Formats joules: ``0.3 J`` is ``300 mJ``."""
    return _with_prefix(value, "J", digits, small=True)


def format_rate(value: float, unit: str, digits: int = 3) -> str:
    """Formats a rate: ``format_rate(48e9, "FLOP/s")`` is ``48 GFLOP/s``."""
    return _with_prefix(value, unit, digits, small=False)


def format_percent(value: float, digits: int = 3) -> str:
    """Formats a share as percent: ``0.125`` is ``12.5%``."""
    return f"{100 * value:.{digits}g}%"


def format_factor(value: float, digits: int = 3) -> str:
    """Formats a number without unit: ``1.25``."""
    return f"{value:.{digits}g}"
