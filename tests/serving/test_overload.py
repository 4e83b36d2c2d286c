"""What one client asks for costs others nothing, nothing waits for those who have gone, and an answer counts once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from cloudedge_pl.dormancy import DormancyRule
from cloudedge_pl.serving import ExitRule
from cloudedge_pl.serving.answers import Answers
from cloudedge_pl.serving.cloud import CloudLink
from cloudedge_pl.serving.failures import TooLate
from cloudedge_pl.serving.master_settings import MasterSettings
from cloudedge_pl.serving.metrics import MasterMetrics
from cloudedge_pl.serving.requests import PATHS, Request
from cloudedge_pl.serving.workers import Background, Node
from tests.serving.fleets import CLASSES, SHAPE, run, spec


def asked(seconds: float, value: float = 0.0, number: int = 1) -> Request:
    """A request with so much time, of samples of one value."""
    samples = np.full((number, *SHAPE), value, np.float32)
    return Request(samples, CLASSES, time.monotonic() + seconds)


class Recorder:
    """A client of a node that never answers; it keeps the values of each call's samples, and the call's limit."""

    inputs = (spec("image", *SHAPE),)
    url = "http://recorder:1"

    def __init__(self) -> None:
        self.calls: list[tuple[list[int], float]] = []

    async def infer(self, tensors: Mapping[str, np.ndarray], timeout_seconds: float) -> Any:
        self.calls.append((tensors["image"][:, 0, 0, 0].astype(int).tolist(), timeout_seconds))
        await asyncio.Event().wait()


def test_a_short_deadline_does_not_cut_the_calls_of_others_short() -> None:
    async def work() -> None:
        client, background = Recorder(), Background()
        settings = MasterSettings(batch_size=4, calls_per_node=8, patience_seconds=0.5)

        async def answered(*_: Any) -> None: ...

        node = Node(
            0,
            "node",
            client,  # type: ignore[arg-type]  # it does what a node needs
            settings,
            background,
            answered=answered,
            returned=lambda tasks: None,
            joined=lambda: None,
        )
        node.up = True
        requests = [asked(0.1 if value % 2 else 5.0, value) for value in range(14)]
        node.give([task for request in requests for task in request.tasks()])
        await asyncio.sleep(0)
        assert [values for values, _ in client.calls] == [
            [0, 2, 4, 6],
            [1, 3, 5, 7],
            [8, 10, 12],
            [9, 11, 13],
        ]
        for values, limit in client.calls:
            assert limit == (pytest.approx(0.05, abs=0.01) if values[0] % 2 else 0.5)
        await background.close()

    run(work())


def test_the_exit_head_does_not_compute_for_requests_that_are_over() -> None:
    """Otherwise a slow exit head would only ever answer those who have gone, ever later."""
    calls: list[int] = []

    def slow(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        calls.append(len(tensors["cut_0"]))
        time.sleep(0.05)
        return {"logits": np.zeros((len(tensors["cut_0"]), CLASSES), np.float32)}

    async def work() -> None:
        link = CloudLink(None, DormancyRule(), MasterSettings(), Background())
        answers = Answers(slow, link, ExitRule(), 0.0, MasterMetrics(PATHS))
        requests = [asked(5.0) for _ in range(30)]
        given = [
            asyncio.create_task(answers.give(request.tasks(), {"cut_0": np.zeros((1, 6), np.float32)}, 0))
            for request in requests
        ]
        while not calls:
            await asyncio.sleep(0.001)
        for request in requests[:-1]:
            request.fail(TooLate("over"))
        await asyncio.gather(*given)
        assert len(calls) == 2, "the one that was being computed, and the last"
        assert (await requests[-1].answer)["path"].tolist() == [PATHS.index("exit_asleep")]
        for request in requests[:-1]:
            with pytest.raises(TooLate):
                await request.answer
        answers.close()

    run(work())


def test_a_second_answer_to_a_sample_changes_nothing() -> None:
    async def work() -> None:
        request = asked(5.0, number=2)
        first, second, other = (np.full(CLASSES, value, np.float32) for value in (1, 2, 3))
        assert request.take(0, first, 0, 0)
        assert not request.take(0, second, 1, 1)
        assert not request.over
        assert request.take(1, other, 2, 2)
        assert not request.take(1, second, 1, 1)
        found = await request.answer
        np.testing.assert_array_equal(found["logits"], [first, other])
        assert found["path"].tolist() == found["node"].tolist() == [0, 2]

    run(work())
