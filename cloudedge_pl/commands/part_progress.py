"""Progress of the parts of a reproduction: a bar on a terminal, elsewhere lines."""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from typing_extensions import override

from cloudedge_pl.paper.part import Part, Report

SECONDS_BETWEEN_LINES = 30.0
"""Elsewhere than on a terminal, a step is said after so many seconds since the last line."""


class PartProgress(Report):
    """Shows how many parts are made, and the step of the current one; a context manager.

    Args:
        console: it is written to.
        num_parts: how many are to be made.
    """

    def __init__(self, console: Console, num_parts: int) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._num_parts = num_parts
        self._parts = self._progress.add_task("parts", total=num_parts)
        self._step = self._progress.add_task("", total=None)
        self._done = 0
        self._title, self._said, self._at = "", "", 0.0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self._progress.disable:  # otherwise the oldest rich writes an empty line
            self._progress.stop()

    def say(self, text: str) -> None:
        """Writes a line above the bar."""
        self._at = time.monotonic()
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def begin(self, part: Part) -> None:
        """Says that a part is begun."""
        self._title = part.name
        self._progress.update(self._parts, description=f"part {self._done + 1} of {self._num_parts}")
        self._progress.reset(self._step, description=part.name, total=None)
        if not self._console.is_terminal:
            self.say(f"{part.name}: {part.title}")

    def end(self, text: str) -> None:
        """Says how the part ended."""
        self._done += 1
        self._progress.update(self._parts, completed=self._done)
        self.say(text)

    @override
    def step(self, text: str, done: float = 0, total: float | None = None) -> None:
        self._progress.update(self._step, description=f"{self._title}: {text}", completed=done, total=total)
        new = text != self._said and time.monotonic() - self._at >= SECONDS_BETWEEN_LINES
        if new and not self._console.is_terminal:
            self._said = text
            self.say(f"{self._title}: {text}{f' ({done:g} of {total:g})' if total else ''}")
