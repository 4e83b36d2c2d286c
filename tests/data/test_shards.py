"""Who owns which sample, and the labels that decide it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import ConcatDataset, Subset, TensorDataset, random_split

from cloudedge_pl.data import SyntheticDataModule
from cloudedge_pl.data.labels import labels_of
from cloudedge_pl.data.loading import Batch
from cloudedge_pl.data.sharding import SHARDINGS, make_shards, shard_dataset
from cloudedge_pl.data.shards import Shards
from cloudedge_pl.errors import DataError
from tests.data.helpers import Rows, Stream

LAW = settings(max_examples=60)
LABELS = st.lists(st.integers(0, 5), min_size=12, max_size=150).map(np.array)


# Shards


@LAW
@given(LABELS, st.integers(1, 12), st.sampled_from(sorted(SHARDINGS)), st.integers(0, 5))
def test_every_sample_has_one_owner_and_the_same_seed_gives_the_same(labels, num_nodes, by, seed):
    options = {
        "iid": {},
        "class": {"classes_per_node": len(np.unique(labels))},
        "dirichlet": {"min_size": 0},
    }[by]
    shards = make_shards(by, num_nodes, labels=labels, seed=seed, **options)
    assert shards.node.shape == labels.shape
    owned = Counter(zip(shards.node.tolist(), labels.tolist(), strict=True))
    cells = [[owned[node, label] for label in range(6)] for node in range(num_nodes)]
    assert shards.class_counts(labels, 6).tolist() == cells
    assert shards.sizes.tolist() == [sum(row) for row in cells]
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
    if classes_per_node > num_classes:
        message = (
            rf"classes_per_node is {classes_per_node}; it must be a whole number in \[1, {num_classes}\]"
        )
        with pytest.raises(ValueError, match=message):
            make_shards("class", num_nodes, labels=labels, classes_per_node=classes_per_node)
        return
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
    path = tmp_path_factory.mktemp("shards") / "new" / "shards.json"
    assert shards.save(str(path)) == path
    loaded = Shards.load(path)
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


def test_labels_of_our_own_images():
    data = SyntheticDataModule(
        num_train=80, num_test=20, image_size=8, batch_size=16, val_fraction=0.1, augment=True
    )
    dataset = data.train_dataloader().dataset
    _, handed_out = dataset[Batch(torch.arange(len(dataset)), 0, 0)]
    np.testing.assert_array_equal(labels_of(dataset), handed_out.numpy())


def test_other_data_sets_are_read_once():
    dataset = Rows(7)
    assert labels_of(dataset).tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert dataset.reads == 7
    assert labels_of(Kept("labels", ["cat", "dog"])).tolist() == [0, 1], "names are no labels"


class Regression(Rows):
    def __getitem__(self, index):
        return torch.zeros(2), 0.5


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (Regression(), "Regression has no labels"),
        (Rows(0), "Rows has no labels"),
        (TensorDataset(torch.zeros(3, 2)), "labels are float32 of shape"),
        (Stream(), "Stream has no length"),
    ],
)
def test_data_sets_without_labels_are_named(dataset, message):
    with pytest.raises(DataError, match=message):
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
