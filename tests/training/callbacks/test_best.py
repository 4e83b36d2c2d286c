"""The best score survives a resume into another folder, and a checkpoint is there at every epoch's end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate

import cloudedge_pl as ce
from cloudedge_pl.lightning import pl
from tests.training.helpers import CLASSES, OtherModule, SmallNet, loader, make_trainer


class Scored(OtherModule):
    """Its validation scores are given, one an epoch."""

    def __init__(self, scores: list[float]) -> None:
        super().__init__(SmallNet())
        self.scores = scores

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("score", torch.tensor(self.scores[self.trainer.current_epoch]))


def fit(folder: Path, scores: list[float], **fit_options: Any) -> tuple[ce.BestCheckpoint, pl.Trainer]:
    best = ce.BestCheckpoint(
        folder, filename="best", monitor="score", mode="max", save_last=True, enable_version_counter=False
    )
    trainer = make_trainer(
        folder, callbacks=[best], max_epochs=len(scores), enable_checkpointing=True, num_sanity_val_steps=0
    )
    trainer.fit(Scored(scores), loader(), loader(), **fit_options)
    return best, trainer


@pytest.mark.parametrize(("later", "where"), [(0.5, "first"), (0.9, "second")])
def test_the_best_is_known_after_a_resume_elsewhere(tmp_path: Path, later: float, where: str) -> None:
    fit(tmp_path / "first", [0.2, 0.8])
    best, _ = fit(tmp_path / "second", [0.2, 0.8, later], ckpt_path=tmp_path / "first" / "last.ckpt")
    assert best.best_model_path == str(tmp_path / where / "best.ckpt")
    assert best.best_model_score == pytest.approx(max(0.8, later))
    assert (tmp_path / "first" / "best.ckpt").is_file()  # of another run: not ours to remove


def test_a_best_checkpoint_that_is_gone_does_not_count(tmp_path: Path) -> None:
    fit(tmp_path / "first", [0.2, 0.8])
    (tmp_path / "first" / "best.ckpt").unlink()
    with pytest.warns(UserWarning, match="no longer there"):
        best, _ = fit(tmp_path / "second", [0.2, 0.8, 0.5], ckpt_path=tmp_path / "first" / "last.ckpt")
    assert best.best_model_path == str(tmp_path / "second" / "best.ckpt")
    assert best.best_model_score == pytest.approx(0.5)


def test_the_config_writes_the_last_checkpoint_every_epoch(tmp_path: Path) -> None:
    with initialize_config_module("cloudedge_pl.conf", version_base="1.3"):
        conf = compose("train").callbacks
    for name in ("checkpoint", "last"):
        conf[name].dirpath = str(tmp_path)
    conf.checkpoint.monitor = "score"
    seen: list[tuple[int, int]] = []

    class Look(pl.Callback):
        def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
            if trainer.current_epoch:
                last, best = (
                    torch.load(tmp_path / f"{name}.ckpt", weights_only=True) for name in ("last", "best")
                )
                seen.append((last["global_step"], best["global_step"]))

    callbacks = [instantiate(conf.checkpoint), instantiate(conf.last), Look()]
    trainer = make_trainer(
        tmp_path, callbacks=callbacks, max_epochs=4, enable_checkpointing=True, num_sanity_val_steps=0
    )
    trainer.fit(Scored([0.3, 0.2, 0.1, 0.1]), loader(), loader())
    assert seen == [(3, 3), (6, 3), (9, 3)]  # the scores fall: only the last goes on


def test_a_metric_that_validation_never_logs_is_refused_before_the_first_epoch(tmp_path: Path) -> None:
    best = ce.BestCheckpoint(tmp_path, monitor="val/acuracy", mode="max")
    trainer = make_trainer(
        tmp_path, callbacks=[best], max_epochs=1, enable_checkpointing=True, num_sanity_val_steps=1
    )
    module = ce.CloudEdgeModule(SmallNet(), num_classes=CLASSES, schedule="constant")
    with pytest.raises(ValueError, match=r"unknown metric to monitor, 'val/acuracy'.*'val/accuracy'"):
        trainer.fit(module, loader(), loader())
    assert trainer.global_step == 0
