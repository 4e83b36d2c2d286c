"""``cloudedge up bundle=DIR``: nodes, cloud and master as processes on this machine, which end together."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeVar

from omegaconf import DictConfig

from cloudedge_pl.commands.reporting import quoted
from cloudedge_pl.commands.serving import (
    exit_rule,
    main_of,
    master_parts,
    own_keys,
    servable_bundle,
    server_settings,
)
from cloudedge_pl.errors import require_range
from cloudedge_pl.serving.listening import check_address, stop_event
from cloudedge_pl.serving.session import check_session
from cloudedge_pl.serving.settings import ServerSettings

T = TypeVar("T")

START = "from cloudedge_pl.commands.cli import main; main()"
URL = re.compile(rb" is served at (https?://\S+)\s*$")
TOKEN = "CLOUDEDGE_TOKEN"
START_SECONDS = 60.0
"""Time that a process has to start."""


class Child:
    """A process of ``cloudedge``. It ends when this process does, however that comes, because its input is then closed.

    Args:
        name: for messages.
        arguments: command and overrides.
        code: what Python runs; another than the command line gets the overrides alone.
        within: a command that runs another one, such as ``unshare``; none runs it directly.
    """

    def __init__(
        self, name: str, arguments: list[str], code: str = START, within: Sequence[str] = ()
    ) -> None:
        self.name, self._arguments, self._code, self._within = name, arguments, code, within
        self.process: Process

    async def start(self, token: str | None) -> str:
        """Starts it, and returns its URL.

        Args:
            token: that it asks for and sends; None for none, whatever the environment of this process says.

        Raises:
            RuntimeError: if it ends, or does not say its URL in time.
        """
        environment = {name: value for name, value in os.environ.items() if name != TOKEN}
        if token is not None:
            environment[TOKEN] = token
        self.process = await asyncio.create_subprocess_exec(
            *(*self._within, sys.executable, "-c", self._code, *self._arguments, "stop_with_stdin=true"),
            stdin=PIPE,
            stdout=PIPE,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches this process alone, which ends the others in order
        )
        assert self.process.stdout is not None
        with suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                async for line in self.process.stdout:
                    if found := URL.search(line):
                        return found[1].decode()
        raise RuntimeError(f"{self.name} did not start; its message is above.")

    async def end(self, seconds: float) -> None:
        """Ends it, in order if it does so within the time. One that has not been started is left alone."""
        if not hasattr(self, "process"):
            return
        with suppress(ProcessLookupError):
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), seconds)
        except TimeoutError:
            with suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()


async def up(cfg: DictConfig) -> None:
    """Runs all processes until a signal comes, or the master ends.

    Args:
        cfg: the composed config; see ``conf/up.yaml``.
    """
    content = own_keys(cfg, _keys)
    settings = server_settings(content)
    await _check(cfg, content, settings)
    stopped = stop_event(content["stop_with_stdin"])
    bundle, token = f"bundle={quoted(content['bundle'])}", content["token"]
    common = [bundle, f"threads={content['threads']}", f"drain_seconds={settings.drain_seconds}"]
    workers = [Child(f"node-{index}", ["node", "port=0", *common]) for index in range(content["num_nodes"])]
    if content["with_cloud"]:
        workers.append(Child("cloud", ["cloud", "port=0", *common]))
    started: list[Child] = []
    try:
        started += workers
        urls = await _unless(stopped, asyncio.gather(*(worker.start(token) for worker in workers)))
        if urls is None:
            return
        for worker, url in zip(workers, urls, strict=True):
            print(f"{worker.name}: {url}", flush=True)
        nodes = f"nodes=[{','.join(map(quoted, urls[: content['num_nodes']]))}]"
        cloud = [f"cloud={quoted(urls[-1])}"] if content["with_cloud"] else []
        master = Child("master", ["serve", *_given(), nodes, *cloud])
        started.insert(0, master)
        front = await _unless(stopped, asyncio.ensure_future(master.start(token)))
        if front is None:
            return
        print(
            f"master: {front}\nAsk it: cloudedge ask PICTURE... url={front}    Ctrl-C ends all.", flush=True
        )
        await _watch(started, stopped)
    finally:
        for child in started:  # the master first, so that its requests can finish
            await child.end(settings.drain_seconds + 2.0)


async def _check(cfg: DictConfig, content: dict[str, Any], settings: ServerSettings) -> None:
    """Refuses what one of the processes would refuse, before any is started."""
    require_range("", 1, 1000, whole=True, num_nodes=content["num_nodes"])
    manifest = servable_bundle(content["bundle"])
    check_session(content["threads"])
    master_parts(cfg)
    exit_rule(manifest, content["exit_threshold"])
    await check_address(settings)


def _given() -> list[str]:
    """The overrides of this command that are the master's as well."""
    own = ("num_nodes", "with_cloud", "stop_with_stdin", "token")
    return [each for each in sys.argv[1:] if each.partition("=")[0].lstrip("+~") not in own]


async def _unless(stopped: asyncio.Event, work: asyncio.Future[T]) -> T | None:
    """The result of work; None if a signal comes before."""
    signal = asyncio.ensure_future(stopped.wait())
    await asyncio.wait((signal, work), return_when=asyncio.FIRST_COMPLETED)
    signal.cancel()
    if not work.done():
        work.cancel()
        await asyncio.wait((work,))
        return None
    return work.result()


async def _watch(children: list[Child], stopped: asyncio.Event) -> None:
    """Waits for a signal, or the end of the master, which comes first; says which other process ends."""
    ends = {asyncio.ensure_future(child.process.wait()): child for child in children}
    signal = asyncio.ensure_future(stopped.wait())
    while not stopped.is_set():
        done, _ = await asyncio.wait((signal, *ends), return_when=asyncio.FIRST_COMPLETED)
        for each in done - {signal}:
            child = ends.pop(each)
            print(f"{child.name} has ended with status {each.result()}.", file=sys.stderr, flush=True)
            if child is children[0]:
                raise RuntimeError("the master has ended; its message is above.")
    for each in (*ends, signal):
        each.cancel()


def _keys(
    bundle: str,
    num_nodes: int,
    with_cloud: bool,
    threads: int,
    exit_threshold: float | None,
    seed: int,
    stop_with_stdin: bool,
) -> None:
    """The keys of conf/up.yaml, as a signature."""


def main() -> None:
    """Entry point of ``cloudedge up``."""
    main_of("up", up)
