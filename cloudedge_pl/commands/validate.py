"""``cloudedge validate bundle=DIR``: real servers behind slow links against the simulator, on the same arrivals."""

from __future__ import annotations

import asyncio
import csv
import os
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from hydra.utils import instantiate
from omegaconf import DictConfig

from cloudedge_pl.commands.reporting import console, quoted, run, write_json
from cloudedge_pl.commands.serving import configured, main_of, master_parts, own_keys, read_bundle
from cloudedge_pl.commands.up import START, Child
from cloudedge_pl.dormancy import DormancyRule
from cloudedge_pl.errors import lookup, require_positive, require_range
from cloudedge_pl.files import written_whole
from cloudedge_pl.serving import Manifest
from cloudedge_pl.serving.client import Access, ModelClient
from cloudedge_pl.serving.link_proxy import LinkProxy, LinkShape
from cloudedge_pl.serving.listening import stop_event
from cloudedge_pl.serving.manifest import PARTS
from cloudedge_pl.serving.master import MODEL
from cloudedge_pl.serving.master_settings import MasterSettings
from cloudedge_pl.serving.parts import TensorSpec
from cloudedge_pl.serving.session import OnnxPart
from cloudedge_pl.validation.conditions import CONDITIONS, Condition, Span, poisson
from cloudedge_pl.validation.hosts import ENTERED, OWN_NETWORK, Link, choose, connect, enter
from cloudedge_pl.validation.load import Event, both, real_outcome, send, watch_sleep
from cloudedge_pl.validation.measured import Figures, ServerFigures, measure_run, measure_server
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
        spec = self.manifest.parts["exit"].inputs
        zeros = {tensor.name: np.zeros((1, *tensor.shape[1:]), tensor.dtype) for tensor in spec}
        seconds = measure_run(OnnxPart(self.manifest, "exit", threads=1), zeros)
        return Figures(nodes=tuple(nodes), cloud=cloud, exit_seconds=seconds)


async def validate(cfg: DictConfig) -> None:
    """Compares servers and simulator; writes table, JSON, CSV and figure.

    Args:
        cfg: the composed config; see ``conf/validate.yaml``.
    """
    stopped = stop_event()
    work = asyncio.ensure_future(_validate(cfg))
    signal = asyncio.ensure_future(stopped.wait())
    await asyncio.wait((work, signal), return_when=asyncio.FIRST_COMPLETED)
    signal.cancel()
    if not work.done():
        work.cancel()
        await asyncio.wait((work,))
        raise RuntimeError("stopped by a signal; all servers have ended, and nothing was written.")
    work.result()


async def _validate(cfg: DictConfig) -> None:
    content = _checked(own_keys(cfg, _keys))
    isolated, said = choose(content["hosts"])
    console().print(said, soft_wrap=True, markup=False)
    comparisons: list[Comparison] = []
    async with _rig(cfg, content, isolated) as rig:
        figures = await rig.figures()
        _say(figures, content)
        for name in sorted(content["conditions"], key=lambda each: CONDITIONS[each].dies_at is not None):
            comparisons.append(await _compare(cfg, rig, figures, name))
            console().print(f"{name}: done", markup=False)
    _report(Path(content["dir"]), content, said, figures, comparisons)


def _keys(
    bundle: str,
    dir: str,
    hosts: str,
    conditions: list[str],
    node_seconds: list[float],
    cloud_seconds: float,
    node_delay_seconds: float,
    node_bits_per_second: float,
    cloud_delay_seconds: float,
    cloud_bits_per_second: float,
    seconds: float,
    warmup_seconds: float,
    calls: int,
    seed: int,
) -> None:
    """The keys of conf/validate.yaml, as a signature."""


def _checked(content: dict[str, Any]) -> dict[str, Any]:
    if not content["conditions"] or not content["node_seconds"]:
        raise ValueError("conditions or node_seconds is empty; give at least one of each.")
    for name in content["conditions"]:
        lookup(CONDITIONS, name, "condition")
    for at, seconds in enumerate(content["node_seconds"]):
        require_positive("", **{f"node_seconds[{at}]": seconds})
    least = 2 if any(CONDITIONS[name].dies_at is not None for name in content["conditions"]) else 1
    require_range("", least, 200, num_nodes=len(content["node_seconds"]))
    require_positive("", cloud_seconds=content["cloud_seconds"])
    require_range("", 1, 10_000, whole=True, calls=content["calls"])
    Span(warmup_seconds=content["warmup_seconds"], seconds=content["seconds"])
    return content


# --- hosts ---


