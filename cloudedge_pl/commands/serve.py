"""``cloudedge serve bundle=DIR addresses=FILE``: the master of nodes and cloud that are running."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig

from cloudedge_pl.commands.serving import (
    announce,
    exit_rule,
    main_of,
    master_parts,
    named,
    own_keys,
    server_settings,
)
from cloudedge_pl.serving import Manifest
from cloudedge_pl.serving.addresses import Addresses
from cloudedge_pl.serving.client import Access
from cloudedge_pl.serving.listening import serve_until_stopped
from cloudedge_pl.serving.master import Master
from cloudedge_pl.serving.model_server import ModelServer
from cloudedge_pl.serving.session import OnnxPart


async def serve(cfg: DictConfig) -> None:
    """Runs a master until a signal comes.

    Args:
        cfg: the composed config; see ``conf/serve.yaml``.
    """
    content = own_keys(cfg, _keys)
    settings = server_settings(content)
    manifest = Manifest.read(content["bundle"])
    options, scheduler, dormancy = master_parts(cfg)
    master = Master(
        manifest,
        _addresses(content),
        OnnxPart(manifest, "exit", threads=content["threads"]),
        settings=options,
        scheduler=scheduler,
        dormancy=dormancy,
        exits=exit_rule(manifest, content["exit_threshold"]),
        access=Access(token=content["access_token"], authority=content["authority"]),
    )
    try:
        await serve_until_stopped(
            ModelServer(master.served(), settings, master.metrics),
            lambda url: announce(f"The network {named(manifest)}", url),
            start=master.start,
            stop_with_stdin=content["stop_with_stdin"],
        )
    finally:
        await master.close()


def _keys(
    bundle: str,
    nodes: list[str],
    cloud: str | None,
    addresses: str | None,
    access_token: str | None,
    authority: str | None,
    exit_threshold: float | None,
    threads: int,
    seed: int,
    stop_with_stdin: bool,
) -> None:
    """The keys of conf/serve.yaml, as a signature."""


def _addresses(content: dict[str, Any]) -> Addresses:
    if content["addresses"] is None:
        if not content["nodes"]:
            raise ValueError("nodes is empty; give nodes=[http://HOST:PORT,...], or addresses=FILE.")
        return Addresses.of({"nodes": content["nodes"], "cloud": content["cloud"]})
    if content["nodes"] or content["cloud"] is not None:
        raise ValueError("addresses is given besides nodes or cloud; give either the file, or the two keys.")
    return Addresses.of(content["addresses"])


def main() -> None:
    """Entry point of ``cloudedge serve``."""
    main_of("serve", serve)
