"""A served network: python benchmarks/serve.py [--json] [--parts overhead closed open] [--model resnet34]

Master, nodes and cloud run as processes on this machine, over an untrained network that is exported at the start.
Alternatives are asked in turn, in an order that is drawn for every round.

overhead Requests of one sample, one after another, answered in five ways in turn: ``session``, the uncut network in one
         session of onnxruntime in this process; ``part_sessions``, edge and cloud part likewise; ``server``, the uncut
         network in a server; ``parts``, a node and the cloud called one after the other without a master; ``master``.
         Medians; ``overhead_seconds`` is the median of master minus parts in the same turn: what a request pays for
         the master, its HTTP included. ``master_own_seconds`` is the mean that the master gives for itself in
         /metrics, without HTTP; ``master_cpu_seconds`` is the processor's time of its process.
closed   ``--clients`` clients, each of which sends its next request when the last is answered: requests/s, and
         percentiles of the latency. ``cloud`` is a server of the whole network; ``edge``, nodes and exit head without
         a cloud; ``cut``, nodes and cloud. Both of the latter for each of ``--nodes``.
open     Arrivals at random, ``--rate`` a second, whatever became of those before; by default ``--share`` of what the
         slowest system answers in a closed loop. A latency counts from the arrival.

Figures of closed and open are medians over the rounds; ``ratio`` is the median of requests/s (closed) or of the median
latency (open) divided by those of ``cloud`` in the same round. All processes share the cores of the machine: more nodes
are more processes, not more processors. With ``--node-seconds`` a node waits until a sample has taken so long, and
leaves the processor to others meanwhile, as a machine of its own would.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from load import PERCENTILES, Measured, closed_loop, open_loop, poisson
from served import SECONDS, Running, System, make_bundle, running
from setting import print_json, setting

from cloudedge_pl.serving.manifest import Manifest
from cloudedge_pl.serving.requests import PATHS
from cloudedge_pl.serving.session import OnnxPart
from cloudedge_pl.validation.measured import overhead

Row = dict[str, Any]
IMAGES = 16
"""Different samples that are sent."""


class Bench:
    """Asks what is running.

    Args:
        options: of the command line.
        manifest: of the bundle.
        up: its processes.
    """

    def __init__(self, options: argparse.Namespace, manifest: Manifest, up: Running) -> None:
        self.options, self.manifest, self.up = options, manifest, up
        self.random = np.random.default_rng(options.seed)
        shape = (IMAGES, 1, *manifest.image.shape[1:])
        self.images = self.random.standard_normal(shape).astype(np.float32)
        self.paths: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)

    async def ask(self, system: System, number: int) -> None:
        """Sends a sample to a system, and counts by whom it was answered."""
        found = await system.client.infer({"image": self.images[number % IMAGES]}, SECONDS)
        path = PATHS[found["path"][0]] if "path" in found else "cloud"
        self.paths[system.name, system.nodes][path] += 1

    async def rounds(
        self, load: Callable[[System, int], Awaitable[Measured]]
    ) -> dict[System, list[Measured]]:
        """Puts a load on every system in turn, in every round."""
        self.paths.clear()
        found: dict[System, list[Measured]] = {system: [] for system in self.up.systems}
        for number in range(self.options.rounds):
            for at in self.random.permutation(len(self.up.systems)):
                system = self.up.systems[at]
                found[system].append(await load(system, number))
        return found

    async def closed(self) -> AsyncIterator[Row]:
        options = self.options
        found = await self.rounds(lambda system, _: self._closed(system, options.seconds))
        for system, measured in found.items():
            yield {"clients": options.clients, **self._row(system, measured)} | self._ratio(
                found, measured, lambda each: each.requests_per_second
            )

    def _closed(self, system: System, seconds: float) -> Awaitable[Measured]:
        return closed_loop(lambda number: self.ask(system, number), self.options.clients, seconds)

    async def open(self) -> AsyncIterator[Row]:
        options, rate = self.options, self.options.rate
        if rate is None:
            capacities = [await self._closed(system, options.seconds) for system in self.up.systems]
            rate = options.share * min(each.requests_per_second for each in capacities)

        def load(system: System, number: int) -> Awaitable[Measured]:
            arrivals = poisson(rate, options.seconds, [options.seed, number])
            return open_loop(lambda request: self.ask(system, request), arrivals)

        found = await self.rounds(load)
        for system, measured in found.items():
            yield {"rate": rate, **self._row(system, measured)} | self._ratio(
                found, measured, lambda each: each.percentiles()[0]
            )

    def _row(self, system: System, measured: Sequence[Measured]) -> Row:
        latencies = np.median([each.percentiles() for each in measured], axis=0).tolist()
        answered = self.paths[system.name, system.nodes]
        return {
            "system": system.name,
            "nodes": system.nodes,
            "rounds": len(measured),
            "requests": sum(len(each.seconds) for each in measured),
            "failed": sum(sum(each.failed.values()) for each in measured),
            "requests_per_second": statistics.median(each.requests_per_second for each in measured),
            **{f"p{at}_seconds": value for at, value in zip(PERCENTILES, latencies, strict=True)},
            "paths": {path: count / answered.total() for path, count in answered.items()},
        }

    def _ratio(
        self,
        found: dict[System, list[Measured]],
        measured: Sequence[Measured],
        figure: Callable[[Measured], float],
    ) -> Row:
        """A figure against that of the server of the whole network in the same rounds."""
        pairs = zip(measured, found[self._system("cloud")], strict=True)
        return {"ratio": statistics.median(figure(one) / figure(other) for one, other in pairs)}

    async def overhead(self) -> AsyncIterator[Row]:
        """One sample in five ways, in turn."""
        ways = self._ways()
        for number in range(self.options.warm_up):
            for way in ways.values():
                await way(self.images[number % IMAGES])
        taken: dict[str, list[float]] = {name: [] for name in ways}
        master = self._system("cut").client
        before, cpu = await self._own_seconds(master.url), self.up.cpu_seconds(master.url)
        for number in range(self.options.requests):
            for at in self.random.permutation(len(ways)):
                name = list(ways)[at]
                begun = time.perf_counter()
                await ways[name](self.images[number % IMAGES])
                taken[name].append(time.perf_counter() - begun)
        used = self.up.cpu_seconds(master.url) - cpu
        total, count = (
            after - b for after, b in zip(await self._own_seconds(master.url), before, strict=True)
        )
        beyond = np.subtract(taken["master"], taken["parts"])
        row: Row = {"requests": self.options.requests, "nodes": self._system("cut").nodes}
        row |= {f"{name}_seconds": statistics.median(each) for name, each in taken.items()}
        row |= {
            "overhead_seconds": float(np.median(beyond)),
            "overhead_quartiles_seconds": np.quantile(beyond, (0.25, 0.75)).tolist(),
            "master_own_seconds": total / count,
            "master_cpu_seconds": used / count,
        }
        for name in ("session", "part_sessions", "server", "parts"):
            row[f"ratio_to_{name}"] = statistics.median(np.divide(taken["master"], taken[name]).tolist())
        yield row

    def _ways(self) -> dict[str, Callable[[np.ndarray], Awaitable[object]]]:
        """The ways to have a sample [1, ...] answered."""
        edge, cloud, whole = (
            OnnxPart(self.manifest, part, threads=self.options.threads) for part in ("edge", "cloud", "whole")
        )
        node_client, cloud_client = self.up.node, self.up.cloud
        server, master = self._system("cloud").client, self._system("cut").client

        async def session(image: np.ndarray) -> object:
            return whole({"image": image})

        async def part_sessions(image: np.ndarray) -> object:
            return cloud(edge({"image": image}))

        async def parts(image: np.ndarray) -> object:
            return await cloud_client.infer(await node_client.infer({"image": image}, SECONDS), SECONDS)

        return {
            "session": session,
            "part_sessions": part_sessions,
            "server": lambda image: server.infer({"image": image}, SECONDS),
            "parts": parts,
            "master": lambda image: master.infer({"image": image}, SECONDS),
        }

    def _system(self, name: str) -> System:
        """The system of a name with the fewest nodes."""
        found = [each for each in self.up.systems if each.name == name]
        return min(found, key=lambda each: each.nodes)

    async def _own_seconds(self, url: str) -> tuple[float, float]:
        """Sum and number of the times that a master has needed itself."""
        async with self.up.session.get(f"{url}/metrics") as response:
            return overhead(await response.text())


PARTS = ("overhead", "closed", "open")


async def measure(options: argparse.Namespace, show: Callable[[Row], None]) -> None:
    """Exports the network, starts everything, and shows the rows of all parts."""
    with tempfile.TemporaryDirectory(prefix="cloudedge-bench-") as folder:
        bundle = Path(options.bundle or Path(folder) / "bundle")
        if not options.bundle:
            make_bundle(bundle, options.model, options.image_size, options.split_point, options.codec)
        manifest = Manifest.read(bundle)
        shared = {
            "model": manifest.model,
            "input": list(manifest.image.shape[1:]),
            "split_point": manifest.split_point,
            "codec": manifest.codec.name,
            "sent_bytes": sum(each.sample_bytes for each in manifest.cut),
            "threads": options.threads,
            "node_seconds": options.node_seconds,
            "seed": options.seed,
        }
        async with running(bundle, sorted(set(options.nodes)), options.threads, options.node_seconds) as up:
            bench = Bench(options, manifest, up)
            for part in options.parts:
                async for row in getattr(bench, part)():
                    show({**shared, "part": part, **row, "machine_load": os.getloadavg()[0]})


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1.")
    return int(text)


def positive_real(text: str) -> float:
    """A finite number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0.")
    return number


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    add("--model", default="resnet18", help="a backbone of torchvision, untrained")
    add("--image-size", type=positive, default=32)
    add("--split-point", type=positive, help="default: of the middle ones, that at which least crosses")
    add("--codec", default="int8")
    add("--bundle", help="an exported network, with whole=true, in place of one of its own")
    add("--nodes", type=positive, nargs="+", default=[1, 2, 3, 4])
    add("--threads", type=positive, default=1, help="of each process")
    add("--node-seconds", type=positive_real, default=0.0, help="that a sample takes at least on a node")
    add("--requests", type=positive, default=1000, help="in overhead, each way")
    add("--warm-up", type=positive, default=50, help="requests before that, which are not counted")
    add("--clients", type=positive, default=4, help="in closed")
    add("--seconds", type=positive_real, default=3.0, help="of a round, in closed and open")
    add("--rounds", type=positive, default=5, help="in closed and open")
    add("--rate", type=positive_real, help="requests per second in open")
    add("--share", type=positive_real, default=0.5, help="in place of --rate: of the slowest's closed loop")
    add("--seed", type=int, default=0)
    add("--json", action="store_true", help="print a JSON object for each row, one a line")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parsed(arguments)
    versions = setting("serve", "numpy", "onnxruntime", "aiohttp", "torch")

    def show(row: Row) -> None:
        if options.json:
            print_json({**versions, **row})
        else:
            print("  ".join(f"{key} {_short(value)}" for key, value in row.items()), flush=True)

    asyncio.run(measure(options, show))


def _short(value: Any) -> str:
    if isinstance(value, list):
        return "/".join(map(_short, value))
    if isinstance(value, dict):
        return ",".join(f"{key}:{_short(each)}" for key, each in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
