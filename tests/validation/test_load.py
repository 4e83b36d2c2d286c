"""Open loop: every request is sent when it is due, whatever became of the others."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cloudedge_pl.serving.failures import CallError
from cloudedge_pl.validation.conditions import Span
from cloudedge_pl.validation.load import Answered, both, real_outcome, send, watch_sleep
from tests.serving.fleets import images, run, whole, write_bundle


class Slow:
    """A master that answers nobody until all have asked; the third request gets an error."""

    inputs = (SimpleNamespace(name="image"),)

    def __init__(self, number: int) -> None:
        self.asked, self._number, self._all = 0, number, asyncio.Event()

    async def infer(self, tensors: dict[str, np.ndarray], timeout_seconds: float) -> dict[str, np.ndarray]:
        self.asked += 1
        mine = self.asked
        if mine == self._number:
            self._all.set()
        await self._all.wait()
        if mine == 3:
            raise CallError("no", "busy")
        return {"node": np.array([mine % 2]), "path": np.array([4 if mine == 1 else 0])}


def test_requests_do_not_wait_for_each_other() -> None:
    arrivals, happened = np.array([0.0, 0.05, 0.1, 0.3]), []

    async def work() -> Answered:
        client: Any = Slow(4)
        return await send(client, images(1), arrivals, events=[(0.2, lambda: happened.append(client.asked))])

    found = run(work())
    assert happened == [3]
    assert np.isnan(found.delay_seconds).tolist() == [False, False, True, False]
    assert found.delay_seconds[0] >= 0.3 - 1e-3  # from when it was due
    assert found.delay_seconds[3] < found.delay_seconds[0]
    outcome = real_outcome(
        found,
        arrivals,
        Span(warmup_seconds=0.02, seconds=1.0),
        share_asleep=0.5,
        uploaded_bytes=400.0,
        nodes=("a", "b"),
    )
    assert (outcome.requests, outcome.failed, outcome.uploaded_bytes) == (3, 1, 100.0)
    assert outcome.by_path == {"cloud": 1.0}
    assert outcome.by_node == {"a": 1.0}


@pytest.mark.parametrize(("mode", "share"), [("always", 1.0), ("never", 0.0)])
def test_a_master_says_whether_its_cloud_sleeps(tmp_path: Any, mode: Any, share: float) -> None:
    from cloudedge_pl.dormancy import DormancyRule
    from cloudedge_pl.serving.client import Access, ModelClient

    manifest, _ = write_bundle(tmp_path)
    span = Span(warmup_seconds=0.1, seconds=0.3)

    async def work() -> tuple[Answered, float]:
        async with (
            whole(manifest, dormancy=DormancyRule(mode=mode)) as (master, url),
            Access().session() as session,
        ):
            model = master.served()
            client = ModelClient(url, model.name, model.inputs, model.outputs, session)
            return await both(send(client, images(1), np.array([0.0, 0.2])), watch_sleep(session, url, span))

    answered, asleep = run(work())
    assert asleep == share
    assert not np.isnan(answered.delay_seconds).any()
    assert answered.path.tolist() == ([1, 1] if mode == "always" else [0, 0])
