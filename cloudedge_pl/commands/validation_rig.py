"""What ``cloudedge validate`` runs: nodes and cloud behind links, and a master of its own for every condition."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from hydra.utils import instantiate
from omegaconf import DictConfig

from cloudedge_pl.commands.reporting import quoted
from cloudedge_pl.commands.serving import master_parts
from cloudedge_pl.commands.up import Child
from cloudedge_pl.dormancy import DormancyRule
from cloudedge_pl.serving import Manifest
from cloudedge_pl.serving.client import Access, ModelClient
from cloudedge_pl.serving.link_proxy import LinkProxy, LinkShape
from cloudedge_pl.serving.master import MODEL, network_outputs
from cloudedge_pl.serving.master_settings import MasterSettings
from cloudedge_pl.serving.parts import zeros
from cloudedge_pl.serving.session import OnnxPart
from cloudedge_pl.validation.conditions import CONDITIONS, Condition, Span, poisson
from cloudedge_pl.validation.hosts import OWN_NETWORK, Link, connect
from cloudedge_pl.validation.load import Event, both, real_outcome, send, watch_sleep
from cloudedge_pl.validation.measured import (
    Figures,
    ServerFigures,
    mean_overhead,
    measure_run,
    measure_server,
)
from cloudedge_pl.validation.outcomes import Comparison, Outcome
from cloudedge_pl.validation.twin import Twin, second_fastest

END_SECONDS = 5.0
"""Time that a process has to end."""


@dataclass(frozen=True, eq=False)
class Host:
    """A server, and the link before it.

    Args:
        child: its process.
        link: before it.
        url: of the link's near end.
    """

    child: Child
    link: Link
    url: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Rig:
    """Nodes and cloud that run, and what they are compared by.

    Args:
        content: the command's keys.
        manifest: of the bundle.
        session: of connections.
        nodes: in order.
        cloud: behind its link.
        settings: of the master.
        rule: by which the cloud sleeps.
    """

    content: dict[str, Any]
    manifest: Manifest
    session: aiohttp.ClientSession
    nodes: tuple[Host, ...]
    cloud: Host
    settings: MasterSettings
    rule: DormancyRule

    @property
    def span(self) -> Span:
        """Times of every condition."""
        return Span(warmup_seconds=self.content["warmup_seconds"], seconds=self.content["seconds"])

    async def measure(self, host: Host, part: str, samples: Sequence[int]) -> ServerFigures:
        """Measures a server and its link alone."""
        spec = self.manifest.parts[part]
        client = ModelClient(
            host.url, part, spec.inputs, spec.outputs, self.session, manifest_id=self.manifest.id
        )
        return await measure_server(client, host.link.carried, calls=self.content["calls"], samples=samples)

    async def figures(self) -> Figures:
        """Measures everything. The nodes are measured beside each other, because they mostly wait."""
        nodes = await asyncio.gather(*(self.measure(node, "edge", (1, 4)) for node in self.nodes))
        cloud = await self.measure(self.cloud, "cloud", (1, 4, 8))
        exit_head = OnnxPart(self.manifest, "exit", threads=1)
        seconds = measure_run(exit_head, zeros(self.manifest.exit_inputs, 1))
        async with _master(self, self.settings) as client:
            front = await measure_server(client, lambda: (0, 0), calls=self.content["calls"], samples=(1,))
            async with self.session.get(f"{client.url}/metrics") as response:
                own = mean_overhead(await response.text())
        return Figures(
            nodes=tuple(nodes),
            cloud=cloud,
            exit_seconds=seconds,
            master_seconds=front.link_seconds + own,
        )


# --- hosts ---


@asynccontextmanager
async def running(cfg: DictConfig, content: dict[str, Any], isolated: bool) -> AsyncIterator[Rig]:
    """Nodes and cloud that run within the block."""
    manifest = Manifest.read(content["bundle"])
    settings, _, rule = master_parts(cfg)
    near = LinkShape(
        delay_seconds=content["node_delay_seconds"], rate_bits_per_second=content["node_bits_per_second"]
    )
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(Access().session())
        starts = [
            _host(stack, content, isolated, "node", number, seconds, near)
            for number, seconds in enumerate(content["node_seconds"])
        ]
        cloud = _host(
            stack,
            content,
            isolated,
            "cloud",
            len(starts),
            content["cloud_seconds"],
            _far(content),
        )
        hosts = await asyncio.gather(*starts, cloud)
        yield Rig(
            content=content,
            manifest=manifest,
            session=session,
            nodes=tuple(hosts[:-1]),
            cloud=hosts[-1],
            settings=settings,
            rule=rule or manifest.dormancy,
        )


def _far(content: dict[str, Any], rate: float | None = None) -> LinkShape:
    return LinkShape(
        delay_seconds=content["cloud_delay_seconds"],
        rate_bits_per_second=content["cloud_bits_per_second"] if rate is None else rate,
    )


async def _host(
    stack: AsyncExitStack,
    content: dict[str, Any],
    isolated: bool,
    command: str,
    number: int,
    least_seconds: float,
    shape: LinkShape,
) -> Host:
    """Starts a server behind a link; the stack ends both."""
    name = command if command == "cloud" else f"node-{number}"
    options = ["host=0.0.0.0", "insecure=true"] if isolated else []
    child = Child(
        name,
        [
            command,
            f"bundle={quoted(content['bundle'])}",
            "port=0",
            "threads=1",
            "token=null",
            "drain_seconds=1",
            f"least_seconds={least_seconds}",
            *options,
        ],
        within=OWN_NETWORK if isolated else (),
    )
    stack.push_async_callback(child.end, END_SECONDS)
    url = await child.start(None)
    pid = child.process.pid if isolated else None
    if pid is not None:
        url = f"http://{await connect(pid, number)}:{url.rpartition(':')[2]}"
    proxy = LinkProxy(url)
    front = await stack.enter_async_context(proxy.listening())
    link = Link(proxy, pid, number)
    await link.shape(shape)
    return Host(child, link, front)


# --- a condition ---


async def compare(cfg: DictConfig, rig: Rig, figures: Figures, name: str) -> Comparison:
    """Runs a condition, and simulates it."""
    condition, span, content = CONDITIONS[name], rig.span, rig.content
    rate = condition.load * figures.capacity
    if condition.link_load is not None:
        bits = 8 * figures.cloud.sent_bytes * rate / condition.link_load
        await rig.cloud.link.shape(_far(content, bits))
        figures = replace(figures, cloud=await rig.measure(rig.cloud, "cloud", (1, 4, 8)))
    trip = figures.cloud.link_seconds + figures.cloud.service_seconds
    settings = replace(rig.settings, probe_seconds=max(1 / rate - trip, 0.01))
    twin = Twin(
        figures=figures,
        master=settings,
        rule=rig.rule,
        delay_seconds=content["cloud_delay_seconds"],
        folder=Path(content["dir"]),
    )
    seed = content["seed"] + sorted(CONDITIONS).index(name)
    arrivals = poisson(rate, span, seed)
    real = await _serve(rig, settings, arrivals, _events(rig, figures, condition))
    simulated = twin.run(arrivals, instantiate(cfg.scheduler), condition, span, name=name, seed=seed)
    if condition.link_load is not None:
        await rig.cloud.link.shape(_far(content))
    return Comparison(condition=name, arrival_rate=rate, real=real, simulated=simulated)


def _events(rig: Rig, figures: Figures, condition: Condition) -> list[Event]:
    """What happens to links and nodes during a condition."""
    span, proxy = rig.span, rig.cloud.link.proxy
    delay = rig.content["cloud_delay_seconds"]
    found: list[Event] = []

    def wait(seconds: float) -> None:
        proxy.shape = replace(proxy.shape, delay_seconds=seconds)

    def pass_on(up: bool) -> None:
        proxy.up = up

    if condition.slow_from is not None:
        found.append((span.at(condition.slow_from), lambda: wait(delay * condition.slow_factor)))
        found.append((span.at(condition.slow_until), lambda: wait(delay)))
    if condition.outage_from is not None:
        found.append((span.at(condition.outage_from), lambda: pass_on(False)))
        found.append((span.at(condition.outage_until), lambda: pass_on(True)))
    if condition.dies_at is not None:
        node = rig.nodes[second_fastest(figures)]
        found.append((span.at(condition.dies_at), lambda: node.child.process.kill()))
    return found


@asynccontextmanager
async def _master(rig: Rig, settings: MasterSettings) -> AsyncIterator[ModelClient]:
    """A client of a master that runs within the block."""
    child, manifest = Child("master", _master_arguments(rig, settings)), rig.manifest
    outputs = network_outputs(manifest.num_classes)
    try:
        url = await child.start(None)
        yield ModelClient(url, MODEL, (manifest.image,), outputs, rig.session, manifest_id=manifest.id)
    finally:
        await child.end(END_SECONDS)


async def _serve(
    rig: Rig, settings: MasterSettings, arrivals: np.ndarray, events: Sequence[Event]
) -> Outcome:
    """Runs requests through a master of its own."""
    image = np.random.default_rng(0).standard_normal((1, *rig.manifest.image.shape[1:]))
    try:
        async with _master(rig, settings) as client:
            before = rig.cloud.link.carried()[0]
            answered, asleep = await both(
                send(client, image.astype(rig.manifest.image.dtype), arrivals, events=events),
                watch_sleep(rig.session, client.url, rig.span),
            )
            return real_outcome(
                answered,
                arrivals,
                rig.span,
                share_asleep=asleep,
                uploaded_bytes=float(rig.cloud.link.carried()[0] - before),
                nodes=[host.child.name for host in rig.nodes],
            )
    finally:
        rig.cloud.link.proxy.up = True


def _master_arguments(rig: Rig, settings: MasterSettings) -> list[str]:
    """The command line of ``cloudedge serve``, with the settings that the simulator gets as well."""
    exits = ["exit_threshold=1.0"] if rig.manifest.exits.are_on else []  # no score is above it
    given = [
        *(f"++master.{name}={_text(value)}" for name, value in asdict(settings).items() if name != "seed"),
        *(f"++dormancy.{name}={_text(value)}" for name, value in asdict(rig.rule).items()),
    ]
    return [
        "serve",
        f"bundle={quoted(rig.content['bundle'])}",
        f"nodes=[{','.join(quoted(host.url) for host in rig.nodes)}]",
        f"cloud={quoted(rig.cloud.url)}",
        "port=0",
        "token=null",
        "access_token=null",
        "drain_seconds=1",
        f"seed={rig.content['seed']}",
        "dormancy=hysteresis",
        *(each for each in sys.argv[1:] if each.startswith("scheduler")),
        *exits,
        *given,
    ]


def _text(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
