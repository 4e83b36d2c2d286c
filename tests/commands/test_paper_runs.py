"""The trainings of Fig. 9: started, stopped, resumed, reported. A small program stands in for ``cloudedge train``."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from cloudedge_pl.commands import paper_runs
from cloudedge_pl.commands.own_config import resumable_checkpoint
from cloudedge_pl.commands.paper_runs import train_all, training_plan
from cloudedge_pl.paper.curves import ANSWERS, read_curve
from cloudedge_pl.paper.part import Report
from cloudedge_pl.paper.training_plan import BRANCHYNET, OURS, PLAIN, TrainingPlan
from cloudedge_pl.signals import Interrupted, release_signals, stopped_by_signals

STAND_IN = """
import json, os, signal, sys, time
from pathlib import Path
given = dict(each.split("=", 1) for each in sys.argv[2:])
folder = Path(given["hydra.run.dir"].strip("'"))
(folder / ".hydra").mkdir(parents=True); (folder / "checkpoints").mkdir()
(folder / ".hydra" / "config.yaml").write_text("{}")
(folder / "given.json").write_text(json.dumps([given, os.environ["OMP_NUM_THREADS"]]))
checkpoint = Path(given.get("ckpt_path", "none").strip("'"))
start = int(checkpoint.read_text()) if checkpoint.is_file() else 0
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
if "fails" in given.get("model", ""):
    sys.exit("the model fails")
rows = "epoch,step,val/accuracy\\n"
for step in range(start, 4):
    rows += f"0,{step},{step / 10}\\n"
    (folder / "metrics.csv").write_text(rows)
    (folder / "checkpoints" / "last.ckpt").write_text(str(step + 1))
    while step == 1 and "waits" in given.get("model", "") and not start and not stopped:
        time.sleep(0.01)
    if stopped:
        break
