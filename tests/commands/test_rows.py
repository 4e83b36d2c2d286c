"""Every run leaves a row; a sweep that is started again runs only what is not done, in folders of its own."""

from __future__ import annotations

import csv
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from omegaconf import DictConfig

import cloudedge_pl.commands.schedule as schedule
import cloudedge_pl.commands.train as train
from cloudedge_pl.commands.rows import fingerprint
from cloudedge_pl.lightning import pl
from cloudedge_pl.reports.run_rows import RunRow
from tests.commands.command_line import CommandLine
from tests.commands.test_train import QUICK
from tests.training.helpers import CLASSES, SmallNet

PROBLEM = ["num_tasks=6", "num_nodes=2", "scheduler=fcfs", "compare=[lpt]", "convergence=[]", "baseline=null"]
SMALL = [
    *QUICK,
    "data.image_size=16",
    f"data.num_classes={CLASSES}",
    "offloading.split_point=2",
    "model.schedule=constant",
    "callbacks.progress=null",
    "+trainer.enable_progress_bar=false",
    "logger.tensorboard=null",
]


def row_in(folder: str | Path) -> RunRow:
    row = RunRow.load(Path(folder))
    assert row is not None
    return row


def state_of(sweep: str) -> list[str]:
    return [each["state"] for each in json.loads((Path(sweep) / "sweep.json").read_text())["jobs"]]


