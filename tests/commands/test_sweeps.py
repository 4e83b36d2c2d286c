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
from cloudedge_pl.reports.run_rows import RunRow
from tests.commands.command_line import cloudedge

PROBLEM = ["num_nodes=3", "scheduler=fcfs", "compare=[]", "convergence=[]", "baseline=null"]


def test_a_failing_job_does_not_stop_the_others(tmp_path: Path) -> None:
    done = cloudedge(tmp_path, "schedule", "-m", *PROBLEM, "num_tasks=20", "seed=0,-1,2")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "1 of the sweep's jobs failed:\n  #1 " in done.stderr
    assert "seed=-1: ValueError: " in done.stderr
    (sweep,) = (tmp_path / "multirun").glob("*/*")
    assert {path.parent.name for path in sweep.glob("*/schedule.csv")} == {"0", "2"}
    row = RunRow.load(sweep / "1")
    assert row is not None
    assert (row.state, row.parameters["seed"]) == ("failed", -1)
    assert row.error is not None
    assert row.error in done.stderr
    content = json.loads((sweep / "sweep.json").read_text())
    assert content["interrupted"] is None
    assert [each["state"] for each in content["jobs"]] == ["done", "failed", "done"]


def test_a_signal_lists_what_became_of_every_job(tmp_path: Path) -> None:
    code = (
        "import os, signal\n"
        "import cloudedge_pl.commands.schedule as command\n"
        "made = command.generate\n"
        "def generate(family, tasks, nodes, seed):\n"
        "    if seed == 2:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    return made(family, tasks, nodes, seed)\n"
        "command.generate = generate\n"
        "from cloudedge_pl.commands.cli import main\n"
        "main()\n"
    )
    arguments = [*PROBLEM, "hydra.sweep.dir=sweep", "seed=0,-1,2", "num_tasks=20,30"]
    done = subprocess.run(
        [sys.executable, "-c", code, "schedule", "-m", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 143, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "SIGTERM stopped the sweep: 2 done, 2 failed, 1 stopped, 1 not started." in done.stderr
    assert "seed=2 num_tasks=30: not started" in done.stderr
    content = json.loads((tmp_path / "sweep" / "sweep.json").read_text())
    assert content["interrupted"] == "SIGTERM"
    states = [each["state"] for each in content["jobs"]]
    assert states == ["done", "done", "failed", "failed", "stopped", "not started"]
    assert [each["overrides"][-2:] for each in content["jobs"]][4:] == [
        ["seed=2", "num_tasks=20"],
        ["seed=2", "num_tasks=30"],
    ]
    stopped = json.loads((tmp_path / "sweep" / "4" / "summary.json").read_text())
    assert stopped["interrupted"] == "SIGTERM"


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
    arguments = ["schedule", *PROBLEM, "num_tasks=20"]
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
