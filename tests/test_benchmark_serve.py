"""The benchmark of serving prints what it says it prints, ends its processes, and counts latencies from the arrival."""

from __future__ import annotations

import asyncio
import json
import runpy
from pathlib import Path

import load
import pytest
import served

from cloudedge_pl.commands.up import Child
from cloudedge_pl.serving.failures import CallError
from tests.export.helpers import bundle, cut
from tests.partition import nets

BENCHMARK = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "serve.py"))
SHORT = ["--requests", "5", "--warm-up", "1", "--seconds", "0.2", "--rounds", "2", "--nodes", "1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("served") / "bundle"
    bundle(cut(nets.Residual(), 2), path, whole=True)
    return path


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[Child]:
    """Every process that the benchmark makes."""
    made: list[Child] = []

    class Recorded(Child):
        def __init__(self, *given, **named):
            super().__init__(*given, **named)
            made.append(self)

    monkeypatch.setattr(served, "Child", Recorded)
    return made


def test_rows_of_every_part_and_nothing_left_running(folder, children, capsys):
    BENCHMARK["main"](["--json", "--bundle", str(folder), "--node-seconds", "0.02", *SHORT])
    overhead, *rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [child.name for child in children] == ["node-0", "cloud", "whole", "edge-1", "cut-1"]
    assert all(child.process.returncode == 0 for child in children)
    assert (overhead["part"], overhead["requests"], overhead["nodes"]) == ("overhead", 5, 1)
    ways = ("session", "part_sessions", "server", "parts", "master")
    assert all(overhead[f"{way}_seconds"] > 0 for way in ways)
    low, high = overhead["overhead_quartiles_seconds"]
    assert low <= overhead["overhead_seconds"] <= high
    assert 0 < overhead["master_own_seconds"] < 1
    assert min(overhead["parts_seconds"], overhead["master_seconds"]) > 0.02 == overhead["node_seconds"]
    assert overhead["master_cpu_seconds"] >= 0
    kinds = [(row["part"], row["system"], row["nodes"]) for row in rows]
    assert kinds == [
        (part, *system) for part in ("closed", "open") for system in (("cloud", 0), ("edge", 1), ("cut", 1))
    ]
    for row in rows:
        assert (row["benchmark"], row["seed"], row["failed"], row["rounds"]) == ("serve", 0, 0, 2)
        assert row["requests"] > 0
        assert 0 < row["p50_seconds"] <= row["p95_seconds"] <= row["p99_seconds"]
        assert row["paths"] == {"exit_asleep" if row["system"] == "edge" else "cloud": 1.0}
        assert row["ratio"] == 1 or row["system"] != "cloud"
    assert len({row["rate"] for row in rows[3:]}) == 1


def test_an_error_on_the_way_leaves_nothing_running(folder, children):
    def fails(row):
        raise OSError("the disk is full")

    options = BENCHMARK["parsed"](["--bundle", str(folder), *SHORT, "--parts", "overhead"])
    with pytest.raises(OSError, match="full"):
        asyncio.run(BENCHMARK["measure"](options, fails))
    assert len(children) == 5
    assert all(child.process.returncode is not None for child in children)


def test_a_latency_counts_from_the_arrival():
    async def main() -> load.Measured:
        one_at_a_time = asyncio.Lock()

        async def ask(number: int) -> None:
            async with one_at_a_time:
                await asyncio.sleep(0.02)
            if number == 3:
                raise CallError("gone", "away")

        return await load.open_loop(ask, [0.0, 0.0, 0.0, 0.0])

    measured = asyncio.run(main())
    assert measured.failed == {"away": 1}
    assert len(measured.seconds) == 3
    assert all(seconds > 0.019 * turn for turn, seconds in enumerate(sorted(measured.seconds), start=1))
    assert measured.requests_per_second == pytest.approx(3 / measured.wall_seconds)


def test_clients_of_a_closed_loop_wait_for_their_answers():
    running: list[int] = []
    most = 0

    async def ask(number: int) -> None:
        nonlocal most
        running.append(number)
        most = max(most, len(running))
        await asyncio.sleep(0.005)
        running.remove(number)

    measured = asyncio.run(load.closed_loop(ask, 3, 0.05))
    assert most == 3
    assert len(measured.seconds) >= 3
    assert measured.wall_seconds >= 0.05


def test_arrivals_are_drawn_by_their_seed():
    found = load.poisson(100.0, 20.0, [0, 1])
    assert found == load.poisson(100.0, 20.0, [0, 1]) != load.poisson(100.0, 20.0, [0, 2])
    assert found == sorted(found)
    assert 0 < found[0] < found[-1] <= 20
    assert len(found) == pytest.approx(2000, rel=0.15)
    assert load.poisson(1e-9, 1.0, [0]) == [0.0]


@pytest.mark.parametrize("option", [("--nodes", "0"), ("--rate", "nan"), ("--seconds", "-1")])
def test_wrong_numbers_are_answered_clearly(option, capsys):
    with pytest.raises(SystemExit):
        BENCHMARK["main"](list(option))
    assert f"{option[1]!r} is not a" in capsys.readouterr().err
