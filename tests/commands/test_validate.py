"""`cloudedge validate`: its keys, what it refuses, and short comparisons, which leave nothing behind."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cloudedge_pl.commands.help import composed
from cloudedge_pl.commands.serving import configured, master_parts
from cloudedge_pl.commands.validate import _checked
from cloudedge_pl.commands.validation_rig import _text
from cloudedge_pl.dormancy import DormancyRule
from cloudedge_pl.serving.master_settings import MasterSettings
from cloudedge_pl.validation.conditions import CONDITIONS, Span
from tests.commands.command_line import CommandLine
from tests.serving.fleets import write_bundle

START = "from cloudedge_pl.commands.cli import main; main()"
SHORT = (
    "hosts=loopback",
    "node_seconds=[0.01,0.02]",
    "cloud_seconds=0.002",
    "node_delay_seconds=0.0",
    "cloud_delay_seconds=0.005",
    "warmup_seconds=0.3",
    "seconds=1.5",
    "calls=3",
)


def test_every_key_is_explained() -> None:
    _, own, sections = composed("validate", {})
    assert own
    assert all(key.comment for key in [*own, *(key for each in sections for key in each.keys)])


def test_the_defaults_are_those_of_the_classes() -> None:
    cfg = configured("validate", ["bundle=b"])
    settings, _, rule = master_parts(cfg)
    assert settings == MasterSettings(batch_size=1, least_delay_seconds=0.0)
    assert rule == DormancyRule()
    assert Span(warmup_seconds=cfg.warmup_seconds, seconds=cfg.seconds) == Span()
    assert list(cfg.conditions) == list(CONDITIONS)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["conditions=[]"], "conditions or node_seconds is empty"),
        (["conditions=[lazy]"], "unknown condition 'lazy'"),
        (["node_seconds=[0.1,0]"], r"node_seconds\[1\] is 0"),
        (["node_seconds=[0.1]"], "node_seconds has 1 values, .* 2 to 200"),
        (["node_seconds=[0.1,1e6]"], r"node_seconds\[1\] is 1000000"),
        (["cloud_delay_seconds=1e6"], "cloud_delay_seconds is 1000000"),
        (["node_bits_per_second=1e-9"], "node_bits_per_second is 1e-09"),
        (["seconds=1e9"], "seconds is 1000000000"),
        (["cloud_seconds=-1"], "cloud_seconds is -1"),
        (["calls=0"], "calls is 0"),
        (["seconds=0"], "seconds is 0"),
    ],
)
def test_what_makes_no_sense_is_refused(overrides: list[str], message: str) -> None:
    content: Any = dict(configured("validate", ["bundle=b", *overrides]))
    with pytest.raises(ValueError, match=message):
        _checked(content)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["bundle={folder}/absent"], "no manifest.json"),
        (["~scheduler"], "scheduler is left out"),
        (["master.max_tasks=0"], "max_tasks is 0"),
        (["dir={folder}/edge.onnx"], "edge.onnx, and nothing can be written there"),
    ],
)
def test_nothing_starts_for_what_is_refused(
    overrides: list[str],
    message: str,
    tmp_path: Path,
    cloudedge_here: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(*_: object) -> None:
        raise AssertionError("it went on")

    monkeypatch.setattr("cloudedge_pl.commands.validate.choose", start)
    write_bundle(tmp_path)
    given = [each.format(folder=tmp_path) for each in overrides]
    assert message in str(cloudedge_here("validate", f"bundle={tmp_path}", *given))


def test_settings_as_overrides() -> None:
    assert [_text(each) for each in (None, True, 1, 0.5, "hysteresis")] == [
        "null",
        "true",
        "1",
        "0.5",
        "hysteresis",
    ]


def processes(bundle: Path) -> list[int]:
    """Processes whose command line names a bundle."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and str(bundle).encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def started(bundle: Path, folder: Path, *overrides: str) -> subprocess.Popen[str]:
    arguments = ["validate", f"bundle={bundle}", f"dir={folder}", *SHORT, *overrides]
    return subprocess.Popen(
        [sys.executable, "-c", START, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder.parent,
    )


@pytest.mark.slow
@pytest.mark.parametrize("hosts", ["loopback", "auto"])
def test_a_short_comparison(tmp_path: Path, hosts: str) -> None:
    write_bundle(tmp_path / "bundle")
    process = started(
        tmp_path / "bundle",
        tmp_path / "out",
        "conditions=[dead_node,outage]",
        f"hosts={hosts}",
        "seconds=3",
        "master.patience_seconds=0.2",
    )
    said, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "outage: done" in said
    found = json.loads((tmp_path / "out" / "validate.json").read_text())
    assert [each["condition"] for each in found["comparisons"]] == ["outage", "dead_node"]
    for each in found["comparisons"]:
        assert each["real"]["requests"] == each["simulated"]["requests"] > 0
        assert each["real"]["failed"] == each["simulated"]["failed"] == 0
    dead = found["comparisons"][1]["real"]["by_node"]
    assert set(dead) == {"node-0", "node-1"}
    outage = found["comparisons"][0]["real"]
    assert outage["by_path"]["exit"] > 0
    assert outage["share_asleep"] > 0
    with (tmp_path / "out" / "validate.csv").open() as file:
        assert [row["condition"] for row in csv.DictReader(file)] == ["outage", "dead_node"]
    assert (tmp_path / "out" / "validate.png").stat().st_size > 10_000
    assert not processes(tmp_path / "bundle")


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_a_comparison_that_is_stopped(tmp_path: Path, signum: signal.Signals) -> None:
    write_bundle(tmp_path / "bundle")
    process = started(tmp_path / "bundle", tmp_path / "out", "hosts=auto", "seconds=60")
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("cloud:"):
            break
    assert len(processes(tmp_path / "bundle")) > 3
    os.kill(process.pid, signum)
    process.communicate(timeout=60)
    assert process.returncode != 0
    deadline = time.monotonic() + 30
    while processes(tmp_path / "bundle") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not processes(tmp_path / "bundle")
    assert not (tmp_path / "out" / "validate.json").exists()
