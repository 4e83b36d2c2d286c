"""Sweeps with joblib's launcher and Optuna's sweeper, which the extra "sweep" installs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_module

from cloudedge_pl.commands.help import read
from cloudedge_pl.reports.run_rows import RunRow
from tests.commands.command_line import CommandLine, cloudedge_process
from tests.commands.test_cli import names

pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="the extra sweep is not installed")
pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="the extra sweep is not installed")

SMALL = ["model=resnet18", "num_tasks=60", "figures=false", "records=none", "hydra.sweep.dir=sweep"]
SEARCH = ["sweep=optuna", "hydra.sweeper.n_trials=3", "dormancy.sleep_ratio=interval(1.3,4.0)"]


def rows(sweep: Path) -> list[RunRow]:
    found = [RunRow.load(path.parent) for path in sorted(sweep.glob("*/row.json"))]
    return [row for row in found if row is not None]


def states(sweep: Path) -> list[str]:
    return [each["state"] for each in json.loads((sweep / "sweep.json").read_text())["jobs"]]


@pytest.mark.parametrize("command", ["train", "simulate"])
@pytest.mark.parametrize("chosen", names("sweep"))
def test_searches_compose(command: str, chosen: str) -> None:
    with initialize_config_module("cloudedge_pl.conf", version_base="1.3"):
        cfg = compose(command, [f"sweep={chosen}"], return_hydra_config=True)
    assert cfg.hydra.sweeper.direction == cfg.objective_direction
    assert cfg.hydra.sweeper.sampler.seed == cfg.seed


@pytest.mark.parametrize("command", ["train", "simulate", "schedule"])
def test_the_launcher_composes(command: str) -> None:
    with initialize_config_module("cloudedge_pl.conf", version_base="1.3"):
        cfg = compose(command, ["hydra/launcher=parallel"], return_hydra_config=True)
    assert cfg.hydra.launcher._target_.endswith("JoblibLauncher")
    assert (cfg.hydra.launcher.n_jobs, cfg.hydra.launcher.batch_size) == (-1, "1")


@pytest.mark.parametrize("path", ["launcher/parallel", "sweeper/sampler/seeded"])
def test_every_key_is_explained(path: str) -> None:
    about, _, keys = read(f"hydra/{path}.yaml")
    assert about
    assert keys
    assert all(key.comment for key in keys)


@pytest.mark.slow
def test_joblib_runs_jobs_in_other_processes_and_a_failure_is_listed(tmp_path: Path) -> None:
    done = cloudedge_process(
        tmp_path,
        "simulate",
        "-m",
        *SMALL,
        "hydra/launcher=parallel",
        "hydra.launcher.n_jobs=2",
        "seed=0,-1,2",
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 of the sweep's jobs failed:\n  #1 " in done.stderr
    assert states(tmp_path / "sweep") == ["done", "failed", "done"]
    assert [row.state for row in rows(tmp_path / "sweep")] == ["done", "failed", "done"]
    assert len({row.metrics["mean_delay_seconds"] for row in rows(tmp_path / "sweep") if row.is_done}) == 2


def test_optuna_looks_for_the_objective_and_finds_what_is_done_again(
    cloudedge_here: CommandLine,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert cloudedge_here("simulate", "-m", *SMALL, *SEARCH) is None
    found = yaml.safe_load(Path("sweep/optimization_results.yaml").read_text())
    first = rows(Path("sweep"))
    assert found["best_value"] == min(row.metrics["mean_delay_seconds"] for row in first)
    assert states(Path("sweep")) == ["done"] * 3
    capfd.readouterr()
    assert cloudedge_here("simulate", "-m", *SMALL, *SEARCH, "hydra.sweeper.n_trials=4") is None
    assert "3 of the sweep's 4 jobs were done before" in capfd.readouterr().out
    assert rows(Path("sweep"))[:3] == first
    assert len(rows(Path("sweep"))) == 4


def test_optuna_goes_on_after_a_run_that_fails(cloudedge_here: CommandLine) -> None:
    # with this seed the first of three runs has the wrong value, and the others differ
    search = ["sweep=optuna", "hydra.sweeper.n_trials=3", "exit_share=choice(0.1,-1,0.2)", "seed=9"]
    ended = cloudedge_here("simulate", "-m", *SMALL, *search)
    assert "1 of the sweep's jobs failed" in str(ended)
    assert states(Path("sweep")) == ["failed", "done", "done"]
    results = yaml.safe_load(Path("sweep/optimization_results.yaml").read_text())
    assert results["best_params"]["exit_share"] != -1


def test_a_metric_that_there_is_not_fails_and_says_which_there_are(
    cloudedge_here: CommandLine,
    capfd: pytest.CaptureFixture[str],
) -> None:
    ended = cloudedge_here(
        "simulate", "-m", *SMALL, *SEARCH, "hydra.sweeper.n_trials=1", "objective_metric=mean_delay"
    )
    shown = capfd.readouterr().err
    assert "Did you mean 'mean_delay_seconds'" in shown
    assert "1 of the sweep's jobs failed" in shown
    assert ended


def test_a_search_in_the_other_direction_is_refused(cloudedge_here: CommandLine) -> None:
    ended = cloudedge_here(
        "train",
        "-m",
        "hydra/sweeper=optuna",
        "model.learning_rate=interval(0.1,0.2)",
        "hydra.sweep.dir=sweep",
    )
    assert "direction is Direction.minimize" in str(ended)
    assert "objective_direction is maximize" in str(ended)
    assert "sweep=optuna" in str(ended)
