"""From images to batches: whole batches of tensors, in an order that a resumed run reproduces.

The content of a batch depends on (seed, epoch, batch index) only. No global generator is used, so neither the number
of workers nor other random draws of the program change it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, SequentialSampler

from cloudedge_pl.data.images import Images, crop_and_flip, normalise, resize

if TYPE_CHECKING:
    from pytorch_lightning import Trainer


class Batch(NamedTuple):
    """The images of a batch, and its epoch and number."""

    indices: Tensor
    epoch: int
    number: int


class EpochBatches(SequentialSampler):
    """The batches of an epoch, for one epoch after the other.

    Lightning takes it for a sequential sampler, which ``Trainer(overfit_batches=...)`` does not replace.

    Args:
        num_images: number of images.
        batch_size: images in a batch.
        seed: of the shuffling in each epoch; None keeps the order of the images.
        drop_last: whether to leave out an incomplete last batch.
    """

    def __init__(self, num_images: int, batch_size: int, seed: int | None, drop_last: bool) -> None:
        self.num_images = num_images
        self.batch_size = batch_size
        self.seed = seed
        self.drop_last = drop_last
        self.epoch = 0
        self.first = 0

    def __len__(self) -> int:
        full, rest = divmod(self.num_images, self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override] # batches instead of rows
        first, self.first = self.first, 0
        epoch = self.epoch
        order = self.order(epoch)
        for index in range(first, len(self)):
            rows = order[index * self.batch_size : (index + 1) * self.batch_size]
            yield Batch(torch.from_numpy(rows), epoch, index)

    def order(self, epoch: int) -> np.ndarray:
        """Returns all images in the order of ``epoch``: int64 [num_images]."""
        order = np.arange(self.num_images)
        return order if self.seed is None else np.random.default_rng([self.seed, epoch]).permutation(order)

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch of the next iteration; Lightning calls this before each."""
        if epoch != self.epoch:
            self.epoch, self.first = epoch, 0

    def resume(self, epoch: int, batches: int) -> None:
        """Lets the next iteration start after ``batches`` batches of ``epoch``."""
        self.epoch, self.first = (epoch, batches) if batches < len(self) else (epoch + 1, 0)


class ImageDataset(Dataset[tuple[Tensor, Tensor]]):
    """Images as normalised batches: ``dataset[batch]`` is (float32 [b, C, H, W], int64 [b]).

    Args:
        images: the images.
        image_size: H and W of the batches.
        mean: float32 [C], subtracted from pixels in 0..1.
        std: float32 [C], divisor after that.
        augment_seed: of the random crops and flips; None disables augmentation.
        crop_padding: pixels at the images' own size; None takes an eighth of their height.
        horizontal_flip: whether augmentation mirrors images.
    """

    def __init__(
        self,
        images: Images,
        image_size: int,
        mean: Tensor,
        std: Tensor,
        augment_seed: int | None = None,
        crop_padding: int | None = None,
        horizontal_flip: bool = False,
    ) -> None:
        self.images = images
        self.image_size = image_size
        self.mean = mean
        self.std = std
        self.augment_seed = augment_seed
        self.crop_padding = crop_padding
        self.horizontal_flip = horizontal_flip

    def __len__(self) -> int:
        return len(self.images.labels)

    def __getitem__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        images = self.images.take(batch.indices)
        if self.augment_seed is not None:
            rng = np.random.default_rng([self.augment_seed, batch.epoch, batch.number])
            padding = images.shape[-2] // 8 if self.crop_padding is None else self.crop_padding
            images = crop_and_flip(images, rng, padding, self.horizontal_flip)
        images = resize(images, self.image_size)
        return normalise(images, self.mean, self.std), self.images.labels[batch.indices]


def _unchanged(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return batch


class ResumableLoader(DataLoader[Any]):
    """A DataLoader that a checkpoint can resume at any batch.

    Its state is its epoch and the number of batches done. Lightning saves it in the checkpoint and restores it before
    the first batch of a resumed run.

    Args:
        dataset: turns the items of the sampler into tensors.
        batches: the batches of the run; the sampler is this object, or draws from it.
        batches_done: returns how many batches of the current epoch are done; None counts the batches yielded. The two
            differ if a run is interrupted within a step.
        **options: arguments of the DataLoader, including ``sampler``.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        *,
        batches: EpochBatches,
        batches_done: Callable[[], int] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(dataset, **options)
        self.batches = batches
        self.batches_done = batches_done
        self._handed_out = 0

    # A generator starts at the first batch; the iterator class of DataLoader would let workers fetch batches before
    # Lightning has set the epoch.
    def __iter__(self) -> Iterator[Any]:  # type: ignore[override] # see above
        self._handed_out = self.batches.first
        for batch in super().__iter__():
            self._handed_out += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Returns the epoch and how many of its batches are done."""
        done = self._handed_out if self.batches_done is None else self.batches_done()
        return {"epoch": self.batches.epoch, "batches": done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continues where :meth:`state_dict` was taken."""
        self.batches.resume(state["epoch"], state["batches"])


class ImageLoader(ResumableLoader):
    """A resumable loader of whole batches of images.

    Args:
        dataset: turns a :class:`Batch` into tensors.
        sampler: the batches of the run.
        batches_done: as for :class:`ResumableLoader`.
        **options: arguments of the DataLoader.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        *,
        sampler: EpochBatches,
        batches_done: Callable[[], int] | None = None,
        **options: Any,
    ) -> None:
        # DataLoader draws a seed for its workers at every iteration. Drawn from the global generator, it would shift
        # every dropout mask of a resumed run.
        own = torch.Generator()
        options = {"collate_fn": _unchanged, "batch_size": None, "generator": own} | options
        super().__init__(dataset, batches=sampler, batches_done=batches_done, sampler=sampler, **options)


def batches_processed(trainer: Trainer) -> int:
    """Returns how many batches of the current epoch the trainer has finished.

    A batch that an interrupt cut short was yielded, but is not finished.
    """
    return trainer.fit_loop.epoch_loop.batch_progress.state_dict()["current"]["processed"]
