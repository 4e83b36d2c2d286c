"""Handwritten digits that ship with scikit-learn: real pictures without a download."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F

from cloudedge_pl.data.base import SPLIT_SEED, PictureDataModule
from cloudedge_pl.data.pictures import MemoryPictures, Splits, stratified_split

TEST_FRACTION = 0.2


class DigitsDataModule(PictureDataModule):
    """1,797 pictures of handwritten digits, grey, 8x8, resized to 3 equal channels; a fifth of each class
    tests.

    Source: UCI ML hand-written digits data set (Alpaydin and Kaynak 1998), its test part, as scikit-learn
        ships it.

    Args:
        image_size: H and W after bilinear resizing.
        mean: one per channel; the default is that of the pictures.
        std: one per channel; the default is that of the pictures.
        augment: shifts training pictures; a mirrored digit is no digit, so none is mirrored.
        **options: see :class:`~cloudedge_pl.data.base.PictureDataModule`.
    """

    def __init__(
        self,
        *,
        image_size: int = 32,
        mean: Sequence[float] = (0.305, 0.305, 0.305),
        std: Sequence[float] = (0.324, 0.324, 0.324),
        augment: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(
            class_names=[str(digit) for digit in range(10)],
            image_size=image_size,
            mean=mean,
            std=std,
            augment=augment,
            **{"horizontal_flip": False} | options,
        )

    def load(self) -> Splits:
        digits = load_digits()
        grey = torch.from_numpy(digits.images).float().div(16).unsqueeze(1)
        size = (self.image_size, self.image_size)
        large = F.interpolate(grey, size=size, mode="bilinear", align_corners=False)
        images = large.mul(255).round().to(torch.uint8).expand(-1, 3, -1, -1).contiguous()
        pictures = MemoryPictures(images, torch.from_numpy(digits.target))
        rest, test = stratified_split(pictures.labels, TEST_FRACTION, SPLIT_SEED)
        train, val = stratified_split(pictures.labels[rest], self.val_fraction, SPLIT_SEED)
        return Splits(pictures.subset(rest[train]), pictures.subset(rest[val]), pictures.subset(test))
