"""What happened to every task: its time stamps, node, path, bytes and joules, as columns that files keep exactly."""

from __future__ import annotations

import csv
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np

from cloudedge_pl.errors import DataError, lookup
from cloudedge_pl.files import written_whole

CLOUD, EXIT_ASLEEP, EARLY_EXIT, EDGE, EXIT_OVERLOAD = range(5)
REJECTED, IN_FLIGHT = -1, -2

PATHS: Final = {
    CLOUD: "cloud",
    EXIT_ASLEEP: "exit_asleep",
    EARLY_EXIT: "early_exit",
    EDGE: "edge",
    EXIT_OVERLOAD: "exit_overload",
    REJECTED: "rejected",
    IN_FLIGHT: "in_flight",
}
"""Names of the paths. The exit head answers while the cloud sleeps, because it is sure, or because the cloud is full;
``edge`` is a network that is whole on its node."""

DTYPES: Final[dict[str, type[np.generic]]] = {
    "task": np.int64,
    "sample": np.int64,
    "kind": np.int32,
    "node": np.int32,
    "path": np.int8,
    "attempts": np.int32,
    "arrival_seconds": np.float64,
    "window_seconds": np.float64,
    "at_node_seconds": np.float64,
    "started_seconds": np.float64,
    "done_seconds": np.float64,
    "sent_seconds": np.float64,
    "arrived_seconds": np.float64,
    "answered_seconds": np.float64,
    "deadline_seconds": np.float64,
    "upload_bytes": np.float64,
    "exit_bytes": np.float64,
    "download_bytes": np.float64,
    "joules": np.float64,
}
"""The columns, in the order in which files have them, and their types."""

ROWS_AT_ONCE: Final = 65_536
"""Rows that are turned into text at a time, so that a file of any length needs little memory."""


@dataclass(frozen=True, eq=False, kw_only=True)
class TaskRecords:
    """A row for each task, in columns [num_tasks]. Time stamps are in seconds of the virtual clock.

    A stamp is nan where the task has not passed. Stamps are those of the last attempt; bytes and joules are summed over
    all attempts.

    Args:
        task: number of the task in its stream, int64.
        sample: row in a table of outcomes, int64; -1 for none.
        kind: index of the task's class, int32.
        node: index of the node of the last attempt, int32; -1 for none.
        path: who answered, int8, a key of :data:`PATHS`.
        attempts: 1, and one more for each time that a failed node lost the task, int32.
        arrival_seconds: arrives at the master.
        window_seconds: its window opens, and it gets a node.
        at_node_seconds: its input is at the node.
        started_seconds: the node begins to compute.
        done_seconds: the node's part of the network is computed.
        sent_seconds: its last transfer by the node's radio ends.
        arrived_seconds: it reaches the station of the side that answers: the cloud, or the master's receiver.
        answered_seconds: the answer is there; in training, the gradient.
        deadline_seconds: the longest delay with which the answer is in time, from the arrival; infinite for none.
        upload_bytes: sent to the cloud.
        exit_bytes: exchanged with the exit head on the master, both ways.
        download_bytes: received from the cloud.
        joules: drawn for this task by computing and by radios, beyond idle power.

    Raises:
        ValueError: if a column is not one-dimensional, or has another length than the first.
    """

    task: np.ndarray
    sample: np.ndarray
    kind: np.ndarray
    node: np.ndarray
    path: np.ndarray
    attempts: np.ndarray
    arrival_seconds: np.ndarray
    window_seconds: np.ndarray
    at_node_seconds: np.ndarray
    started_seconds: np.ndarray
    done_seconds: np.ndarray
    sent_seconds: np.ndarray
    arrived_seconds: np.ndarray
    answered_seconds: np.ndarray
    deadline_seconds: np.ndarray
    upload_bytes: np.ndarray
    exit_bytes: np.ndarray
    download_bytes: np.ndarray
    joules: np.ndarray

    def __post_init__(self) -> None:
        for name, dtype in DTYPES.items():
            column = np.asarray(getattr(self, name), dtype=dtype)
            if column.shape != (len(self.task),):
                raise ValueError(
                    f"task records: {name} has shape {column.shape} and task {len(self.task)} rows; give each column "
                    "one value a task."
                )
            object.__setattr__(self, name, column)

    def __len__(self) -> int:
        return len(self.task)

    def __getitem__(self, rows: slice | np.ndarray) -> TaskRecords:
        """Returns the records of a slice, a mask or an array of row numbers."""
        return TaskRecords(**{name: column[rows] for name, column in self.columns().items()})

    def columns(self) -> dict[str, np.ndarray]:
        """Returns the columns by name, in the order of :data:`DTYPES`; they are not copied."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def empty(cls) -> TaskRecords:
        """Returns records of no task."""
        return cls(**{name: np.zeros(0, dtype) for name, dtype in DTYPES.items()})

    @classmethod
    def concatenate(cls, parts: Sequence[TaskRecords]) -> TaskRecords:
        """Returns the rows of all parts, one part after the other."""
        if not parts:
            return cls.empty()
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in DTYPES})

    # --- what follows from the columns ---

    @property
    def answered(self) -> np.ndarray:
        """Which tasks have been answered, bool [num_tasks]."""
        return self.path >= 0

    @property
    def delay_seconds(self) -> np.ndarray:
        """From arrival to answer, float64 [num_tasks]; nan for tasks that have none."""
        return np.where(self.answered, self.answered_seconds - self.arrival_seconds, np.nan)

    @property
    def in_time(self) -> np.ndarray:
        """Which tasks were answered by their deadline, bool [num_tasks]; true of every answered task without one."""
        return self.answered & (self.delay_seconds <= self.deadline_seconds)

    # --- files ---

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the records to a file, from which :meth:`load` reads exactly the same numbers.

        Args:
            path: ends in ``.csv``, or in ``.parquet``, which needs the extra ``parquet`` (pyarrow). The folder is made.

        Returns:
            The path.

        Raises:
            ValueError: if the path ends otherwise.
            RuntimeError: if pyarrow is needed and missing.
        """
        path = Path(path)
        write = lookup(
            {".csv": _write_csv, ".parquet": _write_parquet}, path.suffix, "ending of task records"
        )
        with written_whole(path) as part:
            write(self, part)
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> TaskRecords:
        """Reads what :meth:`save` wrote. Columns may be in any order, and further ones are ignored.

        Raises:
            DataError: if the file does not exist or is not one of task records; the message names the line.
            ValueError: if the path ends neither in ``.csv`` nor in ``.parquet``.
            RuntimeError: if pyarrow is needed and missing.
        """
        path = Path(path)
        read = lookup({".csv": _read_csv, ".parquet": _read_parquet}, path.suffix, "ending of task records")
        if not path.is_file():
            raise DataError(f"{path}: there is no such file; give one that TaskRecords.save wrote.")
        return cls(**read(path))


