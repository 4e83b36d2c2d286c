"""A served network whose nodes and cloud are killed, stopped, slowed, cut off and restarted under load.

Everything is a process started as a user starts it. The client is written without the package, and the answers are
compared with the network in NumPy.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import numpy as np
import pytest

from cloudedge_pl.exits import binomial_interval
from cloudedge_pl.exits.risk import calibrate
from cloudedge_pl.serving import ExitRule
from tests.serving.fleets import Network, images, run, write_bundle
from tests.serving.processes import Part, Program, free_port, gone

REQUESTS, REQUESTS_PER_SECOND, BURST = 2000, 75.0, 80
MAX_RISK = 0.02
PATHS = ("cloud", "exit_asleep", "early_exit", "audited", "exit_failed")
BY_CLOUD = ("cloud", "audited")
SETTINGS = (
    "master.max_tasks=128",
    "master.retry_seconds=0.1",
    "master.max_retry_seconds=1.0",
    "master.probe_seconds=0.2",
    "master.audit_share=0.25",
)
GROWTH_BYTES = 6 * 2**20


def network() -> Network:
    """A network whose exit head agrees with its cloud where it is sure."""
    net, draw = Network(7), np.random.default_rng(8)
    net.c = np.eye(*net.c.shape, dtype=np.float32)
    near = net.b + 0.3 * draw.standard_normal(net.b.shape)
    net.d = np.concatenate([near, net.d[len(near) :]]).astype(np.float32)
    return net


def confidence(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return powers.max(axis=1) / powers.sum(axis=1)


def disagree(net: Network, samples: np.ndarray) -> np.ndarray:
    return net.exit(samples).argmax(axis=1) != net.cloud(samples).argmax(axis=1)


def threshold_of(net: Network) -> float:
    """Calibrated for half the limit, so that the samples of one test stay below all of it."""
    held_back = images(4000, seed=10**6)
    scores, lost = confidence(net.exit(held_back)), disagree(net, held_back)
    return calibrate(scores, lost, max_risk=MAX_RISK / 2).threshold


@dataclass
class Tally:
    """What the client saw."""

    statuses: Counter[int] = field(default_factory=Counter)
    paths: Counter[str] = field(default_factory=Counter)
    disagreed: int = 0
    answered: set[int] = field(default_factory=set, repr=False)
    rss_bytes: list[int] = field(default_factory=list)


class Client:
    """Sends requests, and checks each answer against the network on the path that it names."""

    def __init__(self, url: str, net: Network, threshold: float, session: aiohttp.ClientSession) -> None:
        self.url, self.net, self.threshold, self.session = url, net, threshold, session
        self.tally = Tally()

    async def ask(self, index: int, number: int) -> int:
        """One request, and its one answer or error; returns the status."""
        samples = images(number, seed=index)
        tensor = {"name": "image", "shape": list(samples.shape), "datatype": "FP32"}
        head = json.dumps(
            {
                "id": f"request {index}",
                "inputs": [{**tensor, "parameters": {"binary_data_size": samples.nbytes}}],
                "parameters": {"binary_data_output": True},
            }
        ).encode()
        headers = {"Inference-Header-Content-Length": str(len(head))}
        address = f"{self.url}/v2/models/network/infer"
        async with self.session.post(address, data=head + samples.tobytes(), headers=headers) as response:
            body = await response.read()
            self.tally.statuses[response.status] += 1
            if response.status != 200:
                assert json.loads(body)["error"]
                assert response.status != 503 or int(response.headers["Retry-After"]) >= 1
                return response.status
            length = int(response.headers["Inference-Header-Content-Length"])
        said = json.loads(body[:length])
        assert said["id"] == f"request {index}"
        self.check(index, samples, arrays(said["outputs"], body[length:]))
        return 200

    def check(self, index: int, samples: np.ndarray, found: dict[str, np.ndarray]) -> None:
        assert index not in self.tally.answered
        self.tally.answered.add(index)
        paths = [PATHS[each] for each in found["path"]]
        assert len(paths) == len(samples)
        by_exit, by_cloud = self.net.exit(samples), self.net.cloud(samples)
        from_cloud = np.isin(paths, BY_CLOUD)
        expected = np.where(from_cloud[:, None], by_cloud, by_exit)
        np.testing.assert_allclose(found["logits"], expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(found["class"], found["logits"].argmax(axis=1))
        assert set(found["node"].tolist()) <= {0, 1, 2}
        scores = confidence(by_exit)
        for path, score in zip(paths, scores, strict=True):
            if path in ("cloud", "early_exit", "audited") and abs(score - self.threshold) > 1e-5:
                assert (score > self.threshold) == (path != "cloud")
        self.tally.paths.update(paths)
        gone_early = np.isin(paths, ("early_exit", "audited"))
        self.tally.disagreed += int((gone_early & disagree(self.net, samples)).sum())

    async def metrics(self) -> dict[str, float]:
        """What the master's /metrics say."""
        async with self.session.get(f"{self.url}/metrics") as response:
            text = await response.text()
        found = re.findall(r"^(\w+(?:\{[^}]*\})?) (\S+)$", text, re.MULTILINE)
        return {name: float(value) for name, value in found}


