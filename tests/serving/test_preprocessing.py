"""A served picture is what the network was trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cloudedge_pl.data.images import decode_images, normalise
from cloudedge_pl.errors import DataError
from cloudedge_pl.serving import Preprocessing

GIVEN = Preprocessing(input_shape=(3, 16, 16), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def picture(path: Path, size: tuple[int, int], seed: int) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_pictures_are_read_as_in_training(tmp_path: Path) -> None:
    paths = [
        picture(tmp_path / "wide.png", (40, 20), 0),
        picture(tmp_path / "tall.jpg", (18, 64), 1),
        picture(tmp_path / "fitting.png", (16, 16), 2),
    ]
    expected = normalise(decode_images(paths, 16), torch.tensor(GIVEN.mean), torch.tensor(GIVEN.std))
    read = GIVEN.read(paths)
    assert (read.dtype, read.shape) == (np.float32, (3, 3, 16, 16))
    np.testing.assert_allclose(read, expected.numpy(), atol=1e-6)


def test_a_pixel_becomes_the_printed_formula() -> None:
    pixels = np.full((1, 3, 1, 1), 51, np.uint8)
    expected = (51 / 255 - np.array(GIVEN.mean)) / np.array(GIVEN.std)
    np.testing.assert_allclose(GIVEN.normalised(pixels).ravel(), expected, rtol=1e-5)


def test_grey_networks_get_grey_pictures(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), (255, 0, 0)).save(tmp_path / "red.png")
    grey = Preprocessing(input_shape=(1, 4, 4), mean=(0.0,), std=(1.0,)).read([tmp_path / "red.png"])
    np.testing.assert_allclose(grey, np.full((1, 1, 4, 4), 76 / 255), rtol=1e-5)  # 0.299 * 255


def test_what_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    for name in ("notes.txt", "absent.png"):
        with pytest.raises(DataError, match=name):
            GIVEN.read([tmp_path / name])


@pytest.mark.parametrize(
    "change",
    [{"input_shape": (2, 4, 4)}, {"input_shape": (3, 4)}, {"mean": (0.5,)}, {"std": (0.0, 1.0, 1.0)}],
)
def test_what_does_not_fit_is_refused(change: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(ValueError, match="preprocessing"):
        Preprocessing(**{"input_shape": (3, 4, 4), "mean": (0.5,) * 3, "std": (1.0,) * 3} | change)
