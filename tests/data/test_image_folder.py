"""Trees of images: what is read, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image

from cloudedge_pl.data import ImageFolderDataModule
from cloudedge_pl.errors import DataError

CLASSES = ("cat", "dog")


def _paint(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (10, 10)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """10 training and 2 test images a class; image k of class c is of the one colour (k, c, 100)."""
    for split, count in (("train", 10), ("test", 2)):
        for label, name in enumerate(CLASSES):
            for number in range(count):
                _paint(tmp_path / split / name / f"{number}.png", (number, label, 100))
    return tmp_path


def _data(root: Path, **options) -> ImageFolderDataModule:
    return ImageFolderDataModule(root, **{"image_size": 8, "batch_size": 4, "augment": False} | options)


def test_pictures_keep_their_labels_and_are_split_by_class(tree):
    data = _data(tree, val_fraction=0.2)
    assert (data.num_classes, data.class_names, data.input_shape) == (2, CLASSES, (3, 8, 8))
    numbers = set()
    for split, count in zip(data.splits, (16, 4, 4), strict=True):
        assert torch.bincount(split.labels).tolist() == [count // 2] * 2
        images = split.take(torch.arange(count))
        assert images.shape == (count, 3, 8, 8)
        assert images[:, 1, 0, 0].equal(split.labels.to(torch.uint8))
        if split is not data.splits.test:
            numbers |= {(number, label) for number, label, _ in images[:, :, 0, 0].tolist()}
    assert len(numbers) == 20, "no training image is lost or used twice"


def test_a_val_folder_validates_and_leaves_the_training_pictures_whole(tree):
    for name in CLASSES:
        _paint(tree / "val" / name / "0.png", (255, 0, 0))
    splits = _data(tree).splits
    assert [len(images.labels) for images in splits] == [20, 2, 4]
    assert (splits.val.take(torch.arange(2))[:, 0] == 255).all()


@pytest.mark.parametrize("options", [{"cache": False}, {"cache_limit_bytes": 1000}])
def test_pictures_that_are_not_kept_in_memory_are_the_same_images(tree, options):
    kept = list(_data(tree, augment=True).train_dataloader())
    read = list(_data(tree, augment=True, **options).train_dataloader())
    assert len(kept) == len(read) == 4
    for (images, labels), (other_images, other_labels) in zip(kept, read, strict=True):
        assert images.equal(other_images)
        assert labels.equal(other_labels)


def test_a_kept_picture_is_decoded_once(tree):
    data = _data(tree)
    first = list(data.train_dataloader())
    for path in tree.rglob("*.png"):
        path.unlink()
    again = list(data.train_dataloader())
    assert all(x.equal(y) for (x, _), (y, _) in zip(first, again, strict=True))


def test_pictures_of_any_shape_and_mode_become_squares_of_three_channels(tree):
    folder = tree / "train" / "cat"
    stripes = np.zeros((20, 40, 3), dtype=np.uint8)
    stripes[:, :10], stripes[:, 30:] = 255, 255  # white outside the middle square
    Image.fromarray(stripes).save(folder / "wide.png")
    Image.new("L", (30, 30), 50).save(folder / "grey.jpg")
    Image.new("P", (9, 9), 0).save(folder / "palette.png")
    Image.new("RGBA", (3, 5), (1, 2, 3, 4)).save(folder / "alpha.PNG")
    images = _data(tree, val_fraction=0).splits.train.take(torch.arange(14))
    by_name = dict(zip(sorted(path.name for path in folder.iterdir()), images, strict=True))
    assert (by_name["wide.png"][..., 1:-1] == 0).all(), "cropped at the centre"
    assert ((by_name["grey.jpg"].int() - 50).abs() <= 2).all()
    assert by_name["alpha.PNG"][:, 0, 0].tolist() == [1, 2, 3]


def test_a_large_picture_is_read_about_as_it_looks(tree):
    gradient = np.repeat(np.linspace(0, 255, 640).astype(np.uint8)[None], 480, axis=0)
    path = tree / "train" / "cat" / "a-large.jpg"
    Image.fromarray(gradient).convert("RGB").save(path)
    after_the_others = torch.tensor([10])
    image = _data(tree, val_fraction=0, image_size=16).splits.train.take(after_the_others).float()
    centre = np.linspace(255 * 80 / 640, 255 * 560 / 640, 17)
    np.testing.assert_allclose(image[0, 0].mean(0), (centre[:-1] + centre[1:]) / 2, atol=6)


def _break_root(root):
    return root / "nowhere", "nowhere is not a folder"


def _drop_test(root):
    (root / "test").rename(root / "testing")
    return root, "has no folder test"


def _empty_tree(root):
    (root / "empty" / "train").mkdir(parents=True)
    (root / "empty" / "test").mkdir()
    return root / "empty", "holds no class"


def _empty_class(root):
    (root / "train" / "fish").mkdir()
    (root / "train" / "fish" / "notes.txt").write_text("no image")
    return root, "no image in: fish"


def _extra_train(root):
    _paint(root / "train" / "fish" / "0.png", (1, 1, 1))
    return root, "train has classes that test lacks: fish"


def _extra_test(root):
    _paint(root / "test" / "bird" / "0.png", (1, 1, 1))
    return root, "test has classes that train lacks: bird"


@pytest.mark.parametrize(
    "spoil", [_break_root, _drop_test, _empty_tree, _empty_class, _extra_train, _extra_test]
)
def test_a_tree_that_cannot_be_trained_on_is_refused_at_once(tree, spoil):
    root, message = spoil(tree)
    with pytest.raises(DataError, match=message):
        _data(root)


@pytest.mark.parametrize("content", [b"", b"this is no image", "truncated"])
def test_a_picture_that_cannot_be_read_is_named(tree, content):
    path = tree / "train" / "dog" / "broken.jpg"
    if content == "truncated":
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        content = path.read_bytes()[:900]
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"dog.broken\.jpg cannot be read"):
        _data(tree).setup()


def test_fewer_pictures_than_a_batch_are_refused(tree):
    with pytest.raises(DataError, match="18 training images do not fill one batch of 64"):
        _data(tree, batch_size=64).setup()


def test_its_config_makes_it(tree):
    path = Path(__file__).parents[2] / "conf" / "data" / "image_folder.yaml"
    config = OmegaConf.create({"data": OmegaConf.load(path)})
    data = instantiate(config.data, root=str(tree), batch_size=4)
    assert data.cache_limit_bytes == 4e9
    images, _ = next(iter(data.train_dataloader()))
    assert images.shape == (4, 3, 32, 32)
