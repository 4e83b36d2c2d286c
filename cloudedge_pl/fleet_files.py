"""Fleets from files: a YAML file describes a whole fleet, a CSV file its nodes, one per row.

CSV columns and YAML keys of a node are the fields of :class:`~cloudedge_pl.fleet.EdgeNode` and two more: ``device``, a
preset that provides missing values, and ``count``, the number of such nodes. The row named ``master`` is the master.
Every number is in the unit of its field; ``4 GB`` is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from cloudedge_pl.errors import lookup
from cloudedge_pl.fleet import CLOUDS, DEVICES, MAX_NODES, Cloud, EdgeNode, Fleet, Link
from cloudedge_pl.text_tables import read_csv
from cloudedge_pl.yaml_files import read_yaml

Row = tuple[str, Mapping[str, Any]]
"""Place in the file ("line 4", "nodes[2]"), and cells by column."""

T = TypeVar("T")

MASTER = "master"
COLUMNS = (*(column.name for column in fields(EdgeNode)), "device", "count")
REQUIRED = ("flops_per_second", "memory_bytes", "memory_bandwidth_bytes_per_second")
"""Fields that a node without a device must have."""

UNITS: dict[str, tuple[str, float, float, str]] = {
    "flops_per_second": ("FLOP/s", 1e5, 1e18, "48e9"),
    "memory_bytes": ("bytes", 1e3, 1e15, "4e9"),
    "memory_bandwidth_bytes_per_second": ("bytes/s", 1e5, 1e15, "12.8e9"),
    "throughput_bits_per_second": ("bit/s", 1e3, 1e13, "100e6"),
    "bandwidth_bits_per_second": ("bit/s", 1e3, 1e13, "50e6"),
    "uplink_bits_per_second": ("bit/s", 1e2, 1e13, "40e6"),
}
"""Unit, plausible range and an example. A value outside the range is assumed to be in another unit."""


def load_fleet(path: str | Path, *, cloud: str | Cloud = "t4", link: Link | None = None) -> Fleet:
    """Reads a fleet.

    A YAML file holds ``nodes`` (a list), and may hold ``master``, ``cloud`` (a preset's name or its fields) and
    ``link`` (its fields). A CSV file holds nodes alone.

    Args:
        path: of a file that ends in .yaml, .yml or .csv.
        cloud: used if the file names none.
        link: used if the file describes none; None takes the defaults.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is invalid; the message gives the row, the value and what to write instead.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"fleet.path {path} is not a file; give a CSV or YAML file of nodes.")
    reader = lookup(
        {".yaml": _read_yaml, ".yml": _read_yaml, ".csv": _read_csv}, path.suffix, "fleet file ending"
    )
    rows, rest = reader(path)
    nodes = [node for row in rows for node in _nodes(path, *row)]
    _refuse_duplicates(path, nodes)
    masters = [node for _, node in nodes if node.name == MASTER]
    slaves = tuple(node for _, node in nodes if node.name != MASTER)
    if not slaves:
        raise ValueError(f"{path}: it has no node; give at least one row besides the master's.")
    return Fleet(
        nodes=slaves,
        cloud=_cloud(path, rest.get("cloud", cloud)),
        link=_link(path, rest["link"]) if "link" in rest else link or Link(),
        master=masters[0] if masters else None,
    )


def _read_csv(path: Path) -> tuple[list[Row], Mapping[str, Any]]:
    _, rows = read_csv(path, COLUMNS)
    return [(f"line {at}", cells) for at, cells in rows], {}


def _read_yaml(path: Path) -> tuple[list[Row], Mapping[str, Any]]:
    content = read_yaml(path)
    if not isinstance(content, Mapping):
        raise ValueError(
            f"{path}: it holds {type(content).__name__}; write 'nodes:' and a list of nodes below it."
        )
    for key in content:
        lookup(("nodes", MASTER, "cloud", "link"), str(key), f"key in {path}:")
    listed = content.get("nodes") or []
    if not isinstance(listed, list):
        raise ValueError(
            f"{path}: nodes is {type(listed).__name__}; write a list, '- name: ...' for each node."
        )
    rows: list[Row] = [(f"nodes[{index}]", row) for index, row in enumerate(listed)]
    if MASTER in content:
        rows.append((MASTER, {"name": MASTER, **_mapping(path, MASTER, content[MASTER])}))
    return rows, {key: value for key, value in content.items() if key in ("cloud", "link")}


