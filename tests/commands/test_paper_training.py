"""Fig. 9 as a user makes it: small trainings through ``cloudedge reproduce``, interrupted and resumed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate

from cloudedge_pl.commands.paper_runs import PROGRAM
from cloudedge_pl.offloading import plan_offloading
from cloudedge_pl.paper.curves import CLOUD, EXIT, read_curve
from cloudedge_pl.paper.training_plan import BRANCHYNET, QUIET, SYSTEMS
from cloudedge_pl.partition import build_backbone, profile, trace
from tests.commands.test_train import cloudedge

pytestmark = pytest.mark.slow

SMALL = [
    "model=resnet18",
    "offloading.split_point=5",
    "data=synthetic",
    "data.image_size=16",
    "data.num_train=80",
    "data.num_test=16",
    "data.batch_size=8",
    "trainer.max_steps=24",
]
TINY = [
    "reproduce",
    "only=[fig9]",
    "image_size=32",
    "small_image_size=16",
    "training.seeds=1",
    "training.parallel=1",
    *SMALL,
]


LONG_SECONDS = 900
"""A reproduction starts a process for each training, which takes long on a busy machine."""


def reproduced(folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, *TINY, f"dir={name}"]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=LONG_SECONDS
    )


def test_a_reproduction_that_was_interrupted_leaves_the_same_curves(tmp_path: Path) -> None:
    whole = reproduced(tmp_path, "whole")
    assert whole.returncode == 0, whole.stdout + whole.stderr

    process = subprocess.Popen([sys.executable, "-c", PROGRAM, *TINY, "dir=stopped"], cwd=tmp_path)
    run = tmp_path / "stopped" / "fig9" / "collaborative-0"
    while not (run / "1" / "checkpoints" / "last.ckpt").is_file():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(LONG_SECONDS) == 128 + signal.SIGTERM
    assert json.loads((run / "1" / "summary.json").read_text())["interrupted"] == "SIGTERM"

    resumed = reproduced(tmp_path, "stopped")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert (run / "2" / "summary.json").is_file()
    for name in ("fig9.csv", "fig9_curves.csv", "fig9_differences.csv"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    curves = (tmp_path / "whole" / "fig9_curves.csv").read_text().splitlines()
    assert len(curves) == 1 + 3 * 3  # a header; a row for each validation of each system
    assert "Figure 9" in (tmp_path / "whole" / "report.html").read_text()
    assert (tmp_path / "whole" / "fig9.png").is_file()


def test_without_dormancy_ten_nodes_train_as_branchynet_does(tmp_path: Path) -> None:
    common = ["train", "experiment=paper_quick", *SMALL, *QUIET]
    systems = {"ours": ["callbacks.dormancy.mode=never"], "branchynet": list(SYSTEMS[BRANCHYNET].overrides)}
    for name, overrides in systems.items():
        done = cloudedge(tmp_path, *common, *overrides, f"hydra.run.dir={name}")
        assert done.returncode == 0, done.stdout + done.stderr
    ours, other = (read_curve(name, 0, [tmp_path / name]) for name in systems)
    assert ours.errors[CLOUD].tolist() == other.errors[CLOUD].tolist()
    assert ours.errors[EXIT].tolist() == other.errors[EXIT].tolist()


def test_the_papers_own_schedule_runs_dry(tmp_path: Path) -> None:
    small = ["data=synthetic", "data.num_train=40", "data.num_test=16", "data.batch_size=8"]
    given = ["only=[fig9]", "training.seeds=1", "image_size=32", "trainer.fast_dev_run=true", *small]
    done = cloudedge(tmp_path, "reproduce", "experiment=paper_full", *given, "dir=dry")
    assert done.returncode == 0, done.stdout + done.stderr
    curves = (tmp_path / "dry" / "fig9_curves.csv").read_text().splitlines()
    assert len(curves) == 1 + 3


@pytest.mark.parametrize("experiment", ["paper_quick", "paper_full"])
def test_the_trainings_are_cut_at_the_position_of_table_1(experiment: str) -> None:
    with initialize_config_module("cloudedge_pl.conf", version_base="1.3"):
        cfg = compose("reproduce", overrides=[f"experiment={experiment}"])
    example = torch.zeros(1, 3, cfg.image_size, cfg.image_size)
    chain = trace(build_backbone(cfg.model.backbone, num_classes=10), example)
    plan = plan_offloading(
        profile(chain, example, exit_head=instantiate(cfg.exit_head)),
        instantiate(cfg.fleet, _convert_="all"),
        instantiate(cfg.workload),
        formulas=instantiate(cfg.formulas),
        codec=instantiate(cfg.codec),
    )
    assert cfg.offloading.split_point == plan.split_point
