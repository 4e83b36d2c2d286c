"""Nodes and cloud that die, hang, answer rubbish and come back: every request has one answer, which is right."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import numpy as np
import pytest

from cloudedge_pl.dormancy import DormancyRule
from cloudedge_pl.serving import Manifest
from cloudedge_pl.serving.client import ModelClient
from cloudedge_pl.serving.failures import CallError
from cloudedge_pl.serving.master import Master
from cloudedge_pl.serving.master_settings import MasterSettings
from cloudedge_pl.serving.requests import PATHS, Request, Task
from tests.serving.faulty import FAULTS, FaultyPart
from tests.serving.fleets import Network, images, mastered, part_server, run, steady, write_bundle
from tests.serving.test_master import client_of, close

QUICK = MasterSettings(
    patience=1e-9 + 1.0,
    patience_seconds=0.5,
    retry_seconds=0.02,
    max_retry_seconds=0.1,
    probe_seconds=0.02,
    deadline_seconds=10.0,
    least_delay_seconds=0.5,
)
"""Settings with which failures are noticed soon, and the link's jitter is none."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Network]:
    return write_bundle(tmp_path_factory.mktemp("bundle"))


class Scene:
    """Two nodes and a cloud that fail as told, a master of them, and its client."""

    def __init__(self, manifest: Manifest, net: Network) -> None:
        self.net = net
        self.nodes = [FaultyPart("edge", manifest.parts["edge"], net.cut, manifest.id) for _ in range(2)]
        self.cloud = FaultyPart("cloud", manifest.parts["cloud"], self.from_cut, manifest.id)
        self.manifest = manifest
        self.master: Master
        self.client: ModelClient

    def from_cut(self, cut: np.ndarray) -> np.ndarray:
        return np.maximum(cut @ self.net.c, 0) @ self.net.d

    async def enter(self, stack: AsyncExitStack, **options: Any) -> Scene:
        nodes = {
            f"n{at}": await stack.enter_async_context(each.listening()) for at, each in enumerate(self.nodes)
        }
        cloud = await stack.enter_async_context(self.cloud.listening())
        given = mastered(self.manifest, nodes, cloud, **{"settings": QUICK, **options})
        self.master, url = await stack.enter_async_context(given)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        self.client = client_of(self.master, url, session)
        return self

    async def ask(self, seed: int, number: int = 1) -> dict[str, np.ndarray]:
        """Asks, and checks the answer on the path that it took."""
        samples = images(number, seed)
        found = await self.client.infer({"image": samples}, 120)
        by_exit = np.isin(found["path"], [PATHS.index("exit_asleep"), PATHS.index("exit_failed")])
        close(found["logits"], np.where(by_exit[:, None], self.net.exit(samples), self.net.cloud(samples)))
        return found


