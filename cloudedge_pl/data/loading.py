"""From pictures to batches: whole batches of tensors at a time, in an order that a resumed run finds again.

What a batch holds depends on (seed, epoch, batch index) and on nothing else: no global generator is drawn
from, so neither the number of workers nor what else a program draws changes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, SequentialSampler

from cloudedge_pl.data.pictures import Pictures, crop_and_flip, normalise, resize

if TYPE_CHECKING:
    from pytorch_lightning import Trainer


class Batch(NamedTuple):
    """Which pictures make up a batch, and where in the run it stands."""

    indices: Tensor
    epoch: int
    number: int


class EpochBatches(SequentialSampler):
    """The batches of one epoch after the other.

    To Lightning this is a sampler that draws nothing, which ``Trainer(overfit_batches=...)`` leaves in its place.

    Args:
        num_pictures: in all.
        batch_size: pictures in a batch.
        seed: shuffles, anew in each epoch; None keeps the order of the pictures.
        drop_last: leaves out the pictures that fill no whole batch.
    """

    def __init__(self, num_pictures: int, batch_size: int, seed: int | None, drop_last: bool) -> None:
        self.num_pictures = num_pictures
        self.batch_size = batch_size
        self.seed = seed
        self.drop_last = drop_last
        self.epoch = 0
        self.first = 0

    def __len__(self) -> int:
        full, rest = divmod(self.num_pictures, self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override] # batches, where its base has rows
        first, self.first = self.first, 0
        epoch = self.epoch
        order = self.order(epoch)
        for index in range(first, len(self)):
            rows = order[index * self.batch_size : (index + 1) * self.batch_size]
            yield Batch(torch.from_numpy(rows), epoch, index)

    def order(self, epoch: int) -> np.ndarray:
        """Returns all pictures in the order of ``epoch``: int64 [num_pictures]."""
        order = np.arange(self.num_pictures)
        return order if self.seed is None else np.random.default_rng([self.seed, epoch]).permutation(order)

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch that the next iteration runs through; Lightning calls this before each."""
        if epoch != self.epoch:
            self.epoch, self.first = epoch, 0

    def resume(self, epoch: int, batches: int) -> None:
        """Lets the next iteration start after ``batches`` batches of ``epoch``."""
        self.epoch, self.first = (epoch, batches) if batches < len(self) else (epoch + 1, 0)


class PictureDataset(Dataset[tuple[Tensor, Tensor]]):
    """Pictures as normalised batches: ``dataset[batch]`` is (float32 [b, C, H, W], int64 [b]).

    Args:
        pictures: the pictures.
        image_size: H and W of what comes out.
        mean: float32 [C], subtracted from pixels in 0..1.
        std: float32 [C], divided by.
        augment_seed: of the random crops and mirrorings; None leaves the pictures as they are.
        crop_padding: pixels, at the pictures' own size; None takes an eighth of their height.
        horizontal_flip: whether a mirrored picture is still of its class.
    """

    def __init__(
        self,
        pictures: Pictures,
        image_size: int,
        mean: Tensor,
        std: Tensor,
        augment_seed: int | None = None,
        crop_padding: int | None = None,
        horizontal_flip: bool = False,
    ) -> None:
        self.pictures = pictures
        self.image_size = image_size
        self.mean = mean
        self.std = std
        self.augment_seed = augment_seed
        self.crop_padding = crop_padding
        self.horizontal_flip = horizontal_flip

    def __len__(self) -> int:
        return len(self.pictures.labels)

    def __getitem__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        images = self.pictures.take(batch.indices)
        if self.augment_seed is not None:
            rng = np.random.default_rng([self.augment_seed, batch.epoch, batch.number])
            padding = images.shape[-2] // 8 if self.crop_padding is None else self.crop_padding
            images = crop_and_flip(images, rng, padding, self.horizontal_flip)
        images = resize(images, self.image_size)
        return normalise(images, self.mean, self.std), self.pictures.labels[batch.indices]


def _as_it_is(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return batch


class ResumableLoader(DataLoader[Any]):
    """A DataLoader that a checkpoint can stop at any batch.

    Its state is where it stands. Lightning keeps that in the checkpoint and puts it back before the first
    batch of a resumed run.

    Args:
        dataset: turns what the sampler yields into tensors.
        batches: says which batches there are; the sampler is this, or draws from it.
        batches_done: says how many batches of the running epoch are done with; None counts those handed
            out. The two differ where a run is interrupted in the middle of a step.
        **options: of the DataLoader, its ``sampler`` among them.
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

    # A generator, not DataLoader's own iterator class: it starts at the first batch, so that workers fetch
    # nothing before Lightning has set the epoch.
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
        """Goes on where :meth:`state_dict` was taken."""
        self.batches.resume(state["epoch"], state["batches"])


class PictureLoader(ResumableLoader):
    """A resumable loader of whole batches of pictures.

    Args:
        dataset: turns a :class:`Batch` into tensors.
        sampler: says which batches there are.
        batches_done: as of :class:`ResumableLoader`.
        **options: of the DataLoader.
    """

    def __init__(
        self,
        dataset: PictureDataset,
        *,
        sampler: EpochBatches,
        batches_done: Callable[[], int] | None = None,
        **options: Any,
    ) -> None:
        # A generator of its own: DataLoader draws a seed for its workers whenever it is iterated over, and from the
        # global generator that would shift every dropout mask of a resumed run.
        own = torch.Generator()
        options = {"collate_fn": _as_it_is, "batch_size": None, "generator": own} | options
        super().__init__(dataset, batches=sampler, batches_done=batches_done, sampler=sampler, **options)


def batches_processed(trainer: Trainer) -> int:
    """Returns how many batches of the running epoch the trainer is done with.

    Its own count: a batch that an interrupt cut short is handed out, but not done.
    """
    return trainer.fit_loop.epoch_loop.batch_progress.state_dict()["current"]["processed"]
