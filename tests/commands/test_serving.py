"""The commands that serve: their configs, what they refuse, no torch; and a served network asked from end to end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.errors import InstantiationException
from PIL import Image

from cloudedge_pl.commands import ask, serve, up
from cloudedge_pl.commands.help import composed
from cloudedge_pl.commands.serving import (
    configured,
    exit_rule,
    master_parts,
    raise_file_limit,
    serve_part,
    server_settings,
)
from cloudedge_pl.dormancy import DormancyRule
from cloudedge_pl.errors import BundleError, DataError
from cloudedge_pl.scheduling import AdaptiveTaskScheduler
from cloudedge_pl.serving import ExitRule
from cloudedge_pl.serving.failures import CallError
from cloudedge_pl.serving.master import Master
from cloudedge_pl.serving.master_settings import MasterSettings
from cloudedge_pl.serving.settings import ServerSettings
from tests.serving.fleets import mastered, run, whole, write_bundle

SERVERS = ("node", "cloud", "serve", "up")
PORTS = {"node": 8001, "cloud": 8002, "serve": 8000, "up": 8000}
NODE = ("bundle={bundle}", "nodes=[http://127.0.0.1:9]")
START = "from cloudedge_pl.commands.cli import main; main()"


@pytest.mark.parametrize("command", SERVERS)
def test_the_server_s_defaults_are_those_of_its_class(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLOUDEDGE_TOKEN", raising=False)
    found = server_settings(configured(command, ["bundle=b"]))
    assert found == ServerSettings(port=PORTS[command])


@pytest.mark.parametrize("command", ["serve", "up"])
def test_the_master_s_defaults_are_those_of_its_class(command: str) -> None:
    settings, scheduler, dormancy = master_parts(configured(command, ["bundle=b", "seed=3"]))
    assert settings == MasterSettings(seed=3)
    assert isinstance(scheduler, AdaptiveTaskScheduler)
    assert scheduler.seed == 3
    assert dormancy is None
    cfg = configured(command, ["bundle=b", "dormancy=never", "scheduler=fcfs", "master.batch_size=1"])
    settings, scheduler, dormancy = master_parts(cfg)
    assert settings.batch_size == 1
    assert dormancy == DormancyRule(mode="never")


@pytest.mark.parametrize("command", [*SERVERS, "ask"])
def test_every_key_is_explained(command: str) -> None:
    _, own, sections = composed(command, {})
    assert own
    assert all(key.comment for key in [*own, *(key for each in sections for key in each.keys)])


def test_the_token_may_be_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDEDGE_TOKEN", "secret")
    assert server_settings(configured("node", ["bundle=b"])).token == "secret"


def test_another_threshold_promises_nothing(tmp_path: Path) -> None:
    given = ExitRule(policy="entropy", threshold=0.9, guarantee="It holds.")
    manifest, _ = write_bundle(tmp_path / "a", exits=given)
    assert exit_rule(manifest, None) == given
    assert exit_rule(manifest, 0.5) == ExitRule(policy="entropy", threshold=0.5)
    manifest, _ = write_bundle(tmp_path / "b")
    assert exit_rule(manifest, 0.5) == ExitRule(policy="confidence", threshold=0.5)


def test_samples_of_one_class_do_not_exit(tmp_path: Path) -> None:
    """The one probability is 1, whatever the logit."""
    manifest, _ = write_bundle(tmp_path)
    one = ExitRule(policy="confidence", threshold=0.5)
    one.require_classes(2)
    ExitRule().require_classes(1)
    with pytest.raises(ValueError, match="num_classes is 1"):
        one.require_classes(1)
    assert exit_rule(manifest, 0.5) == one


@pytest.mark.parametrize(
    ("command", "overrides", "error", "message"),
    [
        ("node", [], ValueError, "bundle is not given"),
        ("node", ["bundle=none"], BundleError, "no manifest.json"),
        ("node", ["bundle={bundle}", "threads=0"], ValueError, "threads is 0"),
        ("node", ["bundle={bundle}", "threads=two"], ValueError, "threads is 'two'"),
        ("node", ["bundle={bundle}", "host=0.0.0.0"], ValueError, "insecure=true"),
        ("node", ["bundle={bundle}", "max_waiting=0"], ValueError, "max_waiting is 0"),
        ("node", ["bundle="], ValueError, "bundle is ''"),
        ("node", ["bundle=b", "~bundle"], ValueError, "bundle is left out of the config"),
        ("node", ["bundle={bundle}", "~port"], ValueError, "port is left out of the config"),
        ("node", ["bundle={bundle}", "host=a..b", "token=t"], ValueError, r"a\.\.b:8001 .*give a host="),
        ("node", ["bundle={bundle}", "host=192.0.2.1", "token=t"], ValueError, "give a host="),
        ("serve", ["bundle={bundle}"], ValueError, "nodes is empty"),
        ("serve", ["bundle={bundle}", "nodes=[here]"], ValueError, "'here' is no URL"),
        ("serve", ["bundle={bundle}", "nodes=[http://a:1]", "addresses=f"], ValueError, "either the file"),
        ("serve", [*NODE, "exit_threshold=2"], ValueError, "exit_threshold is 2"),
        ("serve", [*NODE, "~master"], ValueError, "master is left out of the config"),
        ("serve", [*NODE, "master._target_=builtins.dict"], ValueError, "makes a dict; .* a MasterSettings"),
        ("serve", ["bundle={bundle}", "addresses=none.yaml"], ValueError, "none.yaml cannot be read"),
        ("ask", [], ValueError, "no picture"),
        ("ask", ["pictures=[absent.jpg]"], DataError, "absent.jpg is not a file"),
        ("ask", ["pictures=[{bundle}/edge.onnx]", "token='a\nb'"], ValueError, "token must be printable"),
        ("ask", ["pictures=[a.jpg]", "timeout_seconds=0"], ValueError, "timeout_seconds is 0"),
    ],
)
def test_what_makes_no_sense_is_refused(
    command: str, overrides: list[str], error: type[Exception], message: str, tmp_path: Path
) -> None:
    write_bundle(tmp_path / "bundle")
    given = [each.format(bundle=tmp_path / "bundle") for each in overrides]

    async def work() -> None:
        cfg = configured(command, given)
        await {
            "node": lambda: serve_part("edge", cfg),
            "serve": lambda: serve.serve(cfg),
            "ask": lambda: ask.ask(cfg),
        }[command]()

    with pytest.raises(error, match=message):
        asyncio.run(work())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["num_nodes=0"], "num_nodes is 0"),
        (["threads=0"], "threads is 0"),
        (["exit_threshold=-1"], "exit_threshold is -1"),
        (["master.max_tasks=0"], "max_tasks is 0"),
        (["scheduler.ants=0"], "ants is 0"),
        (["~scheduler"], "scheduler is left out"),
        (["certificate=a.pem", "certificate_key=a.pem"], r"a\.pem"),
        (["port={taken}"], "cannot be listened on .* port=0 for a free one"),
    ],
)
def test_up_starts_nothing_that_would_be_refused(
    overrides: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*_: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(up.Child, "start", start)
    write_bundle(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        given = [each.format(taken=taken.getsockname()[1]) for each in overrides]
        cfg = configured("up", [f"bundle={tmp_path}", "port=0", *given])
        with pytest.raises((ValueError, InstantiationException), match=message):
            asyncio.run(up.up(cfg))


def test_a_master_whose_port_is_taken_says_so_before_it_waits_for_its_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def start(self: Master) -> None:
        raise AssertionError("it waits")

    monkeypatch.setattr(Master, "start", start)
    write_bundle(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        given = [f"bundle={tmp_path}", "nodes=[http://127.0.0.1:9]", f"port={taken.getsockname()[1]}"]
        with pytest.raises(ValueError, match="port=0 for a free one"):
            asyncio.run(serve.serve(configured("serve", given)))


def test_a_damaged_part_is_not_served(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    with (tmp_path / "edge.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(BundleError, match="not the part 'edge'"):
        asyncio.run(serve_part("edge", configured("node", [f"bundle={tmp_path}", "port=0"])))


ODD_NAMES = ("a=b.png", "a,b.png", "it's.png", "${x}.png", "end.png\\", "[bold]x.png", "url=x.png", "null")


def test_pictures_of_odd_names_and_modes_are_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest, _ = write_bundle(tmp_path / "bundle")
    monkeypatch.chdir(tmp_path)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (5, 7, 3), dtype=np.uint8))
    for name in ODD_NAMES:
        picture.save(name, "PNG")
    picture.convert("CMYK").save("cmyk.jpg")
    picture.resize((1, 1)).save("one.png")
    Image.fromarray(np.full((5, 5), 40_000, np.uint16)).save("grey16.png")
    names = (*ODD_NAMES, "cmyk.jpg", "one.png", "grey16.png")

    async def asked(command: str, work: Any) -> None:
        async with whole(manifest, num_nodes=1) as (_, url):
            await work(configured(command, [f"url={url}", *sys.argv[1:]]))

    monkeypatch.setattr(ask, "main_of", lambda *given: run(asked(*given)))
    monkeypatch.setattr(sys, "argv", ["cloudedge ask", *names])
    ask.main()
    shown = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in shown] == list(names)
    assert all(line.split()[1] in "abcde" and "%" in line for line in shown)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": 3}, "the list of tensors is 3"),
        ({"outputs": []}, "the outputs have the shapes"),
        ({"parameters": 3}, "parameters is 3"),
        ({"preprocessing": None}, "does not say how pictures are prepared"),
        ({"preprocessing": {"input_shape": [3, 9, 9], "mean": [0] * 3, "std": [1] * 3}}, "input_shape is"),
        ({"class_names": None}, "class_names is None"),
        ({"nodes": [3]}, r"nodes is \[3\]"),
        ({}, "answered class 7, and it names 5 of them"),
    ],
)
def test_a_server_that_is_no_master_is_named(
    changes: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, _ = write_bundle(tmp_path)

    async def work() -> None:
        async with mastered(manifest, {"a": "http://127.0.0.1:9"}, None) as (master, _):
            said = master.served().metadata()
        for key, value in changes.items():
            (said if key in said else said["parameters"])[key] = value

        async def fetch(*_: object) -> dict[str, Any]:
            return json.loads(json.dumps(said))

        async def infer(*_: object) -> dict[str, np.ndarray]:
            return {
                "logits": np.zeros((1, 5)),
                "class": np.array([7]),
                "path": np.zeros(1),
                "node": np.zeros(1),
            }

        monkeypatch.setattr(ask, "fetch", fetch)
        monkeypatch.setattr(ask.ModelClient, "infer", infer)
        Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
        await ask.ask(configured("ask", [f"pictures=[{tmp_path}/a.png]", "url=http://here:1"]))

    with pytest.raises(CallError, match=f"http://here:1 .*{message}"):
        run(work())


def test_a_weak_device_needs_neither_torch_nor_lightning(tmp_path: Path) -> None:
    """The servers start, with their parts, where only what docs/serve.md lists for a weak device can be imported."""
    write_bundle(tmp_path)
    names = ("torch", "torchvision", "torchmetrics", "pytorch_lightning", "lightning", "lightning_utilities")
    names += ("matplotlib", "sklearn", "numba", "jinja2", "tensorboard")
    code = f"""
