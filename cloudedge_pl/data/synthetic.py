"""Artificial images of any shape and number that a network learns quickly, for tests and dry runs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from cloudedge_pl.data.base import SPLIT_SEED, ImageDataModule
from cloudedge_pl.data.images import MemoryImages, Splits, stratified_split
from cloudedge_pl.errors import require_positive, require_range, require_types

PATTERN_CELLS = 4

MAX_IMAGES = 10_000_000
"""A larger number is treated as a mistake before memory is allocated."""


class SyntheticDataModule(ImageDataModule):
    """A random smooth pattern per class, with noise on every image. All classes are equally frequent.

    Args:
        num_classes: at least 1.
        num_train: number of images for training and validation.
        num_test: number of images for the test.
        channels: C.
        image_size: H and W.
        noise: standard deviation of the noise, for pixels in 0..1.
        batch_size: images in a training batch.
        val_fraction: share of the training images that is used for validation, in [0, 1).
        seed: of the patterns, the noise, the order and the augmentation.
        augment: whether training images are cropped at random. They are not mirrored, because a mirrored pattern is
            another pattern.
        **options: further arguments of :class:`~cloudedge_pl.data.base.ImageDataModule`.
    """

    def __init__(
        self,
        *,
        num_classes: int = 10,
        num_train: int = 512,
        num_test: int = 128,
        channels: int = 3,
        image_size: int = 32,
        noise: float = 0.15,
        batch_size: int = 32,
        val_fraction: float = 0.2,
        seed: int = 0,
        augment: bool = False,
        **options: Any,
    ) -> None:
        require_types("data", SyntheticDataModule, locals())
        require_positive(
            "data", num_classes=num_classes, num_train=num_train, num_test=num_test, channels=channels
        )
        require_range("data", 1, MAX_IMAGES, num_train=num_train, num_test=num_test, num_classes=num_classes)
        require_range("data", 0, float("inf"), open_high=True, noise=noise)
        super().__init__(
            class_names=[f"pattern {index}" for index in range(num_classes)],
            channels=channels,
            image_size=image_size,
            mean=[0.5] * channels,
            std=[0.25] * channels,
            batch_size=batch_size,
            val_fraction=val_fraction,
            seed=seed,
            augment=augment,
            **{"horizontal_flip": False} | options,
        )
        self.num_train = num_train
        self.num_test = num_test
        self.noise = noise

    def load(self) -> Splits:
        generator = torch.Generator().manual_seed(self.seed)
        channels, size, _ = self.input_shape
        cells = torch.rand(self.num_classes, channels, PATTERN_CELLS, PATTERN_CELLS, generator=generator)
        patterns = F.interpolate(cells, size=(size, size), mode="bilinear", align_corners=False)
        train = self._draw(patterns, self.num_train, generator)
        test = self._draw(patterns, self.num_test, generator)
        rest, val = stratified_split(train.labels, self.val_fraction, SPLIT_SEED)
        return Splits(train.subset(rest), train.subset(val), test)

    def _draw(self, patterns: Tensor, count: int, generator: torch.Generator) -> MemoryImages:
        labels = torch.arange(count) % self.num_classes
        images = patterns[labels]
        images = images + self.noise * torch.randn(images.shape, generator=generator)
        return MemoryImages(images.clamp(0, 1).mul(255).round().to(torch.uint8), labels)
