"""What the data modules have in common: batches, splits and shapes of a set of pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from cloudedge_pl.data.loading import EpochBatches, PictureDataset, PictureLoader, batches_processed
from cloudedge_pl.data.pictures import Pictures, Splits
from cloudedge_pl.errors import DataError, require_positive, require_range, require_types
from cloudedge_pl.lightning import pl

SPLIT_SEED = 0
"""Splits are drawn from this seed always, so that runs of different seeds are scored on the same pictures."""

MAX_IMAGE_SIZE = 16_384
MAX_WORKERS = 1024
"""More than this is taken for a mistake, before memory and processes are."""


class PictureDataModule(pl.LightningDataModule, ABC):
    """Base of the data modules; a subclass says what there is (on construction) and loads it (:meth:`load`).

    A batch is (float32 [b, C, H, W], int64 [b]). The order of the training pictures and their augmentation
    depend on (seed, epoch, batch index) alone, and a run resumed in the middle of an epoch goes on with the
    next batch.

    Args:
        class_names: one per class, in the order of the labels.
        channels: C.
        image_size: H and W.
        mean: one per channel; subtracted from pixels in 0..1.
        std: one per channel; divided by afterwards.
        batch_size: pictures in a training batch; an incomplete last one is left out.
        eval_batch_size: pictures in a batch of validation, test and prediction; None takes ``batch_size``.
        num_workers: processes that prepare batches; 0 prepares them in the training process, which is
            quickest for pictures in memory.
        val_fraction: share of the training pictures that validates, in [0, 1).
        seed: of order and augmentation.
        augment: whether training pictures are cropped at random and mirrored.
        crop_padding: pixels that a crop may be off the centre; None takes an eighth of the picture's height.
            Counted before pictures are resized to ``image_size``, where a set is kept at another size.
        horizontal_flip: whether augmentation mirrors left and right.

    Attributes:
        num_classes: classes that the labels run over.
        class_names: one per class.
        input_shape: (C, H, W).

    Raises:
        ValueError: on a value out of range.
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
        require_types(owner, PictureDataModule, locals())
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
        """Returns the pictures; called once."""

    def setup(self, stage: str | None = None) -> None:
        """Loads the pictures on the first call; later calls change nothing."""
        if self._splits is not None:
            return
        splits = self.load()
        if not len(splits.train.labels):
            raise DataError(f"no picture is left to train on; lower data.val_fraction={self.val_fraction}.")
        if len(splits.train.labels) < self.batch_size:
            raise DataError(
                f"{len(splits.train.labels)} training pictures do not fill one batch of {self.batch_size}; "
                f"lower data.batch_size to {len(splits.train.labels)} or less."
            )
        self._splits = splits

    @property
    def splits(self) -> Splits:
        """The pictures to train, validate and test on."""
        self.setup()
        assert self._splits is not None
        return self._splits

    def train_dataloader(self) -> PictureLoader:
        dataset = self._dataset(self.splits.train, augment=self.augment)
        overfits = getattr(self.trainer, "overfit_batches", 0)  # then the same batches come in every epoch
        sampler = EpochBatches(len(dataset), self.batch_size, None if overfits else self.seed, drop_last=True)
        batches_done = partial(batches_processed, self.trainer) if self.trainer else None
        return PictureLoader(dataset, sampler=sampler, batches_done=batches_done, **self._options())

    def val_dataloader(self) -> PictureLoader | list[PictureLoader]:
        return self._eval_loader(self.splits.val) if len(self.splits.val.labels) else []

    def test_dataloader(self) -> PictureLoader:
        return self._eval_loader(self.splits.test)

    def predict_dataloader(self) -> PictureLoader:
        return self._eval_loader(self.splits.test)

    def _eval_loader(self, pictures: Pictures) -> PictureLoader:
        dataset = self._dataset(pictures, augment=False)
        sampler = EpochBatches(len(dataset), self.eval_batch_size, None, drop_last=False)
        return PictureLoader(dataset, sampler=sampler, **self._options())

    def _dataset(self, pictures: Pictures, augment: bool) -> PictureDataset:
        if not augment:
            return PictureDataset(pictures, self.image_size, self.mean, self.std)
        return PictureDataset(
            pictures,
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