import sys, asyncio
for name in {names!r}: sys.modules[name] = None
from cloudedge_pl.commands import node, cloud, serve, up, ask
from cloudedge_pl.commands.serving import configured, serve_part
from cloudedge_pl.serving import listening
async def work():
    asyncio.get_running_loop().call_later(0.1, lambda: __import__("os").kill(__import__("os").getpid(), 15))
    await serve_part("edge", configured("node", ["bundle={tmp_path}", "port=0"]))
asyncio.run(work())
assert "scipy.special" not in sys.modules, "it is slow to load, and no server uses it"
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "The edge part of tiny, cut at 1" in done.stdout


@contextmanager
def running(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A process of cloudedge; killed at the end if it is not over."""
    process = subprocess.Popen(
        [sys.executable, "-c", START, *arguments], stdout=subprocess.PIPE, text=True, **options
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def url_of(process: subprocess.Popen[str], name: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(name):
            return line.split()[-1]
    raise AssertionError(f"there is no {name}")


def children(pid: int) -> list[int]:
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return [int(each) for each in found.stdout.split()]


def gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has waited for yet has, too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_network_is_served_and_asked_and_nothing_is_left(tmp_path: Path, end: signal.Signals) -> None:
    _, net = write_bundle(tmp_path / "bundle")
    pixels = np.random.default_rng(0).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    expected = net.cloud((pixels.transpose(2, 0, 1)[None] / 255 - 0.5).astype(np.float32) / 0.5).argmax()
    with running("up", f"bundle={tmp_path / 'bundle'}", "port=0", "dormancy=never") as process:
        url = url_of(process, "master:")
        started = children(process.pid)
        assert len(started) == 4, "two nodes, the cloud and the master"
        done = subprocess.run(
            [sys.executable, "-c", START, "ask", str(tmp_path / "a.png"), f"url={url}"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        picture, name, _, path, node, *_ = done.stdout.splitlines()[1].split()
        assert (picture, name, path) == ("a.png", "abcde"[expected], "cloud")
        assert node in ("node-0", "node-1")
        os.kill(process.pid, end)
        process.wait(120)
        deadline = time.monotonic() + 120
        while not all(map(gone, started)):
            assert time.monotonic() < deadline, "a process is left"
            time.sleep(0.02)


def test_what_is_given_up_has_ended_before_anything_else_does() -> None:
    async def work() -> None:
        stopped = asyncio.Event()
        stopped.set()
        starting = asyncio.gather(asyncio.sleep(60), asyncio.sleep(60))
        assert await up._unless(stopped, starting) is None
        assert starting.done()

    asyncio.run(work())


@pytest.mark.parametrize("token", [None, "told"])
def test_a_process_gets_the_token_it_is_told_whatever_the_environment_says(
    token: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDEDGE_TOKEN", "inherited")
    code = (
        "import os; print('It is served at http://' + os.environ.get('CLOUDEDGE_TOKEN', 'none'), flush=True)"
    )

    async def work() -> None:
        child = up.Child("child", [], code)
        assert await child.start(token) == f"http://{token or 'none'}"
        await child.end(60)

    asyncio.run(work())


def test_a_server_may_have_as_many_connections_as_the_system_lets_it() -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limits[1] == resource.RLIM_INFINITY:
        pytest.skip("the system may not grant it")
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, limits[1]), limits[1]))
        raise_file_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == limits[1]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_file_has_no_end_to_wait_for(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    arguments = ["node", f"bundle={tmp_path}", "port=0", "stop_with_stdin=true"]
    with running(*arguments, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "stop_with_stdin=true" in said


def test_a_server_ends_in_order(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    with running("node", f"bundle={tmp_path}", "port=0") as process:
        url_of(process, "The edge part")
        process.terminate()
        assert process.wait(120) == 0
    with running(
        "node", f"bundle={tmp_path}", "port=0", "stop_with_stdin=true", stdin=subprocess.PIPE
    ) as process:
        url_of(process, "The edge part")
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(120) == 0