async def until(true: Any, seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("fault", FAULTS)
def test_tasks_of_a_node_that_fails_go_to_the_other_until_it_is_well(
    bundle: tuple[Manifest, Network], fault: str
) -> None:
    async def work() -> None:
        async with AsyncExitStack() as stack:
            scene = await Scene(*bundle).enter(stack)
            broken = scene.master.nodes[1]
            scene.nodes[1].mode = fault
            while broken.up:  # until the scheduler has given it a task, and that has failed
                answers = await asyncio.gather(*(scene.ask(seed, 2) for seed in range(10)))
                assert not any((found["node"] == 1).any() for found in answers)
            scene.nodes[1].mode = "good"
            await until(lambda: broken.up)
            found = await scene.ask(0, 1)
            while not (found["node"] == 1).any():
                found = await scene.ask(0, 8)

    run(work())


@pytest.mark.parametrize("fault", FAULTS)
def test_the_exit_head_answers_for_a_cloud_that_fails_until_it_is_well(
    bundle: tuple[Manifest, Network], fault: str
) -> None:
    async def work() -> None:
        async with AsyncExitStack() as stack:
            scene = await Scene(*bundle).enter(stack)
            assert (await scene.ask(0))["path"] == PATHS.index("cloud")
            scene.cloud.mode = fault
            assert (await scene.ask(1))["path"] == PATHS.index("exit_failed")
            await until(lambda: not scene.master.cloud.awake)
            assert (await scene.ask(2))["path"] == PATHS.index("exit_asleep")
            scene.cloud.mode = "good"
            await until(lambda: scene.master.cloud.awake)
            assert (await scene.ask(3))["path"] == PATHS.index("cloud")

    run(work())


def test_a_cloud_that_is_slow_sleeps_and_one_that_is_quick_again_wakes(
    bundle: tuple[Manifest, Network],
) -> None:
    async def work() -> None:
        async with AsyncExitStack() as stack:
            settings = steady(probe_seconds=0.01, least_delay_seconds=0.2)
            rule = DormancyRule(warmup_windows=1, dwell_windows=2)
            scene = await Scene(*bundle).enter(stack, settings=settings, dormancy=rule)
            for seed in range(5):
                assert (await scene.ask(seed))["path"] == PATHS.index("cloud")
            scene.cloud.delay_seconds = 1.2
            for seed in range(2):
                assert (await scene.ask(seed))["path"] == PATHS.index("cloud")
            assert (await scene.ask(7))["path"] == PATHS.index("exit_asleep")
            scene.cloud.delay_seconds = 0.0
            await until(lambda: scene.master.cloud.awake)
            assert (await scene.ask(8))["path"] == PATHS.index("cloud")

    run(work())


def test_the_cloud_has_no_more_calls_at_once_than_it_may(bundle: tuple[Manifest, Network]) -> None:
    async def work() -> None:
        async with AsyncExitStack() as stack:
            settings = steady(batch_size=1, calls_per_node=8, cloud_calls=3)
            scene = await Scene(*bundle).enter(stack, settings=settings)
            scene.cloud.delay_seconds = 0.01
            answers = await asyncio.gather(*(scene.ask(seed) for seed in range(20)))
            assert {int(found["path"][0]) for found in answers} == {PATHS.index("cloud")}
            assert scene.cloud.most == 3

    run(work())


@pytest.mark.parametrize("counted", [False, True])
def test_the_cloud_s_own_time_is_no_delay_unless_it_is_counted(
    bundle: tuple[Manifest, Network], counted: bool
) -> None:
    async def work() -> None:
        async with AsyncExitStack() as stack:
            settings = steady(least_delay_seconds=0.4, count_computation=counted)
            rule = DormancyRule(warmup_windows=1, dwell_windows=1)
            scene = Scene(*bundle)
            scene.cloud.says_its_time = True
            await scene.enter(stack, settings=settings, dormancy=rule)
            scene.cloud.delay_seconds = 1.2
            for seed in range(3):
                await scene.ask(seed)
            assert scene.master.cloud.awake != counted

    run(work())


def test_a_node_that_dies_and_comes_back_at_its_address(bundle: tuple[Manifest, Network]) -> None:
    manifest, net = bundle
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    async def work() -> None:
        async with AsyncExitStack() as stack:
            steady = await stack.enter_async_context(part_server(manifest, "edge"))
            nodes = {"steady": steady, "frail": f"http://127.0.0.1:{port}"}
            master, url = await stack.enter_async_context(mastered(manifest, nodes, None, settings=QUICK))
            session = await stack.enter_async_context(aiohttp.ClientSession())
            client = client_of(master, url, session)
            frail = master.nodes[1]
            assert not frail.up
            for _ in range(3):
                async with part_server(manifest, "edge", port=port, drain_seconds=0.0):
                    await until(lambda: frail.up)
                    asked = [client.infer({"image": images(1, seed)}, 120) for seed in range(20)]
                    going = [asyncio.create_task(each) for each in asked]
                    await asyncio.sleep(0.003)
                for seed, found in enumerate(await asyncio.gather(*going)):
                    close(found["logits"], net.exit(images(1, seed)))
                found = await client.infer({"image": images(8)}, 120)
                close(found["logits"], net.exit(images(8)))

    run(work())


def test_every_request_has_one_answer_or_one_error_whatever_fails(bundle: tuple[Manifest, Network]) -> None:
    draw = np.random.default_rng(0)
    requests, together = 120, 20

    async def work() -> None:
        async with AsyncExitStack() as stack:
            scene = await Scene(*bundle).enter(
                stack, settings=MasterSettings(**{**vars(QUICK), "max_tasks": 64})
            )
            answers: dict[int, Any] = {}

            async def fail() -> None:
                while True:
                    part = [*scene.nodes, scene.cloud][draw.integers(3)]
                    part.mode = str(draw.choice([*FAULTS, "good", "good", "good"]))
                    part.delay_seconds = float(draw.choice([0, 0, 0.01]))
                    await asyncio.sleep(0.02)

            async def asking(first: int) -> None:
                for seed in range(first, requests, together):
                    try:
                        found = await scene.ask(seed, 1 + seed % 3)
                    except CallError as error:
                        found = error
                    assert seed not in answers
                    answers[seed] = found

            failing = asyncio.create_task(fail())
            await asyncio.gather(*(asking(first) for first in range(together)))
            failing.cancel()
            assert len(answers) == requests
            answered = [each for each in answers.values() if not isinstance(each, CallError)]
            assert len(answered) > requests / 2
            assert scene.master.unanswered == 0
            for part in (*scene.nodes, scene.cloud):
                part.mode, part.delay_seconds = "good", 0.0
            await until(lambda: all(node.up for node in scene.master.nodes) and scene.master.cloud.awake)
            assert not any(node.outstanding for node in scene.master.nodes)
            async with asyncio.timeout(20):  # a busy machine may seem a slow cloud
                while set((await scene.ask(0, 8))["path"].tolist()) != {PATHS.index("cloud")}:
                    await asyncio.sleep(0.02)

    logging.disable()  # pytest keeps what is logged, and with it the calls that failed
    try:
        run(work())
    finally:
        logging.disable(logging.NOTSET)
    gc.collect()
    left = [each for each in gc.get_objects() if isinstance(each, Request | Task)]
    assert not left, "the master keeps no request"


def test_nodes_of_another_export_are_not_used(
    bundle: tuple[Manifest, Network], tmp_path_factory: pytest.TempPathFactory
) -> None:
    manifest, net = bundle
    other, _ = write_bundle(tmp_path_factory.mktemp("other"), seed=1)

    async def work() -> None:
        async with AsyncExitStack() as stack:
            nodes = {
                name: await stack.enter_async_context(part_server(each, "edge"))
                for name, each in (("other", other), ("right", manifest))
            }
            cloud = await stack.enter_async_context(part_server(other, "cloud"))
            master, url = await stack.enter_async_context(mastered(manifest, nodes, cloud, settings=QUICK))
            session = await stack.enter_async_context(aiohttp.ClientSession())
            found = await client_of(master, url, session).infer({"image": images(6)}, 120)
            close(found["logits"], net.exit(images(6)))
            assert found["node"].tolist() == [1] * 6
            assert not master.nodes[0].up

    run(work())


@pytest.mark.parametrize("mode", ["hysteresis", "never"])
def test_the_log_says_when_something_fails_for_another_reason(
    mode: str, bundle: tuple[Manifest, Network], caplog: pytest.LogCaptureFixture
) -> None:
    """Who starts a server again with another bundle is not to be left with "it is not reached"."""

    def said(what: str) -> bool:
        return any(what in each and "serves the export" in each for each in caplog.messages)

    async def work() -> None:
        async with AsyncExitStack() as stack:
            scene = await Scene(*bundle).enter(stack, dormancy=DormancyRule(mode=mode))
            scene.nodes[0].mode = scene.cloud.mode = "errs"
            while scene.master.nodes[0].up or "The cloud" not in caplog.text:
                await scene.client.infer({"image": images(4)}, 30)
            scene.nodes[0].mode = scene.cloud.mode = "another export"
            while not (said("Node n0 is still out") and said("The cloud fails")):
                await scene.client.infer({"image": images(4)}, 30)
                await asyncio.sleep(0.01)
            assert len(caplog.messages) < 10

    run(work())
