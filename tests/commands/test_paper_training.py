"""Fig. 9 as a user makes it: small trainings through ``cloudedge reproduce``, interrupted and resumed."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate

from cloudedge_pl.commands.paper_runs import PROGRAM, training_plan
from cloudedge_pl.offloading import plan_offloading
from cloudedge_pl.paper.curves import CLOUD, EXIT, read_curve
from cloudedge_pl.paper.training_plan import BRANCHYNET, OURS, QUIET, SYSTEMS
from cloudedge_pl.partition import build_backbone, profile, trace
from tests.commands.command_line import CommandLine

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


def test_a_reproduction_that_was_interrupted_leaves_the_same_curves(
    cloudedge_here: CommandLine, tmp_path: Path
) -> None:
    assert cloudedge_here(*TINY, "dir=whole") is None

    missing = shutil.ignore_patterns(f"{OURS}-0", "result.json")
    shutil.copytree("whole/fig9", "stopped/fig9", ignore=missing)  # the other trainings are done
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, *TINY, "dir=stopped"])
    run = tmp_path / "stopped" / "fig9" / f"{OURS}-0"
    while not (run / "1" / "checkpoints" / "last.ckpt").is_file():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(LONG_SECONDS) == 128 + signal.SIGTERM
    assert json.loads((run / "1" / "summary.json").read_text())["interrupted"] == "SIGTERM"

    assert cloudedge_here(*TINY, "dir=stopped") is None
    assert (run / "2" / "summary.json").is_file()
    for name in ("fig9.csv", "fig9_curves.csv", "fig9_differences.csv"):
        assert Path("stopped", name).read_bytes() == Path("whole", name).read_bytes()
    curves = Path("whole/fig9_curves.csv").read_text().splitlines()
    assert len(curves) == 1 + 3 * 3  # a header; a row for each validation of each system
    assert "Figure 9" in Path("whole/report.html").read_text()
    assert Path("whole/fig9.png").is_file()


def test_without_dormancy_ten_nodes_train_as_branchynet_does(cloudedge_here: CommandLine) -> None:
    common = ["train", "experiment=paper_quick", *SMALL, "trainer.max_steps=16", *QUIET]
    systems = {"ours": ["callbacks.dormancy.mode=never"], "branchynet": list(SYSTEMS[BRANCHYNET].overrides)}
    for name, overrides in systems.items():
        assert cloudedge_here(*common, *overrides, f"hydra.run.dir={name}") is None
    ours, other = (read_curve(name, 0, [Path(name)]) for name in systems)
    assert ours.errors[CLOUD].tolist() == other.errors[CLOUD].tolist()
    assert ours.errors[EXIT].tolist() == other.errors[EXIT].tolist()


def test_the_papers_own_schedule_runs_dry(cloudedge_here: CommandLine, tmp_path: Path) -> None:
    small = ["data=synthetic", "data.num_train=40", "data.num_test=16", "data.batch_size=8"]
    dry = ["trainer.fast_dev_run=true", *small]
    with initialize_config_module("cloudedge_pl.conf", version_base="1.3"):
        cfg = compose("reproduce", overrides=["experiment=paper_full", "training.seeds=1", *dry])
    runs = training_plan(cfg, dry, "paper_full").runs(tmp_path)
    assert len(runs) == len(SYSTEMS)
    for run in runs:
        folder = run.folder / "1"
        assert cloudedge_here("train", *run.overrides, f"hydra.run.dir={folder}") is None
        assert len(read_curve(run.system, run.seed, [folder]).steps) == 1


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
