"""CIFAR-10, read and downloaded by torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torchvision.datasets import CIFAR10

from cloudedge_pl.data.base import SPLIT_SEED, ImageDataModule
from cloudedge_pl.data.images import MemoryImages, Splits, stratified_split
from cloudedge_pl.errors import DataError

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class Cifar10DataModule(ImageDataModule):
    """50,000 images of 32x32 to train and validate on, 10,000 to test on, in 10 classes.

    Source: Krizhevsky 2009, "Learning multiple layers of features from tiny images".

    Args:
        root: folder of ``cifar-10-batches-py``, or where to download it to (170 MB).
        download: whether to download missing files.
        image_size: H and W; images stay in memory at 32x32 and are resized batch by batch.
        mean: per channel; the default is that of the training images.
        std: per channel; the default is that of the training images.
        eval_batch_size: images in a batch of validation, test and prediction; None takes ``batch_size``.
        augment: whether training images are cropped at random and mirrored.
        **options: further arguments of :class:`~cloudedge_pl.data.base.ImageDataModule`.

    Raises:
        DataError: on loading, if the data set is not in ``root`` and cannot be downloaded.
    """

    def __init__(
        self,
        root: str | Path = "data",
        *,
        download: bool = True,
        image_size: int = 32,
        mean: Sequence[float] = (0.4914, 0.4822, 0.4465),
        std: Sequence[float] = (0.2470, 0.2435, 0.2616),
        eval_batch_size: int | None = 512,
        augment: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(
            class_names=CLASS_NAMES,
            image_size=image_size,
            mean=mean,
            std=std,
            eval_batch_size=eval_batch_size,
            augment=augment,
            **options,
        )
        self.root = Path(root).expanduser()
        self.download = download

    def load(self) -> Splits:
        train, test = self._read(train=True), self._read(train=False)
        rest, val = stratified_split(train.labels, self.val_fraction, SPLIT_SEED)
        return Splits(train.subset(rest), train.subset(val), test)

    def _read(self, train: bool) -> MemoryImages:
        try:
            dataset = CIFAR10(str(self.root), train=train, download=self.download)
        except Exception as error:  # urllib, tarfile, pickle and torchvision each raise their own
            raise DataError(
                f"CIFAR-10 is not in {self.root.resolve()}"
                f"{' and could not be downloaded' if self.download else ', and data.download is false'} "
                f"({type(error).__name__}: {error}). Put cifar-10-python.tar.gz there, from "
                "https://www.cs.toronto.edu/~kriz/cifar.html (delete a broken one first); or set data.root"
                " to a folder that has it; or take your own images with data=image_folder data.root=..."
            ) from error
        images = torch.from_numpy(dataset.data).permute(0, 3, 1, 2)
        return MemoryImages(images, torch.tensor(dataset.targets))
