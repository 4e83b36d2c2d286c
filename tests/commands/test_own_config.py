"""A resume has the config of the run that wrote the checkpoint, with the command line on top."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir, initialize_config_module
from omegaconf import DictConfig, OmegaConf

import cloudedge_pl.commands.reporting  # noqa: F401  # the resolvers of the config
from cloudedge_pl.commands import evaluate
from cloudedge_pl.commands.own_config import check_resume, resumed_arguments


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Where a run's checkpoint would be, beside its config."""
    with initialize_config_module("cloudedge_pl.conf", version_base="1.3"):
        saved = compose(
            "train", ["model=resnet18", "model.schedule=onecycle", "data.batch_size=17", "scheduler=atsa"]
        )
    folder = tmp_path / "run"
    (folder / ".hydra").mkdir(parents=True)
    OmegaConf.save(saved, folder / ".hydra" / "config.yaml")
    path = folder / "checkpoints" / "last.ckpt"
    path.parent.mkdir()
    path.touch()
    return path


def resumed(*arguments: str) -> DictConfig:
    """The config that ``cloudedge train`` has with this command line."""
    with resumed_arguments(arguments) as given:
        if "--config-path" not in given:
            with initialize_config_module("cloudedge_pl.conf", version_base="1.3"):
                return compose("train", given)
        folder, name, rest = given[1], given[3], given[4:]
        with initialize_config_dir(folder, version_base="1.3"):
            return compose(name, rest)


def test_keys_of_the_run_and_of_the_command_line(checkpoint: Path) -> None:
    cfg = resumed(f"ckpt_path={checkpoint}", "callbacks.costs.every_n_steps=5")
    assert cfg.model.backbone == "resnet18"
    assert cfg.data.batch_size == 17
    assert cfg.callbacks.costs.every_n_steps == 5
    assert cfg.ckpt_path == str(checkpoint)
    check_resume(cfg)


def test_a_group_takes_the_place_of_the_runs_own(checkpoint: Path) -> None:
    cfg = resumed(f"ckpt_path={checkpoint}", "scheduler=fcfs")
    assert cfg.scheduler._target_.endswith("FirstComeFirstServed")
    assert "evaporation_rate" not in cfg.scheduler  # of atsa
    assert cfg.model.backbone == "resnet18"


def test_without_a_config_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "alone.ckpt"
    path.touch()
    cfg = resumed(f"ckpt_path={path}", "data.batch_size=3")
    assert cfg.data.batch_size == 3
    assert "Going on with the composed config" in capsys.readouterr().err
    check_resume(cfg)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=resnet34"], r"model\.backbone=resnet34 does not go with .*model\.backbone=resnet18"),
        (["model.optimizer=sgd"], r"model\.optimizer=sgd"),
        (["trainer.max_epochs=99"], r"trainer\.max_epochs=99 .*onecycle.*model\.schedule=constant"),
        (["data.batch_size=5"], r"data\.batch_size=5 .*onecycle"),
    ],
)
def test_what_does_not_go_together(checkpoint: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_resume(resumed(f"ckpt_path={checkpoint}", *overrides))


def test_extending_with_a_constant_rate(checkpoint: Path) -> None:
    cfg = resumed(f"ckpt_path={checkpoint}", "trainer.max_epochs=99", "model.schedule=constant")
    check_resume(cfg)
    assert cfg.trainer.max_epochs == 99


def test_experiments_and_missing_files_are_refused(checkpoint: Path) -> None:
    with pytest.raises(ValueError, match="experiment=paper_full does not go with"):
        resumed(f"ckpt_path={checkpoint}", "experiment=paper_full")
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        resumed("ckpt_path=nowhere.ckpt")


def test_evaluate_takes_groups_flags_and_folders_as_the_other_commands_do(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[list[str], DictConfig]] = []
    monkeypatch.setattr(evaluate, "_app", lambda: seen.append(composed_of(sys.argv[1:])))
    monkeypatch.setattr(
        sys, "argv", ["cloudedge evaluate", f"ckpt={checkpoint}", "scheduler=fcfs", "-m", "data.batch_size=3"]
    )
    evaluate.main()
    ((flags, cfg),) = seen
    assert flags == ["-m"]
    assert (cfg.data.batch_size, cfg.model.backbone) == (3, "resnet18")
    assert cfg.scheduler._target_.endswith("FirstComeFirstServed")
    assert cfg.ckpt == str(checkpoint.resolve())
    assert "failures" in cfg.hydra.callbacks


def composed_of(arguments: list[str]) -> tuple[list[str], DictConfig]:
    """The flags of a command line, and the config that it composes."""
    folder, name = arguments[1], arguments[3]
    flags = [each for each in arguments[4:] if each.startswith("-")]
    with initialize_config_dir(folder, version_base="1.3"):
        return flags, compose(name, arguments[4 + len(flags) :], return_hydra_config=True)
