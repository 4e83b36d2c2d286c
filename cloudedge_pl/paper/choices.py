"""The choices on the map, a cut or the whole network somewhere, and which of them wins in a cell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np

from cloudedge_pl.offloading import OffloadGoal
from cloudedge_pl.paper.part import Table
from cloudedge_pl.paper.runs import lower

RAW, JPEG, EDGE, PLANNED, FLOAT32, INT8 = (
    "8-bit pictures to the cloud",
    "JPEG to the cloud",
    "edge only",
    "planned cut",
    "cut, float32",
    "cut, int8",
)
"""The choices. The planned cut is the deepest that keeps the limits, in float32; the others are all cuts."""

SMALL_MEMORY_BYTES: Final = 12e6
"""Memory of the nodes of this project's default fleet, which cannot hold the whole network."""

MEMORY_SHARE: Final = OffloadGoal().memory_share
"""Of it, the share that a part of the network may use."""

MEASURES: Final = {"delay": "delay_seconds", "energy": "active_joules", "data": "upload_bytes"}
"""What is least where a choice wins, and the column that has it."""

NOBODY: Final = "nobody keeps up"


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A question to the map: which choice is best, of those that are given.

    Args:
        name: in a few words.
        measure: a key of :data:`MEASURES`.
        rivals: whole-network choices that compete with the cuts.
        cuts: kinds of cuts that take part; the first one that beats all rivals wins.
        memory_bytes: that a node has for the task; None if there is enough.
    """

    name: str
    measure: str
    rivals: tuple[str, ...]
    cuts: tuple[str, ...] = (FLOAT32, INT8)
    memory_bytes: float | None = None


PANELS: Final = (
    Panel(
        name="delay, the planned cut against raw pictures", measure="delay", rivals=(RAW,), cuts=(PLANNED,)
    ),
    Panel(name="delay, against raw pictures and the edge alone", measure="delay", rivals=(RAW, EDGE)),
    Panel(
        name="delay, against raw pictures, nodes of 12 MB",
        measure="delay",
        rivals=(RAW,),
        memory_bytes=SMALL_MEMORY_BYTES,
    ),
    Panel(name="delay, against JPEG and the edge alone", measure="delay", rivals=(JPEG, EDGE)),
    Panel(name="energy, against JPEG and the edge alone", measure="energy", rivals=(JPEG, EDGE)),
    Panel(name="data, against JPEG and the edge alone", measure="data", rivals=(JPEG, EDGE)),
)
"""The rows of the figure. The energy is that beyond idle power; nodes of 12 MB cannot hold the whole network."""

Cell = tuple[int, float, float]
"""Nodes, link rate in bit/s and tasks per second."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What one choice does in one cell of the map.

    Args:
        name: one of the choices.
        split_point: where it cuts.
        memory_bytes: of the part on a node.
        delay_seconds: mean from arrival to answer.
        active_joules: of nodes and master, beyond idle power.
        upload_bytes: to the cloud.
        keeps_up: whether every station has the time for its jobs.
    """

    name: str
    split_point: int
    memory_bytes: float
    delay_seconds: float
    active_joules: float
    upload_bytes: float
    keeps_up: bool


CHOICE: Final = tuple(field.name for field in fields(Choice))


@dataclass(frozen=True, kw_only=True)
class Winner:
    """The best choice in a cell.

    Args:
        name: of the choice, or :data:`NOBODY`.
        split_point: where it cuts; -1 for nobody.
        delay_seconds: of its tasks; nan for nobody.
    """

    name: str
    split_point: int = -1
    delay_seconds: float = float("nan")


def useful_cuts(upload_bytes: np.ndarray) -> list[int]:
    """The cuts that send less than every cut before them, in ascending order.

    Another one computes more on the node and sends no less, so it is slower wherever the cloud is faster than a node.

    Args:
        upload_bytes: [N + 1]; the ends are no cuts.
    """
    found: list[int] = []
    for at in range(1, len(upload_bytes) - 1):
        if not found or upload_bytes[at] < upload_bytes[found[-1]]:
            found.append(at)
    return found


def winner(choices: Sequence[Choice], panel: Panel) -> Winner:
    """The best choice of a cell for the question of a panel, of those that keep up and fit into memory.

    A cut wins in float32, as in the paper, if it is better than every rival; else in int8. To be equal is not to win.
    """
    column = MEASURES[panel.measure]
    memory = math.inf if panel.memory_bytes is None else MEMORY_SHARE * panel.memory_bytes
    fits = [each for each in choices if each.keeps_up and each.memory_bytes <= memory]

    def best(*names: str) -> Choice | None:
        mine = [each for each in fits if each.name in names]
        return min(mine, key=lambda each: getattr(each, column), default=None)

    rival = best(*panel.rivals)
    to_beat = math.inf if rival is None else getattr(rival, column)
    cuts = [
        cut for name in panel.cuts if (cut := best(name)) is not None and lower(getattr(cut, column), to_beat)
    ]
    found = cuts[0] if cuts else rival
    if found is None:
        return Winner(name=NOBODY)
    return Winner(name=found.name, split_point=found.split_point, delay_seconds=found.delay_seconds)


def cells_of(table: Table) -> dict[Cell, list[Choice]]:
    """The choices of every cell, from the table of the map."""
    cells: dict[Cell, list[Choice]] = {}
    for nodes, rate, load, *values in table.rows():
        choice: dict[str, Any] = dict(zip(CHOICE, values, strict=True))
        cells.setdefault((nodes, rate, load), []).append(Choice(**choice))  # type: ignore[arg-type]  # numbers
    return cells


def cells_table(cells: Mapping[Cell, Sequence[Choice]]) -> Table:
    rows: list[tuple[Any, ...]] = []
    for cell, choices in cells.items():
        for each in choices:
            rows.append((*cell, *(getattr(each, name) for name in Choice.__dataclass_fields__)))
    names = (
        "nodes",
        "link_bits_per_second",
        "tasks_per_second",
        "choice",
        *list(Choice.__dataclass_fields__)[1:],
    )
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    return Table(title="Every choice in every cell of the map", columns=columns)


def shares_table(cells: Mapping[Cell, Sequence[Choice]]) -> Table:
    """The share of the cells that each choice wins, by question and number of nodes."""
    names = (PLANNED, FLOAT32, INT8, RAW, JPEG, EDGE, NOBODY)
    rows: list[tuple[Any, ...]] = []
    for panel in PANELS:
        for nodes in sorted({cell[0] for cell in cells}):
            won = [winner(choices, panel) for cell, choices in cells.items() if cell[0] == nodes]
            rows.append((panel.name, nodes, *(share_of(won, name) for name in names)))
    headers = ("question", "nodes", *(f"{name}_share" for name in names))
    columns = dict(zip(headers, zip(*rows, strict=True), strict=True))
    return Table(title="Share of the map that each choice wins", columns=columns)


def share_of(won: Sequence[Winner], name: str) -> float:
    return sum(each.name == name for each in won) / len(won)
