"""The columns of tasks that go in, and of records that come out, as lists: simpy handles one task at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .setup import IN_FLIGHT

STAMPS = ("window", "at_node", "started", "done", "sent", "arrived", "answered")
AMOUNTS = ("upload_bytes", "exit_bytes", "download_bytes", "joules")


class Inputs:
    """The columns of tasks [num_tasks].

    Attributes:
        sure: whether the exit head keeps the task, as it is sure of it and the task is not audited.
    """

    def __init__(self, tasks: Any) -> None:
        self.arrival, self.size, self.work, self.noise, self.slowdown, self.deadline = (
            np.asarray(getattr(tasks, column)).tolist()
            for column in ("arrival_seconds", "size", "work", "noise", "slowdown", "deadline_seconds")
        )
        self.sure = (np.asarray(tasks.exits, bool) & ~np.asarray(tasks.audited, bool)).tolist()


class Records:
    """The columns of records [num_tasks]: time stamps of the last attempt, amounts of all attempts."""

    def __init__(self, num_tasks: int) -> None:
        self.stamps = {name: [math.nan] * num_tasks for name in STAMPS}
        self.amounts = {name: [0.0] * num_tasks for name in AMOUNTS}
        self.node, self.path, self.attempts = [-1] * num_tasks, [IN_FLIGHT] * num_tasks, [0] * num_tasks

    def book(self, task: int, **amounts: float) -> None:
        for name, amount in amounts.items():
            self.amounts[name][task] += amount

    def forget(self, task: int) -> None:
        """Removes the time stamps of an attempt that was in vain."""
        self.path[task] = IN_FLIGHT
        for values in self.stamps.values():
            values[task] = math.nan

    def columns(self) -> dict[str, np.ndarray]:
        """Returns the columns as arrays."""
        columns = {f"{name}_seconds": np.array(values) for name, values in self.stamps.items()}
        columns |= {name: np.array(values) for name, values in self.amounts.items()}
        return columns | {name: np.array(getattr(self, name)) for name in ("node", "path", "attempts")}
