"""Who owns which sample, and batches that draw from every node in proportion."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    random_split,
)

from cloudedge_pl.data import SyntheticDataModule
from cloudedge_pl.data.loading import batches_processed
from cloudedge_pl.data.shards import (
    SHARDINGS,
    ShardedBatches,
    Shards,
    labels_of,
    make_shards,
    shard_dataset,
    shard_loader,
)
from cloudedge_pl.errors import DataError

LAW = settings(deadline=None, derandomize=True, max_examples=60)
LABELS = st.lists(st.integers(0, 5), min_size=12, max_size=150).map(np.array)


@st.composite
def sharded(draw) -> ShardedBatches:
    num_nodes = draw(st.integers(1, 9))
    node = draw(st.lists(st.integers(0, num_nodes - 1), min_size=1, max_size=120))
    shards = Shards(np.array(node), num_nodes)
    return ShardedBatches(shards, draw(st.integers(1, 40)), draw(st.integers(0, 9)), draw(st.booleans()))


# Shards


@LAW
@given(LABELS, st.integers(1, 12), st.sampled_from(sorted(SHARDINGS)), st.integers(0, 5))
def test_every_sample_has_one_owner_and_the_same_seed_gives_the_same(labels, num_nodes, by, seed):
    options = {"iid": {}, "class": {"classes_per_node": 6}, "dirichlet": {"min_size": 0}}[by]
    shards = make_shards(by, num_nodes, labels=labels, seed=seed, **options)
    assert shards.node.shape == labels.shape
    assert shards.sizes.sum() == len(labels)
    counts = shards.class_counts(labels, 6)
    assert counts.shape == (num_nodes, 6)
    np.testing.assert_array_equal(counts.sum(axis=1), shards.sizes)
    np.testing.assert_array_equal(counts.sum(axis=0), np.bincount(labels, minlength=6))
    again = make_shards(by, num_nodes, labels=labels, seed=seed, **options)
    np.testing.assert_array_equal(shards.node, again.node)


@LAW
@given(st.integers(1, 200), st.integers(1, 20))
def test_iid_sizes_differ_by_at_most_one(num_samples, num_nodes):
    num_nodes = min(num_nodes, num_samples)
    sizes = make_shards("iid", num_nodes, num_samples=num_samples).sizes
    assert sizes.max() - sizes.min() <= 1


@LAW
@given(LABELS, st.integers(1, 4), st.integers(0, 3), st.floats(0.5, 100))
def test_dirichlet_leaves_no_node_too_small(labels, num_nodes, min_size, alpha):
    shards = make_shards(
        "dirichlet", num_nodes, labels=labels, alpha=alpha, min_size=min_size, max_tries=5000
    )
    assert shards.sizes.min() >= min_size


def test_dirichlet_is_near_iid_for_large_alpha_and_lopsided_for_small():
    labels = np.repeat(np.arange(10), 500)

    def counts(alpha: float) -> np.ndarray:
        return make_shards("dirichlet", 10, labels=labels, alpha=alpha, min_size=0).class_counts(labels)

    assert np.abs(counts(1e5) - 50).max() <= 3
    largest_share = counts(0.3).max(axis=1) / counts(0.3).sum(axis=1)
    assert 0.3 < largest_share.mean() < 0.7
    assert ((counts(1e-5) > 0).sum(axis=0) == 1).all(), "each class lies on one node"


def test_dirichlet_gives_up_with_the_smallest_size_and_what_to_change():
    labels = np.zeros(100, dtype=int)
    with pytest.raises(
        ValueError, match=r"in 3 draws with alpha 0.01.*at most 0 samples.*larger alpha.*fewer nodes"
    ):
        make_shards("dirichlet", 10, labels=labels, alpha=0.01, max_tries=3)
    with pytest.raises(ValueError, match="lower min_size to 10 or less"):
        make_shards("dirichlet", 10, labels=labels, min_size=11)


@LAW
@given(LABELS, st.integers(1, 12), st.integers(1, 7))
def test_by_class_no_node_holds_too_many_classes(labels, num_nodes, classes_per_node):
    num_classes = len(np.unique(labels))
    if num_nodes * classes_per_node < num_classes:
        with pytest.raises(
            ValueError, match=f"raise classes_per_node to {-(-num_classes // num_nodes)} or more"
        ):
            make_shards("class", num_nodes, labels=labels, classes_per_node=classes_per_node)
        return
    shards = make_shards("class", num_nodes, labels=labels, classes_per_node=classes_per_node)
    assert ((shards.class_counts(labels) > 0).sum(axis=1) <= classes_per_node).all()
    assert shards.sizes.min() >= 1


def test_by_class_balanced_classes_make_parts_of_one_size():
    labels = np.repeat(np.arange(10), 500)
    shards = make_shards("class", 20, labels=labels, classes_per_node=2)
    assert (shards.sizes == 250).all()
    assert ((shards.class_counts(labels) > 0).sum(axis=1) == 2).all()


@LAW
@given(
    st.integers(1, 9).flatmap(
        lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n - 1), min_size=1, max_size=40))
    )
)
def test_saved_shards_are_loaded_as_they_were(tmp_path_factory, drawn):
    num_nodes, node = drawn
    shards = Shards(np.array(node), num_nodes, "dirichlet", 4, {"alpha": 0.25})
    loaded = Shards.load(shards.save(tmp_path_factory.mktemp("shards") / "new" / "shards.json"))
    np.testing.assert_array_equal(loaded.node, shards.node)
    assert (loaded.num_nodes, loaded.by, loaded.seed, loaded.options) == (
        num_nodes,
        "dirichlet",
        4,
        {"alpha": 0.25},
    )


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"node": [0, 3], "num_nodes": 2}', '{"node": [0.5], "num_nodes": 2}']
)
def test_a_file_without_shards_is_named(tmp_path: Path, text):
    path = tmp_path / "shards.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"shards.json holds no shards"):
        Shards.load(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"by": "dirichlett"}, "Did you mean 'dirichlet'"),
        ({"by": "iid", "alpha": 1}, r"'iid' has no option 'alpha'. There are: \[\]"),
        ({"by": "dirichlet", "classes_per_node": 1}, r"There are: \['alpha', 'max_tries', 'min_size'\]"),
        ({"by": "dirichlet", "alpha": 0}, "alpha is 0"),
        ({"by": "dirichlet", "labels": None, "num_samples": 9}, "'dirichlet' needs labels"),
        ({"by": "iid", "labels": None}, "'iid' needs num_samples or labels"),
        ({"by": "iid", "num_samples": 7}, "must be 7 whole numbers"),
        ({"by": "iid", "labels": np.ones(4)}, "labels are float64"),
        ({"by": "iid", "labels": np.array([1, -1])}, "0 or above"),
        ({"by": "class", "num_nodes": 10}, "lower num_nodes to 9 or less"),
        ({"by": "iid", "num_nodes": 0}, "num_nodes is 0"),
        ({"by": "iid", "seed": -1}, "seed is -1"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_shards(**{"num_nodes": 3, "labels": np.arange(9) % 3} | arguments)


def test_owners_cannot_be_written_to_and_the_global_generator_is_left_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the global generator is what is looked at
    node = np.array([0, 1])
    shards = Shards(node, 2)
    node[0] = 1
    assert shards.node.tolist() == [0, 1]
    with pytest.raises(ValueError, match="read-only"):
        shards.node[0] = 1
    make_shards("dirichlet", 2, labels=np.arange(40) % 4)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002 - as above


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


@pytest.mark.parametrize("number", [-1, 8])
def test_a_batch_that_is_not_there_is_refused(number):
    batches = ShardedBatches(make_shards("iid", 3, num_samples=60), 8, 1, drop_last=False)
    with pytest.raises(IndexError, match=f"batch {number} of an epoch of 8"):
        batches.nodes(0, number)


# Loaders


class Rows(Dataset):
    """Sample n is (n, n % 3); counts what is read."""

    def __init__(self, num_samples: int = 50) -> None:
        self.num_samples = num_samples
        self.reads = 0

    def __len__(self) -> int:
        return self.num_samples

    def __getitem__(self, index):
        if index >= self.num_samples:
            raise IndexError
        self.reads += 1
        return torch.tensor(float(index)), index % 3


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(3))


def _shards_of(dataset) -> Shards:
    return make_shards("iid", 4, num_samples=len(dataset), seed=3)


def _loader(**options):
    return shard_loader(DataLoader(Rows(), **{"batch_size": 8, "shuffle": True} | options), _shards_of)


def _samples(loader) -> list[list[int]]:
    return [rows.int().tolist() for rows, _ in loader]


def _pictures(**options) -> SyntheticDataModule:
    defaults = {"num_train": 80, "num_test": 20, "image_size": 8, "batch_size": 16, "augment": True}
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
    }
    before = DataLoader(Rows(), **options)
    after = shard_loader(before, _shards_of)
    assert after.dataset is before.dataset
    for name in options:
        assert getattr(after, name) == getattr(before, name), name


def test_workers_give_the_same_batches():
    assert _samples(_loader()) == _samples(_loader(num_workers=2))
    for workers in (0, 2):
        loader = shard_loader(_pictures(num_workers=workers).train_dataloader(), _shards_of)
        loader.sampler.set_epoch(1)
        seen = list(loader)
        if workers == 0:
            alone = seen
    for (images, labels), (others, other_labels) in zip(alone, seen, strict=True):
        assert images.equal(others)
        assert labels.equal(other_labels)


def test_the_loader_of_pictures_stays_one():
    before = _pictures().train_dataloader()
    loader = shard_loader(before, _shards_of, seed=5)
    assert type(loader) is type(before)
    assert (loader.batches.batch_size, loader.batches.drop_last, loader.batches.seed) == (16, True, 5)
    for number, (_, labels) in enumerate(loader):
        assert labels.equal(loader.dataset.pictures.labels[loader.sampler.batch(0, number)])
    assert len(loader.sampler.nodes(0, 3)) == 16


@pytest.mark.parametrize("make", [_loader, lambda: shard_loader(_pictures().train_dataloader(), _shards_of)])
@pytest.mark.parametrize("done", [1, 3])
def test_a_loader_goes_on_where_its_state_was_taken(make, done):
    loader = make()
    loader.sampler.set_epoch(2)
    whole = [str(batch) for batch in loader]
    iterator = iter(loader)
    for _ in range(done):
        next(iterator)
    resumed = make()
    resumed.load_state_dict(loader.state_dict())
    resumed.sampler.set_epoch(2)
    assert [str(batch) for batch in resumed] == whole[done:]
    assert [str(batch) for batch in resumed] == whole


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


def test_shards_of_other_data_are_refused():
    with pytest.raises(DataError, match="shards are of 9 samples and the training data has 50"):
        shard_loader(DataLoader(Rows(), batch_size=2), lambda _: make_shards("iid", 3, num_samples=9))


class Recorder(LightningModule):
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
    trainer = Trainer(
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
        tmp_path, [ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=1, save_top_k=-1)]
    )
    assert whole == [
        (epoch, batches.batch(epoch, number).tolist(), batches.nodes(epoch, number).tolist())
        for epoch in range(2)
        for number in range(7)
    ]
    for step in (3, 7, 9):  # in an epoch, between two, and in a later one
        assert _fit(tmp_path, ckpt_path=tmp_path / f"step={step}.ckpt") == whole[step:]


# Labels


class Kept(Rows):
    """Keeps its labels under a name."""

    def __init__(self, name: str, labels, target_transform=None) -> None:
        super().__init__(len(labels))
        setattr(self, name, labels)
        self.target_transform = target_transform


@pytest.mark.parametrize("name", ["targets", "labels", "y"])
@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_labels_that_are_kept_together_are_taken_from_there(name, kind):
    dataset = Kept(name, kind([2, 0, 1]))
    labels = labels_of(dataset)
    assert labels.tolist() == [2, 0, 1]
    assert labels.dtype == np.int64
    assert dataset.reads == 0
    mapped = Kept(name, kind([2, 0, 1]), target_transform=lambda label: 10 * label)
    assert labels_of(mapped).tolist() == [20, 0, 10]


def test_labels_of_parts_and_of_sums_of_data_sets():
    tensors = TensorDataset(torch.zeros(4, 2), torch.tensor([3, 1, 2, 0]))
    assert labels_of(tensors).tolist() == [3, 1, 2, 0]
    both = ConcatDataset([Subset(tensors, [3, 0]), Kept("targets", [0, 1])])
    assert labels_of(both).tolist() == [0, 3, 0, 1]
    parts = random_split(both, [3, 1], torch.Generator().manual_seed(0))
    assert sorted(np.concatenate([labels_of(part) for part in parts]).tolist()) == [0, 0, 1, 3]
    for part in parts:
        assert labels_of(part).tolist() == [part[row][1] for row in range(len(part))]


def test_labels_of_our_own_pictures():
    dataset = _pictures().train_dataloader().dataset
    np.testing.assert_array_equal(labels_of(dataset), dataset.pictures.labels.numpy())


def test_other_data_sets_are_read_once():
    dataset = Rows(7)
    assert labels_of(dataset).tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert dataset.reads == 7
    assert labels_of(Kept("labels", ["cat", "dog"])).tolist() == [0, 1], "names are no labels"


class Regression(Rows):
    def __getitem__(self, index):
        return torch.zeros(2), 0.5


@pytest.mark.parametrize("dataset", [Regression(), Rows(0), TensorDataset(torch.zeros(3, 2)), Stream()])
def test_data_sets_without_labels_are_named(dataset):
    with pytest.raises(
        DataError, match=r"Regression has no|Rows has no|labels are float32|Stream has no length"
    ):
        labels_of(dataset)


def test_sharding_a_data_set_reads_labels_only_where_they_are_needed():
    dataset = Rows(30)
    assert shard_dataset(dataset, "iid", 3).sizes.tolist() == [10, 10, 10]
    assert dataset.reads == 0
    shards = shard_dataset(dataset, "class", 3, seed=2, classes_per_node=1)
    assert dataset.reads == 30
    assert (shards.by, shards.seed, shards.options) == ("class", 2, {"classes_per_node": 1})
    assert sorted(map(tuple, shards.class_counts(labels_of(dataset)).tolist())) == [
        (0, 0, 10),
        (0, 10, 0),
        (10, 0, 0),
    ]
