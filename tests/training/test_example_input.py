"""The shape that the backbone is traced with is found in whatever a trainer is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from cloudedge_pl.errors import StrategyError
from cloudedge_pl.lightning import pl
from tests.training.helpers import CLASSES, OtherModule, SmallNet, loader, make_strategy, make_trainer


class OfMany(OtherModule):
    """Trains on the first loader's batch among those of several."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        while not isinstance(batch[0] if isinstance(batch, (list, tuple)) else None, Tensor):
            batch = next(iter(batch.values())) if isinstance(batch, dict) else batch[0]
        return super().training_step(batch, batch_idx)


def numbers() -> DataLoader:
    return DataLoader(TensorDataset(torch.arange(48)), batch_size=16)


@pytest.mark.parametrize(
    "make",
    [
        loader,
        lambda: [loader(), loader()],
        lambda: {"a": loader(), "b": loader()},
        lambda: {"a": [loader(), numbers()], "b": loader()},
        lambda: pl.utilities.combined_loader.CombinedLoader({"a": loader(), "b": loader()}, "min_size"),
        lambda: pl.utilities.combined_loader.CombinedLoader([loader(), loader()], "max_size_cycle"),
    ],
    ids=["one", "list", "dict", "nested", "combined dict", "combined list"],
)
def test_several_loaders(tmp_path: Path, make: Any) -> None:
    strategy = make_strategy(2, channels_last=False)
    module = OfMany(SmallNet())
    make_trainer(tmp_path, strategy, max_steps=1).fit(module, make())
    assert len(module.losses) == 1, "one step, whatever is computed again for the exit head"
    assert strategy.record is not None
    assert len(strategy.record.assignment.node) == 16


def test_the_first_loader_with_pictures_counts(tmp_path: Path) -> None:
    class OfPictures(OtherModule):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return super().training_step(batch["pictures"], batch_idx)

    loaders = {"numbers": numbers(), "pictures": loader()}
    make_trainer(tmp_path, make_strategy(2), max_steps=1).fit(OfPictures(SmallNet()), loaders)


def test_without_a_sample_it_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(StrategyError, match="example_input=torch"):
        make_trainer(tmp_path, make_strategy(2)).fit(OtherModule(SmallNet()), {"a": numbers()})


def test_what_the_user_declares_comes_first(tmp_path: Path) -> None:
    class Declares(pl.LightningDataModule):
        input_shape = (3, 8, 8)

        def train_dataloader(self) -> Any:
            return (batch for batch in [(torch.randn(4, 3, 8, 8), torch.arange(4) % CLASSES)])

    module = OtherModule(SmallNet())
    make_trainer(tmp_path, make_strategy(2), max_epochs=1).fit(module, datamodule=Declares())
    assert len(module.losses) >= 1, "the one batch was not taken for its shape"
