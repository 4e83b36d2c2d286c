"""What tables and figures call things: plans by model and fleet, layers by names that fit their column."""

from __future__ import annotations

import re

from cloudedge_pl.offloading import OffloadPlan

SHORT_NAME = 24
"""Characters that a layer's name may take in a table."""


def plan_title(plan: OffloadPlan) -> str:
    """The network and what it runs on: "resnet34 on 1,000 nodes and t4"."""
    nodes = plan.fleet.num_nodes
    return f"{plan.profile.model} on {nodes:,} node{'s' if nodes > 1 else ''} and {plan.fleet.cloud.name}"


def short_name(name: str, width: int = SHORT_NAME) -> str:
    """A layer's name in at most ``width`` characters.

    The parts from the left are cut down to their first letter and their number, as many as need be: those on the right
    and the numbers tell layers apart. What is still too long loses its beginning.

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
