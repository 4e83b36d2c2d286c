"""Photographs to measure JPEG on."""

from __future__ import annotations

import pytest
import torch

from cloudedge_pl.costs.input_codec import InputCodec
from cloudedge_pl.data.jpeg import mean_bytes
from cloudedge_pl.data.photographs import LARGEST, photographs


def test_squares_of_two_photographs_in_the_size_that_is_asked_for():
    squares = photographs(48)
    assert squares.shape == (6, 3, 48, 48)
    assert squares.dtype == torch.uint8
    assert not torch.equal(squares[0], squares[2]), "the left is not the right"
    assert not torch.equal(squares[0], squares[3]), "two photographs"
    assert photographs(LARGEST).shape[-2:] == (LARGEST, LARGEST)


def test_a_photograph_takes_more_bytes_than_an_enlarged_small_picture():
    small = photographs(32)
    enlarged = torch.nn.functional.interpolate(small, size=(224, 224), mode="bilinear", antialias=True)
    jpeg = InputCodec("jpeg")
    assert mean_bytes(photographs(224), jpeg) > 1.3 * mean_bytes(enlarged, jpeg)


def test_a_size_beyond_the_photographs_is_refused():
    with pytest.raises(ValueError, match=f"image_size is 428.*{LARGEST}"):
        photographs(LARGEST + 1)
