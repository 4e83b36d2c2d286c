"""A node as the master sees it: the tasks that wait for it, its calls, how long it takes, and whether it is well."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import numpy as np

from cloudedge_pl.serving.client import ModelClient
from cloudedge_pl.serving.estimates import ServiceEstimate
from cloudedge_pl.serving.failures import CallError, ServingError
from cloudedge_pl.serving.master_settings import MasterSettings
from cloudedge_pl.serving.parts import zeros
from cloudedge_pl.serving.requests import Task, book, joined, least_remaining_seconds

ALIKE = 4.0
"""A node gets tasks in one call if each has as much time as the first, within this factor. The call, and that of the
cloud after it, is cut short for the one that has least, and a client's short deadline is to cost no one else anything.
"""

log = logging.getLogger(__name__)


class Background:
    """Coroutines that run beside the requests; they are kept from being collected, and ended together."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[object]] = set()

    def start(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
        """Runs a coroutine, whose result is dropped."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def close(self) -> None:
        """Cancels what runs, and waits for it."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


class Node:
    """One node. A node that fails gives its tasks back, and is tried again after longer and longer times.

    Args:
        index: its place in the fleet.
        name: of the node.
        client: of its edge part.
        settings: of the master.
        background: runs the calls.
        answered: takes what the node returned for tasks.
        returned: takes the tasks that another node is to run.
        joined: called when the node can take tasks.

    Attributes:
        up: whether it gets tasks.
        estimate: of its time for a sample.
        failures: in a row.
    """

    def __init__(
        self,
        index: int,
        name: str,
        client: ModelClient,
        settings: MasterSettings,
        background: Background,
        *,
        answered: Callable[[Node, list[Task], dict[str, np.ndarray]], Awaitable[None]],
        returned: Callable[[list[Task]], None],
        joined: Callable[[], None],
    ) -> None:
        self.index, self.name, self.client = index, name, client
        self.estimate = ServiceEstimate(smoothing=settings.smoothing)
        self.up, self.failures = False, 0
        self._settings, self._background = settings, background
        self._answered, self._returned, self._joined = answered, returned, joined
        self._queue: deque[Task] = deque()
        self._calls = self._called = 0
        self._done_at = self._began_at = 0.0
        self._doubted = self._recovering = False

    @property
    def outstanding(self) -> int:
        """Tasks that wait for it, or are being run."""
        return len(self._queue) + self._called

    def backlog_seconds(self, clock_seconds: float, sample_seconds: float) -> float:
        """Time until it has run all its tasks, if one takes ``sample_seconds``; the part of one that is done counts."""
        done = min(max(clock_seconds - self._began_at, 0.0), sample_seconds) if self._calls else 0.0
        return self.outstanding * sample_seconds - done

    def give(self, tasks: Sequence[Task]) -> None:
        """Gives it tasks, which it runs in order."""
        now = time.monotonic()
        for task in tasks:
            task.given_at = now
        self._queue.extend(tasks)
        self._call_next()

    def doubt(self) -> None:
        """Tries the node at once, because what it returned is suspect."""
        if self.up and not self._doubted:
            self._doubted = True
            self._background.start(self._confirm())

    async def join(self) -> None:
        """Tries the node; it is up from then on if it is well, and is tried again if it is not."""
        error = await self._check()
        if error is None:
            self._come_up()
        else:
            self._go_down(error, [])

    def _call_next(self) -> None:
        while self.up and self._calls < self._settings.calls_per_node and (tasks := self._next()):
            if not self._calls:
                self._began_at = time.monotonic()
            self._calls += 1
            self._called += len(tasks)
            self._background.start(self._call(tasks))

    def _next(self) -> list[Task]:
        """Takes the next tasks from the queue that have about as long as the first; drops those that are over."""
        tasks: list[Task] = []
        others: list[Task] = []
        now, first = time.monotonic(), 0.0
        while self._queue and len(tasks) < self._settings.batch_size:
            task = self._queue.popleft()
            if task.request.over:
                continue
            left = max(task.request.deadline - now, 0.0)
            first = first if tasks else left
            (tasks if max(left, first) <= ALIKE * min(left, first) else others).append(task)
        self._queue.extendleft(reversed(others))
        return tasks

    async def _call(self, tasks: list[Task]) -> None:
        """Runs tasks on the node, and passes on what it returns. Whatever happens, every task goes on or fails."""
        try:
            tensors = await self._run(tasks)
            if tensors is not None:
                await self._answered(self, tasks, tensors)
        except Exception as error:
            log.exception("The master failed on a request.")
            for task in tasks:
                task.request.fail(ServingError(f"the master failed: {error!r}"))

    async def _run(self, tasks: list[Task]) -> dict[str, np.ndarray] | None:
        sent = time.monotonic()
        expected = self._called * self._seconds()
        remaining = least_remaining_seconds(tasks)
        limit = min(self._settings.limit_seconds(expected), remaining / 2)
        try:
            tensors = await self.client.infer({self.client.inputs[0].name: joined(tasks)}, max(limit, 0.001))
        except CallError as error:
            self._leave(tasks)
            if self._settings.is_failure(error.kind, limit, expected):
                self._go_down(error, tasks)
            else:
                for task in tasks:
                    task.tried |= {self.name}
                self._returned(tasks)
            self._call_next()
            return None
        except BaseException:
            self._leave(tasks)
            raise
        now = time.monotonic()
        # A call that waited at the node for the one before began when that was done.
        self.estimate.add((now - max(sent, self._done_at)) / len(tasks), now)
        self._done_at = self._began_at = now
        self._leave(tasks)
        self.failures = 0
        self._call_next()
        book(tasks, "node", now - sent)
        for task in tasks:
            task.request.stages.waiting += sent - task.given_at
        return tensors

    def _leave(self, tasks: Sequence[Task]) -> None:
        self._calls -= 1
        self._called -= len(tasks)

    def _seconds(self) -> float:
        mean = self.estimate.mean_seconds
        return mean if mean == mean else 0.0

    def _go_down(self, error: CallError, tasks: list[Task]) -> None:
        """Gives all tasks back, and tries the node again later."""
        self.up = False
        if not self._recovering:
            self._recovering = True
            self.failures += 1
            log.warning("Node %s is out: %s", self.name, error)
            self._background.start(self._recover(error.kind))
        waiting, self._queue = [*tasks, *self._queue], deque()
        self._returned([task for task in waiting if not task.request.over])

    async def _recover(self, kind: str) -> None:
        """Tries the node until it is well, and says so whenever the kind of its failure changes."""
        settings = self._settings
        wait = settings.retry_seconds * 2.0 ** min(self.failures - 1, 30)
        while True:
            await asyncio.sleep(min(wait, settings.max_retry_seconds))
            error = await self._check()
            if error is None:
                break
            if error.kind != kind:
                log.warning("Node %s is still out: %s", self.name, error)
            kind, wait = error.kind, wait * 2
        self._recovering = False
        log.warning("Node %s is back.", self.name)
        self._come_up()

    def _come_up(self) -> None:
        self.up = True
        self._joined()
        self._call_next()

    async def _confirm(self) -> None:
        error = await self._check()
        self._doubted = False
        if error is not None and self.up:
            self._go_down(error, [])

    async def _check(self) -> CallError | None:
        """Asks who it is, and has it run one sample of zeros; returns what is wrong."""
        limit = self._settings.deadline_seconds
        try:
            await self.client.hello(limit)
            sent = time.monotonic()
            tensors = await self.client.infer(zeros(self.client.inputs, 1), limit)
            now = time.monotonic()
        except CallError as error:
            return error
        if not finite_rows(tensors).all():
            return CallError(
                f"{self.client.url} answers a sample of zeros with values that are not finite", "rubbish"
            )
        if not self.estimate.measurements:
            self.estimate.add(now - sent, now)
        return None


def finite_rows(tensors: dict[str, np.ndarray]) -> np.ndarray:
    """[B] bool: whether all values of a sample are finite."""
    arrays = [array for array in tensors.values() if array.dtype.kind == "f"]
    good = np.ones(len(next(iter(tensors.values()))), dtype=bool)
    for array in arrays:
        finite = np.isfinite(array)
        if not finite.all():
            good &= finite.reshape(len(array), -1).all(axis=1)
    return good
