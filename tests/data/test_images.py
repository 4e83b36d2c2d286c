"""Splitting, augmenting, resizing and normalising batches of images."""

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cloudedge_pl.data.images import crop_and_flip, decode_images, normalise, resize, stratified_split
from cloudedge_pl.errors import DataError

LAW = settings(max_examples=40)


@LAW
@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    fraction=st.floats(0, 0.9),
    seed=st.integers(0, 1000),
)
def test_a_stratified_split_loses_nothing_and_takes_the_same_share_of_each_class(counts, fraction, seed):
    labels = torch.repeat_interleave(torch.tensor(counts))
    labels = labels[torch.from_numpy(np.random.default_rng(seed).permutation(len(labels)))]
    first, second = stratified_split(labels, fraction, seed)
    assert sorted(first.tolist() + second.tolist()) == list(range(len(labels)))
    taken = torch.bincount(labels[second], minlength=len(counts))
    assert taken.tolist() == [round(fraction * count) for count in counts]


def _crop_and_flip_one(image: np.ndarray, top: int, left: int, mirrored: bool, padding: int) -> np.ndarray:
    """Reference: one image [C, H, W], by slicing."""
    _, height, width = image.shape
    padded = np.pad(image, [(0, 0), (padding, padding), (padding, padding)])
    crop = padded[:, top : top + height, left : left + width]
    return crop[:, :, ::-1] if mirrored else crop


@LAW
@given(
    seed=st.integers(0, 1000),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    padding=st.integers(0, 3),
    flip=st.booleans(),
)
def test_every_augmented_picture_is_a_crop_of_its_own_image(seed, height, width, padding, flip):
    images = torch.from_numpy(
        np.random.default_rng(seed).integers(1, 256, (3, 2, height, width), dtype=np.uint8)
    )
    augmented = crop_and_flip(images, np.random.default_rng(seed), padding, flip)
    assert augmented.dtype == torch.uint8
    for before, after in zip(images.numpy(), augmented.numpy(), strict=True):
        offsets = range(2 * padding + 1)
        candidates = [
            _crop_and_flip_one(before, top, left, mirrored, padding)
            for top in offsets
            for left in offsets
            for mirrored in ([False, True] if flip else [False])
        ]
        assert any(np.array_equal(after, candidate) for candidate in candidates)


def test_augmentation_shifts_both_ways_and_mirrors_about_every_second_image():
    image = torch.zeros(1, 1, 9, 9, dtype=torch.uint8)
    image[..., 4, 4] = 2  # in the middle
    image[..., 4, 5] = 1  # to its right
    augmented = crop_and_flip(image.repeat(500, 1, 1, 1), np.random.default_rng(0), 2, horizontal_flip=True)
    _, _, rows, columns = (augmented == 2).nonzero(as_tuple=True)
    assert rows.unique().tolist() == columns.unique().tolist() == [2, 3, 4, 5, 6]
    right_of_it = augmented[torch.arange(500), 0, rows, columns + 1] == 1
    assert 0.4 < right_of_it.float().mean() < 0.6


def test_no_padding_and_no_flip_changes_nothing():
    images = torch.arange(2 * 3 * 4 * 5, dtype=torch.uint8).view(2, 3, 4, 5)
    assert crop_and_flip(images, np.random.default_rng(0), 0, horizontal_flip=False).equal(images)


def test_normalising_is_scaling_to_one_then_subtracting_and_dividing():
    images = torch.tensor([[[[0, 51]], [[255, 102]]]], dtype=torch.uint8)
    result = normalise(images, torch.tensor([0.5, 0.25]), torch.tensor([0.5, 0.125]))
    expected = torch.tensor([[[[-1.0, (0.2 - 0.5) / 0.5]], [[(1 - 0.25) / 0.125, (0.4 - 0.25) / 0.125]]]])
    torch.testing.assert_close(result, expected)
    assert images.dtype == torch.uint8, "the images themselves stay as they are"


def test_resizing_keeps_a_flat_picture_flat_and_leaves_one_that_fits():
    images = torch.full((2, 3, 8, 8), 77, dtype=torch.uint8)
    assert resize(images, 12).equal(torch.full((2, 3, 12, 12), 77, dtype=torch.uint8))
    assert resize(images, 8) is images


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_memory_layout_does_not_matter(layout):
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, 3, 6, 6), dtype=np.uint8))
    same = images.contiguous(memory_format=layout)
    expected = crop_and_flip(images, np.random.default_rng(1), 2, True)
    assert crop_and_flip(same, np.random.default_rng(1), 2, True).equal(expected)


def test_unusual_pictures_are_right_or_refused_by_name(tmp_path: Path) -> None:
    def decoded(name: str) -> list[int]:
        return decode_images([tmp_path / name], 4)[0, :, 0, 0].tolist()

    grey16 = Image.fromarray(np.full((4, 4), 200 * 256, dtype=np.uint16))
    grey16.save(tmp_path / "grey16.png")
    grey16.save(tmp_path / "grey16.tif")
    assert decoded("grey16.png") == decoded("grey16.tif") == [200, 200, 200]

    Image.new("RGBA", (4, 4), (10, 20, 30, 0)).save(tmp_path / "alpha.png")
    assert decoded("alpha.png") == [10, 20, 30]
    Image.new("1", (4, 4), 1).save(tmp_path / "bit.png")
    assert decoded("bit.png") == [255, 255, 255]
    Image.new("P", (4, 4)).save(tmp_path / "still.gif")
    assert decoded("still.gif") == [0, 0, 0]
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "cmyk.jpg", quality=100)
    red, green, blue = decoded("cmyk.jpg")
    assert red > 245 > 10 > max(green, blue)

    turned = Image.new("RGB", (8, 8), "black")
    turned.paste("white", (0, 0, 8, 4))  # white above; turned by 180 degrees it is below
    exif = Image.Exif()
    exif[0x0112] = 3
    turned.save(tmp_path / "turned.png", exif=exif)
    assert decoded("turned.png") == [0, 0, 0]

    frames = [Image.new("L", (4, 4), shade) for shade in (0, 255)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    Image.new("F", (4, 4), 0.5).save(tmp_path / "float.tif")
    Image.new("I", (4, 4), 70_000).save(tmp_path / "long.tif")
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no image")
    whole = (tmp_path / "cmyk.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    header = bytearray((tmp_path / "bit.png").read_bytes())
    header[16:24] = (50_000).to_bytes(4, "big") * 2
    header[29:33] = zlib.crc32(header[12:29]).to_bytes(4, "big")
    (tmp_path / "huge.png").write_bytes(header)
    for name in ("moving.gif", "float.tif", "long.tif", "empty.png", "text.png", "cut.jpg", "huge.png"):
        with pytest.raises(DataError, match=name):
            decoded(name)