def contents(folder: str | Path) -> dict[str, bytes]:
    """Every file of a run but Hydra's own."""
    paths = [path for path in Path(folder).rglob("*") if path.is_file() and ".hydra" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def composed(*overrides: str, name: str = "schedule") -> DictConfig:
    with initialize_config_module("cloudedge_pl.conf", version_base="1.3"):
        return compose(name, list(overrides))


def test_a_run_leaves_its_row(cloudedge_here: CommandLine) -> None:
    assert cloudedge_here("schedule", *PROBLEM, "seed=3", "hydra.run.dir=run") is None
    row, summary = row_in("run"), json.loads(Path("run/summary.json").read_text())
    assert (row.command, row.state, row.error, row.seed) == ("schedule", "done", None, 3)
    assert list(row.overrides) == [*PROBLEM, "seed=3"]
    assert row.wall_seconds > 0
    assert row.metrics["lpt.makespan_seconds"] == summary["schedulers"]["lpt"]["makespan_seconds"]


def test_a_plan_leaves_the_costs_of_its_split_point(cloudedge_here: CommandLine) -> None:
    assert cloudedge_here("plan", "model=resnet18", "hydra.run.dir=run") is None
    plan, row = json.loads(Path("run/plan.json").read_text()), row_in("run")
    assert row.metrics["split_point"] == plan["split_point"]
    assert row.metrics["delay_seconds"] == plan["split_points"][plan["split_point"]]["delay_seconds"]


def test_a_run_that_fails_has_no_numbers_of_the_one_before(cloudedge_here: CommandLine) -> None:
    assert cloudedge_here("schedule", *PROBLEM, "hydra.run.dir=run") is None
    assert cloudedge_here("schedule", *PROBLEM, "num_tasks=0", "hydra.run.dir=run")
    row = row_in("run")
    assert row.state == "failed"
    assert row.error is not None
    assert "num_tasks is 0" in row.error
    assert row.metrics == {}


def test_a_run_that_is_stopped_says_so(cloudedge_here: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "save_gantt", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
    assert cloudedge_here("schedule", *PROBLEM, "hydra.run.dir=run") == 143
    row = row_in("run")
    assert (row.state, row.error) == ("interrupted", "SIGTERM")


def test_the_fingerprint_is_that_of_the_config_however_it_is_written() -> None:
    default = fingerprint("schedule", composed())
    assert default == fingerprint("schedule", composed("num_tasks=200", "scheduler=atsa"))
    others = [fingerprint("schedule", composed(each)) for each in ("seed=1", "scheduler=lpt", "windows=6")]
    assert len({default, fingerprint("plan", composed()), *others}) == 5


def test_the_objective_is_no_part_of_a_run() -> None:
    asked = composed("objective_metric=p95_delay_seconds", name="simulate")
    assert fingerprint("simulate", asked) == fingerprint("simulate", composed(name="simulate"))


def test_a_sweep_that_is_started_again_runs_what_is_not_done(
    cloudedge_here: CommandLine,
    capfd: pytest.CaptureFixture[str],
) -> None:
    sweep = ["schedule", "-m", *PROBLEM, "hydra.sweep.dir=sweep"]
    assert cloudedge_here(*sweep, "seed=1,2") is None
    before = {name: contents(f"sweep/{name}") for name in ("0", "1")}
    capfd.readouterr()
    assert cloudedge_here(*sweep, "seed=0,1,2,3") is None
    shown = capfd.readouterr().out
    assert "seed=1 is done in" in shown
    assert "2 of the sweep's 4 jobs were done before, and skipped." in shown
    assert state_of("sweep") == ["done", "skipped", "skipped", "done"]
    assert {name: row_in(f"sweep/{name}").seed for name in "0123"} == {"0": 1, "1": 2, "2": 0, "3": 3}
    assert {name: contents(f"sweep/{name}") for name in ("0", "1")} == before


def test_a_failed_job_is_tried_again_in_its_folder(
    cloudedge_here: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sweep = ["schedule", "-m", *PROBLEM, "hydra.sweep.dir=sweep", "seed=0,1"]
    with monkeypatch.context() as broken:
        broken.setattr(schedule, "save_gantt", lambda *_, **__: 1 / 0)
        assert "2 of the sweep's jobs failed" in str(cloudedge_here(*sweep))
    assert state_of("sweep") == ["failed", "failed"]
    assert cloudedge_here(*sweep) is None
    assert [row_in(f"sweep/{name}").state for name in "01"] == ["done", "done"]
    assert sorted(path.name for path in Path("sweep").iterdir() if path.is_dir()) == ["0", "1"]


def test_a_single_run_is_never_skipped(cloudedge_here: CommandLine) -> None:
    for _ in range(2):
        assert cloudedge_here("schedule", *PROBLEM, "hydra.run.dir=run") is None
        (Path("run") / "schedule.csv").unlink()


class StopOnce(pl.Callback):
    """Sends this process SIGTERM in the second epoch."""

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.current_epoch == 1:
            os.kill(os.getpid(), signal.SIGTERM)


def weights(folder: str) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(Path(folder) / "checkpoints" / "last.ckpt", weights_only=True)
    return found["state_dict"]  # type: ignore[return-value]


def logged(folder: str) -> list[dict[str, str]]:
    with (Path(folder) / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_training_of_a_sweep_goes_on_as_if_it_had_not_stopped(
    cloudedge_here: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("cloudedge_pl.training.module.build_backbone", lambda *_, **__: SmallNet())
    made = train.build

    def build(cfg: DictConfig) -> Any:
        parts = made(cfg)
        parts[2].callbacks.insert(0, StopOnce())
        return parts

    with monkeypatch.context() as stopping:
        stopping.setattr(train, "build", build)
        assert cloudedge_here("train", "-m", *SMALL, "hydra.sweep.dir=sweep", "seed=0,1") == 143
    assert state_of("sweep") == ["stopped", "not started"]
    assert row_in("sweep/0").state == "interrupted"
    assert cloudedge_here("train", "-m", *SMALL, "hydra.sweep.dir=sweep", "seed=0,1") is None
    assert "goes on with interrupted.ckpt" in capfd.readouterr().out.replace("\n", " ")
    assert cloudedge_here("train", *SMALL, "seed=0", "hydra.run.dir=whole") is None
    ours, whole = weights("sweep/0"), weights("whole")
    assert ours.keys() == whole.keys()
    assert all(torch.equal(ours[name], whole[name]) for name in whole)
    kept = {key: value for key, value in row_in("whole").metrics.items() if key != "images_per_second"}
    assert kept.items() <= row_in("sweep/0").metrics.items()
    rows, expected = logged("sweep/0"), logged("whole")
    # Lightning does not log the step during which it is stopped, and averages the rest of that epoch.
    missing = [row for row in expected if row not in rows]
    assert [row["step"] for row in missing] == ["4", "7"]
    assert len(rows) == len(expected) - 1
    assert missing[1]["train/accuracy"]
