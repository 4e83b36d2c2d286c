"""A run with weights on the nodes that is killed between two checkpoints, and resumed, equals one that was not."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import cloudedge_pl as ce
from cloudedge_pl.lightning import pl
from tests.training.helpers import (
    CLASSES,
    EXIT_HEAD,
    SGD,
    WORKLOAD,
    SmallNet,
    comparable,
    make_fleet,
    make_trainer,
    parameters_of,
)

AGGREGATIONS: dict[str, dict[str, Any]] = {
    "steps": {"every_n_steps": 4, "failure_rate": 0.05},
    "keep": {"every_n_steps": 7, "momentum": "keep", "weighting": "uniform"},
    "seconds": {"every_n_seconds": 4.0, "momentum": "reset"},
    "adaptive": {"adaptive": {"num_bytes": 1e9}},
}


def fit(root: Path, kind: str, *callbacks: pl.Callback, ckpt_path: Any = None) -> dict[str, Any]:
    """Trains for four epochs of five steps; everything that moves, as it was after the last step."""
    pl.seed_everything(7)
    torch.manual_seed(1)
    module = ce.CloudEdgeModule(
        SmallNet(norm=True, dropout=0.3), num_classes=CLASSES, learning_rate=0.05, **SGD
    )
    data = ce.SyntheticDataModule(
        num_classes=CLASSES,
        num_train=96,
        num_test=32,
        image_size=8,
        val_fraction=0.1,
        batch_size=16,
        augment=True,
    )
    strategy = ce.CloudEdgeStrategy(
        fleet=make_fleet(3, variation=0.6),
        offloading={"split_point": 3},
        codec="bottleneck",
        workload=WORKLOAD,
        exit_head=EXIT_HEAD,
        shards={"by": "dirichlet", "alpha": 0.5, "min_size": 4} if kind == "steps" else None,
    )
    ending: dict[str, Any] = {}

    class Ending(pl.Callback):
        def on_train_epoch_end(self, trainer: Any, *_: Any) -> None:
            optimizer = trainer.optimizers[0].state_dict()
            ending.update(
                weights=parameters_of(module),
                modules={name: parameters_of(m) for name, m in strategy.deployment.modules.items()},
                nodes=strategy.run.aggregation.state_dict(),
                simulator=strategy.simulator.state_dict(),
                momentum=[entry["momentum_buffer"] for entry in optimizer["state"].values()],
                rate=[group["lr"] for group in optimizer["param_groups"]],
                random=torch.get_rng_state(),
            )

    extra = [
        ce.CloudDormancy(sleep_ratio=1.1, wake_ratio=1.05, warmup_windows=2, dwell_windows=1),
        ce.WeightedAggregation(**AGGREGATIONS[kind]),
        Ending(),
        *callbacks,
        pl.callbacks.ModelCheckpoint(dirpath=root, filename="{step}", save_top_k=-1, every_n_train_steps=5),
    ]
    trainer = make_trainer(root, strategy, callbacks=extra, max_epochs=4, enable_checkpointing=True)
    trainer.fit(module, datamodule=data, ckpt_path=ckpt_path, weights_only=True)
    ending["final"] = parameters_of(module)
    return ending


class Kill(pl.Callback):
    """kill -9, as a machine that goes down would."""

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == 13:
            signal.raise_signal(signal.SIGKILL)


@pytest.mark.parametrize("kind", AGGREGATIONS)
def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path, kind: str) -> None:
    whole = fit(tmp_path / "whole", kind)
    root = tmp_path / "killed"
    code = (
        "import sys; from pathlib import Path; from tests.training.checkpoints.test_resume_nodes import Kill, fit;"
        "fit(Path(sys.argv[1]), sys.argv[2], Kill())"
    )
    command = [sys.executable, "-c", code, str(root), kind]
    killed = subprocess.run(
        command, cwd=Path(__file__).parents[3], capture_output=True, check=False, text=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert sorted(path.name for path in root.glob("*.ckpt")) == ["step=10.ckpt", "step=5.ckpt"]
    resumed = fit(tmp_path / "resumed", kind, ckpt_path=root / "step=10.ckpt")
    torch.testing.assert_close(comparable(resumed), comparable(whole), rtol=0, atol=0, equal_nan=True)
    tasks = np.array(whole["simulator"]["engine"]["arrays"]["nodes"]["tasks"])
    assert tasks.sum() == 4 * 5 * 16
    assert whole["nodes"]["aggregations"] > 1
