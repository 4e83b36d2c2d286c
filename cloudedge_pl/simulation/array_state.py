"""The engine's arrays in other forms: as plain containers for a checkpoint, and finished rows as records."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from cloudedge_pl.errors import CheckpointError, require_saved
from cloudedge_pl.simulation.arrays import make_room
from cloudedge_pl.simulation.layout import SWITCH, TIMES, WORLD, Arrays
from cloudedge_pl.simulation.task_records import TaskRecords

LENGTHS = {"tasks": "num_rows", "events": "heap_size", "switches": "num_switches_kept"}
"""Arrays with spare room, and the scalars that say how much of them is used."""


def records_of(rows: np.ndarray) -> TaskRecords:
    """Returns rows of the task table as records."""
    seconds = {f"{name}_seconds": rows[name] for name in ("arrival", *TIMES[:-1], "deadline")}
    plain = {name: rows[name] for name in ("task", "sample", "kind", "node", "path", "attempts")}
    costs = {name: rows[name] for name in ("upload_bytes", "exit_bytes", "download_bytes", "joules")}
    return TaskRecords(
        **{name: np.ascontiguousarray(column) for name, column in (plain | seconds | costs).items()}
    )


def plain_arrays(arrays: Arrays) -> dict[str, Any]:
    """Returns what is used of the arrays, as lists; :func:`restored_arrays` takes it."""
    return {name: _plain(array) for name, array in _used(arrays).items()}


def restored_arrays(state: dict[str, Any], present: Arrays) -> Arrays:
    """Returns arrays as they were.

    Args:
        state: what :func:`plain_arrays` returned.
        present: arrays of the same fleet.

    Raises:
        CheckpointError: if the state belongs to a fleet of another size, or an earlier version wrote it.
    """
    _check_columns(state, present)
    arrays = {name: _array(state[name], array.dtype) for name, array in _used(present).items()}
    theirs, ours = len(arrays["nodes"]), len(present.nodes)
    if theirs != ours:
        raise CheckpointError(
            f"the checkpoint is of a fleet of {theirs} nodes, this one has {ours}; resume with the fleet that it "
            "was trained with."
        )
    room = len(present.switches) - len(arrays["switches"])
    arrays["switches"] = np.concatenate((arrays["switches"], np.zeros(room, dtype=SWITCH)))
    restored = Arrays(**arrays)
    make_room(restored, 64)
    return restored


def _check_columns(state: dict[str, Any], present: Arrays) -> None:
    """Raises CheckpointError if a state lacks columns of the present layout."""
    for name, array in _used(present).items():
        require_saved(f"{name} have", state.get(name, ()), array.dtype.names or ())


def _used(arrays: Arrays) -> dict[str, np.ndarray]:
    """The arrays without their spare room, and without addresses, which are those of this process."""
    found = {field.name: getattr(arrays, field.name) for field in fields(arrays)}
    found["world"] = arrays.world.copy()
    for name in WORLD.names or ():
        if name.endswith("_address"):
            found["world"][name] = 0
    return found | {name: found[name][: int(arrays.world[used][0])] for name, used in LENGTHS.items()}


def _plain(array: np.ndarray) -> Any:
    if array.dtype.names is None:
        return array.tolist()
    return {name: array[name].tolist() for name in array.dtype.names}


def _array(plain: Any, dtype: np.dtype[Any]) -> np.ndarray:
    if dtype.names is None:
        return np.array(plain, dtype=dtype)
    array = np.zeros(len(next(iter(plain.values()))), dtype=dtype)
    for name in dtype.names:
        array[name] = plain[name]
    return array
