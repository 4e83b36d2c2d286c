"""``cloudedge compare``: costs without a run, accuracies with one, and clear errors."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from cloudedge_pl.commands.compare import compare
from cloudedge_pl.commands.run_config import arguments_of_run, config_of_run
from cloudedge_pl.systems import PRESETS
from tests.commands.command_line import cloudedge

SMALL = ["model=resnet18", "num_tasks=300", "hydra.run.dir=compared"]
TRAINING = [
    "model=resnet18",
    "fleet.memory_bytes=96e6",
    "data=synthetic",
    "data.num_train=160",
    "data.num_test=48",
    "data.val_fraction=0.5",
    "data.num_classes=4",
    "trainer.max_epochs=1",
    "callbacks.progress=null",
    "hydra.run.dir=run",
]


def content_of(folder: Path) -> dict[str, Any]:
    content = json.loads((folder / "compared" / "compare.json").read_text())
    assert isinstance(content, dict)
    return content


@pytest.mark.slow
def test_without_a_run_costs_are_compared(tmp_path: Path) -> None:
    done = cloudedge(tmp_path, "compare", *SMALL, "exit_share=0.5")
    assert done.returncode == 0, done.stdout + done.stderr
    systems = content_of(tmp_path)["systems"]
    assert list(systems) == list(PRESETS)
    assert "costs only" in done.stdout
    assert "accuracy" not in done.stdout
    assert all(each["accuracy"] is None and each["p50_delay_seconds"] > 0 for each in systems.values())
    assert systems["branchynet"]["exited_share"] == pytest.approx(0.5, abs=0.1)
    assert systems["cloud_raw"]["mean_upload_bytes"] == 3 * 32 * 32
    assert systems["cloud_jpeg"]["mean_upload_bytes"] < systems["cloud_raw"]["mean_upload_bytes"]
    with (tmp_path / "compared" / "compare.csv").open(newline="") as file:
        rows = {row["system"]: row for row in csv.DictReader(file)}
    assert float(rows["ours"]["p95_delay_seconds"]) == systems["ours"]["p95_delay_seconds"]
    assert rows["ours"]["accuracy"] == ""
    assert (tmp_path / "compared" / "figures" / "compare.png").stat().st_size > 10_000


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compare")
    done = cloudedge(folder, "train", *TRAINING)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_a_run_gives_accuracies_and_the_config(trained: Path) -> None:
    done = cloudedge(
        trained, "compare", "run=run", "num_tasks=480", "exits.max_disagreement=0.4", "hydra.run.dir=compared"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    content = content_of(trained)
    summary = json.loads((trained / "run" / "summary.json").read_text())
    systems = content["systems"]
    assert content["test_samples"] == 48
    assert systems["ours_awake"]["split_point"] == summary["split_point"]
    # 480 tasks are ten rounds of the 48 test samples, so that shares are those of the test.
    assert systems["ours_awake"]["accuracy"] == pytest.approx(summary["test_accuracy_cloud"])
    assert systems["gws"]["accuracy"] == systems["ours_awake"]["accuracy"]
    assert systems["cloud_raw"]["accuracy"] == systems["edge_only"]["accuracy"]
    assert set(content["exit_thresholds"]) == {"confidence", "entropy"}
    assert "at most 0.4 with probability 0.95" in done.stdout
    assert "at most 0.4 on average" in done.stdout
    config = OmegaConf.load(trained / "compared" / ".hydra" / "config.yaml")
    assert config.fleet.memory_bytes == 96e6  # the run's
    assert config.workload.phase == "inference"


@pytest.mark.slow
def test_systems_without_exits_need_no_policy_and_keys_can_be_overridden(trained: Path) -> None:
    arguments = [
        "run=run",
        "num_tasks=48",
        "systems=[edge_only]",
        "fleet.num_nodes=3",
        "hydra.run.dir=compared",
    ]
    done = cloudedge(trained, "compare", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(content_of(trained)["systems"]) == ["edge_only"]
    assert content_of(trained)["exit_thresholds"] == {}
    assert OmegaConf.load(trained / "compared" / ".hydra" / "config.yaml").fleet.num_nodes == 3


def test_another_network_than_the_runs_is_refused(tmp_path: Path) -> None:
    folder = saved_run(tmp_path, codec={"name": "int8"})
    with pytest.raises(ValueError, match="codec differs from that of the run"):
        config_of_run(OmegaConf.create({"run": str(folder), "codec": {"name": "float16"}, "exits": {}}))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("systems=[ours,theirs]", "theirs"),
        ("systems=[]", "name at least one"),
        ("num_tasks=0", "num_tasks"),
        ("exit_share=2", "exit_share"),
        ("workload=training", "workload=inference"),
    ],
)
def test_wrong_values_are_refused(override: str, words: str) -> None:
    with (
        initialize_config_module("cloudedge_pl.conf", version_base="1.3"),
        pytest.raises(ValueError, match=words),
    ):
        compare(compose("compare", ["model=resnet18", override]))


def test_a_folder_without_a_run_is_refused() -> None:
    with pytest.raises(FileNotFoundError, match="cloudedge train"), arguments_of_run(["run=x"], "compare"):
        pass


def saved_run(folder: Path, **content: Any) -> Path:
    (folder / ".hydra").mkdir()
    OmegaConf.save(OmegaConf.create(content), folder / ".hydra" / "config.yaml")
    (folder / "plan.json").write_text('{"split_point": 7}')
    return folder


def primary_of(folder: Path, *arguments: str) -> dict[str, Any]:
    with arguments_of_run([f"run={folder}", *arguments], "compare") as (_, path, *_):
        content = OmegaConf.to_container(OmegaConf.load(Path(path) / "own.yaml"))
    assert isinstance(content, dict)
    return content


def test_the_config_of_a_run_is_that_of_its_test(tmp_path: Path) -> None:
    folder = saved_run(
        tmp_path,
        workload={"phase": "training", "arrival_rate": 5.0},
        offloading={"split_point": None, "exclude_ends": True},
        callbacks={"dormancy": {"_target_": "x", "mode": "paper", "decide": None}},
        trainer={"max_epochs": 1},
        seed=3,
    )
    content = primary_of(folder)
    assert content["workload"] == {"phase": "inference", "arrival_rate": 5.0}
    assert content["offloading"] == {"split_point": 7, "exclude_ends": False}
    assert content["dormancy"]["mode"] == "paper"
    assert "decide" not in content["dormancy"]
    assert {"fleet": "mixed"} in content["defaults"]
    assert {"workload": "inference"} not in content["defaults"]
    assert content["seed"] == 3
    assert "trainer" not in content


def test_groups_of_the_command_line_replace_those_of_the_run(tmp_path: Path) -> None:
    folder = saved_run(tmp_path, fleet={"num_nodes": 2}, callbacks={"dormancy": None})
    assert primary_of(folder)["fleet"] == {"num_nodes": 2}
    assert "fleet" not in primary_of(folder, "fleet=single")
    assert {"fleet": "single"} in primary_of(folder, "fleet=single")["defaults"]
    assert primary_of(folder)["dormancy"]["mode"] == "never"


def test_without_a_run_the_arguments_stay() -> None:
    with arguments_of_run(["seed=1"], "compare") as arguments:
        assert arguments == ["seed=1"]
