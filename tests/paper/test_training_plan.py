"""What is trained: the runs, their folders, and when one is finished."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module

from cloudedge_pl.paper.training_plan import BRANCHYNET, OURS, PLAIN, SYSTEMS
from tests.paper.learning_cases import plan, write_part


def test_every_run_has_a_folder_and_a_seed_of_its_own(tmp_path: Path) -> None:
    runs = plan(seeds=2).runs(tmp_path)
    assert [(run.system, run.seed) for run in runs] == [(key, seed) for seed in (0, 1) for key in SYSTEMS]
    assert len({run.folder for run in runs}) == 6
    assert {run.overrides[-1] for run in runs} == {"seed=0", "seed=1"}
    assert {run.title for run in runs} == {"collaborative", "BranchyNet", "plain ResNet-34"}


def test_a_run_is_finished_when_its_last_part_ended_by_itself(tmp_path: Path) -> None:
    run = plan().runs(tmp_path)[0]
    assert (run.parts, run.is_finished) == ([], False)
    (run.folder / "1").mkdir(parents=True)  # it was stopped before it had written its config
    assert (run.parts, run.is_finished) == ([], False)
    write_part(run.folder / "1", interrupted="SIGTERM")
    assert (run.parts, run.is_finished) == ([run.folder / "1"], False)
    write_part(run.folder / "2")  # killed: no summary
    assert not run.is_finished
    write_part(run.folder / "10", interrupted=None)
    assert run.is_finished
    assert [path.name for path in run.parts] == ["1", "2", "10"]


def test_the_commands_can_be_typed() -> None:
    runs = plan(overrides=("experiment=paper_quick", "data.root=my pictures")).runs(Path("anywhere"))
    ours, branchynet, plain = (shlex.split(run.command) for run in runs[:3])
    assert ours == ["cloudedge", "train", "experiment=paper_quick", "data.root=my pictures", "seed=0"]
    assert "exits=entropy" in branchynet
    assert "strategy=auto" in plain


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("experiment", ["paper_quick", "paper_full"])
def test_the_systems_compose_and_differ_in_what_they_name_only(system: str, experiment: str) -> None:
    run = next(
        run for run in plan(overrides=(f"experiment={experiment}",)).runs(Path()) if run.system == system
    )
    with initialize_config_module("cloudedge_pl.conf", version_base="1.3"):
        cfg = compose("train", overrides=list(run.overrides))
    assert cfg.model.schedule == "steps"
    assert cfg.workload.phase == "training"
    assert cfg.fleet.num_nodes == (1 if system == BRANCHYNET else 10)
    assert cfg.callbacks.dormancy.mode == ("never" if system == BRANCHYNET else "paper")
    assert cfg.exits.policy == ("entropy" if system == BRANCHYNET else None)
    assert ("name" in cfg.strategy) == (system == PLAIN)
    assert cfg.callbacks.aggregation.every_n_steps is None  # after every step
    assert system != OURS or cfg.offloading.split_point == 13


@pytest.mark.parametrize(("name", "value"), [("seeds", 0), ("margin_share", 1.5), ("margin_share", -0.1)])
def test_a_value_outside_its_range_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        plan(**{name: value})
