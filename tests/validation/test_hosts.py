"""Where hosts are, and what is said of it; namespaces where they can be made, which vanish with their processes."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from cloudedge_pl.serving.link_proxy import LinkProxy, LinkShape
from cloudedge_pl.validation import hosts
from cloudedge_pl.validation.hosts import ENTER, Link, cannot_make_namespaces, choose, command


@pytest.fixture(autouse=True)
def _outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(hosts.ENTERED, raising=False)


def test_where_hosts_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "cannot_make_namespaces", lambda: "no rights")
    assert choose("loopback")[0] is False
    isolated, said = choose("auto")
    assert isolated is False
    assert "no rights" in said
    with pytest.raises(ValueError, match=r"no rights.*hosts=loopback"):
        choose("namespaces")
    with pytest.raises(ValueError, match="kind of hosts 'loop'"):
        choose("loop")
    monkeypatch.setattr(hosts, "cannot_make_namespaces", lambda: None)
    assert choose("auto")[0] is True
    monkeypatch.setenv(hosts.ENTERED, "1")
    assert "tbf" in choose("auto")[1]


def test_a_link_of_the_loopback_is_its_proxy() -> None:
    link = Link(LinkProxy("http://127.0.0.1:1"), None, 0)
    shape = LinkShape(delay_seconds=0.01, rate_bits_per_second=1e6)
    asyncio.run(link.shape(shape))
    assert link.proxy.shape == shape
    assert link.carried() == (0, 0)


def test_a_command_that_fails_says_why() -> None:
    with pytest.raises(RuntimeError, match=r"sh -c .*: too bad"):
        asyncio.run(command("sh", "-c", "echo too bad; exit 3"))


INSIDE = """
import asyncio, sys
from cloudedge_pl.serving.link_proxy import LinkProxy, LinkShape
from cloudedge_pl.validation.hosts import Link, OWN_NETWORK, connect, _inside, card_of
import subprocess
async def main():
    serve = "import socket; s = socket.create_server(('0.0.0.0', 4000)); c, _ = s.accept(); c.sendall(b'hello')"
    host = await asyncio.create_subprocess_exec(*OWN_NETWORK, sys.executable, "-c", serve)
    address = await connect(host.pid, 3)
    await Link(LinkProxy("http://a:1"), host.pid, 3).shape(LinkShape(rate_bits_per_second=1e6))
    for within, card in ((), card_of(3)), (_inside(host.pid), "eth0"):
        said = subprocess.run([*within, "tc", "qdisc", "show", "dev", card], capture_output=True, text=True).stdout
        assert "tbf" in said and "rate 1Mbit" in said, said
    while True:
        try:
            reader, writer = await asyncio.open_connection(address, 4000)
            break
        except OSError:
            await asyncio.sleep(0.05)
    print((await reader.read()).decode())
    writer.close()
    await host.wait()
asyncio.run(asyncio.wait_for(main(), 30))
"""


@pytest.mark.skipif(cannot_make_namespaces() is not None, reason="no rights to make namespaces")
def test_a_host_in_a_namespace_is_reached_over_a_shaped_link() -> None:
    before = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    inside = ("sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, "-c", INSIDE)
    done = subprocess.run([*ENTER, *inside], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "hello\n"
    after = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    assert after == before