def _write_csv(records: TaskRecords, path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(DTYPES)
        for begin in range(0, len(records), ROWS_AT_ONCE):
            part = records[begin : begin + ROWS_AT_ONCE].columns().values()
            # Python writes the shortest text that reads back as the same number.
            writer.writerows(zip(*(column.tolist() for column in part), strict=True))


def _read_csv(path: Path) -> dict[str, np.ndarray]:
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        header = next(csv.reader(file), [])
    _require_columns(path, header)
    places = None if header == list(DTYPES) else [header.index(name) for name in DTYPES]
    dtype = np.dtype(list(DTYPES.items()))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "loadtxt: input contained no data")  # records of no task
            warnings.simplefilter("error", DeprecationWarning)  # numpy below 2 cuts 1.5 off to an integer
            table = np.loadtxt(
                path,
                dtype,
                delimiter=",",
                skiprows=1,
                usecols=places,
                comments=None,
                ndmin=1,
                encoding="utf-8",
            )
    except (ValueError, DeprecationWarning) as error:
        message = str(error).partition("; use")[0]  # the rest is about numpy's arguments
        raise DataError(f"{path}{_line_of(message)}: {message}") from error
    return {name: table[name] for name in DTYPES}


def _line_of(message: str) -> str:
    """The line that a message of ``numpy.loadtxt`` is about: it counts rows from 0 for a bad cell, else from 1."""
    bad_cell = re.search(r"at row (\d+), column", message)
    bad_length = re.search(r"at row (\d+)", message)
    if bad_cell:
        return f", line {int(bad_cell[1]) + 2}"
    return f", line {int(bad_length[1]) + 1}" if bad_length else ""


def _require_columns(path: Path, columns: Sequence[str]) -> None:
    missing = [name for name in DTYPES if name not in columns]
    if missing:
        raise DataError(
            f"{path}: no column {', '.join(missing)}; task records have the columns {', '.join(DTYPES)}."
        )


def _write_parquet(records: TaskRecords, path: Path) -> None:
    pyarrow = _pyarrow("pyarrow")
    _pyarrow("pyarrow.parquet").write_table(pyarrow.table(records.columns()), path)


def _read_parquet(path: Path) -> dict[str, np.ndarray]:
    pyarrow, parquet = _pyarrow("pyarrow"), _pyarrow("pyarrow.parquet")
    try:
        _require_columns(path, parquet.read_schema(path).names)
        table = parquet.read_table(path, columns=list(DTYPES))
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: not a parquet file of task records: {error}") from error
    return {name: table.column(name).to_numpy() for name in DTYPES}


def require_parquet() -> None:
    """Raises RuntimeError if pyarrow is missing, without which no parquet file can be written."""
    _pyarrow("pyarrow")


def _pyarrow(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise RuntimeError(
            "parquet files need pyarrow: pip install 'cloudedge_pl[parquet]', or choose a path that ends in .csv."
        ) from error