def arrays(outputs: list[dict[str, object]], values: bytes) -> dict[str, np.ndarray]:
    """The binary outputs of an answer."""
    types = {"FP32": np.float32, "INT64": np.int64, "INT32": np.int32, "UINT8": np.uint8}
    found = {}
    for each in outputs:
        size = each["parameters"]["binary_data_size"]
        flat = np.frombuffer(values[:size], types[each["datatype"]])
        found[each["name"]], values = flat.reshape(each["shape"]), values[size:]
    assert not values
    return found


async def until_well(client: Client, seconds: float = 120.0) -> None:
    """Waits until all nodes and the cloud do their work."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                found = await client.metrics()
            except aiohttp.ClientError:
                found = {}
            well = [found.get(f'cloudedge_node_up{{node="node-{at}"}}') for at in range(3)]
            if well == [1, 1, 1] and found["cloudedge_cloud_asleep"] == 0:
                return
            await asyncio.sleep(0.05)


async def load(client: Client, master: Program) -> None:
    """2,000 requests at random times, some of them together, of one sample or several."""
    draw, loop = np.random.default_rng(1), asyncio.get_running_loop()
    begun, asked = loop.time(), []
    for index in range(REQUESTS):
        if index % 400 >= BURST:
            await asyncio.sleep(begun + index / REQUESTS_PER_SECOND - loop.time())
        number = int(draw.choice([1, 1, 1, 2, 3, 8]))
        asked.append(asyncio.ensure_future(client.ask(index, number)))
        if index % (REQUESTS // 4) == 0:
            client.tally.rss_bytes.append(master.rss_bytes())
    await asyncio.gather(*asked)
    client.tally.rss_bytes.append(master.rss_bytes())


def write_bundles(folder: Path, net: Network) -> float:
    """Writes the bundle that is served, and another export; returns the threshold of the exits."""
    threshold = threshold_of(net)
    rule = ExitRule(policy="confidence", threshold=threshold, max_risk=MAX_RISK)
    write_bundle(folder / "bundle", net=net, exits=rule)
    write_bundle(folder / "other", seed=1)
    return threshold


async def chaos(folder: Path, programs: list[Program]) -> None:
    """Serves the bundle, asks and disturbs it, and ends the master in order; lists what it starts in ``programs``."""
    net = network()
    threshold = write_bundles(folder, net)
    for name in ("node-0", "node-1", "node-2", "cloud", "serve"):
        programs.append(Program(name.partition("-")[0], free_port(), folder / f"{name}.log"))
    *serving, master = programs
    parts = [Part(program, folder / "bundle", folder / "other") for program in serving]
    async with AsyncExitStack() as stack:
        *nodes, cloud = [await stack.enter_async_context(part.running()) for part in parts]
        stack.callback(master.kill)
        addresses = (f"nodes=[{','.join(nodes)}]", f"cloud={cloud}")
        master.start(f"bundle={folder / 'bundle'}", *addresses, *SETTINGS)
        timeout, connector = aiohttp.ClientTimeout(total=60), aiohttp.TCPConnector(limit=0)
        session = aiohttp.ClientSession(timeout=timeout, connector=connector)
        client = Client(master.url, net, threshold, await stack.enter_async_context(session))
        await until_well(client)
        unwell = [asyncio.Semaphore(2), asyncio.Semaphore(1)]  # of the nodes, and of the cloud
        failing = [
            asyncio.create_task(part.suffer(np.random.default_rng([2, at]), unwell[at // 3]))
            for at, part in enumerate(parts)
        ]
        await load(client, master)
        for each in failing:
            each.cancel()
        ends = await asyncio.gather(*failing, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends
        await until_well(client)
        found = await client.metrics()
        print(client.tally, *(part.faults for part in parts), sep="\n")
        check(client.tally, found)
        assert await master.end(60.0) == 0


def check(tally: Tally, found: dict[str, float]) -> None:
    """Compares what the client saw with the limits, and with what the master counted."""
    assert sum(tally.statuses.values()) == REQUESTS
    assert set(tally.statuses) <= {200, 503, 504}
    # On a machine that does nothing else 0.9 are answered; on a busy one restarts take long, and more get 503.
    assert tally.statuses[200] == len(tally.answered) > 0.25 * REQUESTS
    counted = {code: found.get(f'cloudedge_requests_total{{status="{code}"}}', 0) for code in tally.statuses}
    assert counted == tally.statuses, "none is answered twice"
    assert all(tally.paths[path] for path in PATHS)
    assert found["cloudedge_retried_total"] > 0
    assert found["cloudedge_unanswered"] == 0
    assert all(found[f'cloudedge_node_outstanding{{node="node-{at}"}}'] == 0 for at in range(3))
    assert max(tally.rss_bytes[1:]) - tally.rss_bytes[1] < GROWTH_BYTES, tally.rss_bytes
    passed = tally.paths["early_exit"] + tally.paths["audited"]
    scored = passed + tally.paths["cloud"]
    assert tally.disagreed <= MAX_RISK * scored
    audited, disagreed = found["cloudedge_audited_total"], found["cloudedge_disagreed_total"]
    lowest, _ = binomial_interval(int(disagreed), int(audited), delta=1e-3)
    assert lowest * passed / scored <= MAX_RISK


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_two_thousand_requests_have_one_answer_or_one_error_each_whatever_fails(tmp_path: Path) -> None:
    programs: list[Program] = []
    try:
        run(chaos(tmp_path, programs), 600)
    finally:
        assert all(gone(pid) for program in programs for pid in program.pids)
