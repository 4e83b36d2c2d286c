"""Checkpoint files: whole or not there, damage found wherever it is, plain torch.load reads them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import torch

from cloudedge_pl.errors import CheckpointError
from cloudedge_pl.lightning import pl
from cloudedge_pl.training.checkpoints.files import CheckedCheckpointIO
from tests.test_files import small_disk
from tests.training.helpers import OtherModule, SmallNet, loader, make_strategy, make_trainer

__all__ = ["small_disk"]

CONTENT: dict[str, Any] = {
    "state_dict": {"weight": torch.arange(64.0), "bias": torch.arange(8.0)},
    "epoch": 3,
}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return (
        one.keys() == other.keys()
        and one["epoch"] == other["epoch"]
        and one["state_dict"].keys() == other["state_dict"].keys()
        and all(torch.equal(one["state_dict"][key], other["state_dict"][key]) for key in one["state_dict"])
    )


def test_every_flipped_bit_is_found_or_harmless(tmp_path: Path) -> None:
    io, path = CheckedCheckpointIO(), tmp_path / "a.ckpt"
    io.save_checkpoint(CONTENT, path)
    content = path.read_bytes()
    assert same(torch.load(path, weights_only=True), CONTENT)
    found = unseen_by_lightning = 0
    for at in range(0, len(content), 3):
        damaged = bytearray(content)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        try:
            loaded = io.load_checkpoint(path, weights_only=True)
        except CheckpointError:
            found += 1
            with contextlib.suppress(Exception):  # whatever torch says of it
                read = pl.plugins.TorchCheckpointIO().load_checkpoint(path, weights_only=True)
                unseen_by_lightning += not same(read, CONTENT)
        else:
            assert same(loaded, CONTENT), at
    assert found > 100
    assert unseen_by_lightning > 50  # weights that differ, without a word


@pytest.mark.parametrize("strategy", [None, 2])
@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_leaves_the_earlier_checkpoint(tmp_path: Path, strategy: int | None) -> None:
    chosen = "auto" if strategy is None else make_strategy(strategy)
    trainer = make_trainer(tmp_path, chosen, max_epochs=1)
    if strategy is None:
        trainer.strategy.checkpoint_io = CheckedCheckpointIO()
    trainer.fit(OtherModule(SmallNet()), loader())
    path = tmp_path / "last.ckpt"
    path.write_bytes(b"earlier")
    with pytest.raises((OSError, RuntimeError)):
        trainer.save_checkpoint(path)
    assert path.read_bytes() == b"earlier"
    assert [each.name for each in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_plugin_of_the_user_is_kept(tmp_path: Path) -> None:
    strategy, own = make_strategy(), pl.plugins.TorchCheckpointIO()
    trainer = make_trainer(tmp_path, strategy, plugins=[own])
    assert trainer.strategy.checkpoint_io is own
    assert isinstance(make_strategy().checkpoint_io, CheckedCheckpointIO)
