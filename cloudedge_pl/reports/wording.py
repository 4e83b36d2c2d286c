"""Text in tables and figures: titles of plans, layers' names that fit into a column, and numbers with their units."""

from __future__ import annotations

import re
from typing import Final

from cloudedge_pl.costs.units import Writer, format_bytes, format_joules, format_rate, format_seconds
from cloudedge_pl.offloading import OffloadPlan

SHORT_NAME = 24
"""Length in characters up to which a layer's name is shown in a table."""


def _bits(value: float, digits: int = 3) -> str:
    return format_rate(value, "bit/s", digits)


UNITS: Final[dict[str, Writer]] = {
    "_bits_per_second": _bits,
    "_seconds": format_seconds,
    "_joules": format_joules,
    "_bytes": format_bytes,
}
"""How a quantity is written, by the end of its name."""


def plan_title(plan: OffloadPlan) -> str:
    """The network and its fleet, such as "resnet34 on 1,000 nodes and t4"."""
    nodes = plan.fleet.num_nodes
    return f"{plan.profile.model} on {nodes:,} node{'s' if nodes > 1 else ''} and {plan.fleet.cloud.name}"


def short_name(name: str, width: int = SHORT_NAME) -> str:
    """A layer's name in at most ``width`` characters.

    Parts are shortened to their first letter and their number, from the left and only as many as necessary, because
    the parts on the right and the numbers tell layers apart. A name that is still too long loses its beginning.

    >>> short_name("encoder.layers.encoder_layer_11.self_attention")
    'e.l.e11.self_attention'
    """
    parts = name.split(".")
    for index, part in enumerate(parts[:-1]):
        if len(".".join(parts)) <= width:
            break
        if not part.isdigit():
            number = re.search(r"\d*$", part)
            parts[index] = part[:1] + (number.group() if number and len(part) > 1 else "")
    short = ".".join(parts)
    return short if len(short) <= width else "\N{HORIZONTAL ELLIPSIS}" + short[-(width - 1) :]


def percent_text(value: float) -> str:
    """A share as a percentage, such as "12.50%"."""
    return f"{100 * value:.2f}%"


def bytes_text(value: float) -> str:
    """A number of bytes in four digits, such as "3.072 kB"."""
    return format_bytes(value, digits=4)


def joules_text(value: float) -> str:
    """An energy in four digits, such as "12.35 kJ"."""
    return format_joules(value, digits=4)
