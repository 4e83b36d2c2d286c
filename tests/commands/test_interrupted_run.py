"""``cloudedge train`` after a signal: whatever it was doing, a summary is left, and what resumes where there is any."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

import cloudedge_pl.commands.train as command
from cloudedge_pl.lightning import pl
from cloudedge_pl.scheduling import LongestProcessingTime
from cloudedge_pl.signals import Interrupted, stopped_by_signals
from tests.commands.test_train import QUICK
from tests.training.helpers import CLASSES, SmallNet

Composed = Callable[..., DictConfig]


@pytest.fixture
def composed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Composed]:
    """Composes a run of a small network into a folder, as Hydra does for the command."""

    def of(*overrides: str) -> DictConfig:
        with initialize_config_module("cloudedge_pl.conf", version_base="1.3"):
            cfg = compose(
                "train",
                [
                    *QUICK,
                    "data.image_size=16",
                    f"data.num_classes={CLASSES}",
                    "offloading.split_point=2",
                    "model.schedule=constant",
                    "callbacks.progress=null",
                    "+trainer.enable_progress_bar=false",
                    "logger.tensorboard=null",
                    *overrides,
                    f"hydra.run.dir={tmp_path}",
                    f"hydra.runtime.output_dir={tmp_path}",
                ],
                return_hydra_config=True,
            )
        HydraConfig.instance().set_config(cfg)
        return cfg

    monkeypatch.setattr(
        "cloudedge_pl.training.module.build_backbone", lambda name, num_classes, **_: SmallNet()
    )
    yield of
    HydraConfig.instance().cfg = None


class Signal(pl.Callback):
    """Sends this process a signal at the first call of a hook."""

    def __init__(self, hook: str, signum: int) -> None:
        def send(*_: Any, **__: Any) -> None:
            setattr(self, hook, getattr(pl.Callback(), hook))
            os.kill(os.getpid(), signum)

        setattr(self, hook, send)


@pytest.mark.parametrize(
    ("hook", "signum", "stage", "resumes"),
    [
        ("setup", signal.SIGTERM, "training", False),
        ("on_sanity_check_start", signal.SIGINT, "training", False),
        ("on_train_batch_start", signal.SIGTERM, "training", True),
        ("on_test_batch_start", signal.SIGINT, "test", True),
    ],
)
def test_leaves_a_summary(
    composed: Composed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    hook: str,
    signum: int,
    stage: str,
    resumes: bool,
) -> None:
    made = command.build

    def build(cfg: DictConfig) -> Any:
        parts = made(cfg)
        parts[2].callbacks.insert(0, Signal(hook, signum))
        return parts

    monkeypatch.setattr(command, "build", build)
    with stopped_by_signals(), pytest.raises(Interrupted) as stopped:
        command.train(composed())
    assert stopped.value.code == 128 + signum
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["interrupted"] == signal.Signals(signum).name
    assert summary["interrupted_during"] == stage
    assert summary["test_loss"] is None
    assert (summary["resume_from"] is not None) == resumes
    if resumes:
        assert Path(summary["resume_from"]).is_file()
        assert summary["tasks"] == 16 * summary["steps"] > 0
        assert (tmp_path / "accounts.json").is_file()
        assert (tmp_path / "metrics.csv").is_file()
        assert (tmp_path / "figures" / "nodes.png").is_file()


def test_before_there_is_a_trainer(
    composed: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "build", lambda cfg: os.kill(os.getpid(), signal.SIGTERM))
    with stopped_by_signals(), pytest.raises(Interrupted):
        command.train(composed())
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["interrupted_during"] == "set-up"
    assert summary["steps"] == 0
    assert summary["resume_from"] is None


@pytest.mark.parametrize(
    ("name", "patched", "stage", "holds"),
    [
        ("plan", "measure_segments", "measurement", {"model": "resnet18"}),
        ("plan", "plan_offloading", "planning", {"model": "resnet18"}),
        ("plan", "report_plan", "report", {"split_point": 1}),
        ("evaluate", "build", "set-up", {"checkpoint": "some.ckpt", "test_loss": None}),
        ("schedule", "read_times", "set-up", {}),
        ("schedule", "save_gantt", "report", {"chosen": "fcfs"}),
    ],
)
def test_of_the_other_commands(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    patched: str,
    stage: str,
    holds: dict[str, Any],
) -> None:
    command = import_module(f"cloudedge_pl.commands.{name}")
    overrides = {
        "plan": ["model=resnet18", "offloading.split_point=1", "fleet.memory_bytes=null"],
        "evaluate": ["data=synthetic", "+ckpt=some.ckpt"],
        "schedule": ["scheduler=fcfs", "compare=[]", "num_tasks=5"],
    }[name]
    overrides += {"read_times": ["file=some.csv"], "measure_segments": ["costs=measured"]}.get(patched, [])
    with initialize_config_module("cloudedge_pl.conf", version_base="1.3"):
        folders = [f"hydra.run.dir={tmp_path}", f"hydra.runtime.output_dir={tmp_path}"]
        cfg = compose(
            "train" if name == "evaluate" else name, [*overrides, *folders], return_hydra_config=True
        )
    HydraConfig.instance().set_config(cfg)
    cfg = OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"])
    home = command if hasattr(command, patched) else import_module("cloudedge_pl.commands.cost_sources")
    monkeypatch.setattr(home, patched, lambda *_, **__: os.kill(os.getpid(), signal.SIGINT))
    try:
        with stopped_by_signals(), pytest.raises(Interrupted) as stopped:
            getattr(command, name)(cfg)
    finally:
        HydraConfig.instance().cfg = None
    assert stopped.value.code == 130
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["interrupted"], summary["interrupted_during"]) == ("SIGINT", stage)
    assert holds.items() <= summary.items()


def test_schedulers_that_had_run_are_in_the_summary(
    composed: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cloudedge_pl.commands.schedule as schedule

    def warm_up(scheduler: Any, *_: Any) -> None:
        if isinstance(scheduler, LongestProcessingTime):
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(schedule, "warm_up", warm_up)
    composed()
    with initialize_config_module("cloudedge_pl.conf", version_base="1.3"):
        cfg = compose("schedule", ["scheduler=fcfs", "compare=[lpt]", "num_tasks=5"])
    with stopped_by_signals(), pytest.raises(Interrupted):
        schedule.schedule(cfg)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert set(summary["schedulers"]) == {"fcfs"}
    assert summary["interrupted_during"] == "comparison"


@pytest.mark.parametrize(("times", "left"), [(1, True), (2, False)])
def test_a_signal_during_the_imports(tmp_path: Path, times: int, left: bool) -> None:
    """It waits for the folder to leave a summary in; a second one does not."""
    code = (
        "import os, signal, cloudedge_pl.commands.cli as cli\n"
        "imported = cli.import_module\n"
        "def import_module(name):\n"
        f"    for _ in range({times}):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    return imported(name)\n"
        "cli.import_module = import_module\n"
        "cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "schedule", "hydra.run.dir=run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 143, done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "run" / "summary.json").is_file() == left
    if left:
        summary = json.loads((tmp_path / "run" / "summary.json").read_text())
        assert (summary["interrupted"], summary["interrupted_during"]) == ("SIGTERM", "set-up")


@pytest.mark.slow
def test_the_process_ends_with_the_signals_status(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "import cloudedge_pl.commands.train as command\n"
        "command.build = lambda cfg: os.kill(os.getpid(), signal.SIGTERM)\n"
        "from cloudedge_pl.commands.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "train", *QUICK, "hydra.run.dir=run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 143, done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["interrupted"] == "SIGTERM"
