"""The shape that the backbone is traced with is found in whatever a trainer is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

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
    strategy = make_strategy(2)
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


class Counting(OtherModule):
    """Notes which samples its steps see; it writes to its batch, as steps may."""

    def __init__(self) -> None:
        super().__init__(SmallNet())
        self.seen = seen = []  # type: ignore[var-annotated]
        self.note = lambda y: seen.extend(y.tolist())

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        if self.trainer.strategy.is_planned:  # type: ignore[attr-defined]
            self.note(y)
        y %= CLASSES
        return super().training_step((x, y), batch_idx)

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        return batch[1]


class Stream(IterableDataset):
    """Reads what somebody else hands out once."""

    def __init__(self, samples: Any) -> None:
        self.samples = samples

    def __iter__(self) -> Any:
        yield from self.samples


class KeepsItsPlace:
    """A loader that goes on where its state says."""

    def __init__(self, batches: list[Any]) -> None:
        self.batches, self.at = batches, 0

    def __iter__(self) -> Any:
        while self.at < len(self.batches):
            self.at += 1
            yield self.batches[self.at - 1]

    def state_dict(self) -> dict[str, int]:
        return {"at": self.at}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.at = state["at"]


def samples(num: int = 20) -> Any:
    return ((torch.full((3, 8, 8), float(at)), torch.tensor(at)) for at in range(num))


def batches(num: int = 5) -> Any:
    return DataLoader(Stream(samples(4 * num)), batch_size=4)


SOURCES: dict[str, Any] = {
    "stream": batches,
    "workers": lambda: DataLoader(Stream(list(samples())), batch_size=4, num_workers=1),
    "iterator": lambda: iter(list(batches())),
    "generator": lambda: (batch for batch in list(batches())),
    "stateful": lambda: KeepsItsPlace(list(batches())),
    "list of two": lambda: [batches(), batches()],
}


@pytest.mark.parametrize("source", SOURCES)
def test_data_that_can_be_read_once_is_read_whole(tmp_path: Path, source: str) -> None:
    class OfFirst(Counting):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return super().training_step(batch if isinstance(batch[0], Tensor) else batch[0], batch_idx)

    module = OfFirst()
    make_trainer(tmp_path, make_strategy(2), max_epochs=1).fit(module, SOURCES[source](), loader())
    assert module.seen == list(range(20))


@pytest.mark.parametrize("source", ["stream", "generator"])
def test_predictions_miss_nothing_either(tmp_path: Path, source: str) -> None:
    trainer = make_trainer(tmp_path, make_strategy(2))
    predicted = trainer.predict(Counting(), SOURCES[source]())
    assert torch.cat(predicted).tolist() == list(range(20))  # type: ignore[arg-type]


def test_a_stream_that_can_be_read_again_is_in_every_epoch(tmp_path: Path) -> None:
    module, plain = Counting(), Counting()
    again = DataLoader(Stream(list(samples())), batch_size=4)
    torch.manual_seed(0)
    make_trainer(tmp_path, make_strategy(2), max_epochs=2).fit(module, again)
    states = [torch.get_rng_state()]
    assert module.seen == 2 * list(range(20))
    torch.manual_seed(0)
    make_trainer(tmp_path, make_strategy(2, example_input=torch.zeros(1, 3, 8, 8)), max_epochs=2).fit(
        plain, again
    )
    assert torch.equal(torch.get_rng_state(), states[0]), "as if nothing had been looked at"
