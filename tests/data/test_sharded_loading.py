"""Batches that draw from every node in proportion, and the loaders that hand them out."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, SequentialSampler, SubsetRandomSampler

from cloudedge_pl.data import SyntheticDataModule
from cloudedge_pl.data.loading import EpochBatches, ImageLoader, ResumableLoader, batches_processed
from cloudedge_pl.data.sharded_loading import ShardedBatches, shard_loader
from cloudedge_pl.data.sharding import make_shards
from cloudedge_pl.data.shards import Shards
from cloudedge_pl.errors import DataError
from cloudedge_pl.lightning import pl
from tests.data.helpers import Rows, Stream

LAW = settings(max_examples=60)


@st.composite
def sharded(draw) -> ShardedBatches:
    num_nodes = draw(st.integers(1, 9))
    node = draw(st.lists(st.integers(0, num_nodes - 1), min_size=1, max_size=120))
    shards = Shards(np.array(node), num_nodes)
    return ShardedBatches(shards, draw(st.integers(1, 40)), draw(st.integers(0, 9)), draw(st.booleans()))


# The order of an epoch


@LAW
@given(sharded(), st.integers(0, 5))
def test_an_epoch_holds_each_sample_once(batches, epoch):
    num_samples = len(batches.shards.node)
    assert sorted(batches.order(epoch).tolist()) == list(range(num_samples))
    batches.set_epoch(epoch)
    seen = list(batches)
    assert len(seen) == len(batches)
    assert sum(len(batch.indices) for batch in seen) == (
        len(batches) * batches.batch_size if batches.drop_last else num_samples
    )
    for batch in seen:
        np.testing.assert_array_equal(batches.batch(epoch, batch.number), batch.indices.numpy())
        np.testing.assert_array_equal(
            batches.nodes(epoch, batch.number), batches.shards.node[batch.indices.numpy()]
        )


@LAW
@given(sharded(), st.integers(0, 5))
def test_every_batch_holds_the_nodes_in_proportion(batches, epoch):
    # A stretch of the way of length t holds n t of a node's n samples, to an error e of less than one. A batch is the
    # stretch that holds b of all: its count is off from s b by (1 - s) e - s (sum of the others' e).
    shards = batches.shards
    share = shards.sizes / len(shards.node)
    bound = 1 + max(shards.num_nodes - 2, -1) * share
    for number in range(len(batches)):
        count = np.bincount(batches.nodes(epoch, number), minlength=shards.num_nodes)
        assert (np.abs(count - share * count.sum()) <= bound + 1e-9).all()


@LAW
@given(st.integers(1, 9), st.integers(1, 15), st.integers(1, 40), st.integers(0, 5))
def test_nodes_of_one_size_are_within_one_of_each_other_in_a_batch(num_nodes, size, batch_size, epoch):
    shards = make_shards("iid", num_nodes, num_samples=num_nodes * size)
    batches = ShardedBatches(shards, batch_size, 0, drop_last=False)
    for number in range(len(batches)):
        count = np.bincount(batches.nodes(epoch, number), minlength=num_nodes)
        assert count.max() - count.min() <= 1


def test_order_depends_on_seed_and_epoch_and_not_on_what_was_asked_before():
    shards = make_shards("iid", 3, num_samples=60)
    batches = ShardedBatches(shards, 8, 1, drop_last=False)
    first = batches.order(0).copy()
    assert not np.array_equal(first, batches.order(1))
    np.testing.assert_array_equal(first, batches.order(0))
    assert not np.array_equal(first, ShardedBatches(shards, 8, 2, drop_last=False).order(0))


def test_batches_that_are_not_shuffled_anew_are_the_same_in_every_epoch():
    shards = make_shards("iid", 3, num_samples=60)
    batches = ShardedBatches(shards, 8, 1, drop_last=False, reshuffle=False)
    first = ShardedBatches(shards, 8, 1, drop_last=False)
    for epoch in (5, 0, 1):
        np.testing.assert_array_equal(batches.order(epoch), first.order(0))
        np.testing.assert_array_equal(batches.nodes(epoch, 7), first.nodes(0, 7))
        batches.set_epoch(epoch)
        seen = list(batches)
        assert {batch.epoch for batch in seen} == {epoch}, "what else depends on the epoch still does"
        np.testing.assert_array_equal(np.concatenate([batch.indices for batch in seen]), first.order(0))


@pytest.mark.parametrize("number", [-1, 8])
def test_a_batch_that_is_not_there_is_refused(number):
    batches = ShardedBatches(make_shards("iid", 3, num_samples=60), 8, 1, drop_last=False)
    with pytest.raises(IndexError, match=f"batch {number} of an epoch of 8"):
        batches.nodes(0, number)


# Loaders


def _shards_of(dataset) -> Shards:
    return make_shards("iid", 4, num_samples=len(dataset), seed=3)


def _loader(**options):
    return shard_loader(DataLoader(Rows(), **{"batch_size": 8, "shuffle": True} | options), _shards_of)


def _samples(loader) -> list[list[int]]:
    return [rows.int().tolist() for rows, _ in loader]


def _images(**options) -> SyntheticDataModule:
    defaults = {
        "num_train": 80,
        "num_test": 20,
        "image_size": 8,
        "batch_size": 16,
        "val_fraction": 0.1,
        "augment": True,
    }
    return SyntheticDataModule(**defaults | options)


def _collate(samples):
    return torch.stack([sample[0] for sample in samples]), None


def _start(worker: int) -> None:
    pass


@pytest.mark.parametrize("drop_last", [False, True])
def test_a_sharded_loader_hands_out_the_batches_and_says_who_owns_them(drop_last):
    loader = _loader(drop_last=drop_last)
    assert len(loader) == (6 if drop_last else 7)
    for epoch in (0, 3):
        loader.sampler.set_epoch(epoch)
        seen = _samples(loader)
        assert len(seen) == len(loader)
        for number, rows in enumerate(seen):
            assert rows == loader.batches.batch(epoch, number).tolist()
            np.testing.assert_array_equal(
                loader.sampler.nodes(epoch, number), _shards_of(loader.dataset).node[rows]
            )


def test_a_sharded_loader_keeps_the_options():
    options = {
        "num_workers": 2,
        "collate_fn": _collate,
        "drop_last": True,
        "timeout": 7,
        "worker_init_fn": _start,
        "multiprocessing_context": "spawn",
        "generator": torch.Generator(),
        "prefetch_factor": 3,
        "persistent_workers": True,
        "batch_size": 5,
        "pin_memory": True,
        "in_order": False,
    }
    before = DataLoader(Rows(), **options)
    after = shard_loader(before, _shards_of)
    assert after.dataset is before.dataset
    for name in options:
        assert getattr(after, name) == getattr(before, name), name


def test_workers_give_the_same_batches():
    assert _samples(_loader(num_workers=2)) == _samples(_loader())
    for workers in (0, 2):
        loader = shard_loader(_images(num_workers=workers).train_dataloader(), _shards_of)
        loader.sampler.set_epoch(1)
        seen = list(loader)
        if workers == 0:
            alone = seen
    for (images, labels), (others, other_labels) in zip(alone, seen, strict=True):
        assert images.equal(others)
        assert labels.equal(other_labels)


def test_the_loader_of_pictures_stays_one():
    before = _images().train_dataloader()
    loader = shard_loader(before, _shards_of, seed=5)
    assert type(loader) is type(before)
    assert (loader.batches.batch_size, loader.batches.drop_last, loader.batches.seed) == (16, True, 5)
    seen = [labels for _, labels in loader]
    assert len(seen) == len(loader) == len(loader.dataset) // 16 > 1
    for number, labels in enumerate(seen):
        assert labels.equal(loader.dataset.images.labels[loader.sampler.batch(0, number)])
        np.testing.assert_array_equal(
            loader.sampler.nodes(0, number),
            _shards_of(loader.dataset).node[loader.sampler.batch(0, number)],
        )


@pytest.mark.parametrize("make", [_loader, lambda: shard_loader(_images().train_dataloader(), _shards_of)])
@pytest.mark.parametrize("done", [1, 3])
def test_a_loader_goes_on_where_its_state_was_taken(make, done):
    loader = make()
    loader.sampler.set_epoch(2)
    whole = list(loader)
    assert len(whole) > done
    iterator = iter(loader)
    for _ in range(done):
        next(iterator)
    resumed = make()
    resumed.load_state_dict(loader.state_dict())
    resumed.sampler.set_epoch(2)
    for rest in (whole[done:], whole):
        for (rows, labels), (as_before, labels_before) in zip(resumed, rest, strict=True):
            assert rows.equal(as_before)
            assert labels.equal(labels_before)


def test_loading_draws_nothing_from_the_global_generator():
    loader = _loader()
    before = torch.get_rng_state()
    list(loader)
    assert torch.get_rng_state().equal(before)


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        (
            lambda: DataLoader(Stream(), batch_size=2),
            "Stream is an IterableDataset.*Use a map-style data set",
        ),
        (lambda: DataLoader(Rows(), batch_size=None), "Give it batch_size and drop_last"),
        (lambda: DataLoader(Rows(), batch_sampler=[[0, 1]]), "Give it batch_size and drop_last"),
        (
            lambda: DataLoader(Rows(), batch_size=2, sampler=SubsetRandomSampler([1, 2])),
            "with SubsetRandomSampler.*shuffle=True; for a part of the data, torch's Subset",
        ),
    ],
)
def test_loaders_that_cannot_be_sharded_are_refused(loader, message):
    with pytest.raises(DataError, match=message):
        shard_loader(loader(), _shards_of)


class Filtered(DataLoader):
    def __iter__(self):
        return (batch for batch in super().__iter__() if len(batch[0]) > 2)


class Grouped(DataLoader):
    @property
    def _index_sampler(self):
        return [[0, 1, 2], [3]]


class Shorter:
    def __len__(self) -> int:
        return 1


class MixedIn(Shorter, DataLoader):
    pass


class OnlyEven(ImageLoader):
    def __iter__(self):
        return (batch for number, batch in enumerate(super().__iter__()) if number % 2 == 0)


class Placed(ResumableLoader):
    def state_dict(self):
        return {**super().state_dict(), "place": 1}


class Named(DataLoader):
    """Overrides nothing that decides which batches come."""

    def __init__(self, *args, name: str = "", **options) -> None:
        super().__init__(*args, **options)
        self.name = name

    def describe(self) -> str:
        return self.name


class Backwards(EpochBatches):
    def order(self, epoch):
        return super().order(epoch)[::-1].copy()


def _other_images(kind: type[ImageLoader], batches: type[EpochBatches]) -> ImageLoader:
    dataset = _images().train_dataloader().dataset
    return kind(dataset, sampler=batches(len(dataset), 16, 0, drop_last=True))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Filtered(Rows(), batch_size=4),
            r"a Filtered, which overrides __iter__.*Use torch's DataLoader",
        ),
        (lambda: Grouped(Rows(), batch_size=4), "a Grouped, which overrides _index_sampler"),
        (lambda: MixedIn(Rows(), batch_size=4), "a MixedIn, which overrides __len__"),
        (lambda: _other_images(OnlyEven, EpochBatches), "a OnlyEven, which overrides __iter__"),
        (
            lambda: Placed(Rows(), batches=EpochBatches(50, 4, 0, False), batch_size=4),
            "a Placed, which overrides state_dict",
        ),
        (lambda: _other_images(ImageLoader, Backwards), "with Backwards.*Give it EpochBatches"),
    ],
)
def test_loaders_that_make_batches_in_a_way_of_their_own_are_refused(make, message):
    with pytest.raises(DataError, match=message):
        shard_loader(make(), _shards_of)


def test_subclasses_that_leave_the_batches_alone_are_sharded():
    def plain(kind: type[DataLoader], **options: Any) -> list[list[int]]:
        return _samples(shard_loader(kind(Rows(), batch_size=8, **options), _shards_of))

    assert plain(Named, name="a", shuffle=True) == plain(DataLoader)
    whole = EpochBatches(50, 8, None, drop_last=False)
    assert plain(ResumableLoader, batches=whole, sampler=SequentialSampler(Rows())) == plain(DataLoader)


def test_shards_of_other_data_are_refused():
    with pytest.raises(DataError, match="shards are of 9 samples and the training data has 50"):
        shard_loader(DataLoader(Rows(), batch_size=2), lambda _: make_shards("iid", 3, num_samples=9))


class Recorder(pl.LightningModule):
    """Keeps the samples of every batch, and who owns them."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[int, list[int], list[int]]] = []

    def training_step(self, batch, batch_idx):
        loader = self.trainer.train_dataloader
        owners = loader.sampler.nodes(self.current_epoch, batch_idx).tolist()
        self.seen.append((self.current_epoch, batch[0].int().tolist(), owners))
        return self.weight * 1.0

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def _fit(folder: Path, callbacks=(), ckpt_path: Path | None = None) -> list[tuple[int, list[int], list[int]]]:
    trainer = pl.Trainer(
        default_root_dir=folder,
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=bool(callbacks),
        callbacks=list(callbacks),
    )
    recorder = Recorder()
    loader = DataLoader(Rows(), batch_size=8, shuffle=True)
    trainer.fit(
        recorder,
        shard_loader(loader, _shards_of, batches_done=partial(batches_processed, trainer)),
        ckpt_path=ckpt_path,
    )
    return recorder.seen


def test_lightning_sets_the_epoch_and_a_resumed_run_sees_the_same_batches(tmp_path):
    batches = ShardedBatches(_shards_of(Rows()), 8, 3, drop_last=False)
    whole = _fit(
        tmp_path,
        [pl.callbacks.ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=1, save_top_k=-1)],
    )
    assert whole == [
        (epoch, batches.batch(epoch, number).tolist(), batches.nodes(epoch, number).tolist())
        for epoch in range(2)
        for number in range(7)
    ]
    for step in (3, 7, 9):  # in an epoch, between two, and in a later one
        assert _fit(tmp_path, ckpt_path=tmp_path / f"step={step}.ckpt") == whole[step:]
