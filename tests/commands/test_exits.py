"""Exits from the command line: one key trains with them, and a checkpoint can be calibrated later."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from cloudedge_pl.commands.calibrate import turn_on
from cloudedge_pl.exits import PATHS, Outcomes
from tests.commands.command_line import cloudedge

QUICK = [
    "model=resnet18",
    "fleet.memory_bytes=96e6",
    "data=synthetic",
    "data.num_train=400",
    "data.num_test=64",
    "data.val_fraction=0.5",
    "data.batch_size=32",
    "data.num_classes=4",
    "trainer.max_epochs=1",
    "callbacks.progress=null",
]


def summary_of(folder: Path) -> dict[str, Any]:
    content = json.loads((folder / "summary.json").read_text())
    assert isinstance(content, dict)
    return content


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("exits")
    done = cloudedge(
        folder, "train", *QUICK, "exits.max_disagreement=0.4", "exits.audit_share=0.5", "hydra.run.dir=run"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "run", done.stdout


def test_one_key_lets_sure_samples_exit(run: tuple[Path, str]) -> None:
    folder, shown = run
    exits, outcomes = summary_of(folder)["exits"], Outcomes.load(folder / "outcomes.npz")
    assert "at most 0.4 with probability 0.95" in shown
    assert exits["policy"] == "confidence"
    assert exits["calibration"]["num_samples"] == 200
    assert exits["calibration"]["bound"] <= 0.4
    assert exits["threshold"] is not None
    assert len(outcomes) == 64
    assert exits["exited_share"] == pytest.approx((outcomes.path == PATHS.index("early_exit")).mean())
    assert sum(path["samples"] for path in exits["by_path"].values()) == 64
    assert exits["audit"]["num_audited"] == (outcomes.path == PATHS.index("audited")).sum()
    sure = outcomes.exits(exits["threshold"])
    assert exits["test_risk"] == pytest.approx((sure & (outcomes.exit_class != outcomes.cloud_class)).mean())
    assert (folder / "figures" / "exits.png").stat().st_size > 10_000
    assert "test/audit_disagreement" in (folder / "metrics.csv").read_text().splitlines()[0]


def test_the_best_checkpoint_holds_the_calibration(run: tuple[Path, str]) -> None:
    folder = run[0].parent
    done = cloudedge(folder, "evaluate", "ckpt=run/checkpoints/best.ckpt", "hydra.run.dir=evaluated")
    assert done.returncode == 0, done.stdout + done.stderr
    assert summary_of(folder / "evaluated")["exits"] == summary_of(run[0])["exits"]


def test_a_checkpoint_is_calibrated_later(run: tuple[Path, str]) -> None:
    folder = run[0].parent
    before = (run[0] / "checkpoints" / "best.ckpt").read_bytes()
    later = ["exits.policy=entropy", "exits.max_disagreement=0.5", "hydra.run.dir=calibrated"]
    done = cloudedge(folder, "calibrate", "ckpt=run/checkpoints/best.ckpt", *later)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (run[0] / "checkpoints" / "best.ckpt").read_bytes() == before
    exits = summary_of(folder / "calibrated")["exits"]
    assert (exits["policy"], exits["max_disagreement"]) == ("entropy", 0.5)
    assert "by_path" not in exits
    assert (folder / "calibrated" / "figures" / "exits.png").is_file()

    path = folder / "calibrated" / "checkpoints" / "calibrated.ckpt"
    kept = torch.load(path, weights_only=True)["cloudedge"]["exits"]
    assert kept["threshold"] == exits["threshold"]
    done = cloudedge(folder, "evaluate", f"ckpt={path}", "hydra.run.dir=again")
    assert done.returncode == 0, done.stdout + done.stderr
    assert summary_of(folder / "again")["exits"]["threshold"] == exits["threshold"]


@pytest.mark.parametrize(
    ("given", "limit"),
    [
        ({}, 0.02),
        ({"exits": {"policy": None, "max_disagreement": 0.1}}, 0.1),
        ({"exits": {"policy": "entropy"}}, None),
    ],
)
def test_the_default_limit_is_for_runs_that_say_nothing(given: dict[str, Any], limit: float | None) -> None:
    cfg = OmegaConf.create({"strategy": {"_target_": "cloudedge_pl.training.CloudEdgeStrategy"}, **given})
    OmegaConf.set_struct(cfg, True)
    turn_on(cfg)
    assert cfg.exits.get("max_disagreement") == limit
    assert cfg.strategy.exits == cfg.exits


@pytest.mark.slow
def test_a_run_without_exits_is_calibrated_for_the_default_limit(tmp_path: Path) -> None:
    done = cloudedge(tmp_path, "train", *QUICK, "hydra.run.dir=run", "test=false")
    assert done.returncode == 0, done.stdout + done.stderr
    assert summary_of(tmp_path / "run")["exits"] == {"policy": "none"}
    ckpt = "ckpt=run/checkpoints/best.ckpt"
    done = cloudedge(tmp_path, "calibrate", ckpt, "hydra.run.dir=calibrated")
    assert done.returncode == 0, done.stdout + done.stderr
    assert summary_of(tmp_path / "calibrated")["exits"]["max_disagreement"] == 0.02
    done = cloudedge(tmp_path, "calibrate", ckpt, "exits=none")
    assert done.returncode == 1
    assert "nothing to calibrate" in done.stderr


@pytest.mark.slow
def test_without_a_validation_set_the_run_ends_and_says_that_nothing_exits(tmp_path: Path) -> None:
    done = cloudedge(
        tmp_path,
        "train",
        *QUICK,
        "exits.max_disagreement=0.1",
        "data.val_fraction=0",
        "callbacks.checkpoint=null",
        "hydra.run.dir=run",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No sample exits: no validation sample" in done.stdout
    exits = summary_of(tmp_path / "run")["exits"]
    assert exits["exited_share"] == 0
    assert exits["calibration"] is None
