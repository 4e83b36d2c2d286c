"""``cloudedge simulate``: what it writes, without a run and on one, and what it says of wrong input."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from cloudedge_pl.commands import simulate as module
from cloudedge_pl.commands.cli import main
from cloudedge_pl.commands.simulate import decides
from cloudedge_pl.exits import Outcomes
from cloudedge_pl.signals import Interrupted
from cloudedge_pl.simulation.scenario import Scenario, WindowRule
from cloudedge_pl.simulation.task_records import TaskRecords
from cloudedge_pl.simulation.tasks import ServiceNoise, TaskClass


@pytest.fixture
def simulate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the command in an empty folder, and returns its folder and summary, or the line with which it ends."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CLOUDEDGE_TRACE", raising=False)

    def run(*overrides: str, folder: str = "out") -> Any:
        GlobalHydra.instance().clear()
        given = ["model=resnet18", "num_tasks=300", "figures=false", f"hydra.run.dir={folder}", *overrides]
        monkeypatch.setattr(sys, "argv", ["cloudedge", "simulate", *given])
        try:
            main()
        except SystemExit as end:
            return str(end.code).partition("\n")[0]
        return Path(folder), json.loads((Path(folder) / "summary.json").read_text())

    return run


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """What a simulation reads of a run: config, plan, outcomes and summary."""
    folder = tmp_path / "run"
    (folder / ".hydra").mkdir(parents=True)
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "best.ckpt").touch()
    GlobalHydra.instance().clear()
    with initialize_config_module("cloudedge_pl.conf", version_base="1.3"):
        cfg = compose("train", overrides=["model=resnet18", "fleet.num_nodes=3", "exits.threshold=0.5"])
    OmegaConf.save(cfg, folder / ".hydra" / "config.yaml")
    (folder / "plan.json").write_text(json.dumps({"split_point": 4, "input_shape": [3, 32, 32]}))
    (folder / "summary.json").write_text(json.dumps({"exits": {"policy": "confidence", "threshold": 0.5}}))
    random = np.random.default_rng(0)
    Outcomes(
        sample=np.arange(100),
        label=np.zeros(100),
        exit_class=(np.arange(100) % 2),
        exit_score=random.random(100),
        cloud_class=np.zeros(100),
        path=np.zeros(100),
    ).save(folder / "outcomes.npz")
    return folder


def test_a_simulation_without_a_run(simulate: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder, summary = simulate("exit_share=0.4", "figures=true")
    records = TaskRecords.load(folder / "tasks.csv")
    assert len(records) == 300 == summary["tasks"] == summary["answered"]
    early = summary["answered_by"]["early_exit"]["tasks"]
    assert early == int((records.path == 2).sum()) > 60
    assert summary["p95_delay_seconds"] == pytest.approx(np.nanpercentile(records.delay_seconds, 95))
    assert np.isfinite(records.deadline_seconds).all()  # the workload's
    assert json.loads((folder / "plan.json").read_text())["split_point"] == summary["split_point"]
    assert len(list((folder / "figures").glob("*.png"))) == 4
    said = " ".join(capsys.readouterr().out.split())
    assert "This run is greedy" in said
    assert "plan.json, summary.json, tasks.csv and figures are in" in said


def test_the_same_seed_gives_the_same_tasks_however_they_are_kept(simulate: Any) -> None:
    scenario = "scenario.classes=[{name: urgent, deadline_seconds: 0.1},{name: heavy, work: 5, share: 2}]"
    _, kept = simulate(scenario, folder="kept")
    _, sums = simulate(scenario, "records=none", folder="sums")
    assert not Path("sums/tasks.csv").exists()
    for key in ("tasks", "answered", "deadline_misses", "mean_delay_seconds", "mean_energy_joules"):
        assert kept[key] == pytest.approx(sums[key]), key
    assert kept["classes"].keys() == sums["classes"].keys() == {"urgent", "heavy"}
    assert kept["scheduling_decides"]


def test_a_run_that_ends_at_a_time(simulate: Any) -> None:
    _, summary = simulate("num_tasks=null", "until_seconds=5", "arrivals.tasks_per_second=50")
    assert summary["clock_seconds"] == 5.0
    assert 200 < summary["tasks"] < 300


@pytest.mark.parametrize("way", ["run={}", "ckpt={}/checkpoints/best.ckpt"])
def test_a_run_replays_the_samples_of_its_test(simulate: Any, trained: Path, way: str) -> None:
    folder, summary = simulate(way.format(trained), "dormancy=never")
    records, outcomes = TaskRecords.load(folder / "tasks.csv"), Outcomes.load(trained / "outcomes.npz")
    sure = outcomes.exits(0.5)[records.sample]
    assert summary["split_point"] == 4
    assert summary["exit_threshold"] == 0.5
    assert not (records.path[~sure] == 2).any()
    assert 0.9 < (records.path[sure] == 2).mean() <= 1.0  # one in a hundred is audited
    right = np.where(records.path == 2, records.sample % 2 == 0, True)
    assert summary["accuracy"] == pytest.approx(right.mean())
    assert summary["accuracy_by_path"]["cloud"] == 1.0


def test_a_run_without_outcomes_still_gives_config_and_split_point(
    simulate: Any, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (trained / "outcomes.npz").unlink()
    _, summary = simulate(f"run={trained}", "exits=none", "scheduler=round_robin")
    assert summary["accuracy"] is None
    assert summary["split_point"] == 4
    assert summary["scheduler"] == "RoundRobin"
    assert [each["jobs"] for each in summary["stations"] if each["kind"] == "node"] == [100] * 3
    assert "has no outcomes.npz" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["num_tasks=0"], "num_tasks is 0"),
        (["num_tasks=null"], "neither num_tasks nor until_seconds"),
        (["num_tasks=1.5"], "num_tasks is 1.5"),
        (["until_seconds=-1"], "until_seconds is -1"),
        (["records=xml"], "unknown kind of records 'xml'"),
        (["exit_share=2"], "exit_share is 2"),
        (["exits=confidence"], "exit_share=0.3"),
        (["workload=training"], "workload=inference"),
        (["arrivals.tasks_per_second=0"], "tasks_per_second is 0"),
        (["arrivals=trace"], "arrivals.path is not given"),
        (["dormancy.mode=sometimes"], "mode is 'sometimes'"),
        (["dormancy=quantile", "dormancy.share_asleep=1"], "share_asleep is 1"),
        (["link_process=trace", "link_process.path=nowhere.csv"], "nowhere.csv"),
        (["churn=events", "churn.events=nowhere.csv"], "nowhere.csv"),
        (["scenario.queues.policy=drop"], "unknown policy of full queues 'drop'"),
        (["scenario.classes=[{name: a, size: 0}]"], "size is 0"),
        (["run=nowhere"], "nowhere/.hydra/config.yaml"),
        (["ckpt=nowhere.ckpt"], "no checkpoint at nowhere.ckpt"),
        (["run=a", "ckpt=b"], "one run or checkpoint is enough"),
    ],
)
def test_wrong_input_is_answered_in_one_line(simulate: Any, overrides: list[str], message: str) -> None:
    assert message in simulate(*overrides)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["exit_share=0.5"], "leave it out"),
        (["exits.policy=entropy"], "exits.policy=entropy"),
        (["exits.threshold=null", "exits.max_disagreement=0.01"], "exits.max_disagreement=0.01"),
    ],
)
def test_exits_that_a_run_does_not_know(
    simulate: Any, trained: Path, overrides: list[str], message: str
) -> None:
    assert message in simulate(f"run={trained}", *overrides)


@pytest.mark.parametrize("in_kernel", [False, True])
def test_a_signal_leaves_the_summary_of_what_was_done(
    simulate: Any, monkeypatch: pytest.MonkeyPatch, in_kernel: bool
) -> None:
    class Stopped(module.FleetRun):
        def pieces(self) -> Any:
            yield next(super().pieces())
            if not in_kernel:
                raise Interrupted(15)
            try:  # as Python reports a signal that comes in a compiled function
                raise SystemError("returned a result with an exception set") from Interrupted(15)
            except SystemError as error:
                raise SystemError("returned a result with an exception set") from error

    def stopped(*positional: Any, **options: Any) -> Any:
        return Stopped(*positional, **options, piece=100)

    monkeypatch.setattr(module, "FleetRun", stopped)
    assert simulate() == "143"
    summary = json.loads(Path("out/summary.json").read_text())
    assert summary["tasks"] == 100
    assert summary["interrupted"] == "SIGTERM"
    assert summary["interrupted_during"] == "simulation"


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        (Scenario(), False),
        (Scenario(window=WindowRule(tasks=4)), True),
        (Scenario(window=WindowRule(seconds=0.1)), True),
        (Scenario(service=ServiceNoise(jitter=0.1)), True),
        (Scenario(classes=[TaskClass(name="a"), TaskClass(name="b", deadline_seconds=1.0)]), False),
        (Scenario(classes=[TaskClass(name="a"), TaskClass(name="b", work=2.0)]), True),
    ],
)
def test_scheduling_decides_where_tasks_are_unlike_or_wait_for_a_window(
    scenario: Scenario, expected: bool
) -> None:
    assert decides(scenario) is expected