def _mapping(path: Path, where: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{path}, {where}: it is {value!r}; write its fields, 'name: value' a line.")
    return value


def _nodes(path: Path, where: str, row: Any) -> Iterator[tuple[str, EdgeNode]]:
    """Yields the nodes of a row, each with its place in the file."""
    cells = dict(_mapping(path, where, row))
    for column in cells:
        lookup(COLUMNS, str(column), f"column in {path}, {where}:")
    name = str(cells.pop("name", "")).strip()
    if not name:
        raise ValueError(f"{path}, {where}: name is missing; give every node a name of its own.")
    place = f"{path}, {where} ({name})"
    count = _number(place, "count", cells.pop("count", 1))
    if not 1 <= count <= MAX_NODES or count != int(count):
        raise ValueError(
            f"{place}: count is {count:g}; a row stands for a whole number of nodes in [1, {MAX_NODES}]."
        )
    if name == MASTER and count != 1:
        raise ValueError(f"{place}: count is {count:g}; there is one master, leave its count out.")
    device = cells.pop("device", None)
    values: dict[str, Any] = {column: _number(place, column, cell) for column, cell in cells.items()}
    if device is None:
        missing = [column for column in REQUIRED if column not in values]
        if missing:
            raise ValueError(
                f"{place}: {', '.join(missing)} missing; give it, or a device: {', '.join(sorted(DEVICES))}."
            )
        node = _checked(place, lambda: EdgeNode(name, **values))
    else:
        preset = _checked(place, lambda: lookup(DEVICES, str(device), "device preset"))
        node = _checked(place, lambda: replace(preset, name=name, **values))
    if count == 1:
        yield where, node
    else:
        yield from ((where, replace(node, name=f"{name}-{index}")) for index in range(int(count)))


def _number(place: str, column: str, cell: Any) -> float:
    """Reads a finite number in the column's unit; an energy budget may be infinite."""
    unit, low, high, example = UNITS.get(column, ("", -math.inf, math.inf, "1.5"))
    advice = f"give a plain number{f' of {unit}' if unit else ''}, e.g. {example}"
    if isinstance(cell, bool) or not isinstance(cell, (int, float, str)):
        raise ValueError(f"{place}: {column} is {cell!r}; {advice}.")
    try:
        value = float(cell)
    except ValueError:
        raise ValueError(f"{place}: {column} is {cell!r}; {advice}.") from None
    if math.isnan(value) or (math.isinf(value) and column != "max_energy_joules"):
        raise ValueError(f"{place}: {column} is {value}; {advice}.")
    if value > 0 and not low <= value <= high:
        raise ValueError(
            f"{place}: {column} is {value:g}, which is no plausible number of {unit}; is it in another unit? "
            f"Write it in {unit}, e.g. {example}."
        )
    return value


def _checked(place: str, make: Callable[[], T]) -> T:
    """Calls ``make`` and adds the place in the file to its errors."""
    try:
        return make()
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def _refuse_duplicates(path: Path, nodes: list[tuple[str, EdgeNode]]) -> None:
    first: dict[str, str] = {}
    for where, node in nodes:
        if node.name in first:
            raise ValueError(
                f"{path}, {where}: the name {node.name!r} is taken by {first[node.name]}; names must be unique."
            )
        first[node.name] = where


def _cloud(path: Path, value: Any) -> Cloud:
    if isinstance(value, Cloud):
        return value
    if isinstance(value, str):
        return _checked(f"{path}, cloud", lambda: lookup(CLOUDS, value, "cloud preset"))
    cells = dict(_mapping(path, "cloud", value))
    known = [column.name for column in fields(Cloud)]
    for key in cells:
        lookup(known, str(key), f"key in {path}, cloud:")
    name = str(cells.pop("name", "cloud"))
    values = {key: _number(f"{path}, cloud", key, cell) for key, cell in cells.items()}
    return _checked(str(path), lambda: Cloud(name, **values))


def _link(path: Path, value: Any) -> Link:
    cells = dict(_mapping(path, "link", value))
    known = [column.name for column in fields(Link)]
    for key in cells:
        lookup(known, str(key), f"key in {path}, link:")
    place = f"{path}, link"
    rates = cells.pop("uplink_bits_per_second", None)
    values: dict[str, Any] = {key: _number(place, key, cell) for key, cell in cells.items()}
    if rates is not None:
        if not isinstance(rates, list):
            raise ValueError(f"{place}: uplink_bits_per_second is {rates!r}; write a list of rates in bit/s.")
        values["uplink_bits_per_second"] = tuple(
            _number(f"{place}, uplink_bits_per_second[{row}]", "uplink_bits_per_second", rate)
            for row, rate in enumerate(rates)
        )
    return _checked(str(path), lambda: Link(**values))
