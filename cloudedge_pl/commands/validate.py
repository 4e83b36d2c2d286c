"""``cloudedge validate bundle=DIR``: real servers behind slow links against the simulator, on the same arrivals."""

from __future__ import annotations

import asyncio
import csv
import math
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from cloudedge_pl.commands.reporting import console, run, write_json
from cloudedge_pl.commands.serving import configured, main_of, master_parts, own_keys, servable_bundle
from cloudedge_pl.commands.up import START
from cloudedge_pl.commands.validation_rig import compare, running
from cloudedge_pl.errors import lookup, require_range
from cloudedge_pl.files import written_whole
from cloudedge_pl.reports.validation import save_validation_figure, validation_table
from cloudedge_pl.serving.listening import stop_event
from cloudedge_pl.validation.conditions import CONDITIONS, Span
from cloudedge_pl.validation.hosts import ENTERED, choose, enter
from cloudedge_pl.validation.measured import Figures
from cloudedge_pl.validation.outcomes import Comparison

LONGEST_SECONDS = 10.0
"""Of a sample, and of a link one way: the figures of slower servers would take hours to measure."""

LEAST_RATE = 1e3
"""Of a link, in bit/s; below, calls end before their answers come."""

MOST_NODES = 200


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
    content = _ready(cfg)
    isolated, said = choose(content["hosts"])
    console().print(said, soft_wrap=True, markup=False)
    comparisons: list[Comparison] = []
    async with running(cfg, content, isolated) as rig:
        figures = await rig.figures()
        _say(figures, content)
        for name in sorted(content["conditions"], key=lambda each: CONDITIONS[each].dies_at is not None):
            comparisons.append(await compare(cfg, rig, figures, name))
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


def _ready(cfg: DictConfig) -> dict[str, Any]:
    """The command's keys, after everything that can be refused before a process starts was checked."""
    content = _checked(own_keys(cfg, _keys))
    servable_bundle(content["bundle"])
    master_parts(cfg)
    folder = Path(content["dir"])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"dir is {folder}, and nothing can be written there ({error.strerror}); give another folder."
        ) from error
    return content


def _checked(content: dict[str, Any]) -> dict[str, Any]:
    if not content["conditions"] or not content["node_seconds"]:
        raise ValueError("conditions or node_seconds is empty; give at least one of each.")
    for name in content["conditions"]:
        lookup(CONDITIONS, name, "condition")
    nodes = {f"node_seconds[{at}]": seconds for at, seconds in enumerate(content["node_seconds"])}
    require_range("", 0, LONGEST_SECONDS, open_low=True, **nodes, cloud_seconds=content["cloud_seconds"])
    least = 2 if any(CONDITIONS[name].dies_at is not None for name in content["conditions"]) else 1
    if not least <= len(nodes) <= MOST_NODES:
        raise ValueError(
            f"node_seconds has {len(nodes)} values, one for each node; these conditions need {least} to {MOST_NODES}."
        )
    for host in ("node", "cloud"):
        delay, rate = f"{host}_delay_seconds", f"{host}_bits_per_second"
        require_range("", 0, LONGEST_SECONDS, **{delay: content[delay]})
        require_range("", LEAST_RATE, math.inf, **{rate: content[rate]})
    require_range("", 1, 10_000, whole=True, calls=content["calls"])
    Span(warmup_seconds=content["warmup_seconds"], seconds=content["seconds"])
    return content


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
        f"{1e3 * figures.exit_seconds:.2f} ms; master {1e3 * figures.master_seconds:.1f} ms",
        markup=False,
        soft_wrap=True,
    )


def _report(
    folder: Path, content: dict[str, Any], said: str, figures: Figures, comparisons: Sequence[Comparison]
) -> None:
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
    content = _ready(configured("validate", sys.argv[1:]))
    if choose(content["hosts"])[0]:
        enter(["-c", START, "validate", *sys.argv[1:]])


def main() -> None:
    """Entry point of ``cloudedge validate``."""
    run(_enter_namespace)
    main_of("validate", validate)
