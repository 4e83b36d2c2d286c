"""Base of the data modules: batches, splits and shapes of a set of images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cloudedge_pl.costs.input_codec import InputCodec
from cloudedge_pl.data.images import Images, Splits, resize
from cloudedge_pl.data.jpeg import mean_bytes, received_normalised
from cloudedge_pl.data.loading import EpochBatches, ImageDataset, ImageLoader, batches_processed
from cloudedge_pl.errors import DataError, require_positive, require_range, require_types
from cloudedge_pl.lightning import pl

SPLIT_SEED = 0
"""Seed of all splits, so that runs with different seeds are scored on the same images."""

MEASURED_IMAGES = 256
"""Number of training images whose size as JPEG is measured."""

MAX_IMAGE_SIZE = 16_384
MAX_WORKERS = 1024
"""Larger values are treated as mistakes before memory is allocated and processes start."""


class ImageDataModule(pl.LightningDataModule, ABC):
    """Base of the data modules. A subclass describes its images on construction and loads them in :meth:`load`.

    A batch is (float32 [b, C, H, W], int64 [b]). The order of the training images and their augmentation depend on
    (seed, epoch, batch index) only, and a run that is resumed within an epoch continues with the next batch.

    Args:
        class_names: in the order of the labels.
        channels: C.
        image_size: H and W.
        mean: per channel, subtracted from pixels in 0..1.
        std: per channel, divisor after that.
        batch_size: images in a training batch; an incomplete last batch is left out.
        eval_batch_size: images in a batch of validation, test and prediction; None takes ``batch_size``.
        num_workers: number of processes that prepare batches. 0 prepares them in the training process, which is fastest
            for images in memory.
        val_fraction: share of the training images that is used for validation, in [0, 1).
        seed: of order and augmentation.
        augment: whether training images are cropped at random and mirrored.
        crop_padding: largest distance in pixels between a crop and the centre; None takes an eighth of the height. It
            applies before images are resized to ``image_size``, if they are stored at another size.
        horizontal_flip: whether augmentation mirrors left and right.

    Attributes:
        num_classes: number of classes.
        class_names: in the order of the labels.
        input_shape: (C, H, W).

    Raises:
        ValueError: if a value is out of range.
    """

    def __init__(
        self,
        *,
        class_names: Sequence[str],
        channels: int = 3,
        image_size: int = 32,
        mean: Sequence[float],
        std: Sequence[float],
        batch_size: int = 128,
        eval_batch_size: int | None = None,
        num_workers: int = 0,
        val_fraction: float = 0.1,
        seed: int = 0,
        augment: bool = False,
        crop_padding: int | None = None,
        horizontal_flip: bool = True,
    ) -> None:
        super().__init__()
        owner = "data"
        require_types(owner, ImageDataModule, locals())
        require_range(owner, 1, MAX_IMAGE_SIZE, image_size=image_size)
        require_positive(owner, batch_size=batch_size)
        if eval_batch_size is not None:
            require_positive(owner, eval_batch_size=eval_batch_size)
        require_range(owner, 0, MAX_WORKERS, num_workers=num_workers)
        require_range(owner, 0, MAX_IMAGE_SIZE, crop_padding=crop_padding or 0)
        require_range(owner, 0, 1, open_high=True, val_fraction=val_fraction)
        if len(mean) != channels or len(std) != channels:
            raise ValueError(
                f"data: mean {list(mean)} and std {list(std)} need one value for each of {channels} channels."
            )
        for value in std:
            require_positive(owner, std=value)
        self.class_names = tuple(class_names)
        self.num_classes = len(self.class_names)
        self.input_shape = (channels, image_size, image_size)
        self.image_size = image_size
        self.mean = torch.tensor(list(mean), dtype=torch.float32)
        self.std = torch.tensor(list(std), dtype=torch.float32)
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size or batch_size
        self.num_workers = num_workers
        self.val_fraction = val_fraction
        self.seed = seed
        self.augment = augment
        self.crop_padding = crop_padding
        self.horizontal_flip = horizontal_flip
        self._splits: Splits | None = None

    @abstractmethod
    def load(self) -> Splits:
        """Loads the images; called once."""

    def setup(self, stage: str | None = None) -> None:
        """Loads the images on the first call; later calls have no effect."""
        if self._splits is not None:
            return
        splits = self.load()
        if not len(splits.train.labels):
            raise DataError(f"no image is left for training; lower data.val_fraction={self.val_fraction}.")
        if len(splits.train.labels) < self.batch_size:
            raise DataError(
                f"{len(splits.train.labels)} training images do not fill one batch of {self.batch_size}; "
                f"lower data.batch_size to {len(splits.train.labels)} or less."
            )
        self._splits = splits

    @property
    def splits(self) -> Splits:
        """The images for training, validation and test."""
        self.setup()
        assert self._splits is not None
        return self._splits

    def picture_bytes(self, codec: InputCodec, num_images: int = MEASURED_IMAGES) -> float:
        """Mean bytes of one image as it is sent, measured on a fixed random choice of training images.

        The images have the size of the network's input and are not augmented. No seed changes the choice.

        Args:
            codec: the form in which images are sent.
            num_images: how many are measured at most.
        """
        require_positive("data", num_images=num_images)
        images = self.splits.train
        order = np.random.default_rng(SPLIT_SEED).permutation(len(images.labels))
        chosen = images.take(torch.from_numpy(order[:num_images]))
        return mean_bytes(resize(chosen, self.image_size), codec)

    def received(self, images: Tensor, codec: InputCodec) -> Tensor:
        """Returns the images of a batch as they arrive when they are sent in a form: encoded and decoded.

        Args:
            images: floating point [b, C, H, W], normalised as in the batches of this module.
            codec: the form in which images are sent.

        Returns:
            [b, C, H, W], normalised, in the dtype and on the device of ``images``.
        """
        return received_normalised(images, self.mean, self.std, codec)

    def train_dataloader(self) -> ImageLoader:
        dataset = self._dataset(self.splits.train, augment=self.augment)
        overfits = getattr(self.trainer, "overfit_batches", 0)  # every epoch then has the same batches
        sampler = EpochBatches(len(dataset), self.batch_size, None if overfits else self.seed, drop_last=True)
        batches_done = partial(batches_processed, self.trainer) if self.trainer else None
        return ImageLoader(dataset, sampler=sampler, batches_done=batches_done, **self._options())

    def val_dataloader(self) -> ImageLoader | list[ImageLoader]:
        return self._eval_loader(self.splits.val) if len(self.splits.val.labels) else []

    def test_dataloader(self) -> ImageLoader:
        return self._eval_loader(self.splits.test)

    def predict_dataloader(self) -> ImageLoader:
        return self._eval_loader(self.splits.test)

    def _eval_loader(self, images: Images) -> ImageLoader:
        dataset = self._dataset(images, augment=False)
        sampler = EpochBatches(len(dataset), self.eval_batch_size, None, drop_last=False)
        return ImageLoader(dataset, sampler=sampler, **self._options())

    def _dataset(self, images: Images, augment: bool) -> ImageDataset:
        if not augment:
            return ImageDataset(images, self.image_size, self.mean, self.std)
        return ImageDataset(
            images,
            self.image_size,
            self.mean,
            self.std,
            augment_seed=self.seed,
            crop_padding=self.crop_padding,
            horizontal_flip=self.horizontal_flip,
        )

    def _options(self) -> dict[str, Any]:
        return {
            "num_workers": self.num_workers,
            "pin_memory": torch.cuda.is_available(),
            "persistent_workers": self.num_workers > 0,
        }
