"""How quantities are written in messages, tables and figures: three or four digits and a prefix that suits."""

from __future__ import annotations

import math

LARGE_PREFIXES = ("", "k", "M", "G", "T", "P")
SMALL_PREFIXES = ("", "m", "µ", "n")

ABSENT = "\N{EN DASH}"


def _with_prefix(value: float, unit: str, *, small: bool) -> str:
    if math.isnan(value):
        return ABSENT
    if math.isinf(value):
        return f"{'-' if value < 0 else ''}\N{INFINITY} {unit}"
    size, index = abs(value), 0
    while size >= 999.5 and index < len(LARGE_PREFIXES) - 1:
        size, index = size / 1000, index + 1
    prefix = LARGE_PREFIXES[index]
    while small and 0 < size < 0.9995 and index < len(SMALL_PREFIXES) - 1:
        size, index = size * 1000, index + 1
        prefix = SMALL_PREFIXES[index]
    return f"{'-' if value < 0 else ''}{size:.3g} {prefix}{unit}"


def format_bytes(value: float) -> str:
    """Bytes in powers of ten: ``412 MB``.

    >>> format_bytes(21_797_672.0)
    '21.8 MB'
    """
    return _with_prefix(value, "B", small=False)


def format_seconds(value: float) -> str:
    """Seconds, or parts of one: ``12.5 ms``.

    >>> format_seconds(0.0125)
    '12.5 ms'
    """
    return f"{value:.4g} s" if 1000 <= value < math.inf else _with_prefix(value, "s", small=True)


def format_joules(value: float) -> str:
    """Joules: ``0.3 J`` is ``300 mJ``."""
    return _with_prefix(value, "J", small=True)


def format_rate(value: float, unit: str) -> str:
    """Anything per second: ``format_rate(48e9, "FLOP/s")`` is ``48 GFLOP/s``."""
    return _with_prefix(value, unit, small=False)
