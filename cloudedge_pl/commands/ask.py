"""``cloudedge ask PICTURE... url=URL``: sends pictures to a served network, and shows the answers."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from omegaconf import DictConfig
from rich.table import Table
from rich.text import Text

from cloudedge_pl.commands.reporting import console, quoted
from cloudedge_pl.commands.serving import main_of, own_keys
from cloudedge_pl.costs.units import format_seconds
from cloudedge_pl.errors import DataError, require_positive, require_types
from cloudedge_pl.serving import Preprocessing
from cloudedge_pl.serving.client import Access, ModelClient, fetch, model_url
from cloudedge_pl.serving.failures import CallError
from cloudedge_pl.serving.master import MODEL
from cloudedge_pl.serving.parts import TensorSpec, tensor_specs

NAMED = {"class": "class_names", "path": "paths", "node": "nodes"}
"""Outputs that are indices, and the master's parameters that name them."""

LARGEST_BYTES = 2**28
"""Of a picture as the network takes it."""


async def ask(cfg: DictConfig) -> None:
    """Sends every picture in a request of its own, and prints class, probability, path, node and time.

    Args:
        cfg: the composed config; see ``conf/ask.yaml``.

    Raises:
        ValueError: if there is no picture.
        DataError: if a file is no picture.
        CallError: if the server does not answer, or is no master of a network that takes pictures.
    """
    content = own_keys(cfg, _keys)
    require_positive("", timeout_seconds=content["timeout_seconds"])
    _require_files(content["pictures"])
    session = Access(token=content["token"], authority=content["authority"]).session()
    async with session:
        table = await _answers(content, session)
    console().print(table)


def _require_files(pictures: list[str]) -> None:
    """Checks that the pictures are there, before a server is asked."""
    if not pictures:
        raise ValueError("there is no picture; write cloudedge ask PICTURE..., for instance cat.jpg.")
    for picture in pictures:
        if not os.path.isfile(picture):
            raise DataError(
                f"the picture {picture} is not a file; give the path of a PNG, a JPEG or the like."
            )


@dataclass(frozen=True, eq=False, kw_only=True)
class _Network:
    """What a master says of its network.

    Args:
        client: of it.
        preprocessing: of pictures.
        names: of classes, paths and nodes, by the output that has their index.
    """

    client: ModelClient
    preprocessing: Preprocessing
    names: dict[str, list[str]]

    @classmethod
    async def at(cls, url: str, session: aiohttp.ClientSession, seconds: float) -> _Network:
        """Asks a server what it is.

        Raises:
            CallError: if it does not answer, is no master, or its network takes no pictures.
        """
        said = await fetch(session, model_url(url, MODEL), seconds)
        try:
            inputs, outputs = (tensor_specs(said.get(kind)) for kind in ("inputs", "outputs"))
            known: Any = said.get("parameters")
            require_types("", _said, {"parameters": known})
            if not known.get("preprocessing"):
                raise ValueError(
                    "it does not say how pictures are prepared; its network was trained on none."
                )
            return cls(
                client=ModelClient(url, MODEL, inputs, outputs, session),
                preprocessing=_preprocessing(known["preprocessing"], inputs),
                names=_names(known, outputs),
            )
        except (TypeError, ValueError) as error:
            raise CallError(
                f"{url} does not describe a network as a master does: {error}", "rubbish"
            ) from error

    async def answer(self, picture: str, seconds: float) -> list[str]:
        """Class, probability, path, node and time of a picture."""
        pixels = self.preprocessing.read([picture])
        started = time.perf_counter()
        found = await self.client.infer({self.client.inputs[0].name: pixels}, seconds)
        taken = time.perf_counter() - started
        wide = found["logits"][0].astype(np.float64)
        label, path, node = (self._name(kind, int(found[kind][0])) for kind in NAMED)
        probability = 1 / np.exp(wide - wide[found["class"][0]]).sum()
        return [label, f"{probability:.1%}", path, node, format_seconds(taken)]

    def _name(self, kind: str, index: int) -> str:
        names = self.names[kind]
        if not 0 <= index < len(names):
            raise CallError(
                f"{self.client.url} answered {kind} {index}, and it names {len(names)} of them.", "rubbish"
            )
        return names[index]


def _said(parameters: Mapping[str, Any]) -> None:
    """The type of what a master says of its network, as a signature."""


def _lists(class_names: list[str], paths: list[str], nodes: list[str]) -> None:
    """The types of its names, as a signature."""


def _preprocessing(values: Any, inputs: Sequence[TensorSpec]) -> Preprocessing:
    found = Preprocessing.of(values)
    if [found.input_shape] != [spec.shape[1:] for spec in inputs]:
        raise ValueError(
            f"preprocessing.input_shape is {list(found.input_shape)}, and the inputs have the shapes "
            f"{[list(spec.shape) for spec in inputs]}."
        )
    if inputs[0].sample_bytes > LARGEST_BYTES:
        raise ValueError(f"a picture of {list(found.input_shape)} has more than {LARGEST_BYTES} bytes.")
    return found


def _names(known: Mapping[str, Any], outputs: Sequence[TensorSpec]) -> dict[str, list[str]]:
    require_types("", _lists, {key: known.get(key) for key in NAMED.values()})
    classes = len(known["class_names"])
    needed = {"logits": (-1, classes)} | dict.fromkeys(NAMED, (-1,))
    given = {spec.name: spec.shape for spec in outputs}
    if any(given.get(name) != shape for name, shape in needed.items()):
        raise ValueError(f"the outputs have the shapes {given}; they must be {needed}.")
    return {kind: known[key] for kind, key in NAMED.items()}


async def _answers(content: dict[str, Any], session: aiohttp.ClientSession) -> Table:
    seconds = content["timeout_seconds"]
    network = await _Network.at(content["url"], session, seconds)
    table = Table("picture", "class", "probability", "path", "node", "time", box=None)
    for picture in content["pictures"]:
        name = os.fsencode(Path(picture).name).decode(errors="replace")
        cells = [name, *await network.answer(picture, seconds)]
        table.add_row(*map(Text, cells))  # text, because a name may look like markup
    return table


def _keys(
    pictures: list[str], url: str, token: str | None, authority: str | None, timeout_seconds: float
) -> None:
    """The keys of conf/ask.yaml, as a signature."""


def main() -> None:
    """Entry point of ``cloudedge ask``."""
    given = sys.argv[1:]
    pictures = [each for each in given if "=" not in each or os.path.isfile(each)]
    if pictures:
        rest = [each for each in given if each not in pictures]
        sys.argv = [sys.argv[0], *rest, f"pictures=[{','.join(map(quoted, pictures))}]"]
    main_of("ask", ask)
