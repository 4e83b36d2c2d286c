"""Commands of cloudedge as processes, and what a test does to them: killed, stopped, slowed, cut off, started anew."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import numpy as np

from cloudedge_pl.serving.link_proxy import LinkProxy, LinkShape

START = "from cloudedge_pl.commands.cli import main; main()"
PORTS = range(20_000, 32_000)
"""Below those that the system gives to connections, so that a server can come back to its own."""

FAULTS = ("kill", "kill", "stop", "stop", "slow", "slow", "outage", "cut", "end", "another export")


def free_port() -> int:
    """A port that nobody listens on."""
    while True:
        port = random.SystemRandom().choice(PORTS)  # tests that run beside this one take others
        with socket.socket() as trial, suppress(OSError):
            trial.bind(("127.0.0.1", port))
            return port


class Program:
    """A command as a process that can be started again at its port.

    It ends with this process, however that comes: its input is closed then, and it is in a group of this session, which
    the system wakes and hangs up if it is stopped.

    Args:
        command: its name.
        port: that it listens on.
        log: file for what it says.
    """

    def __init__(self, command: str, port: int, log: Path) -> None:
        self.command, self.port, self._log = command, port, log
        self.url = f"http://127.0.0.1:{port}"
        self.process: subprocess.Popen[bytes]
        self.pids: list[int] = []

    def start(self, *overrides: str) -> None:
        """Starts it; it need not listen yet when this returns."""
        arguments = [self.command, *overrides, f"port={self.port}", "threads=1", "stop_with_stdin=true"]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", START, *arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                process_group=0,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        self.pids.append(self.process.pid)

    def signal(self, signum: signal.Signals) -> None:
        """Sends a signal, unless it has ended."""
        self.process.send_signal(signum)

    def kill(self) -> None:
        """Ends it at once, and waits for that."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        self.process.stdin.close()

    async def end(self, seconds: float) -> int:
        """Ends it in order, and returns its exit status; kills it after a time."""
        self.signal(signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.process.poll() is None:
                    await asyncio.sleep(0.01)
        self.kill()
        return self.process.returncode

    async def listening(self) -> None:
        """Waits until it listens."""
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return
            await asyncio.sleep(0.05)

    def rss_bytes(self) -> int:
        """Memory that it has now."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


class Part:
    """A node or the cloud behind a link, and its faults.

    Args:
        program: that serves it.
        bundle: folder of what it serves.
        other: folder of another export.
    """

    def __init__(self, program: Program, bundle: Path, other: Path) -> None:
        self.program, self.bundle, self.other = program, bundle, other
        self.link = LinkProxy(program.url)
        self.faults: list[str] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Starts it, and yields the address of its link; kills it at the end."""
        self.program.start(f"bundle={self.bundle}")
        try:
            async with self.link.listening() as url:
                yield url
        finally:
            self.program.kill()

    async def suffer(self, draw: np.random.Generator, together: asyncio.Semaphore) -> None:
        """Works and fails in turn, at random, until it is cancelled; it is well then.

        Args:
            draw: of times and faults.
            together: so many parts are unwell at once at most.
        """
        while True:
            await asyncio.sleep(draw.uniform(0.3, 2.0))
            async with together:
                fault = FAULTS[draw.integers(len(FAULTS))]
                self.faults.append(fault)
                try:
                    await self.fail(fault, draw)
                    await asyncio.sleep(draw.uniform(0.1, 1.5))
                finally:
                    self.heal(fault)
                await self.program.listening()

    async def fail(self, fault: str, draw: np.random.Generator) -> None:
        """Has a fault begin."""
        if fault == "kill":
            self.program.kill()
        elif fault == "stop":
            self.program.signal(signal.SIGSTOP)
        elif fault == "slow":
            delay, rate = draw.uniform(0.01, 0.2), draw.uniform(0.2e6, 20e6)
            self.link.shape = LinkShape(delay_seconds=delay, rate_bits_per_second=rate)
        elif fault == "outage":
            self.link.up = False
        elif fault == "cut":
            self.link.cut()
        elif fault == "end":
            await self.program.end(2.0)
        elif fault == "another export":
            self.program.kill()
            self.program.start(f"bundle={self.other}")

    def heal(self, fault: str) -> None:
        """Has a fault end."""
        if fault == "another export":
            self.program.kill()
        if fault in ("kill", "end", "another export"):
            self.program.start(f"bundle={self.bundle}")
        elif fault == "stop":
            self.program.signal(signal.SIGCONT)
        self.link.shape, self.link.up = LinkShape(), True


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
