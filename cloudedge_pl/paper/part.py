"""What one part of the reproduction, a table or figure of the paper, measures and leaves."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from cloudedge_pl.errors import lookup
from cloudedge_pl.files import written_whole
from cloudedge_pl.paper.verdict import Verdict

if TYPE_CHECKING:
    from cloudedge_pl.paper.setting import PaperSetting

Cell = float | int | bool | str | None

NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
"""How result.json holds the numbers that JSON has no form for."""


class Report:
    """Is told how far a part is; this one ignores it."""

    def step(self, text: str, done: float = 0, total: float | None = None) -> None:
        """Says what is being done.

        Args:
            text: in a few words, without a full stop ("ATSA, 200 tasks").
            done: how much of the part is done.
            total: how much there is to do, in the unit of ``done``; None if unknown.
        """


@dataclass(frozen=True, eq=False, kw_only=True)
class Table:
    """A table of numbers: a CSV file, the source of drawings, and rows in the report.

    Args:
        title: what the rows are, in a few words.
        columns: lists or arrays of equal length by header. Headers carry units (``delay_seconds``), from which the
            report takes the format of the cells; a cell without value is None.
        shown: the columns that the report shows; empty shows all.

    Raises:
        ValueError: if there is no column, lengths differ, or a shown column does not exist.
    """

    title: str
    columns: Mapping[str, Sequence[Any]]
    shown: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        columns = {str(name): tuple(map(_plain, values)) for name, values in self.columns.items()}
        if not columns or len({len(values) for values in columns.values()}) > 1:
            found = {name: len(values) for name, values in columns.items()}
            raise ValueError(
                f"table {self.title!r}: columns must be of equal length, and there are: {found}."
            )
        for name in self.shown:
            lookup(columns, name, f"column of the table {self.title!r},")
        object.__setattr__(self, "columns", MappingProxyType(columns))
        object.__setattr__(self, "shown", tuple(self.shown))

    @classmethod
    def of_rows(cls, title: str, rows: Sequence[Mapping[str, Any]], shown: tuple[str, ...] = ()) -> Table:
        """Returns the table of rows that hold a cell for each header; the first one gives the headers' order."""
        names = rows[0] if rows else ()
        return cls(title=title, columns={name: [row[name] for row in rows] for name in names}, shown=shown)

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return len(next(iter(self.columns.values())))

    def rows(self) -> list[tuple[Cell, ...]]:
        """The rows of all columns."""
        return list(zip(*self.columns.values(), strict=True))

    def save_csv(self, path: Path) -> Path:
        """Writes the table; a cell without value is empty.

        Args:
            path: of the file; its folder is made.
        """
        with written_whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self.columns)
            writer.writerows([["" if cell is None else cell for cell in row] for row in self.rows()])
        return path


@dataclass(frozen=True, eq=False, kw_only=True)
class PartResult:
    """What a part found.

    Args:
        verdicts: of the paper's claims.
        tables: by key. The first is the part's own, ``<part>.csv``; another one is ``<part>_<key>.csv``.
        notes: assumptions and deviations, a short sentence each.
        commands: how a user makes the same by hand, e.g. ``cloudedge plan -m fleet.num_nodes=10,20,30``.

    Raises:
        ValueError: if there is no table.
    """

    verdicts: tuple[Verdict, ...]
    tables: Mapping[str, Table]
    notes: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.tables:
            raise ValueError("a part's result needs at least one table.")
        object.__setattr__(self, "tables", MappingProxyType(dict(self.tables)))
        for name in ("verdicts", "notes", "commands"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    def files(self, part: str) -> dict[str, str]:
        """The names of the CSV files by the tables' keys, for a part of the given name."""
        first = next(iter(self.tables))
        return {key: f"{part}.csv" if key == first else f"{part}_{key}.csv" for key in self.tables}

    def to_json(self) -> dict[str, Any]:
        """Returns the result as plain containers that JSON holds without loss."""
        tables = {
            key: {
                "title": table.title,
                "columns": {name: list(values) for name, values in table.columns.items()},
                "shown": list(table.shown),
            }
            for key, table in self.tables.items()
        }
        content = {
            "verdicts": [verdict.to_dict() for verdict in self.verdicts],
            "tables": tables,
            "notes": list(self.notes),
            "commands": list(self.commands),
        }
        result: dict[str, Any] = _encoded(content)
        return result

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> PartResult:
        """Returns the result of :meth:`to_json`."""
        tables = {
            key: Table(
                title=table["title"],
                columns={name: _decoded(values) for name, values in table["columns"].items()},
                shown=tuple(table["shown"]),
            )
            for key, table in content["tables"].items()
        }
        verdicts = [
            Verdict.from_dict(
                {
                    **each,
                    "numbers": dict(
                        zip(each["numbers"], _decoded(list(each["numbers"].values())), strict=True)
                    ),
                    "flips": [{**flip, "tried": _decoded(flip["tried"])} for flip in each["flips"]],
                }
            )
            for each in content["verdicts"]
        ]
        return cls(
            verdicts=tuple(verdicts),
            tables=tables,
            notes=tuple(content["notes"]),
            commands=tuple(content["commands"]),
        )

    def save(self, path: Path, context: Mapping[str, Any]) -> Path:
        """Writes the result, and what it belongs to, as JSON.

        Args:
            path: of the file; its folder is made.
            context: further keys, such as the part's fingerprint.
        """
        with written_whole(path) as part:
            content = json.dumps({**context, **self.to_json()}, indent=1, allow_nan=False)
            part.write_text(content + "\n", encoding="utf-8")
        return path


@dataclass(frozen=True, kw_only=True)
class Part:
    """A table or figure of the paper.

    Args:
        name: as in ``only=[name]`` and in file names.
        title: what it shows, with its number in the paper.
        measure: takes the setting and who is told of the progress.
        needs: keys and groups of ``conf/reproduce.yaml`` on which the result depends. When one of them changes, the
            part is made anew.
    """

    name: str
    title: str
    measure: Callable[[PaperSetting, Report], PartResult]
    needs: tuple[str, ...] = field(default=())


def _plain(value: Any) -> Cell:
    """A cell as a number, text, bool or None of Python."""
    plain = value.item() if hasattr(value, "item") else value
    if plain is not None and not isinstance(plain, (bool, int, float, str)):
        raise ValueError(
            f"a cell of a table is {plain!r}; it must be a number, text, true or false, or None."
        )
    return plain


def _encoded(value: Any) -> Any:
    """Writes numbers that are not finite as text."""
    if isinstance(value, dict):
        return {key: _encoded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_encoded(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _decoded(values: Sequence[Any]) -> list[Any]:
    """Reads what :func:`_encoded` wrote as text, in a list that otherwise holds numbers."""
    if any(isinstance(value, str) and value not in NOT_FINITE for value in values):
        return list(values)  # text
    return [NOT_FINITE[value] if isinstance(value, str) else value for value in values]
