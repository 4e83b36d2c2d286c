"""Pictures as JPEG: real ones, from scikit-learn, and what their bytes and pixels must be."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor

from cloudedge_pl.costs import InputCodec
from cloudedge_pl.data import DigitsDataModule
from cloudedge_pl.data.images import normalise
from cloudedge_pl.data.jpeg import encoded, mean_bytes, received, received_normalised
from cloudedge_pl.errors import DataError

RAW = InputCodec()
MEAN, STD = torch.tensor([0.49, 0.48, 0.45]), torch.tensor([0.25, 0.24, 0.26])


@pytest.fixture(scope="module")
def photographs() -> Tensor:
    """Twelve pieces of 64 x 64 of two photographs, uint8 [12, 3, 64, 64]."""
    pieces = [
        torch.from_numpy(photograph[row : row + 64, column : column + 64].copy())
        for photograph in load_sample_images().images
        for row in (60, 200)
        for column in (50, 250, 450)
    ]
    return torch.stack(pieces).permute(0, 3, 1, 2)


def error(first: Tensor, second: Tensor) -> float:
    return float((first.float() - second.float()).square().mean().sqrt())


def test_bytes_are_those_of_the_files_that_pillow_reads(photographs: Tensor) -> None:
    codec = InputCodec("jpeg", quality=60)
    files = list(encoded(photographs, codec))
    assert mean_bytes(photographs, codec) == sum(map(len, files)) / len(files)
    with Image.open(io.BytesIO(files[3])) as picture:
        assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (64, 64))
        assert (
            received(photographs, codec)[3].permute(1, 2, 0).numpy().tolist() == np.asarray(picture).tolist()
        )


def test_better_quality_takes_more_bytes_and_leaves_more_of_the_picture(photographs: Tensor) -> None:
    codecs = [InputCodec("jpeg", quality=quality) for quality in (10, 50, 75, 95)]
    sizes = [mean_bytes(photographs, codec) for codec in codecs]
    errors = [error(received(photographs, codec), photographs) for codec in codecs]
    assert sizes == sorted(sizes)
    assert errors == sorted(errors, reverse=True)
    assert sizes[-1] < mean_bytes(photographs, RAW) == 3 * 64 * 64
    assert 1 < errors[2] < 12


def test_colour_that_is_kept_takes_bytes(photographs: Tensor) -> None:
    sizes = [
        mean_bytes(photographs, InputCodec("jpeg", subsampling=each)) for each in ("4:2:0", "4:2:2", "4:4:4")
    ]
    assert sizes[0] < sizes[1] < sizes[2]


def test_grey_pictures_and_others(photographs: Tensor) -> None:
    codec = InputCodec("jpeg", quality=90)
    grey = photographs[:, 1:2]
    assert received(grey, codec).shape == grey.shape
    assert error(received(grey, codec), grey) < 6
    with pytest.raises(DataError, match=r"these have 2; use offloading\.input_codec=raw"):
        mean_bytes(photographs[:, :2], codec)


@settings(max_examples=20)
@given(quality=st.integers(1, 100), seed=st.integers(0, 1000), side=st.integers(1, 20))
def test_normalised_pictures_go_through_the_same_files(quality: int, seed: int, side: int) -> None:
    codec = InputCodec("jpeg", quality=quality)
    pixels = torch.randint(
        0, 256, (2, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )
    found = received_normalised(normalise(pixels, MEAN, STD), MEAN, STD, codec)
    assert found.equal(normalise(received(pixels, codec), MEAN, STD))


def test_raw_pictures_arrive_as_they_are(photographs: Tensor) -> None:
    batch = normalise(photographs, MEAN, STD)
    assert received(photographs, RAW) is photographs
    assert received_normalised(batch, MEAN, STD, RAW) is batch


def test_the_dtype_of_a_batch_stays(photographs: Tensor) -> None:
    batch = normalise(photographs, MEAN, STD).bfloat16()
    assert received_normalised(batch, MEAN, STD, InputCodec("jpeg")).dtype == torch.bfloat16


def test_a_data_module_measures_the_same_pictures_whatever_its_seed() -> None:
    codec = InputCodec("jpeg")
    size = DigitsDataModule(seed=0).picture_bytes(codec)
    assert size == DigitsDataModule(seed=7, augment=True).picture_bytes(codec)
    images = DigitsDataModule().splits.train
    whole = DigitsDataModule().picture_bytes(codec, num_images=10**6)
    assert whole == mean_bytes(images.take(torch.arange(len(images.labels))), codec)
    assert abs(size - whole) < 0.02 * whole, "256 pictures stand for all"
    assert DigitsDataModule().picture_bytes(RAW) == 3 * 32 * 32


def test_pictures_are_measured_at_the_size_of_the_networks_input() -> None:
    codec = InputCodec("jpeg")
    small, large = (DigitsDataModule(image_size=size).picture_bytes(codec, 20) for size in (16, 64))
    assert small < large


def test_a_batch_of_a_data_module_arrives_normalised_as_it_was() -> None:
    data = DigitsDataModule()
    images, _ = next(iter(data.test_dataloader()))
    arrived = data.received(images, InputCodec("jpeg", quality=95))
    assert 0 < error(arrived, images) < 0.05 * float(images.std())
