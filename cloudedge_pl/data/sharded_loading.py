"""Batches of data that lives on the nodes: they draw from every node in proportion to what it owns.

An epoch runs through all samples once, in an order that depends on (shards, seed, epoch) and on nothing else: no
global generator is drawn from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, Sampler, SequentialSampler

from cloudedge_pl.data.labels import num_samples_of
from cloudedge_pl.data.loading import EpochBatches, ImageDataset, ImageLoader, ResumableLoader
from cloudedge_pl.data.shards import Shards
from cloudedge_pl.errors import DataError, require_positive, require_range

_ORDER = 1_000_002  # a stream of its own: shards and augmentation draw from others

_BATCHING = (
    "__iter__",
    "__len__",
    "_get_iterator",
    "_index_sampler",
    "_auto_collation",
    "state_dict",
    "load_state_dict",
)
"""What says which batches a DataLoader hands out, and where it goes on."""


class ShardedBatches(EpochBatches):
    """Batches that draw from every node in proportion to its shard; each sample comes once an epoch.

    In a batch of b samples, a node that owns a share s of all samples has s b of them, give or take at most
    1 + (num_nodes - 2) s: less than two where all own the same, less than one where there are two nodes.

    Args:
        shards: who owns each sample.
        batch_size: samples in a batch.
        seed: of the order, anew in each epoch.
        drop_last: leaves out the samples that fill no whole batch; other ones in each epoch.
        reshuffle: False keeps the order of the first epoch in every epoch.
    """

    def __init__(
        self, shards: Shards, batch_size: int, seed: int, drop_last: bool, reshuffle: bool = True
    ) -> None:
        require_positive("sharded batches", batch_size=batch_size)
        require_range("sharded batches", 0, float("inf"), seed=seed)
        super().__init__(len(shards.node), batch_size, seed, drop_last)
        self.shards = shards
        self.reshuffle = reshuffle
        self._cached: tuple[int, np.ndarray] | None = None

    def order(self, epoch: int) -> np.ndarray:
        """Returns all samples in the order of ``epoch``: int64 [num_samples]."""
        epoch = epoch if self.reshuffle else 0
        if self._cached is None or self._cached[0] != epoch:
            rng = np.random.default_rng([self.seed or 0, epoch, _ORDER])
            self._cached = epoch, interleaved(self.shards.node, self.shards.num_nodes, rng)
        return self._cached[1]

    def batch(self, epoch: int, number: int) -> np.ndarray:
        """Returns the samples of a batch: int64 [b].

        Raises:
            IndexError: if the epoch has no such batch.
        """
        if not 0 <= number < len(self):
            raise IndexError(f"batch {number} of an epoch of {len(self)}.")
        return self.order(epoch)[number * self.batch_size : (number + 1) * self.batch_size]

    def nodes(self, epoch: int, number: int) -> np.ndarray:
        """Returns the node that owns each sample of a batch, in the batch's order: int64 [b].

        Raises:
            IndexError: if the epoch has no such batch.
        """
        return self.shards.node[self.batch(epoch, number)]


class ShardedSamples(Sampler[int]):
    """The samples of :class:`ShardedBatches` one by one, for a DataLoader that cuts its own batches."""

    def __init__(self, batches: ShardedBatches) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return self.batches.num_images

    def __iter__(self) -> Iterator[int]:
        for batch in self.batches:
            yield from batch.indices.tolist()

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch that the next iteration runs through; Lightning calls this before each."""
        self.batches.set_epoch(epoch)

    def nodes(self, epoch: int, number: int) -> np.ndarray:
        """Returns the node that owns each sample of a batch, in the batch's order: int64 [b]."""
        return self.batches.nodes(epoch, number)


