"""What every data module takes and refuses, and the configs that name them."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

from cloudedge_pl.data import DigitsDataModule, ImageDataModule, SyntheticDataModule

CONFIGS = Path(__file__).parents[2] / "conf" / "data"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"eval_batch_size": -1}, "eval_batch_size is -1"),
        ({"val_fraction": 1.0}, "val_fraction is 1.0"),
        ({"seed": -1}, "seed is -1"),
        ({"num_workers": -1}, "num_workers is -1"),
        ({"image_size": 0}, "image_size is 0"),
        ({"crop_padding": -2}, "crop_padding is -2"),
        ({"std": [0, 1, 1]}, "std is 0"),
        ({"mean": [0.5]}, "3 channels"),
    ],
)
def test_values_out_of_range_are_refused_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        DigitsDataModule(**options)


@pytest.mark.parametrize("options", [{"num_classes": 0}, {"num_train": 0}, {"noise": -1.0}])
def test_synthetic_pictures_refuse_impossible_sets(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        SyntheticDataModule(**options)


def test_synthetic_pictures_have_the_shape_and_classes_asked_for():
    data = SyntheticDataModule(
        num_classes=3, channels=1, image_size=20, num_train=60, num_test=9, batch_size=8
    )
    images, labels = next(iter(data.train_dataloader()))
    assert images.shape == (8, 1, 20, 20) == (8, *data.input_shape)
    assert data.num_classes == 3
    assert set(labels.tolist()) <= {0, 1, 2}
    assert torch.bincount(data.splits.test.labels).tolist() == [3, 3, 3]


def test_synthetic_pictures_can_be_told_apart_and_their_seed_draws_them():
    data = SyntheticDataModule(num_train=400, batch_size=360, val_fraction=0.1, image_size=16)
    ((images, labels),) = data.train_dataloader()
    centres = torch.stack([images[labels == label].mean(0) for label in range(10)])
    ((images, truth),) = data.test_dataloader()
    nearest = torch.cdist(images.flatten(1), centres.flatten(1)).argmin(1)
    assert (nearest == truth).float().mean() > 0.95
    assert not SyntheticDataModule(image_size=16, seed=1).splits.test.images.equal(data.splits.test.images)


def test_evaluation_batches_have_their_own_size():
    data = SyntheticDataModule(num_test=50, batch_size=16, eval_batch_size=40)
    assert [len(labels) for _, labels in data.test_dataloader()] == [40, 10]


@pytest.mark.parametrize("name", [path.stem for path in sorted(CONFIGS.glob("*.yaml"))])
def test_the_keys_of_every_config_are_explained_and_name_a_data_module(name):
    path = CONFIGS / f"{name}.yaml"
    config = OmegaConf.load(path)
    assert issubclass(get_class(config._target_), ImageDataModule)
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# ")
    for above, line in pairwise(lines):
        assert above.startswith("# ") or line.startswith(("#", "_target_")), f"{line} is not explained"


@pytest.mark.parametrize("name", ["digits", "cifar10", "synthetic"])
def test_a_config_makes_its_module_and_follows_the_seed_of_the_run(name):
    config = OmegaConf.create({"seed": 7, "data": OmegaConf.load(CONFIGS / f"{name}.yaml")})
    assert instantiate(config.data).seed == 7
    del config.seed
    assert instantiate(config.data).seed == 0
