"""CIFAR-10, read and downloaded by torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torchvision.datasets import CIFAR10

from cloudedge_pl.data.base import SPLIT_SEED, PictureDataModule
from cloudedge_pl.data.pictures import MemoryPictures, Splits, stratified_split
from cloudedge_pl.errors import DataError

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class Cifar10DataModule(PictureDataModule):
    """50,000 pictures of 32x32 to train and validate on, 10,000 to test on, in 10 classes.

    Source: Krizhevsky 2009, "Learning multiple layers of features from tiny images".

    Args:
        root: folder of ``cifar-10-batches-py``, or where to download it to (170 MB).
        download: whether to download what is not there.
        image_size: H and W; pictures stay in memory at 32x32 and are resized batch by batch.
        mean: of the training pictures, by channel.
        std: of the training pictures, by channel.
        augment: crops and mirrors training pictures.
        **options: see :class:`~cloudedge_pl.data.base.PictureDataModule`.

    Raises:
        DataError: on loading, where the data set is neither in ``root`` nor can be downloaded.
    """

    def __init__(
        self,
        root: str | Path = "data",
        *,
        download: bool = True,
        image_size: int = 32,
        mean: Sequence[float] = (0.4914, 0.4822, 0.4465),
        std: Sequence[float] = (0.2470, 0.2435, 0.2616),
        augment: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(
            class_names=CLASS_NAMES, image_size=image_size, mean=mean, std=std, augment=augment, **options
        )
        self.root = Path(root).expanduser()
        self.download = download

    def load(self) -> Splits:
        train, test = self._read(train=True), self._read(train=False)
        rest, val = stratified_split(train.labels, self.val_fraction, SPLIT_SEED)
        return Splits(train.subset(rest), train.subset(val), test)

    def _read(self, train: bool) -> MemoryPictures:
        try:
            dataset = CIFAR10(str(self.root), train=train, download=self.download)
        except Exception as error:  # urllib, tarfile, pickle and torchvision each raise their own
            raise DataError(
                f"CIFAR-10 is not in {self.root.resolve()}"
                f"{' and could not be downloaded' if self.download else ', and data.download is false'} "
                f"({type(error).__name__}: {error}). Put cifar-10-python.tar.gz there, from "
                "https://www.cs.toronto.edu/~kriz/cifar.html (delete a broken one first); or set data.root"
                " to a folder that has it; or take your own pictures with data=image_folder data.root=..."
            ) from error
        images = torch.from_numpy(dataset.data).permute(0, 3, 1, 2)
        return MemoryPictures(images, torch.tensor(dataset.targets))
