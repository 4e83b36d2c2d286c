"""A request that the master is answering: every sample of it is a task, and it gets one answer or one error."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cloudedge_pl.exits import PATHS as WAYS

PATHS = (*WAYS, "exit_failed")
"""Who answered a sample: the cloud; the exit head while the cloud slept; the exit head of a sure sample; the cloud for
audit; the exit head because the cloud failed."""


@dataclass(slots=True, eq=False)
class Stages:
    """Seconds that a request of one sample waited for a node and that its calls took: the rest is the master's own."""

    waiting: float = 0.0
    node: float = 0.0
    exit_head: float = 0.0
    cloud: float = 0.0

    @property
    def seconds(self) -> float:
        """Of all of them."""
        return self.waiting + self.node + self.exit_head + self.cloud


class Request:
    """The samples of one request, and what is known of each.

    Args:
        images: [n, ...] as the edge part takes them.
        num_classes: length of the logits.
        deadline: time of ``time.monotonic`` at which the request is given up.

    Attributes:
        answer: done when the last sample is answered, or with the error.
        stages: filled in by whoever calls.
    """

    def __init__(self, images: np.ndarray, num_classes: int, deadline: float) -> None:
        number = len(images)
        self.images, self.deadline = images, deadline
        self.started = time.monotonic()
        self.answer: asyncio.Future[dict[str, np.ndarray]] = asyncio.get_running_loop().create_future()
        self.stages = Stages()
        self._open = set(range(number))
        self._outputs: dict[str, np.ndarray] = {
            "logits": np.empty((number, num_classes), np.float32),
            "class": np.empty(number, np.int64),
            "path": np.empty(number, np.uint8),
            "node": np.empty(number, np.int32),
        }

    @property
    def over(self) -> bool:
        """Whether it needs nothing more: it is answered, has failed, or its client has gone."""
        return self.answer.done()

    @property
    def remaining_seconds(self) -> float:
        """Until its deadline; may be negative."""
        return self.deadline - time.monotonic()

    def tasks(self) -> list[Task]:
        """A task for every sample, in order."""
        return [Task(self, row) for row in range(len(self.images))]

    def take(self, row: int, logits: np.ndarray, path: int, node: int) -> bool:
        """Takes the answer to one sample, which is given once; returns whether the request still needed it."""
        if self.over or row not in self._open:
            return False
        outputs = self._outputs
        outputs["logits"][row] = logits
        outputs["class"][row] = logits.argmax()
        outputs["path"][row] = path
        outputs["node"][row] = node
        self._open.remove(row)
        if not self._open:
            self.answer.set_result(outputs)
        return True

    def fail(self, error: Exception) -> None:
        """Gives the request up with an error, unless it is over."""
        if not self.over:
            self.answer.set_exception(error)


@dataclass(slots=True, eq=False)
class Task:
    """One sample of a request.

    Args:
        request: that it belongs to.
        row: of the request.
        given_at: time of ``time.monotonic`` at which a node got it.
        tried: nodes that had no usable answer to it.
    """

    request: Request
    row: int
    given_at: float = 0.0
    tried: frozenset[str] = field(default=frozenset())


def joined(tasks: Sequence[Task]) -> np.ndarray:
    """The samples of tasks as one batch; without a copy if they are neighbours in one request."""
    first, last = tasks[0], tasks[-1]
    images = first.request.images
    if all(task.request is first.request and task.row == first.row + at for at, task in enumerate(tasks)):
        return images[first.row : last.row + 1]
    return np.stack([task.request.images[task.row] for task in tasks])


def book(tasks: Sequence[Task], stage: str, seconds: float) -> None:
    """Books time of a call for several tasks to the requests of all of them."""
    for task in tasks:
        stages = task.request.stages
        setattr(stages, stage, getattr(stages, stage) + seconds)


def least_remaining_seconds(tasks: Sequence[Task]) -> float:
    """Until the first deadline of any of the tasks."""
    return min(task.request.remaining_seconds for task in tasks)
