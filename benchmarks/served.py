"""What the benchmark of serving runs: a bundle of an untrained network, and the processes that serve it."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import numpy as np

from cloudedge_pl.commands.reporting import quoted
from cloudedge_pl.commands.up import Child
from cloudedge_pl.serving.client import Access, ModelClient, fetch, model_url
from cloudedge_pl.serving.manifest import Manifest
from cloudedge_pl.serving.master import MODEL
from cloudedge_pl.serving.parts import tensor_specs

CLASSES = 10
SECONDS = 10.0
"""Deadline of a request."""

WHOLE = (
    "from functools import partial; from cloudedge_pl.commands.serving import main_of, serve_part; "
    "main_of('cloud', partial(serve_part, 'whole'))"
)
"""A server of the uncut network, as ``cloudedge cloud`` is one of the cloud part."""


def make_bundle(folder: Path, model: str, image_size: int, split_point: int | None, codec: str) -> Manifest:
    """Exports an untrained network; a split point of None is the middle one at which least crosses."""
    import torch  # only here: it takes seconds to load

    from cloudedge_pl.costs import CodecConfig
    from cloudedge_pl.dormancy import DormancyRule
    from cloudedge_pl.export.bundle import write_bundle
    from cloudedge_pl.export.parts import CutNetwork
    from cloudedge_pl.partition import ExitHead, build_backbone, trace
    from cloudedge_pl.partition.codecs import build_codec
    from cloudedge_pl.serving import ExitRule

    torch.manual_seed(0)
    chain = trace(build_backbone(model, CLASSES).eval(), torch.zeros(1, 3, image_size, image_size))
    if split_point is None:
        middle = range(chain.num_segments // 3 or 1, 2 * chain.num_segments // 3 + 1)
        split_point = min(middle, key=lambda at: sum(map(np.prod, chain.live_shapes(at))))
    shapes = chain.live_shapes(split_point)
    head = ExitHead(shapes, chain.output_shape)
    network = CutNetwork(chain, split_point, head, build_codec(CodecConfig(codec), shapes))
    return write_bundle(
        network,
        folder,
        format="onnx",
        whole=True,
        model=model,
        class_names=tuple(map(str, range(CLASSES))),
        codec=CodecConfig(codec),
        exits=ExitRule(),
        dormancy=DormancyRule(mode="never"),
    ).manifest


@dataclass(frozen=True, eq=False)
class System:
    """A server that answers for the whole network.

    Args:
        name: "cloud", "edge" or "cut".
        nodes: that are behind it.
        client: of it.
    """

    name: str
    nodes: int
    client: ModelClient


@dataclass(frozen=True, eq=False)
class Running:
    """All processes of a benchmark.

    Args:
        systems: what is compared.
        node: the first node's edge part, asked directly.
        cloud: the cloud part, asked directly.
        session: for further requests.
        pids: of the masters, by URL.
    """

    systems: list[System]
    node: ModelClient
    cloud: ModelClient
    session: aiohttp.ClientSession
    pids: dict[str, int]

    def cpu_seconds(self, url: str) -> float:
        """Time of the processor that a master has used so far; nan where there is no /proc."""
        try:
            stat = Path(f"/proc/{self.pids[url]}/stat").read_text()
        except FileNotFoundError:
            return math.nan
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def running(
    bundle: Path, numbers_of_nodes: Sequence[int], threads: int, node_seconds: float = 0.0
) -> AsyncIterator[Running]:
    """Starts nodes, cloud, masters and a server of the whole network; they end with the block, or with this process.

    All masters share the nodes and the cloud: only one of them is asked at a time. A sample takes ``node_seconds`` at
    least on a node, which leaves the processor free meanwhile.
    """
    common = [f"bundle={quoted(str(bundle))}", "port=0", f"threads={threads}"]
    started = [
        Child(f"node-{at}", ["node", *common, f"least_seconds={node_seconds}"])
        for at in range(max(numbers_of_nodes))
    ]
    started += [Child("cloud", ["cloud", *common]), Child("whole", common, code=WHOLE)]
    try:
        *urls, cloud, whole = await _start(started)
        masters = {}
        for number in numbers_of_nodes:
            nodes = f"nodes=[{','.join(map(quoted, urls[:number]))}]"
            masters["edge", number] = Child(f"edge-{number}", ["serve", *common, nodes])
            masters["cut", number] = Child(
                f"cut-{number}", ["serve", *common, nodes, f"cloud={quoted(cloud)}"]
            )
        started += masters.values()
        fronts = await _start(list(masters.values()))
        async with Access().session() as session:
            systems = [System("cloud", 0, await _client(whole, "whole", session))]
            for (name, number), url in zip(masters, fronts, strict=True):
                systems.append(System(name, number, await _client(url, MODEL, session)))
            node, part = await _client(urls[0], "edge", session), await _client(cloud, "cloud", session)
            pids = {url: child.process.pid for url, child in zip(fronts, masters.values(), strict=True)}
            yield Running(systems, node, part, session, pids)
    finally:
        await asyncio.gather(*(each.end(2.0) for each in started))


async def _start(children: Sequence[Child]) -> list[str]:
    """Starts processes two at a time, since loading takes a core each, and returns their URLs."""
    places = asyncio.Semaphore(2)

    async def start(child: Child) -> str:
        async with places:
            return await child.start(None)

    async with asyncio.TaskGroup() as group:
        urls = [group.create_task(start(child)) for child in children]
    return [each.result() for each in urls]


async def _client(url: str, model: str, session: aiohttp.ClientSession) -> ModelClient:
    """A client that takes a server's word for what the model takes and returns."""
    said = await fetch(session, model_url(url, model), SECONDS)
    inputs, outputs = (tensor_specs(said[kind]) for kind in ("inputs", "outputs"))
    return ModelClient(url, model, inputs, outputs, session)
