"""The master with real servers in this process: paths, windows, routing, limits, and one answer to every request."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import numpy as np
import pytest

from cloudedge_pl.dormancy import DormancyRule
from cloudedge_pl.serving import ExitRule, Manifest
from cloudedge_pl.serving.client import ModelClient
from cloudedge_pl.serving.failures import CallError, TooLate
from cloudedge_pl.serving.master import MODEL, Master
from cloudedge_pl.serving.master_settings import MasterSettings
from cloudedge_pl.serving.protocol import HEADER_LENGTH, encode_request
from cloudedge_pl.serving.requests import PATHS
from tests.serving.faulty import FaultyPart
from tests.serving.fleets import (
    CLASSES,
    Network,
    images,
    mastered,
    part_server,
    run,
    steady,
    whole,
    write_bundle,
)

ALWAYS = DormancyRule(mode="always")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Network]:
    return write_bundle(tmp_path_factory.mktemp("bundle"))


def client_of(master: Master, url: str, session: aiohttp.ClientSession) -> ModelClient:
    model = master.served()
    return ModelClient(url, MODEL, model.inputs, model.outputs, session, manifest_id=master.manifest.id)


async def ask(master: Master, url: str, samples: np.ndarray) -> dict[str, np.ndarray]:
    async with aiohttp.ClientSession() as session:
        client = client_of(master, url, session)
        await client.hello(60)
        return await client.infer({"image": samples}, 120)


def post(
    session: aiohttp.ClientSession, url: str, manifest: Manifest, samples: np.ndarray, **parameters: int
) -> Any:
    """A request whose status is looked at, as an asynchronous context of the response."""
    body, length = encode_request({"image": samples}, (manifest.image,), parameters=parameters)
    headers = {HEADER_LENGTH: str(length)}
    return session.post(f"{url}/v2/models/{MODEL}/infer", data=body, headers=headers)


async def require_unharmed(master: Master, url: str, net: Network) -> None:
    """Requires that nodes and cloud are up a little later, and answer."""
    await asyncio.sleep(0.05)
    assert all(node.up for node in master.nodes)
    assert master.cloud.awake
    close((await ask(master, url, images(3)))["logits"], net.cloud(images(3)))


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64))
    return powers / powers.sum(axis=1, keepdims=True)


def close(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_the_cloud_answers_every_sample_of_a_request(bundle: tuple[Manifest, Network]) -> None:
    manifest, net = bundle

    async def work() -> None:
        async with whole(manifest) as (master, url):
            samples = images(40)
            found = await ask(master, url, samples)
            close(found["logits"], net.cloud(samples))
            np.testing.assert_array_equal(found["class"], net.cloud(samples).argmax(axis=1))
            assert set(found["path"].tolist()) == {PATHS.index("cloud")}
            assert set(found["node"].tolist()) == {0, 1}, "both nodes work"

    run(work())


@pytest.mark.parametrize("has_cloud", [True, False])
def test_the_exit_head_answers_while_the_cloud_sleeps_or_there_is_none(
    bundle: tuple[Manifest, Network], has_cloud: bool
) -> None:
    manifest, net = bundle

    async def work() -> None:
        async with AsyncExitStack() as stack:
            node = await stack.enter_async_context(part_server(manifest, "edge"))
            cloud = await stack.enter_async_context(part_server(manifest, "cloud"))
            options: dict[str, Any] = {"dormancy": ALWAYS} if has_cloud else {}
            given = mastered(manifest, {"a": node}, cloud if has_cloud else None, **options)
            master, url = await stack.enter_async_context(given)
            found = await ask(master, url, images(5))
            close(found["logits"], net.exit(images(5)))
            assert found["path"].tolist() == [PATHS.index("exit_asleep")] * 5

    run(work())


@pytest.mark.parametrize("audit_share", [0.0, 1.0])
def test_sure_samples_exit_and_audited_ones_go_to_the_cloud(
    bundle: tuple[Manifest, Network], audit_share: float
) -> None:
    manifest, net = bundle
    samples = images(60)
    scores = softmax(net.exit(samples)).max(axis=1)
    threshold = float(np.median(scores))

    async def work() -> None:
        rule = ExitRule(policy="confidence", threshold=threshold)
        settings = steady(audit_share=audit_share)
        async with whole(manifest, exits=rule, settings=settings) as (master, url):
            found = await ask(master, url, samples)
            sure = scores > threshold
            expected = np.where(sure & (audit_share == 0), 1, 0)[:, None]
            close(found["logits"], np.where(expected, net.exit(samples), net.cloud(samples)))
            path = PATHS.index("audited" if audit_share else "early_exit")
            np.testing.assert_array_equal(found["path"], np.where(sure, path, PATHS.index("cloud")))
            audit = master.audit.report()
            assert audit["num_samples"] == 60
            assert audit["num_passed"] == 30
            disagreed = net.exit(samples)[sure].argmax(axis=1) != net.cloud(samples)[sure].argmax(axis=1)
            assert audit["num_audited"] == 30 * audit_share
            assert audit["num_disagreed"] == int(disagreed.sum()) * audit_share

    run(work())


@pytest.mark.parametrize("settings", [{"window_seconds": 1.0}, {"window_seconds": 30.0, "window_tasks": 6}])
def test_tasks_of_several_requests_share_a_window(
    bundle: tuple[Manifest, Network], settings: dict[str, Any]
) -> None:
    manifest, net = bundle

    async def work() -> None:
        async with whole(manifest, settings=steady(**settings)) as (master, url):
            windows = master.scheduler.windows
            answers = await asyncio.gather(*(ask(master, url, images(2, seed)) for seed in range(3)))
            assert master.scheduler.windows == windows + 1
            for seed, found in enumerate(answers):
                close(found["logits"], net.cloud(images(2, seed)))

    run(work())


def test_a_slow_node_gets_fewer_tasks(bundle: tuple[Manifest, Network]) -> None:
    manifest, net = bundle

    async def work() -> None:
        async with AsyncExitStack() as stack:
            parts = [FaultyPart("edge", manifest.parts["edge"], net.cut, manifest.id) for _ in range(2)]
            parts[1].delay_seconds = 0.5
            nodes = {
                str(index): await stack.enter_async_context(part.listening())
                for index, part in enumerate(parts)
            }
            settings = steady(batch_size=1, calls_per_node=1)
            given = mastered(manifest, nodes, None, settings=settings)
            master, url = await stack.enter_async_context(given)
            found = await ask(master, url, images(40))
            close(found["logits"], net.exit(images(40)))
            counts = np.bincount(found["node"], minlength=2)
            assert counts[0] > 3 * counts[1]

    run(work())


def test_more_than_max_tasks_get_503_and_a_request_that_never_fits_413(
    bundle: tuple[Manifest, Network],
) -> None:
    manifest, net = bundle

    async def work() -> None:
        async with AsyncExitStack() as stack:
            part = FaultyPart("edge", manifest.parts["edge"], net.cut, manifest.id)
            node = await stack.enter_async_context(part.listening())
            given = mastered(manifest, {"a": node}, None, settings=steady(max_tasks=6))
            master, url = await stack.enter_async_context(given)
            part.delay_seconds = 1.0
            session = await stack.enter_async_context(aiohttp.ClientSession())
            first = asyncio.create_task(ask(master, url, images(5)))
            while not master.unanswered:
                await asyncio.sleep(0.001)
            for number, status in ((2, 503), (7, 413)):
                async with post(session, url, manifest, images(number)) as response:
                    assert response.status == status
                    assert (int(response.headers.get("Retry-After", 0)) >= 1) == (status == 503)
            close((await first)["logits"], net.exit(images(5)))
            assert master.unanswered == 0

    run(work())


def test_the_deadline_is_kept_and_a_client_that_goes_is_forgotten(bundle: tuple[Manifest, Network]) -> None:
    manifest, net = bundle

    async def work() -> None:
        async with AsyncExitStack() as stack:
            part = FaultyPart("edge", manifest.parts["edge"], net.cut, manifest.id)
            node = await stack.enter_async_context(part.listening())
            settings = MasterSettings(deadline_seconds=0.3, patience_seconds=0.1)
            master, url = await stack.enter_async_context(
                mastered(manifest, {"a": node}, None, settings=settings)
            )
            session = await stack.enter_async_context(aiohttp.ClientSession())
            client = client_of(master, url, session)
            part.mode = "hangs"
            with pytest.raises(CallError, match="504"):
                await client.infer({"image": images(2)}, 60)
            gone = asyncio.create_task(client.infer({"image": images(2)}, 60))
            while not master.unanswered:
                await asyncio.sleep(0.001)
            gone.cancel()
            while master.unanswered:
                await asyncio.sleep(0.001)

    run(work())


def test_inputs_that_are_or_lead_to_nothing_finite_harm_no_one(bundle: tuple[Manifest, Network]) -> None:
    manifest, net = bundle

    async def work() -> None:
        async with whole(manifest) as (master, url), aiohttp.ClientSession() as session:
            for value, status in ((np.nan, 400), (np.inf, 400), (3e38, 422)):
                bad = np.full((1, 3, 4, 4), value, np.float32)
                async with post(session, url, manifest, bad) as response:
                    assert response.status == status
            await require_unharmed(master, url, net)

    run(work())


def test_a_client_s_short_timeout_condemns_no_node(bundle: tuple[Manifest, Network]) -> None:
    manifest, net = bundle

    async def work() -> None:
        async with whole(manifest) as (master, url), aiohttp.ClientSession() as session:
            for _ in range(20):
                async with post(session, url, manifest, images(1), timeout=1) as response:
                    assert response.status in (200, 504)
            await require_unharmed(master, url, net)

    run(work())


def test_tasks_wait_for_the_first_node(bundle: tuple[Manifest, Network]) -> None:
    manifest, net = bundle

    async def work() -> None:
        async with AsyncExitStack() as stack:
            part = FaultyPart("edge", manifest.parts["edge"], net.cut, manifest.id)
            part.mode = "errs"
            node = await stack.enter_async_context(part.listening())
            settings = steady(retry_seconds=0.02)
            master, url = await stack.enter_async_context(
                mastered(manifest, {"a": node}, None, settings=settings)
            )
            assert not master.ready
            waiting = asyncio.create_task(ask(master, url, images(2)))
            while not master.unanswered:
                await asyncio.sleep(0.001)
            with pytest.raises(TooLate, match="none of the 1 nodes is well"):
                await master.infer({"image": images(1)}, 0.01)
            part.mode = "good"
            close((await waiting)["logits"], net.exit(images(2)))

    run(work())


def test_metadata_say_what_a_client_needs(bundle: tuple[Manifest, Network]) -> None:
    manifest, _ = bundle

    async def work() -> None:
        async with whole(manifest) as (_, url), aiohttp.ClientSession() as session:
            async with session.get(f"{url}/v2/models/{MODEL}") as response:
                said = await response.json()
            assert [each["name"] for each in said["outputs"]] == ["logits", "class", "path", "node"]
            assert said["outputs"][0]["shape"] == [-1, CLASSES]
            parameters = said["parameters"]
            assert parameters["manifest"] == manifest.id
            assert parameters["class_names"] == list("abcde")
            assert parameters["paths"] == list(PATHS)
            assert parameters["nodes"] == ["node-0", "node-1"]
            assert parameters["preprocessing"]["input_shape"] == [3, 4, 4]
            async with session.get(f"{url}/metrics") as response:
                lines = (await response.text()).splitlines()
            assert 'cloudedge_node_up{node="node-1"} 1.0' in lines
            assert "cloudedge_cloud_asleep 0.0" in lines

    run(work())
