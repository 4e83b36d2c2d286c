"""CIFAR-10, on a few made-up images in torchvision's format."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10, cifar

from cloudedge_pl.data import Cifar10DataModule
from cloudedge_pl.data.cifar10 import CLASS_NAMES
from cloudedge_pl.errors import DataError


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five training files and a test file of 20 images each; torchvision's check of their digest is off."""
    monkeypatch.setattr(cifar, "check_integrity", lambda *_: True)
    folder = tmp_path / CIFAR10.base_folder
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in [name for name, _ in CIFAR10.train_list + CIFAR10.test_list]:
        rows = rng.integers(0, 256, (20, 3072), dtype=np.uint8)
        rows[:, 0] = np.arange(20) % 10  # the first pixel's red tells the class
        (folder / name).write_bytes(pickle.dumps({"data": rows, "labels": list(np.arange(20) % 10)}))
    (folder / CIFAR10.meta["filename"]).write_bytes(pickle.dumps({"label_names": list(CLASS_NAMES)}))
    return tmp_path


def test_pictures_keep_their_labels(root):
    data = Cifar10DataModule(root, download=False, batch_size=10)
    assert (data.num_classes, data.input_shape) == (10, (3, 32, 32))
    for split, count in zip(data.splits, (90, 10, 20), strict=True):
        images = split.take(torch.arange(count))
        assert images.shape == (count, 3, 32, 32)
        assert images[:, 0, 0, 0].equal(split.labels.to(torch.uint8))


def test_larger_pictures_are_made_batch_by_batch(root):
    data = Cifar10DataModule(root, download=False, image_size=48, batch_size=10)
    images, _ = next(iter(data.train_dataloader()))
    assert images.shape == (10, 3, 48, 48) == (10, *data.input_shape)
    assert data.splits.train.take(torch.arange(1)).shape[-1] == 32


def test_missing_pictures_without_download_say_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"data\.download is false.*data\.root.*data=image_folder"):
        Cifar10DataModule(tmp_path, download=False).setup()


def test_no_network_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")  # nothing listens there
    with pytest.raises(DataError, match=r"could not be downloaded.*data\.root.*data=image_folder"):
        Cifar10DataModule(tmp_path).setup()


def test_a_broken_archive_says_what_to_do(tmp_path):
    folder = tmp_path / CIFAR10.base_folder
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(b"broken")
    with pytest.raises(DataError, match="delete a broken one first"):
        Cifar10DataModule(tmp_path, download=False).setup()
