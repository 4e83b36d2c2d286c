"""A node as the master sees it: how long it needs for what it has."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cloudedge_pl.serving import workers
from cloudedge_pl.serving.master_settings import MasterSettings
from cloudedge_pl.serving.requests import Request
from cloudedge_pl.serving.workers import Background, Node
from tests.serving.fleets import images, run, spec


class Held:
    """A node's server that answers when it is let."""

    url, inputs = "http://a:1", (spec("image", 3, 4, 4),)

    def __init__(self) -> None:
        self.let = asyncio.Event()

    async def infer(self, tensors: dict[str, np.ndarray], timeout_seconds: float) -> dict[str, np.ndarray]:
        await self.let.wait()
        self.let.clear()
        return {"cut_0": np.zeros((len(tensors["image"]), 2), np.float32)}


def test_what_is_done_of_the_running_task_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(workers, "time", SimpleNamespace(monotonic=lambda: clock.now))

    async def work() -> None:
        async def answered(*given: Any) -> None:
            pass

        client, background = Held(), Background()
        settings = MasterSettings(batch_size=1, calls_per_node=1, patience_seconds=1e6, deadline_seconds=1e6)
        server: Any = client
        node = Node(
            0,
            "node-0",
            server,
            settings,
            background,
            answered=answered,
            returned=lambda tasks: None,
            joined=lambda: None,
        )
        tasks = Request(images(3), 5, 1e9).tasks()
        assert node.backlog_seconds(100.0, 0.1) == 0
        node.give(tasks[:1])
        assert node.backlog_seconds(150.0, 0.1) == 0.1  # it is not up, so nothing runs
        node.up = True
        node.give(tasks[1:])
        assert node.backlog_seconds(100.03, 0.1) == pytest.approx(0.3 - 0.03)
        assert node.backlog_seconds(107.0, 0.1) == pytest.approx(0.3 - 0.1)  # late, but not done
        clock.now = 100.2
        await asyncio.sleep(0)
        client.let.set()
        while node.outstanding > 2:
            await asyncio.sleep(0)
        assert node.backlog_seconds(100.25, 0.1) == pytest.approx(0.2 - 0.05)
        await background.close()

    run(work())
