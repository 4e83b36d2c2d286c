"""Reads matrices of execution times: NPY, CSV from spreadsheets or pandas, and plain text."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cloudedge_pl.errors import DataError


def read_times(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Reads a matrix of execution times and, if the file has them, the names of the nodes.

    Args:
        path: an NPY file, or text in UTF-8 with commas, semicolons or blanks between the columns; ``~`` is the home
            directory. A first line of text holds the names of the nodes. Empty lines and text after a # are ignored.

    Returns:
        Seconds, float64 [num_tasks, num_nodes], in C order and writable; the names, empty if the file has none.

    Raises:
        DataError: if the file does not exist or holds no matrix of numbers; the message says what to do.
    """
    path = path.expanduser()
    if not path.is_file():
        raise DataError(f"file={path}: there is no such file; give a CSV, TXT or NPY file of seconds.")
    try:
        return _of_npy(path) if path.suffix.lower() == ".npy" else _of_text(path)
    except UnicodeDecodeError as error:
        raise DataError(f"file={path}: not text in UTF-8; save it as CSV in UTF-8.") from error
    except (ValueError, EOFError) as error:
        raise DataError(
            f"file={path}: not a matrix of seconds, a row per task and a column per node: {error}"
        ) from error


def _of_npy(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    times = np.load(path, allow_pickle=False)
    if not isinstance(times, np.ndarray) or times.dtype.kind not in "fiu":
        raise ValueError("it holds no array of numbers; np.save one.")
    if times.ndim != 2 or times.size == 0:
        raise ValueError(
            f"the array has shape {times.shape}; expected [num_tasks, num_nodes], at least a task and a node."
        )
    return np.require(times, np.float64, ["C", "W"]), ()


def _of_text(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    stripped = [(at, line.partition("#")[0].strip()) for at, line in enumerate(lines, 1)]
    kept = [(at, line) for at, line in stripped if line]
    if not kept:
        raise ValueError("it is empty; write at least a task and a node.")
    delimiter = next((mark for mark in ";," if mark in kept[0][1]), None)
    names, rows = _header(kept[0], delimiter), []
    for at, line in kept[1 if names else 0 :]:
        rows.append(_row(at, _cells(line, delimiter), delimiter, len(names)))
        if len(rows[-1]) != len(rows[0]):
            raise ValueError(
                f"line {at} has {len(rows[-1])} columns, the first row of numbers {len(rows[0])}; write inf where "
                "a node cannot run the task."
            )
    if not rows:
        raise ValueError("it has a line of names and no task below.")
    _refuse_indices(rows, bool(names))
    return np.array(rows, dtype=np.float64), names


def _cells(line: str, delimiter: str | None) -> list[str]:
    if delimiter is None:
        return line.split()
    (cells,) = csv.reader([line], delimiter=delimiter, skipinitialspace=True)
    return [cell.strip() for cell in cells]


def _header(first: tuple[int, str], delimiter: str | None) -> tuple[str, ...]:
    at, line = first
    cells = _cells(line, delimiter)
    words = [cell for cell in cells if cell and not _is_number(cell)]
    if cells[0] == "" and len(cells) > 1:
        raise ValueError(
            f"line {at} begins with an empty cell, as pandas writes the index; save it with index=False."
        )
    if not words or any(map(_has_decimal_comma, words)):
        return ()
    if cells[-1] == "":
        raise ValueError(_trailing(at, delimiter))
    if len(words) < len(cells):
        raise ValueError(
            f"line {at} has numbers and {words[0]!r}; write either a name for every node there, or seconds."
        )
    if len(set(cells)) < len(cells):
        raise ValueError(f"line {at} names two nodes alike; give each a name of its own.")
    return tuple(cells)


def _row(at: int, cells: Sequence[str], delimiter: str | None, num_names: int) -> list[float]:
    if cells[-1] == "":
        raise ValueError(_trailing(at, delimiter))
    if num_names and len(cells) != num_names:
        raise ValueError(
            f"line {at} has {len(cells)} columns for {num_names} names; write a column per named node and no "
            "other (pandas: index=False)."
        )
    for column, cell in enumerate(cells, 1):
        if _has_decimal_comma(cell):
            raise ValueError(f"line {at}, column {column} is {cell!r}; write decimals with a point.")
        if not _is_number(cell):
            raise ValueError(
                f"line {at}, column {column} is {cell!r}; write seconds, or inf where the node cannot run the task."
            )
    return [float(cell) for cell in cells]


def _refuse_indices(rows: Sequence[Sequence[float]], named: bool) -> None:
    """Refuses an index row or column 0, 1, 2, ..., which would be read as seconds."""
    if len(rows[0]) > 1 and not named and list(rows[0]) == list(range(len(rows[0]))):
        raise ValueError(
            "the first row counts the columns, 0, 1, ..., as pandas writes it; save it with header=False."
        )
    if len(rows[0]) > 1 and len(rows) > 2 and [row[0] for row in rows] == list(range(len(rows))):
        raise ValueError(
            "the first column counts the rows, 0, 1, 2, ..., as pandas writes the index; save it with index=False."
        )


def _trailing(at: int, delimiter: str | None) -> str:
    return f"line {at} ends with {delimiter!r}; take it away, or write inf behind it if the node cannot run the task."


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _has_decimal_comma(cell: str) -> bool:
    return re.fullmatch(r"[-+]?\d+,\d+", cell) is not None
