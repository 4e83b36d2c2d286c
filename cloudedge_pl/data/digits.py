"""Handwritten digits that ship with scikit-learn: real images that need no download."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F

from cloudedge_pl.data.base import SPLIT_SEED, ImageDataModule
from cloudedge_pl.data.images import MemoryImages, Splits, stratified_split

TEST_FRACTION = 0.2


class DigitsDataModule(ImageDataModule):
    """1,797 greyscale images of handwritten digits, 8x8, resized and repeated to 3 channels.

    A fifth of each class is the test set.

    Source: UCI ML hand-written digits data set (Alpaydin and Kaynak 1998), its test part, as scikit-learn
        ships it.

    Args:
        image_size: H and W after bilinear resizing.
        mean: per channel; the default is that of the images.
        std: per channel; the default is that of the images.
        batch_size: images in a training batch.
        eval_batch_size: images in a batch of validation, test and prediction; None takes ``batch_size``.
        augment: whether training images are shifted. They are not mirrored, because a mirrored digit is not a digit.
        **options: further arguments of :class:`~cloudedge_pl.data.base.ImageDataModule`.
    """

    def __init__(
        self,
        *,
        image_size: int = 32,
        mean: Sequence[float] = (0.305, 0.305, 0.305),
        std: Sequence[float] = (0.324, 0.324, 0.324),
        batch_size: int = 32,
        eval_batch_size: int | None = 16,
        augment: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(
            class_names=[str(digit) for digit in range(10)],
            image_size=image_size,
            mean=mean,
            std=std,
            batch_size=batch_size,
            eval_batch_size=eval_batch_size,
            augment=augment,
            **{"horizontal_flip": False} | options,
        )

    def load(self) -> Splits:
        digits = load_digits()
        grey = torch.from_numpy(digits.images).float().div(16).unsqueeze(1)
        size = (self.image_size, self.image_size)
        large = F.interpolate(grey, size=size, mode="bilinear", align_corners=False)
        pixels = large.mul(255).round().to(torch.uint8).expand(-1, 3, -1, -1).contiguous()
        images = MemoryImages(pixels, torch.from_numpy(digits.target))
        rest, test = stratified_split(images.labels, TEST_FRACTION, SPLIT_SEED)
        train, val = stratified_split(images.labels[rest], self.val_fraction, SPLIT_SEED)
        return Splits(images.subset(rest[train]), images.subset(rest[val]), images.subset(test))
