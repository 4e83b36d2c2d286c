"""Shared parts of the commands that serve: config, checks, log and the loop. It imports neither torch nor Lightning."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any

from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from cloudedge_pl.commands.reporting import clear_references, require_keys, resolved, run
from cloudedge_pl.dormancy import DormancyRule
from cloudedge_pl.errors import require_range, require_types
from cloudedge_pl.scheduling import Scheduler
from cloudedge_pl.serving import Manifest
from cloudedge_pl.serving.listening import serve_until_stopped
from cloudedge_pl.serving.manifest import PARTS, ExitRule
from cloudedge_pl.serving.master_settings import MasterSettings
from cloudedge_pl.serving.model_server import ModelServer
from cloudedge_pl.serving.session import OnnxPart, Queue, paced, require_onnx, served_part
from cloudedge_pl.serving.settings import ServerSettings
from cloudedge_pl.signals import release_signals


def main_of(command: str, work: Callable[[DictConfig], Coroutine[Any, Any, None]]) -> None:
    """Runs a command on its config until it is done; errors are shown as one line.

    Servers write no files, so there is no folder of a run, as Hydra's own entry point would make.

    Args:
        command: its name, which is that of its config.
        work: runs in an event loop.
    """

    def app() -> None:
        cfg = configured(command, sys.argv[1:])
        logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level=logging.WARNING)
        release_signals()
        raise_file_limit()
        asyncio.run(work(cfg))

    run(app)


def raise_file_limit() -> None:
    """Lets this process open as many files as it may: every connection is one, and many systems begin with 1,024."""
    try:
        import resource
    except ImportError:  # no such limit on Windows
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS names a limit that it does not grant
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def configured(command: str, overrides: list[str]) -> DictConfig:
    """Composes the config of a command.

    Raises:
        ValueError: if a key that must be given is not.
    """
    with initialize_config_module("cloudedge_pl.conf", version_base="1.3"):
        cfg = compose(command, overrides)
    with clear_references():
        missing = sorted(OmegaConf.missing_keys(cfg), key=len)
    if missing:
        raise ValueError(f"{missing[0]} is not given; write {missing[0]}=... on the command line.")
    return cfg


def own_keys(cfg: DictConfig, types: Callable[..., None]) -> dict[str, Any]:
    """The config as plain values, with the keys that are a signature's parameters, and their types.

    Raises:
        ValueError: if a key is left out, of another type, or empty text.
    """
    content = resolved(cfg)
    require_keys(content, inspect.signature(types).parameters)
    require_types("", types, content)
    for name in inspect.signature(types).parameters:
        if content[name] == "":
            raise ValueError(f"{name} is ''; it must not be empty.")
    return content


def server_settings(content: Mapping[str, Any]) -> ServerSettings:
    """What conf/_server.yaml says.

    Raises:
        ValueError: if a key is left out, or a value is wrong.
    """
    names = [field.name for field in fields(ServerSettings)]
    require_keys(content, names)
    return ServerSettings(**{name: content[name] for name in names})


def _part_keys(
    bundle: str,
    threads: int | None,
    max_waiting: int,
    providers: list[str],
    least_seconds: float,
    stop_with_stdin: bool,
) -> None:
    """The keys of conf/_part.yaml, as a signature."""


async def serve_part(part: str, cfg: DictConfig) -> None:
    """Serves a part of a bundle until a signal comes; the body of ``cloudedge node`` and ``cloudedge cloud``.

    Args:
        part: its name.
        cfg: the config of the command.
    """
    content = own_keys(cfg, _part_keys)
    settings = server_settings(content)
    manifest = Manifest.read(content["bundle"])
    session = OnnxPart(manifest, part, threads=content["threads"], providers=content["providers"])
    queue = Queue(paced(session, content["least_seconds"]), max_waiting=content["max_waiting"])
    server = ModelServer(served_part(manifest, part, queue), settings)
    try:
        await serve_until_stopped(
            server,
            lambda url: announce(f"The {part} part of {named(manifest)}", url),
            stop_with_stdin=content["stop_with_stdin"],
        )
    finally:
        queue.close()


def servable_bundle(folder: str) -> Manifest:
    """Reads a bundle of which servers can run every part.

    Raises:
        BundleError: if it is damaged, of another format, or a part's file is not that of the manifest.
    """
    manifest = Manifest.read(folder)
    require_onnx(manifest)
    manifest.check_hashes(*PARTS)
    return manifest


def named(manifest: Manifest) -> str:
    """A bundle in a few words."""
    return f"{manifest.model}, cut at {manifest.split_point} ({manifest.id[:12]}),"


def announce(what: str, url: str) -> None:
    """Says where a server is; the line ends with its URL, which ``cloudedge up`` reads."""
    print(f"{what} is served at {url}", flush=True)


def master_parts(cfg: DictConfig) -> tuple[MasterSettings, Scheduler, DormancyRule | None]:
    """What the groups of ``cloudedge serve`` describe.

    Raises:
        ValueError: if a group is left out, or its ``_target_`` makes something else.
    """
    require_keys(cfg, ("master", "scheduler"))
    rule = None if cfg.get("dormancy") is None else _made(cfg, "dormancy", DormancyRule)
    scheduler: type[Any] = Scheduler  # a protocol
    return _made(cfg, "master", MasterSettings), _made(cfg, "scheduler", scheduler), rule


def _made(cfg: DictConfig, group: str, kind: type[Any]) -> Any:
    """What a group makes, which must be of a class or protocol."""
    made = instantiate(cfg[group])
    if not isinstance(made, kind):
        target = OmegaConf.select(cfg, f"{group}._target_")
        raise ValueError(
            f"{group}._target_ is {target!r}, which makes a {type(made).__name__}; it must make a {kind.__name__}."
        )
    return made


def exit_rule(manifest: Manifest, threshold: float | None) -> ExitRule:
    """The bundle's rule of exits, with another threshold if one is given, which then promises nothing."""
    if threshold is None:
        return manifest.exits
    require_range("", 0, 1, exit_threshold=threshold)
    policy = "confidence" if manifest.exits.policy == "none" else manifest.exits.policy
    rule = replace(manifest.exits, policy=policy, threshold=threshold, guarantee=None)
    rule.require_classes(manifest.num_classes)
    return rule
