"""The window: it opens by count or by time, whichever comes first, and loses no task."""

from __future__ import annotations

import asyncio

from cloudedge_pl.serving.requests import Request, Task
from cloudedge_pl.serving.window import Window
from tests.serving.fleets import images, run


def tasks(number: int) -> list[Task]:
    return Request(images(number), 5, 0.0).tasks()


def test_it_opens_at_once_without_a_time() -> None:
    async def work() -> None:
        opened: list[list[Task]] = []
        window, given = Window(0.0, 100, opened.append), tasks(3)
        window.add(given[:2])
        window.add(given[2:])
        assert opened == [given[:2], given[2:]]

    run(work())


def test_it_opens_by_count_or_by_time() -> None:
    async def work() -> None:
        opened: list[list[Task]] = []
        window, given = Window(0.02, 3, opened.append), tasks(6)
        window.add(given[:2])
        assert not opened
        window.add(given[2:4])
        assert opened == [given[:4]], "all that wait, though they are more than the count"
        window.add(given[4:5])
        window.add(given[5:])
        await asyncio.sleep(0.06)
        assert opened == [given[:4], given[4:]]
        await asyncio.sleep(0.03)
        assert len(opened) == 2, "an empty window does not open"

    run(work())