(folder / "summary.json").write_text(json.dumps({"interrupted": "SIGTERM" if stopped else None, "steps": step + 1}))
sys.exit(143 if stopped else 0)
"""


class Steps(Report):
    def __init__(self) -> None:
        self.seen: list[tuple[str, float, float | None]] = []

    def step(self, text: str, done: float = 0, total: float | None = None) -> None:
        self.seen.append((text, done, total))


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper_runs, "PROGRAM", STAND_IN)
    monkeypatch.setattr(paper_runs, "POLL_SECONDS", 0.02)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def a_plan(*overrides: str, seeds: int = 1, parallel: int | None = 2) -> TrainingPlan:
    start = partial(train_all, max_steps=4, parallel=parallel)
    return TrainingPlan(overrides=overrides, start=start, seeds=seeds)


def given(folder: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((folder / "given.json").read_text())[0]
    return found


def test_every_system_is_trained_with_every_seed_and_the_same_overrides(tmp_path: Path) -> None:
    plan, steps = a_plan("experiment=paper_quick", "data.batch_size=8", seeds=2), Steps()
    runs = plan.runs(tmp_path)
    plan.start(runs, steps)
    assert {(run.system, run.seed) for run in runs} == {
        (key, seed) for key in (OURS, BRANCHYNET, PLAIN) for seed in (0, 1)
    }
    for run in runs:
        assert run.is_finished
        used = given(run.folder / "1")
        assert (used["experiment"], used["data.batch_size"], used["seed"]) == (
            "paper_quick",
            "8",
            str(run.seed),
        )
        assert (used.get("strategy") == "auto") == (run.system == PLAIN)
        assert ("exits.threshold" in used) == (run.system == BRANCHYNET)
    done = [each[1] for each in steps.seen]
    assert done == sorted(done)
    assert steps.seen[-1] == ("trained", 24, 24)


def test_a_finished_run_is_not_made_again(tmp_path: Path) -> None:
    plan = a_plan()
    plan.start(plan.runs(tmp_path), Report())
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    steps = Steps()
    plan.start(plan.runs(tmp_path), steps)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert steps.seen[-1] == ("trained", 12, 12)


def test_interrupted_runs_write_a_checkpoint_and_go_on_from_it(tmp_path: Path) -> None:
    plan = a_plan("model=waits")
    runs = plan.runs(tmp_path)

    def interrupt() -> None:
        while not all((run.folder / "1" / "checkpoints" / "last.ckpt").is_file() for run in runs[:2]):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    def start() -> None:
        with stopped_by_signals():
            release_signals()
            threading.Thread(target=interrupt).start()
            plan.start(runs, Report())

    with pytest.raises(Interrupted):
        start()
    assert not any(run.is_finished for run in runs)
    started = [run for run in runs if run.parts]
    assert len(started) == 2  # at the same time
    for run in started:
        assert json.loads((run.folder / "1" / "summary.json").read_text())["interrupted"] == "SIGTERM"

    finishing = plan.runs(tmp_path)
    finishing[2:] = []
    plan.start(finishing, Report())
    for run in finishing:
        assert [path.name for path in run.parts] == ["1", "2"]
        used = given(run.folder / "2")
        assert used["ckpt_path"].strip("'") == str(run.folder / "1" / "checkpoints" / "last.ckpt")
        assert "model" not in used  # the checkpoint's run has its config
        curve = read_curve(run.system, run.seed, run.parts)
        assert curve.steps.tolist() == [1, 2, 3, 4]
        assert curve.errors[ANSWERS] == pytest.approx([1.0, 0.9, 0.8, 0.7])


def test_a_failing_run_says_why_and_stops_the_others(tmp_path: Path) -> None:
    plan = a_plan("model=fails")
    with pytest.raises(RuntimeError, match=r"collaborative, seed 0.*status 1.*the model fails"):
        plan.start(plan.runs(tmp_path)[:1], Report())


def test_runs_share_the_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper_runs, "usable_cores", lambda: 7)
    plan = a_plan(parallel=2)
    runs = plan.runs(tmp_path)
    plan.start(runs, Report())
    assert {json.loads((run.folder / "1" / "given.json").read_text())[1] for run in runs} == {"3"}
    with pytest.raises(ValueError, match="parallel"):
        train_all(a_plan().runs(tmp_path / "other"), Report(), parallel=0)


def test_the_newest_checkpoint_counts(tmp_path: Path) -> None:
    run = a_plan().runs(tmp_path)[0]
    assert resumable_checkpoint(run.parts) is None
    for number, name in ((1, "last"), (1, "interrupted"), (2, "last")):
        path = run.folder / str(number) / "checkpoints" / f"{name}.ckpt"
        path.parent.mkdir(parents=True, exist_ok=True)
        (run.folder / str(number) / ".hydra").mkdir(exist_ok=True)
        (run.folder / str(number) / ".hydra" / "config.yaml").write_text("{}")
        path.write_text(name)
        assert resumable_checkpoint(run.parts) == path
        os.utime(path, ns=(0, path.stat().st_mtime_ns))
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("trainer", "max_steps"),
    [({"max_steps": 160}, 160), ({"fast_dev_run": True, "max_steps": 9}, 1), ({"max_epochs": 3}, None)],
)
def test_the_plan_trains_with_what_the_user_gave_the_reproduction(
    trainer: dict[str, object], max_steps: int | None
) -> None:
    cfg = OmegaConf.create(
        {
            "model": {"backbone": "resnet34"},
            "trainer": {"max_steps": -1, **trainer},
            "training": {"seeds": 2, "parallel": None, "margin": 0.02},
        }
    )
    overrides = [
        "only=[fig9]",
        "data=image_folder",
        "data.root=/x=y",
        "+trainer.limit_val_batches=3",
        "~callbacks.costs",
    ]
    plan = training_plan(
        cfg, [*overrides, "workload.arrival_rate=9", "training.seeds=2", "seeds=4"], "paper_full"
    )
    assert plan.overrides == ("experiment=paper_full", *overrides[1:])
    assert (plan.seeds, plan.margin_share, plan.network) == (2, 0.02, "ResNet-34")
    assert plan.start.keywords["max_steps"] == max_steps
