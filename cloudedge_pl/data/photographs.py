"""Photographs to measure JPEG on at sizes for which a data set has no pictures: enlarged ones compress too well."""

from __future__ import annotations

import torch
from sklearn.datasets import load_sample_images
from torch import Tensor

from cloudedge_pl.data.images import resize
from cloudedge_pl.errors import require_range

LARGEST = 427
"""Height of the photographs in pixels, and so the largest size of a square."""

CROPS = 3
"""Squares of a photograph: at its left, in its middle and at its right."""


def photographs(image_size: int) -> Tensor:
    """Returns squares of the two photographs that scikit-learn ships, a temple and a flower of 640x427 pixels.

    Args:
        image_size: height and width in pixels, at most LARGEST.

    Returns:
        uint8 [6, 3, image_size, image_size], red, green, blue.

    Raises:
        ValueError: if the size is larger than the photographs.
    """
    require_range("photographs", 1, LARGEST, whole=True, image_size=image_size)
    squares = []
    for photograph in load_sample_images().images:
        pixels = torch.from_numpy(photograph.copy()).permute(2, 0, 1)
        side, width = pixels.shape[1:]
        starts = [round(crop * (width - side) / (CROPS - 1)) for crop in range(CROPS)]
        squares += [pixels[:, :, start : start + side] for start in starts]
    return resize(torch.stack(squares), image_size)
