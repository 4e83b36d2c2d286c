"""Sweeps go on after a failing job and list it; every run has a folder of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

import cloudedge_pl.commands.reporting  # noqa: F401  # the resolvers of the config
from tests.commands.test_train import cloudedge


def test_a_failing_job_does_not_stop_the_others(tmp_path: Path) -> None:
    problem = ["num_tasks=20", "num_nodes=3", "scheduler=fcfs", "compare=[]", "convergence=[]"]
    done = cloudedge(tmp_path, "schedule", "-m", *problem, "seed=0,-1,2")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "1 of the sweep's jobs failed:\n  #1 " in done.stderr
    assert "seed=-1: ValueError: " in done.stderr
    (sweep,) = (tmp_path / "multirun").glob("*/*")
    assert {path.parent.name for path in sweep.glob("*/schedule.csv")} == {"0", "2"}
    assert "seed=-1" in json.loads((sweep / "1" / "failure.json").read_text())["overrides"]


def test_runs_of_one_second_have_folders_of_their_own(tmp_path: Path) -> None:
    code = (
        "import hydra.core.utils as utils\n"
        "class Clock:\n"
        "    @staticmethod\n"
        "    def now():\n"
        "        import datetime\n"
        "        return datetime.datetime(2030, 1, 2, 3, 4, 5)\n"
        "utils.datetime = Clock\n"
        "from cloudedge_pl.commands.cli import main\n"
        "main()\n"
    )
    arguments = ["schedule", "num_tasks=20", "num_nodes=3", "scheduler=fcfs", "compare=[]", "convergence=[]"]
    runs = [
        subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=tmp_path, stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [run.wait(120) for run in runs] == [0, 0]
    folders = sorted((tmp_path / "outputs" / "2030-01-02").iterdir())
    assert [folder.name for folder in folders] == ["03-04-05", "03-04-05-2"]
    for folder in folders:
        assert (folder / "schedule.csv").is_file()


def test_a_config_makes_one_folder_however_often_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with initialize_config_module("cloudedge_pl.conf", version_base="1.3"):
        cfg = compose("schedule", return_hydra_config=True)
    assert OmegaConf.select(cfg, "hydra.run.dir") == cfg.hydra.run.dir
    assert len(list(tmp_path.glob("outputs/*/*"))) == 1
