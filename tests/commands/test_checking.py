"""Arguments of Lightning that it would take, and go wrong later, are refused before anything is built."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from omegaconf import DictConfig, OmegaConf

import cloudedge_pl.commands.reporting  # noqa: F401  # the resolvers of the config
from cloudedge_pl.commands.checking import check_config
from cloudedge_pl.commands.running import NEEDED


@pytest.fixture(scope="module")
def composed() -> DictConfig:
    with initialize_config_module("cloudedge_pl.conf", version_base="1.3"):
        cfg = compose("train", ["data=synthetic"])
    text = OmegaConf.to_yaml(cfg).replace("${hydra:runtime.output_dir}", "somewhere")
    plain = OmegaConf.create(text)
    assert isinstance(plain, DictConfig)
    return plain


def checked(composed: DictConfig, key: str, value: Any) -> None:
    cfg = copy.deepcopy(composed)
    OmegaConf.update(cfg, key, value, force_add=True)
    check_config(cfg, NEEDED)


STOP = "cloudedge_pl.lightning.pl.callbacks.EarlyStopping"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("trainer.limit_train_batches", -1, r"limit_train_batches is -1; it must lie in \[0, inf\)"),
        ("trainer.limit_test_batches", 0, "write test=false"),
        ("trainer.min_epochs", -1, "min_epochs is -1"),
        ("trainer.min_epochs", 7, "min_epochs is 7; it must be at most trainer.max_epochs=6"),
        ("trainer.check_val_every_n_epoch", 0, "check_val_every_n_epoch is 0"),
        ("trainer.check_val_every_n_epoch", 7, r"callbacks\.checkpoint\.monitor is 'val/accuracy', but"),
        ("trainer.limit_val_batches", 0, r"callbacks\.checkpoint\.monitor is 'val/accuracy', but"),
        ("trainer.val_check_interval", 0, r"val_check_interval is 0; it must lie in \(0, inf\)"),
        ("trainer.num_sanity_val_steps", -2, "num_sanity_val_steps is -2"),
        ("trainer.accumulate_grad_batches", 0, r"accumulate_grad_batches is 0; .* whole number in \[1, inf"),
        ("trainer.gradient_clip_val", -1, "gradient_clip_val is -1"),
        ("trainer.gradient_clip_val", float("inf"), "gradient_clip_val is inf"),
        ("trainer.num_nodes", 5, "fleet.num_nodes"),
        ("callbacks.progress.refresh_rate", -1, "callbacks.progress: refresh_rate is -1"),
        ("callbacks.checkpoint.save_top_k", -2, "callbacks.checkpoint: save_top_k is -2"),
        ("callbacks.last.every_n_epochs", -1, "callbacks.last: every_n_epochs is -1"),
        ("callbacks.stop", {"_target_": STOP, "monitor": "val/loss", "patience": -1}, "patience is -1"),
        ("logger.csv.flush_logs_every_n_steps", 0, "flush_logs_every_n_steps is 0"),
    ],
)
def test_is_refused(composed: DictConfig, key: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checked(composed, key, value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("trainer.limit_train_batches", 0.5),
        ("trainer.max_epochs", -1),
        ("trainer.min_steps", None),
        ("trainer.val_check_interval", 0.25),
        ("trainer.gradient_clip_val", 1),
        ("callbacks.checkpoint.save_top_k", -1),
        ("callbacks.checkpoint", None),
        ("callbacks.stop", {"_target_": STOP, "monitor": "val/loss", "patience": 0}),
    ],
)
def test_is_taken(composed: DictConfig, key: str, value: Any) -> None:
    checked(composed, key, value)
