"""``cloudedge ask PICTURE... url=URL``: sends pictures to a served network, and shows the answers."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from omegaconf import DictConfig
from rich.table import Table

from cloudedge_pl.commands.reporting import console, quoted
from cloudedge_pl.commands.serving import main_of, own_keys
from cloudedge_pl.costs.units import format_seconds
from cloudedge_pl.errors import require_positive
from cloudedge_pl.serving import Preprocessing
from cloudedge_pl.serving.client import Access, ModelClient, fetch, model_url
from cloudedge_pl.serving.master import MODEL
from cloudedge_pl.serving.parts import tensor_specs


async def ask(cfg: DictConfig) -> None:
    """Sends every picture in a request of its own, and prints class, probability, path, node and time.

    Args:
        cfg: the composed config; see ``conf/ask.yaml``.

    Raises:
        ValueError: if there is no picture, or the server does not say how pictures are prepared.
        DataError: if a file is no picture.
        CallError: if the server does not answer.
    """
    content = own_keys(cfg, _keys)
    require_positive("", timeout_seconds=content["timeout_seconds"])
    if not content["pictures"]:
        raise ValueError("there is no picture; write cloudedge ask PICTURE..., for instance cat.jpg.")
    session = Access(token=content["token"], authority=content["authority"]).session()
    async with session:
        table = await _answers(content, session)
    console().print(table)


async def _answers(content: dict[str, Any], session: aiohttp.ClientSession) -> Table:
    seconds = content["timeout_seconds"]
    said = await fetch(session, model_url(content["url"], MODEL), seconds)
    inputs, outputs = (tensor_specs(said[kind]) for kind in ("inputs", "outputs"))
    client = ModelClient(content["url"], MODEL, inputs, outputs, session)
    known = said.get("parameters", {})
    if not known.get("preprocessing"):
        raise ValueError(
            f"{content['url']} does not say how pictures are prepared; it was trained on no pictures."
        )
    preprocessing = Preprocessing.of(known["preprocessing"])
    table = Table("picture", "class", "probability", "path", "node", "time", box=None)
    for picture in content["pictures"]:
        pixels = preprocessing.read([picture])
        started = time.perf_counter()
        found = await client.infer({client.inputs[0].name: pixels}, seconds)
        taken = time.perf_counter() - started
        (number,), (logits,) = found["class"], found["logits"]
        wide = logits.astype(np.float64)
        probability = 1 / np.exp(wide - wide[number]).sum()
        table.add_row(
            Path(picture).name,
            known["class_names"][number],
            f"{probability:.1%}",
            known["paths"][found["path"][0]],
            known["nodes"][found["node"][0]],
            format_seconds(taken),
        )
    return table


def _keys(
    pictures: list[str], url: str, token: str | None, authority: str | None, timeout_seconds: float
) -> None:
    """The keys of conf/ask.yaml, as a signature."""


def main() -> None:
    """Entry point of ``cloudedge ask``."""
    pictures = [quoted(each) for each in sys.argv[1:] if "=" not in each]
    if pictures:
        sys.argv = [
            sys.argv[0],
            *(each for each in sys.argv[1:] if "=" in each),
            f"pictures=[{','.join(pictures)}]",
        ]
    main_of("ask", ask)
