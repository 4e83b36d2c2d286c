"""``cloudedge collect``: a table, a CSV file and figures of the runs in folders; errors that say what to change."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.commands.command_line import CommandLine
from tests.reports.test_sweep_groups import leave, swept

SMALL = ["num_tasks=6", "num_nodes=2", "scheduler=fcfs", "compare=[]", "convergence=[]", "baseline=null"]


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return swept(tmp_path / "sweep")


def rows(path: str | Path) -> list[dict[str, str]]:
    with Path(path).open() as file:
        return list(csv.DictReader(file))


def test_collects_a_sweep(
    cloudedge_here: CommandLine,
    capfd: pytest.CaptureFixture[str],
) -> None:
    swept = ["num_nodes=2,3,true", "seed=0,1", "hydra.sweep.dir=out"]
    assert "2 of the sweep's jobs failed" in str(cloudedge_here("schedule", "-m", *SMALL, *swept))
    capfd.readouterr()
    assert cloudedge_here("collect", "out", "metric=fcfs.makespan_seconds") is None
    shown = capfd.readouterr().out
    assert "6 runs: 4 done, 2 failed" in shown
    assert "num_nodes is True" in shown
    assert "out/runs.csv, out/figures/fcfs.makespan_seconds.png" in shown
    found = rows("out/runs.csv")
    assert [(row["num_nodes"], row["seed"], row["state"]) for row in found[::2]] == [
        ("2", "0", "done"),
        ("3", "0", "done"),
        ("true", "0", "failed"),
    ]
    assert "num_nodes is True" in found[4]["error"]
    assert Path("out/figures/fcfs.makespan_seconds.png").is_file()
    assert not Path("out/.hydra").exists()
    assert not list(Path().glob("*.log"))


def test_collects_several_folders_to_another(
    cloudedge_here: CommandLine,
    sweep: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    more = sweep.parent / "more a=b"
    leave(
        more / "deep" / "er",
        "scheduler=lpt",
        "fleet.num_nodes=40",
        "seed=0",
        metrics={"mean_delay_seconds": 9.0},
    )
    asked = ["metric=[mean_delay_seconds,tasks]", "spread=interval", "to=all"]
    assert cloudedge_here("collect", str(sweep), str(more), *asked) is None
    assert len(rows("all/runs.csv")) == 13
    assert {path.name for path in Path("all/figures").iterdir()} == {"mean_delay_seconds.png", "tasks.png"}
    assert not (sweep / "runs.csv").exists()
    assert "13 runs: 13 done" in capfd.readouterr().out


def test_without_a_finished_run_there_is_a_table_and_no_figure(
    cloudedge_here: CommandLine,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    leave(tmp_path / "out" / "0", "seed=0", state="running")
    assert cloudedge_here("collect", "out") is None
    assert "killed, or still running" in capfd.readouterr().out
    assert len(rows("out/runs.csv")) == 1
    assert not Path("out/figures").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "no folder is given"),
        (["nowhere"], "nowhere is not a folder"),
        (["folders=3"], "folders is 3"),
        (["."], "there is no run"),
        (["{sweep}", "metric=delay"], "unknown metric 'delay'"),
        (["{sweep}", "metric=3"], "metric is 3"),
        (["{sweep}", "x=foo"], "'foo'"),
        (["{sweep}", "lines=foo"], "'foo'"),
        (["{sweep}", "spread=foo"], "unknown spread 'foo'"),
        (["{sweep}", "metrics=tasks"], "metrics"),
    ],
)
def test_wrong_input_ends_in_one_line(
    cloudedge_here: CommandLine,
    tmp_path: Path,
    arguments: list[str],
    says: str,
) -> None:
    (tmp_path / "in").mkdir()
    leave(tmp_path / "in" / "0", metrics={"tasks": 3})
    if arguments == ["."]:
        (tmp_path / "in" / "0" / "row.json").unlink()
    ended = str(cloudedge_here("collect", *(each.format(sweep="in") for each in arguments)))
    assert says in ended
    assert not Path("nowhere").exists()
    assert not Path("in/runs.csv").exists() or "metric" in str(arguments) or "=foo" in str(arguments)
