"""The window in which tasks wait until they are scheduled together: it opens by count or by time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from cloudedge_pl.serving.requests import Task


class Window:
    """Collects tasks. It opens when ``tasks`` wait, or ``seconds`` after the first began to.

    Args:
        seconds: 0 opens at once.
        tasks: at least 1.
        opened: takes the tasks.
    """

    def __init__(self, seconds: float, tasks: int, opened: Callable[[list[Task]], None]) -> None:
        self._seconds, self._tasks, self._opened = seconds, tasks, opened
        self._waiting: list[Task] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, tasks: Sequence[Task]) -> None:
        """Adds tasks, and opens if it is time."""
        self._waiting.extend(tasks)
        if self._seconds == 0 or len(self._waiting) >= self._tasks:
            self.open()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self.open)

    def open(self) -> None:
        """Passes on the tasks that wait."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._opened(waiting)
