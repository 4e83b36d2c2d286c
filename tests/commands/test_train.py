"""``cloudedge train``, ``plan`` and ``evaluate``, as a user types them: real Hydra, real Trainer, real files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from torchvision.models import resnet18

from cloudedge_pl.costs import InputCodec
from cloudedge_pl.data import DigitsDataModule
from tests.commands.command_line import cloudedge, cloudedge_process

QUICK = [
    "model=resnet18",
    "fleet.memory_bytes=96e6",
    "data=synthetic",
    "data.num_train=80",
    "data.num_test=32",
    "data.batch_size=16",
    "data.num_classes=4",
    "trainer.max_epochs=2",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("train")
    done = cloudedge_process(folder, "train", *QUICK, "hydra.run.dir=run")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "run", done.stdout


def test_leaves_everything_that_the_docs_name(run: tuple[Path, str]) -> None:
    folder, shown = run
    for path in (
        ".hydra/config.yaml",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "metrics.csv",
        "plan.json",
        "summary.json",
        "accounts.json",
        "figures/learning_curves.png",
        "figures/delay_and_dormancy.png",
        "figures/nodes.png",
    ):
        assert (folder / path).is_file(), path
    assert list((folder / "tensorboard").glob("events.*"))
    assert str(folder.name) in shown


def test_summary_has_its_documented_keys(run: tuple[Path, str]) -> None:
    summary = json.loads((run[0] / "summary.json").read_text())
    documented = (Path(__file__).parents[2] / "docs" / "outputs.md").read_text()
    for key in summary:
        assert f"`{key}`" in documented, key
    for key in ("test_accuracy_cloud", "test_accuracy_exit", "test_accuracy_answered"):
        assert 0 <= summary[key] <= 1
    assert summary["tasks"] == 2 * 4 * 16
    assert summary["test_tasks"] == 32
    assert summary["mean_delay_seconds"] > 0
    assert summary["wall_seconds"] > 0
    assert {"torch", "pytorch_lightning", "cloudedge_pl"} <= set(summary["versions"])


def test_metrics_hold_loss_accuracy_and_costs(run: tuple[Path, str]) -> None:
    with (run[0] / "metrics.csv").open() as file:
        columns = set(next(csv.reader(file)))
    assert {
        "train/loss",
        "train/accuracy",
        "val/accuracy",
        "val/accuracy_exit",
        "val/accuracy_answered",
        "cost/delay_seconds",
        "cost/energy_joules",
        "cost/upload_bytes",
    } <= columns


def test_checkpoint_loads_into_the_plain_torchvision_model(run: tuple[Path, str]) -> None:
    state = torch.load(run[0] / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    own = {
        name.removeprefix("backbone."): value for name, value in state.items() if name.startswith("backbone.")
    }
    resnet18(num_classes=4).load_state_dict(own, strict=True)


def test_evaluate_finds_the_same_numbers(run: tuple[Path, str]) -> None:
    folder = run[0].parent
    done = cloudedge(folder, "evaluate", "ckpt=run/checkpoints/best.ckpt", "hydra.run.dir=evaluated")
    assert done.returncode == 0, done.stdout + done.stderr
    trained = json.loads((run[0] / "summary.json").read_text())
    evaluated = json.loads((folder / "evaluated" / "summary.json").read_text())
    for key in (
        "test_accuracy_cloud",
        "test_accuracy_exit",
        "test_accuracy_answered",
        "test_mean_delay_seconds",
    ):
        assert evaluated[key] == trained[key]


def test_resume_from_the_command_line(run: tuple[Path, str]) -> None:
    folder = run[0].parent
    done = cloudedge(
        folder, "train", *QUICK, "hydra.run.dir=resumed", "ckpt_path=run/checkpoints/last.ckpt", "trainer.max_epochs=3",
        "model.schedule=constant",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((folder / "resumed" / "summary.json").read_text())
    assert summary["steps"] == 3 * 4
    assert summary["tasks"] == 3 * 4 * 16


def test_without_a_cut(tmp_path: Path) -> None:
    done = cloudedge(tmp_path, "train", *QUICK, "strategy=auto", "hydra.run.dir=run", "trainer.max_epochs=1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "dormancy is left out" in done.stdout
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["test_accuracy_cloud"] is not None
    assert summary["test_accuracy_exit"] is None


def test_nodes_that_own_their_data_and_train_by_themselves(tmp_path: Path) -> None:
    done = cloudedge(
        tmp_path,
        "train",
        *QUICK,
        "trainer.max_epochs=1",
        "test=false",
        "fleet.num_nodes=3",
        "strategy.shards={by: dirichlet, alpha: 0.5, min_size: 4}",
        "callbacks.aggregation.every_n_steps=2",
        "codec=float16",
        "hydra.run.dir=run",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    shards = json.loads((tmp_path / "run" / "shards.json").read_text())
    assert set(shards["node"]) == {0, 1, 2}
    assert (tmp_path / "run" / "figures" / "shards.png").stat().st_size > 5_000
    assert "aggregation/interval_steps" in (tmp_path / "run" / "metrics.csv").read_text().splitlines()[0]


@pytest.mark.slow
def test_sweep(tmp_path: Path) -> None:
    done = cloudedge(
        tmp_path, "train", "-m", *QUICK, "trainer.max_epochs=1", "fleet.num_nodes=2,4", "scheduler=fcfs,atsa",
        "hydra.sweep.dir=sweep",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((tmp_path / "sweep").glob("*/summary.json"))) == 4


def test_plan_command(tmp_path: Path) -> None:
    done = cloudedge(tmp_path, "plan", "model=resnet18", "fleet.memory_bytes=96e6", "hydra.run.dir=run")
    assert done.returncode == 0, done.stdout + done.stderr
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert 0 < plan["split_point"] < 18
    assert list((tmp_path / "run" / "figures").glob("*.png"))


def test_plan_with_pictures_as_jpeg_measured_on_the_data(tmp_path: Path) -> None:
    given = ["plan", "model=resnet18", "fleet.memory_bytes=96e6", "offloading.input_codec=jpeg"]
    done = cloudedge(tmp_path, *given, "data=digits", "offloading.jpeg_quality=50", "hydra.run.dir=run")
    assert done.returncode == 0, done.stdout + done.stderr
    picture = json.loads((tmp_path / "run" / "plan.json").read_text())["picture"]
    assert picture["bytes"] == DigitsDataModule().picture_bytes(InputCodec("jpeg", quality=50)) < 3072
    assert "picture (JPEG of quality 50): sending it to the cloud takes" in done.stdout
    done = cloudedge(tmp_path, *given)
    assert done.returncode == 1
    assert "data=digits" in done.stderr
    done = cloudedge(tmp_path, *given, "data=digits", "data.image_size=16")
    assert done.returncode == 1
    assert "write input_shape=[3,16,16]" in done.stderr


def test_the_closing_table_sends_pictures_to_the_cloud_as_jpeg(tmp_path: Path) -> None:
    jpeg = ["offloading.input_codec=jpeg", "offloading.jpeg_quality=3", "offloading.split_point=5"]
    done = cloudedge(tmp_path, "train", *QUICK, *jpeg, "trainer.max_epochs=1", "hydra.run.dir=run")
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    in_cloud, at_edge = (summary["alternatives"][name] for name in ("all_in_cloud", "all_at_edge"))
    assert in_cloud["accuracy"] == summary["test_accuracy_picture"]
    assert at_edge["accuracy"] == summary["test_accuracy_cloud"]
    picture = json.loads((tmp_path / "run" / "plan.json").read_text())["picture"]
    assert in_cloud["mean_upload_bytes"] == pytest.approx(picture["bytes"])
    assert picture["bytes"] < 3072


def test_plan_with_measured_costs(tmp_path: Path) -> None:
    done = cloudedge(
        tmp_path, "plan", "model=resnet18", "costs=measured", "fleet.memory_bytes=96e6", "hydra.run.dir=run"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "measured on this machine" in done.stdout
    assert "of the FLOP" in done.stdout


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["model.backbone=resnet43"], "resnet34"),
        (["fleet.device=raspberry-pi-9"], "raspberry-pi-4"),
        (["fleet.num_nodes=0"], "num_nodes is 0"),
        (["fleet.link.bandwidth_bits_per_second=-1"], "bandwidth_bits_per_second is -1"),
        (["offloading.split_point=99"], "0..18"),
        (["workload.max_delay_seconds=1e-6"], "delay"),
    ],
)
def test_bad_input_is_one_clear_message(tmp_path: Path, overrides: list[str], expected: str) -> None:
    done = cloudedge(tmp_path, "plan", "model=resnet18", *overrides)
    assert done.returncode == 1
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
