"""The row of a run: what it was asked for and what came of it, kept as row.json in the run's folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from cloudedge_pl.errors import lookup, require_fields
from cloudedge_pl.files import write_json

ROW_FILE = "row.json"
"""File of a run's row in the folder of the run."""

SWEEP_FILE = "sweep.json"
"""File of a sweep in its folder: every job and its state."""

STATES = ("done", "failed", "interrupted", "running", "not started")
"""What can have become of a run; a run that was killed stays "running"."""

LEFT_OUT = "left out"
"""Value of a key that the command line removes (``~key``)."""

Value = int | float | bool | str | None


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """What a run was asked for, and what came of it.

    Attributes:
        command: "train", "simulate" and so on.
        overrides: of the command line, for this run.
        fingerprint: of the whole config; runs that ask for the same have the same.
        state: one of :data:`STATES`.
        error: why it failed, or what stopped it.
        seed: of the config, if there is one.
        wall_seconds: real seconds of the command after start-up; of a training that went on, of all its parts.
        metrics: the numbers of summary.json, by key.
    """

    command: str
    overrides: Sequence[str] = ()
    fingerprint: str = ""
    state: str = "running"
    error: str | None = None
    seed: int | None = None
    wall_seconds: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_fields("row of a run", self)
        lookup(STATES, self.state, "state of a run")

    @property
    def is_done(self) -> bool:
        """Whether the run came to its end."""
        return self.state == "done"

    @property
    def parameters(self) -> dict[str, Value]:
        """Values of the overrides by key or group."""
        return dict(parameter(each) for each in self.overrides)

    def save(self, folder: Path) -> None:
        """Writes the row to a run's folder."""
        write_json(folder / ROW_FILE, asdict(self))

    @classmethod
    def load(cls, folder: Path) -> RunRow | None:
        """Reads the row of a run's folder; None if there is none.

        Raises:
            ValueError: if the file is not a row.
        """
        path = folder / ROW_FILE
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            known = {each.name for each in fields(cls)}
            return cls(**{name: value for name, value in content.items() if name in known})
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path} is not the row of a run: {error} Remove the file, or leave its folder out."
            ) from error


def parameter(override: str) -> tuple[str, Value]:
    """Returns the key and the value of an override.

    >>> parameter("+fleet.num_nodes=10")
    ('fleet.num_nodes', 10)
    >>> parameter("~scheduler")
    ('scheduler', 'left out')
    """
    key, _, value = override.partition("=")
    if key.startswith("~"):
        return key[1:], LEFT_OUT
    return key.lstrip("+"), typed(value)


def typed(text: str) -> Value:
    """Reads the value of an override: a whole number, a number, true, false, null, or text without its quotes."""
    words: dict[str, Value] = {"true": True, "false": False, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted else text


def rows_below(folder: Path) -> Iterator[tuple[Path, RunRow]]:
    """Yields the folder and the row of every run in a folder and below it, those that never started included.

    Args:
        folder: of a run, of a sweep, or of several, at any depth.

    Raises:
        ValueError: if a row or the file of a sweep cannot be read.
    """
    for path in sorted(folder.rglob(ROW_FILE), key=_natural):
        row = RunRow.load(path.parent)
        assert row is not None
        yield path.parent, row
    for path in sorted(folder.rglob(SWEEP_FILE), key=_natural):
        for job in _jobs(path):
            if job["state"] == "not started":
                yield path.parent, RunRow(command="", overrides=job["overrides"], state="not started")


def _jobs(path: Path) -> list[dict[str, Any]]:
    try:
        jobs: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["jobs"]
        return [{"state": each["state"], "overrides": list(each["overrides"])} for each in jobs]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is not the file of a sweep: {error!r}. Remove it.") from error


def _natural(path: Path) -> list[tuple[bool, int, str]]:
    """Sorts job 10 after job 2."""
    return [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in path.parts]