@asynccontextmanager
async def _rig(cfg: DictConfig, content: dict[str, Any], isolated: bool) -> Any:
    """Nodes and cloud that run within the block."""
    manifest = read_bundle(content["bundle"])
    manifest.check_hashes(*PARTS)
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
        OWN_NETWORK if isolated else (),
    )
    stack.push_async_callback(_end, child)
    url = await child.start(None)
    pid = child.process.pid if isolated else None
    if pid is not None:
        url = f"http://{await connect(pid, number)}:{url.rpartition(':')[2]}"
    proxy = LinkProxy(url)
    front = await stack.enter_async_context(proxy.listening())
    link = Link(proxy, pid, number)
    await link.shape(shape)
    return Host(child, link, front)


async def _end(child: Child) -> None:
    if hasattr(child, "process"):
        await child.end(END_SECONDS)


# --- a condition ---


async def _compare(cfg: DictConfig, rig: Rig, figures: Figures, name: str) -> Comparison:
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


async def _serve(
    rig: Rig, settings: MasterSettings, arrivals: np.ndarray, events: Sequence[Event]
) -> Outcome:
    """Runs requests through a master of its own."""
    child, manifest = Child("master", _master_arguments(rig, settings)), rig.manifest
    try:
        url = await child.start(None)
        outputs = (
            TensorSpec(name="logits", datatype="FP32", shape=(-1, manifest.num_classes)),
            TensorSpec(name="class", datatype="INT64", shape=(-1,)),
            TensorSpec(name="path", datatype="UINT8", shape=(-1,)),
            TensorSpec(name="node", datatype="INT32", shape=(-1,)),
        )
        client = ModelClient(url, MODEL, (manifest.image,), outputs, rig.session, manifest_id=manifest.id)
        image = np.random.default_rng(0).standard_normal((1, *manifest.image.shape[1:]))
        before = rig.cloud.link.carried()[0]
        answered, asleep = await both(
            send(client, image.astype(manifest.image.dtype), arrivals, events=events),
            watch_sleep(rig.session, url, rig.span),
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
        await _end(child)


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


# --- what is told ---


def _say(figures: Figures, content: dict[str, Any]) -> None:
    for at, (node, least) in enumerate(zip(figures.nodes, content["node_seconds"], strict=True)):
        slow = "" if node.service_seconds < 1.1 * least else ", which is what this machine needs"
        console().print(
            f"node-{at}: {1e3 * node.service_seconds:.1f} ms a sample{slow}; link {1e3 * node.link_seconds:.1f} ms, "
            f"{node.bits_per_second / 1e6:.3g} Mbit/s",
            markup=False,
            soft_wrap=True,
        )
    cloud = figures.cloud
    console().print(
        f"cloud: {1e3 * cloud.service_seconds:.1f} ms a sample; link {1e3 * cloud.link_seconds:.1f} ms, "
        f"{cloud.bits_per_second / 1e6:.3g} Mbit/s, {cloud.sent_bytes:,.0f} bytes a call; exit head "
        f"{1e3 * figures.exit_seconds:.2f} ms",
        markup=False,
        soft_wrap=True,
    )


def _report(
    folder: Path, content: dict[str, Any], said: str, figures: Figures, comparisons: Sequence[Comparison]
) -> None:
    from cloudedge_pl.reports.validation import save_validation_figure, validation_table

    console().print(validation_table(comparisons))
    for each in comparisons:
        for reason in each.reasons():
            console().print(f"{each.condition}: {reason}", soft_wrap=True, markup=False)
    write_json(
        folder / "validate.json",
        {
            "hosts": said,
            "load_average": list(os.getloadavg()),
            "settings": {key: content[key] for key in _keys.__annotations__ if key != "return"},
            "figures": asdict(figures),
            "comparisons": [each.to_dict() for each in comparisons],
        },
    )
    rows = [each.row() for each in comparisons]
    with (
        written_whole(folder / "validate.csv") as part,
        part.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    save_validation_figure(comparisons, folder / "validate.png")
    console().print(f"validate.json, validate.csv and validate.png are in {folder}", markup=False)


def _enter_namespace() -> None:
    """Goes on in a network of its own, if hosts are to be namespaces and it is not in one already."""
    if os.environ.get(ENTERED):
        return
    hosts = configured("validate", sys.argv[1:])["hosts"]
    if choose(hosts)[0]:
        enter(["-c", START, "validate", *sys.argv[1:]])


def main() -> None:
    """Entry point of ``cloudedge validate``."""
    run(_enter_namespace)
    main_of("validate", validate)
