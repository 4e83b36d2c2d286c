"""The stream of tasks that a fleet serves: arrivals, the class of each task, and how its service time deviates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cloudedge_pl.errors import lookup, require_seed
from cloudedge_pl.settings import as_settings
from cloudedge_pl.simulation.arrivals import BLOCK, ArrivalSettings
from cloudedge_pl.simulation.tasks import ServiceNoise, TaskClass, Tasks

KIND, NOISE, STRAGGLER = 0x6B696E64, 0x6E6F6973, 0x73747261
"""Parts of the seeds of classes, noise and stragglers, so that a change of one leaves the draws of the others."""


class TaskSource:
    """Tasks one after the other, drawn when they are asked for.

    Every figure of a task depends on the seed and its number only, not on how many tasks are asked for at once.

    Args:
        arrivals: when tasks arrive. Where a trace names the classes, their shares are not used.
        classes: of tasks, at least one, as objects or mappings of their fields.
        noise: of service times. The jitter is applied by whoever knows the node; here are its standard normal values.
        seed: of the draws.

    Raises:
        ValueError: if there is no class, two have the same name, or the arrivals name one that does not exist.
    """

    def __init__(
        self,
        *,
        arrivals: ArrivalSettings,
        classes: Sequence[TaskClass | Mapping[str, Any]] = (TaskClass(),),
        noise: ServiceNoise | None = None,
        seed: int = 0,
    ) -> None:
        require_seed("tasks", seed=seed)
        self.classes = tuple(as_settings(TaskClass, each, "a task class") for each in classes)
        self.arrivals, self.noise, self.seed = arrivals, noise or ServiceNoise(), seed
        index = {each.name: row for row, each in enumerate(self.classes)}
        if not self.classes or len(index) < len(self.classes):
            names = ", ".join(each.name for each in self.classes)
            raise ValueError(
                f"tasks: classes has the names [{names}]; give at least one class, and each a name of its own."
            )
        named = [
            lookup(index, name, f"task class in {arrivals.place_of(name)}:") for name in arrivals.class_names
        ]
        self._named = np.array(named, dtype=np.int32)
        self._process = arrivals.process(seed)
        self._num_given = 0
        self._drawn: tuple[int, np.ndarray] = (-1, np.empty((3, 0)))

    def next(self, num_tasks: int) -> Tasks:
        """Returns the tasks behind the last ones given.

        Args:
            num_tasks: how many; there are fewer only where the arrivals have ended.
        """
        given = self._process.next(num_tasks)
        count = len(given.seconds)
        share, noise, straggler = self._marks(self._num_given, count)
        self._num_given += count
        limits = np.cumsum([each.share for each in self.classes])
        kind = np.searchsorted(limits[:-1] / limits[-1], share, side="right")
        if len(self._named):
            kind = self._named[given.kind]
        size, work, deadline = np.array(
            [[each.size, each.work, each.deadline_seconds] for each in self.classes], dtype=np.float64
        ).T
        late = straggler < self.noise.straggler_probability
        return Tasks(
            arrival_seconds=given.seconds,
            kind=kind,
            size=size[kind],
            work=work[kind],
            deadline_seconds=deadline[kind],
            noise=noise,
            slowdown=np.where(late, self.noise.straggler_slowdown, 1.0),
            exits=np.zeros(count),
            audited=np.zeros(count),
            sample=np.full(count, -1),
        )

    def _marks(self, start: int, count: int) -> np.ndarray:
        """Draws of tasks from number ``start`` on: for the class, of the noise, for stragglers, [3, count]."""
        marks = np.empty((3, count))
        for block in range(start // BLOCK, math.ceil((start + count) / BLOCK)):
            if self._drawn[0] != block:
                self._drawn = (block, self._draw(block))
            first = block * BLOCK
            low, high = max(start, first), min(start + count, first + BLOCK)
            marks[:, low - start : high - start] = self._drawn[1][:, low - first : high - first]
        return marks

    def _draw(self, block: int) -> np.ndarray:
        kind, noise, straggler = (
            np.random.default_rng([self.seed, block, stream]) for stream in (KIND, NOISE, STRAGGLER)
        )
        return np.stack([kind.random(BLOCK), noise.standard_normal(BLOCK), straggler.random(BLOCK)])

    def state_dict(self) -> dict[str, Any]:
        """Where the stream stands: a few plain values."""
        return {"num_given": self._num_given, "arrivals": self._process.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what :meth:`state_dict` returned.

        Raises:
            CheckpointError: if the arrivals are of another kind.
        """
        self._process.load_state_dict(state["arrivals"])
        self._num_given = int(state["num_given"])


class GivenTasks:
    """Tasks that are known already, as a source.

    Args:
        tasks: in order of arrival.
    """

    def __init__(self, tasks: Tasks) -> None:
        self._tasks, self._given = tasks, 0

    def next(self, num_tasks: int) -> Tasks:
        """Returns the tasks behind the last ones given; fewer than asked for only at the end."""
        start = self._given
        self._given = min(start + num_tasks, len(self._tasks))
        return self._tasks[start : self._given]
