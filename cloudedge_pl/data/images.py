"""Images as batches of uint8 tensors: sources, splits, augmentation and normalisation.

Shapes: n images or b in a batch, C channels, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cloudedge_pl.pictures import decode_picture

MAX_DECODING_THREADS = 8


class Images(Protocol):
    """Labelled images that are taken a batch at a time."""

    labels: Tensor
    """int64 [n]"""

    def take(self, indices: Tensor) -> Tensor:
        """Returns the images at ``indices`` (int64 [b]) as uint8 [b, C, H, W]."""
        ...

    def subset(self, indices: Tensor) -> Images:
        """Returns only the images at ``indices``, in that order."""
        ...


class Splits(NamedTuple):
    """The images for training, validation and test."""

    train: Images
    val: Images
    test: Images


class MemoryImages:
    """Images held in memory: ``images`` uint8 [n, C, H, W], ``labels`` int64 [n]."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        assert images.dtype == torch.uint8, images.dtype
        assert images.ndim == 4, images.shape
        assert len(images) == len(labels), (len(images), len(labels))
        self.images = images
        self.labels = labels.long()

    def take(self, indices: Tensor) -> Tensor:
        return self.images[indices]

    def subset(self, indices: Tensor) -> MemoryImages:
        return MemoryImages(self.images[indices], self.labels[indices])


class FileImages:
    """Images that stay in their files and are decoded whenever they are taken."""

    def __init__(self, paths: Sequence[Path], labels: Tensor, image_size: int) -> None:
        self.paths = list(paths)
        self.labels = labels.long()
        self.image_size = image_size

    def take(self, indices: Tensor) -> Tensor:
        return decode_images([self.paths[index] for index in indices.tolist()], self.image_size)

    def subset(self, indices: Tensor) -> FileImages:
        paths = [self.paths[index] for index in indices.tolist()]
        return FileImages(paths, self.labels[indices], self.image_size)

    def in_memory(self) -> MemoryImages:
        """Decodes every image once."""
        return MemoryImages(decode_images(self.paths, self.image_size), self.labels)

    @property
    def decoded_bytes(self) -> int:
        """Memory of the decoded images."""
        return len(self.paths) * 3 * self.image_size**2


def decode_images(paths: Sequence[Path], image_size: int) -> Tensor:
    """Reads images as RGB, scaled and cropped at the centre to a square: uint8 [n, 3, image_size, image_size].

    Each is read by :func:`~cloudedge_pl.pictures.decode_picture`.

    Raises:
        DataError: naming the first file that cannot be read as an image.
    """
    pixels = np.empty((len(paths), image_size, image_size, 3), dtype=np.uint8)

    def decode(row: int) -> None:
        pixels[row] = decode_picture(paths[row], (image_size, image_size))

    # Pillow releases the interpreter lock while it decodes.
    with ThreadPoolExecutor(MAX_DECODING_THREADS) as pool:
        for _ in pool.map(decode, range(len(paths))):
            pass
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def stratified_split(labels: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Splits a data set so that every class gives the same share to the second part.

    scikit-learn's ``train_test_split(stratify=...)`` allows neither a share of 0 nor a class of one image.

    Args:
        labels: int64 [n].
        fraction: share of each class, rounded to whole images, in [0, 1).
        seed: of the random choice.

    Returns:
        Sorted indices (int64) of the first part (1 - fraction) and of the second part.
    """
    rng = np.random.default_rng(seed)
    classes = labels.numpy()
    second = np.zeros(len(classes), dtype=bool)
    for name in np.unique(classes):
        members = rng.permutation(np.flatnonzero(classes == name))
        second[members[: round(fraction * len(members))]] = True
    return torch.from_numpy(np.flatnonzero(~second)), torch.from_numpy(np.flatnonzero(second))


def crop_and_flip(images: Tensor, rng: np.random.Generator, padding: int, horizontal_flip: bool) -> Tensor:
    """Shifts every image by up to ``padding`` pixels in each direction, and mirrors half of them.

    Pixels beyond the edge are black.

    Args:
        images: [b, C, H, W].
        rng: source of randomness; the same state gives the same images.
        padding: pixels, at least 0.
        horizontal_flip: whether to mirror left and right with probability 1/2.

    Returns:
        [b, C, H, W], in channels-last memory order.
    """
    batch, _, height, width = images.shape
    top, left = torch.from_numpy(rng.integers(0, 2 * padding + 1, (2, batch)))
    mirrored = torch.from_numpy(rng.random(batch) < 0.5) & horizontal_flip
    rows = top[:, None] + torch.arange(height)
    columns = left[:, None] + torch.arange(width)
    columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    padded = F.pad(images, [padding] * 4).permute(0, 2, 3, 1).contiguous()
    samples = torch.arange(batch)[:, None, None]
    return padded[samples, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def resize(images: Tensor, image_size: int) -> Tensor:
    """Resizes a batch bilinearly to [b, C, image_size, image_size]; a batch of that size is returned unchanged."""
    if images.shape[-2:] == (image_size, image_size):
        return images
    return F.interpolate(images, size=(image_size, image_size), mode="bilinear", antialias=True)


def normalise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Maps uint8 0..255 to 0..1, subtracts ``mean`` and divides by ``std`` (each float32 [C]): float32."""
    scale = (1.0 / (255.0 * std)).view(1, -1, 1, 1)
    shift = (mean / std).view(1, -1, 1, 1)
    return images.float().mul_(scale).sub_(shift)
