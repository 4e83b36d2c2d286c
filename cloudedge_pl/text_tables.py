"""Tables in text files that people and spreadsheets write; an error names the file, the line and the fix."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from cloudedge_pl.errors import lookup

TextRow = tuple[int, dict[str, str]]
"""Number of the line in the file, and the cells that are not empty, by column."""


def read_text(path: Path) -> str:
    """Reads text in UTF-8, with or without a byte order mark.

    Raises:
        ValueError: if the file is not such text.
    """
    content = path.read_bytes()
    if content.startswith(b"\x1f\x8b"):
        raise ValueError(f"{path}: it is compressed by gzip; unpack it and give the text file.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}, line {line}: byte {error.start} is not UTF-8; save the file as UTF-8."
        ) from None
    if "\0" in text:
        raise ValueError(
            f"{path}: it contains NUL characters, so it is UTF-16 or not text; save the file as UTF-8."
        )
    return text


def read_csv(path: Path, columns: Sequence[str]) -> tuple[list[str], list[TextRow]]:
    """Reads a CSV file whose first line names its columns. Empty lines are ignored.

    Args:
        path: of the file, in UTF-8.
        columns: names that the file may use, in any order.

    Returns:
        The names that the file uses, in its order, and its rows; a row may lack cells.

    Raises:
        ValueError: if the file is empty, names another column or one twice, or a row has another number of cells.
    """
    reader = csv.reader(read_text(path).splitlines(keepends=True), skipinitialspace=True, strict=True)
    header: list[str] = []
    rows: list[TextRow] = []
    begins = 1
    try:
        for line in reader:
            cells, at = [cell.strip() for cell in line], begins
            begins = reader.line_num + 1
            if not any(cells):
                continue
            if not header:
                header = cells
                _check_header(path, at, header, columns)
                continue
            if len(cells) != len(header):
                raise ValueError(
                    f"{path}, line {at}: it has {len(cells)} cells, the header {len(header)} columns."
                )
            rows.append((at, {column: cell for column, cell in zip(header, cells, strict=True) if cell}))
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {begins}: {error}; close every quote, in the line where it is opened."
        ) from None
    if not header:
        raise ValueError(f"{path}: it is empty; the first line names the columns: {', '.join(columns)}.")
    return header, rows


def read_timed_csv(
    path: Path, required: Sequence[str], optional: Sequence[str] = ()
) -> tuple[list[float], list[TextRow]]:
    """Reads a CSV file of things that happen at times, its column ``t_seconds``.

    Args:
        path: of the file, in UTF-8.
        required: columns that it must have besides ``t_seconds``.
        optional: columns that it may have.

    Returns:
        The times, and the rows; a row has a cell in every column that the file has.

    Raises:
        ValueError: if the file does not exist, lacks a column, a row or a cell, or has a time that is negative, not
            finite or below the one before it; the message names the line.
    """
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file; give a CSV file with a column t_seconds.")
    needed = ("t_seconds", *required)
    header, rows = read_csv(path, (*needed, *optional))
    for column in needed:
        if column not in header:
            raise ValueError(
                f"{path}, line 1: it lacks the column {column}; the first line names the columns: {', '.join(needed)}."
            )
    if not rows:
        raise ValueError(f"{path}: it has no row below its header; write at least one.")
    times: list[float] = []
    for at, cells in rows:
        for column in header:
            if column not in cells:
                raise ValueError(f"{path}, line {at}: {column} is empty; fill it, or remove the row.")
        times.append(finite_number(path, at, "t_seconds", cells["t_seconds"]))
        if len(times) > 1 and times[-1] < times[-2]:
            raise ValueError(
                f"{path}, line {at}: t_seconds is {times[-1]:g} and in the row before {times[-2]:g}; sort the rows."
            )
    return times, rows


def _check_header(path: Path, at: int, header: list[str], columns: Sequence[str]) -> None:
    for column in header:
        if header.count(column) > 1:
            raise ValueError(f"{path}, line {at}: the column {column!r} appears twice; remove one of them.")
        lookup(columns, column, f"column in {path}, line {at}:")


def read_lines(path: Path) -> list[tuple[int, list[str]]]:
    """Reads a file of words between blanks, without a header.

    Args:
        path: of the file, in UTF-8. Empty lines and text after a # are ignored.

    Returns:
        Of each line: its number in the file, and its words.

    Raises:
        ValueError: if the file is not text.
    """
    lines = enumerate(read_text(path).splitlines(), 1)
    words = ((at, line.partition("#")[0].split()) for at, line in lines)
    return [(at, each) for at, each in words if each]


def finite_number(path: Path, at: int, column: str, cell: str, *, low: float = 0.0) -> float:
    """Reads a finite number from a cell.

    Args:
        path: of the file, for the message.
        at: number of the line, for the message.
        column: its name, for the message.
        cell: the text.
        low: smallest value.

    Raises:
        ValueError: if the cell holds no number, or one that is not finite or below ``low``.
    """
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not low <= value < math.inf:
        limit = f" >= {low:g}" if low > -math.inf else ""
        raise ValueError(f"{path}, line {at}: {column} is {cell!r}; write a finite number{limit}, e.g. 1.5.")
    return value
