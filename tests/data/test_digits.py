"""The digits that ship with scikit-learn."""

import numpy as np
import torch
from sklearn.datasets import load_digits

from cloudedge_pl.data import DigitsDataModule


def test_splits_are_fixed_stratified_and_disjoint():
    one, other = DigitsDataModule(seed=0), DigitsDataModule(seed=1)
    for split, expected in [("train", 1295), ("val", 143), ("test", 359)]:
        images = getattr(one.splits, split)
        assert len(images.labels) == expected
        assert images.images.equal(getattr(other.splits, split).images), "no seed changes the splits"
        share = torch.bincount(images.labels, minlength=10) / expected
        assert ((share > 0.09) & (share < 0.11)).all()
    everything = torch.cat([images.images for images in one.splits])
    whole_set = load_digits().images.sum()
    assert abs(everything.double().sum() / 255 / 3 / 16 - whole_set / 16) < 0.001 * whole_set / 16


def test_shapes_are_known_before_anything_is_loaded():
    data = DigitsDataModule(image_size=16)
    assert (data.num_classes, data.input_shape) == (10, (3, 16, 16))
    assert data.class_names == tuple("0123456789")


def test_batches_are_normalised_pictures_with_equal_channels():
    data = DigitsDataModule(batch_size=1295)
    ((images, labels),) = data.train_dataloader()
    assert images.dtype == torch.float32
    assert images.shape == (1295, 3, 32, 32)
    assert labels.dtype == torch.int64
    assert images[:, 0].equal(images[:, 2])
    np.testing.assert_allclose(images.mean((0, 2, 3)), 0, atol=0.02)
    np.testing.assert_allclose(images.std((0, 2, 3)), 1, atol=0.02)


def test_setup_loads_once():
    data = DigitsDataModule()
    data.setup("fit")
    splits = data.splits
    data.setup("test")
    assert data.splits is splits