def shard_loader(
    loader: DataLoader[Any],
    shards_of: Callable[[Dataset[Any]], Shards],
    *,
    seed: int | None = None,
    batches_done: Callable[[], int] | None = None,
    reshuffle: bool = True,
) -> ResumableLoader:
    """Returns the same loader, with the batches of :class:`ShardedBatches`.

    What comes back has the loader's data set, batch size and other options, and can be stopped and resumed at
    any batch. ``batches`` is its :class:`ShardedBatches`; ``sampler`` has ``set_epoch`` and ``nodes`` too.

    Args:
        loader: of a map-style data set. Left as it is.
        shards_of: gives the shards of its data set.
        seed: of the order; None takes that of the shards.
        batches_done: as of :class:`ResumableLoader`; None takes the loader's own, if it has one.
        reshuffle: as of :class:`ShardedBatches`.

    Raises:
        DataError: on a loader that chooses its batches in a way of its own, or shards of another data set.
    """
    _require_known_batching(loader)
    dataset, sampler = loader.dataset, loader.sampler
    if isinstance(dataset, IterableDataset):
        raise DataError(
            f"{type(dataset).__name__} is an IterableDataset, whose samples cannot be owned by nodes. "
            "Use a map-style data set, with __getitem__ and __len__, or let the scheduler route samples."
        )
    num_samples = num_samples_of(dataset)
    if isinstance(loader, ImageLoader):
        batch_size, drop_last = loader.batches.batch_size, loader.batches.drop_last
    elif loader.batch_size is None:
        raise DataError(
            "the training DataLoader has no batch_size (it was given batch_sampler or batch_size=None), and "
            "data that lives on the nodes comes in batches of its own. Give it batch_size and drop_last instead."
        )
    else:
        batch_size, drop_last = loader.batch_size, loader.drop_last
        _require_every_sample(sampler, num_samples)
    shards = shards_of(dataset)
    if len(shards.node) != num_samples:
        raise DataError(
            f"the shards are of {len(shards.node)} samples and the training data has {num_samples}; "
            "draw them anew for this data set."
        )
    batches = ShardedBatches(
        shards, batch_size, shards.seed if seed is None else seed, drop_last, reshuffle=reshuffle
    )
    options = _loader_options(loader)
    if batches_done is None and isinstance(loader, ResumableLoader):
        batches_done = loader.batches_done
    if isinstance(loader, ImageLoader):
        assert isinstance(dataset, ImageDataset)
        return ImageLoader(dataset, sampler=batches, batches_done=batches_done, **options)
    if options["generator"] is None:
        # As in ImageLoader: what seeds the workers must not shift the global generator.
        options["generator"] = torch.Generator().manual_seed(batches.seed or 0)
    return ResumableLoader(
        dataset,
        batches=batches,
        batches_done=batches_done,
        sampler=ShardedSamples(batches),
        batch_size=batch_size,
        drop_last=drop_last,
        **options,
    )


def interleaved(node: np.ndarray, num_nodes: int, rng: np.random.Generator) -> np.ndarray:
    """Shuffles the samples of each node and mixes the nodes evenly.

    The k-th of n samples of a node goes to (k + u) / n of the way, with one u in [0, 1) for each node. Any
    stretch of the way then holds a node's samples in proportion to its length, to less than one.

    Args:
        node: int64 [num_samples], the node of each sample.
        num_nodes: nodes there are.
        rng: decides every draw.

    Returns:
        int64 [num_samples], every sample once.
    """
    sizes = np.bincount(node, minlength=num_nodes)
    samples = rng.permutation(len(node))
    samples = samples[np.argsort(node[samples], kind="stable")]
    owner = node[samples]
    rank = np.arange(len(node)) - (np.cumsum(sizes) - sizes)[owner]
    position = (rank + rng.random(num_nodes)[owner]) / sizes[owner]
    return samples[np.argsort(position, kind="stable")]


def _require_known_batching(loader: DataLoader[Any]) -> None:
    """Raises DataError on a loader that makes batches by code of its own: a sharded one would not run it."""
    kind = type(loader)
    known = next(base for base in (ImageLoader, ResumableLoader, DataLoader) if issubclass(kind, base))
    for name in _BATCHING:
        if getattr(kind, name, None) is not getattr(known, name, None):
            raise DataError(
                f"the training DataLoader is a {kind.__name__}, which overrides {name}, and batches that draw from "
                "every node would not go through that. Use torch's DataLoader, with that work in the data set or "
                "collate_fn."
            )
    if isinstance(loader, ImageLoader) and type(loader.batches) not in (EpochBatches, ShardedBatches):
        raise DataError(
            f"the training ImageLoader picks its batches with {type(loader.batches).__name__}, and data that "
            "lives on the nodes comes in batches of its own. Give it EpochBatches."
        )


def _require_every_sample(sampler: Any, num_samples: int) -> None:
    """Raises DataError on a sampler that picks samples: a new order would undo its choice unseen."""
    shuffles = isinstance(sampler, RandomSampler) and not sampler.replacement
    if not (shuffles or isinstance(sampler, SequentialSampler)) or len(sampler) != num_samples:
        raise DataError(
            f"the training DataLoader picks its samples with {type(sampler).__name__}, and data that lives on the "
            "nodes comes in an order of its own. Use shuffle=True; for a part of the data, torch's Subset."
        )


def _loader_options(loader: DataLoader[Any]) -> dict[str, Any]:
    names = (
        "num_workers",
        "collate_fn",
        "pin_memory",
        "timeout",
        "worker_init_fn",
        "multiprocessing_context",
        "generator",
        "prefetch_factor",
        "persistent_workers",
        "in_order",
    )
    return {name: getattr(loader, name) for name in names}
