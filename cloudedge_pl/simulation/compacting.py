"""Takes finished rows out of the engine's task table, and renumbers the others wherever they are named."""

from __future__ import annotations

import numpy as np

from cloudedge_pl.simulation.events import WINDOW_OPENS
from cloudedge_pl.simulation.layout import DEAD, FINISHED, Arrays
from cloudedge_pl.simulation.queues import KINDS


def take_finished(arrays: Arrays) -> np.ndarray:
    """Removes the rows of finished tasks and of lost attempts that no event or queue names.

    Returns:
        The finished rows, in order.
    """
    world = arrays.world[0]
    used = int(world["num_rows"])
    rows = arrays.tasks[:used]
    items = arrays.events["item"][: int(world["heap_size"])]
    named = np.zeros(used, dtype=bool)
    named[(items // KINDS // 2)[items % KINDS != WINDOW_OPENS]] = True
    for row in np.flatnonzero((rows["state"] == DEAD) & (named | (rows["queued"] > 0)))[::-1]:
        while (
            rows["state"][row] == DEAD
        ):  # what the master still does for a lost attempt is charged to its successor
            row = rows["successor"][row]
            named[row] = True
    gone = ((rows["state"] == FINISHED) | (rows["state"] == DEAD)) & (rows["queued"] == 0) & ~named
    finished = rows[gone & (rows["state"] == FINISHED)].copy()
    if gone.any():
        _renumber(arrays, gone)
    return finished


def _renumber(arrays: Arrays, gone: np.ndarray) -> None:
    world, used = arrays.world[0], len(gone)
    kept = np.flatnonzero(~gone)
    number = np.cumsum(~gone) - 1  # of a row that is kept

    def job(jobs: np.ndarray) -> np.ndarray:
        rows = np.maximum(jobs, 0) // 2
        return np.where(jobs >= 0, 2 * number[rows] + (jobs & 1), jobs)

    rows = arrays.tasks[kept]
    # A link of a row that is in no queue may be stale, and its row gone; it is not read again.
    for link in ("next0", "next1"):
        rows[link] = job(rows[link])
    rows["successor"] = number[rows["successor"]]
    arrays.tasks[: len(kept)] = rows
    arrays.tasks[len(kept) : used] = np.zeros(1, dtype=arrays.tasks.dtype)
    for array, names in (
        (arrays.stations, ("head", "tail", "job")),
        (arrays.nodes, ("held_head", "held_tail")),
    ):
        for name in names:
            array[name] = job(array[name])
    blocked = arrays.nodes["blocked"]
    arrays.nodes["blocked"] = np.where(blocked >= 0, number[np.maximum(blocked, 0)], blocked)
    for name in ("waiting_head", "waiting_tail"):
        world[name] = job(np.array([world[name]]))[0]
    items = arrays.events["item"][: int(world["heap_size"])]
    of_rows = items % KINDS != WINDOW_OPENS
    items[of_rows] = job(items[of_rows] // KINDS) * KINDS + items[of_rows] % KINDS
    arrivals = int(world["next_arrival"])
    world["num_rows_given"] -= int(gone[: int(world["num_rows_given"])].sum())
    world["next_arrival"] = arrivals - int(gone[:arrivals].sum())
    world["num_rows"] = len(kept)
    world["first_open"] = 0
