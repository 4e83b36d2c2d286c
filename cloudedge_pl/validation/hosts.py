"""Hosts on this machine: in network namespaces of their own, or on the loopback, with a link before each.

In a namespace a host has a network card of its own; the kernel gives it its rate (a token bucket, ``tc tbf``), and a
proxy its delay and outages, because netem is not in every kernel. On the loopback the proxy does all of it.
Everything happens within one namespace that this process enters at first, and that vanishes with it: whatever happens,
nothing is left of it.
"""

from __future__ import annotations

import asyncio
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from cloudedge_pl.errors import lookup
from cloudedge_pl.serving.link_proxy import LinkProxy, LinkShape

KINDS = ("auto", "namespaces", "loopback")
ENTERED = "CLOUDEDGE_OWN_NETWORK"
"""Variable of the environment that is set within the namespace."""

ENTER = ("unshare", "--user", "--map-root-user", "--net", "--")
OWN_NETWORK = ("unshare", "--net", "--")
TRIAL = (
    "ip link set lo up && ip link add t0 type veth peer name t1 && "
    "tc qdisc add dev t0 root tbf rate 1mbit burst 1600 limit 100000 && unshare --net true"
)
MTU = 600
"""Bytes of a packet at most: with large packets a token bucket lets short messages pass at once."""

BURST_SECONDS = 0.001
"""Of its rate a bucket holds what passes in this time, or a packet."""

QUEUE_BYTES = 4_000_000
"""A link's queue; it is long enough that nothing is dropped."""

START_SECONDS = 30.0


def cannot_make_namespaces() -> str | None:
    """Why this user cannot make namespaces with links here; None if they can be made."""
    try:
        done = subprocess.run(
            [*ENTER, "sh", "-c", TRIAL], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if done.returncode == 0 else " ".join(done.stderr.split()) or f"status {done.returncode}"


def choose(kind: str) -> tuple[bool, str]:
    """Whether hosts are namespaces, and what to say of it.

    Args:
        kind: one of :data:`KINDS`.

    Raises:
        ValueError: if namespaces are asked for and cannot be made.
    """
    if lookup(KINDS, kind, "kind of hosts") == "loopback":
        return False, "Hosts share the loopback; proxies give links their rate, delay and outages."
    if os.environ.get(ENTERED):
        return True, (
            "Hosts are network namespaces; the kernel gives links their rate (tbf), proxies delay and outages."
        )
    reason = cannot_make_namespaces()
    if reason is None:
        return True, ""
    if kind == "namespaces":
        raise ValueError(
            f"hosts is 'namespaces', and they cannot be made here ({reason}); give hosts=loopback."
        )
    return False, (
        f"Hosts share the loopback, because namespaces cannot be made here ({reason}); proxies give links their "
        "rate, delay and outages."
    )


def enter(arguments: Sequence[str]) -> None:
    """Replaces this process by one of the same program in a network namespace of its own.

    Args:
        arguments: of the Python interpreter.
    """
    environment = {**os.environ, ENTERED: "1"}
    inside = ("sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, *arguments)
    os.execvpe(ENTER[0], [*ENTER, *inside], environment)


class Link:
    """The link before a host.

    Args:
        proxy: before its server.
        pid: of its process, if it has a network of its own.
        number: of its network; the host's address follows from it.
    """

    def __init__(self, proxy: LinkProxy, pid: int | None, number: int) -> None:
        self.proxy, self._pid, self._number = proxy, pid, number

    def carried(self) -> tuple[int, int]:
        """Bytes so far, to the host and back, with the headers of HTTP."""
        return self.proxy.there.carried_bytes, self.proxy.back.carried_bytes

    async def shape(self, shape: LinkShape) -> None:
        """Gives the link a delay and a rate."""
        if self._pid is None:
            self.proxy.shape = shape
            return
        self.proxy.shape = LinkShape(delay_seconds=shape.delay_seconds)
        rate = shape.rate_bits_per_second
        for within, card in (((), card_of(self._number)), (_inside(self._pid), "eth0")):
            if math.isinf(rate):
                continue
            burst = max(MTU + 40, int(rate / 8 * BURST_SECONDS))
            bucket = ("tbf", "rate", f"{int(rate)}bit", "burst", str(burst), "limit", str(QUEUE_BYTES))
            await command(*within, "tc", "qdisc", "replace", "dev", card, "root", *bucket)


def card_of(number: int) -> str:
    """Name of the card on this side of a host's link."""
    return f"host{number}"


def _inside(pid: int) -> tuple[str, ...]:
    return ("nsenter", f"--net=/proc/{pid}/ns/net")


async def connect(pid: int, number: int) -> str:
    """Gives a process in a network of its own a card, and returns its address.

    Raises:
        RuntimeError: if the process is not in one in time, or a command fails.
    """
    await _own_network(pid)
    here, there, card = f"10.77.{number}.1/24", f"10.77.{number}.2", card_of(number)
    await command("ip", "link", "add", card, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    for within, name, address in (((), card, here), (_inside(pid), "eth0", f"{there}/24")):
        await command(*within, "ip", "addr", "add", address, "dev", name)
        await command(*within, "ip", "link", "set", name, "mtu", str(MTU), "up")
    await command(*_inside(pid), "ip", "link", "set", "lo", "up")
    return there


async def _own_network(pid: int) -> None:
    ours, theirs = Path("/proc/self/ns/net"), Path(f"/proc/{pid}/ns/net")
    async with asyncio.timeout(START_SECONDS):
        while ours.readlink() == theirs.readlink():
            await asyncio.sleep(0.02)


async def command(*words: str) -> None:
    """Runs a command of the system.

    Raises:
        RuntimeError: with what it said, if it fails.
    """
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)}: {said.decode(errors='replace').strip()}")
