"""Batches of data that is stored on the nodes: every batch draws from every node in proportion to its shard.

An epoch runs through all samples once, in an order that depends on (shards, seed, epoch) only. No global generator is
used.
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

_ORDER = 1_000_002  # a separate random stream from those of shards and augmentation

_BATCHING = (
    "__iter__",
    "__len__",
    "_get_iterator",
    "_index_sampler",
    "_auto_collation",
    "state_dict",
    "load_state_dict",
)
"""Members that determine which batches a DataLoader yields, and where it resumes."""


class ShardedBatches(EpochBatches):
    """Batches that draw from every node in proportion to its shard; every sample occurs once per epoch.

    In a batch of b samples, a node that owns a share s of all samples has s b of them, with a deviation of at most
    1 + (num_nodes - 2) s. That is less than two if all nodes own the same, and less than one for two nodes.

    Args:
        shards: who owns each sample.
        batch_size: samples in a batch.
        seed: of the order of each epoch.
        drop_last: whether to leave out an incomplete last batch, which differs from epoch to epoch.
        reshuffle: whether every epoch has an order of its own; False repeats that of the first.
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
    """The samples of :class:`ShardedBatches` one by one, for a DataLoader that makes its own batches."""

    def __init__(self, batches: ShardedBatches) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return self.batches.num_images

    def __iter__(self) -> Iterator[int]:
        for batch in self.batches:
            yield from batch.indices.tolist()

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch of the next iteration; Lightning calls this before each."""
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
    """Returns an equal loader with the batches of :class:`ShardedBatches`.

    It has the data set, batch size and other options of the given loader, and can be resumed at any batch. Its
    ``batches`` is the :class:`ShardedBatches`; its ``sampler`` has ``set_epoch`` and ``nodes`` too.

    Args:
        loader: of a map-style data set; it is not changed.
        shards_of: returns the shards of its data set.
        seed: of the order; None takes that of the shards.
        batches_done: as for :class:`ResumableLoader`; None takes the loader's own, if it has one.
        reshuffle: as for :class:`ShardedBatches`.

    Raises:
        DataError: if the loader chooses its batches by code of its own, or the shards are of another data set.
    """
    _require_known_batching(loader)
    dataset = loader.dataset
    if isinstance(dataset, IterableDataset):
        raise DataError(
            f"{type(dataset).__name__} is an IterableDataset, whose samples cannot be owned by nodes. "
            "Use a map-style data set, with __getitem__ and __len__, or let the scheduler route samples."
        )
    num_samples = num_samples_of(dataset)
    batch_size, drop_last = _batching(loader, num_samples)
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
        # As in ImageLoader: seeding the workers must not shift the global generator.
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

    The k-th of a node's n samples gets the relative position (k + u) / n, with one u in [0, 1) per node. Any interval
    of positions then holds a node's samples in proportion to its length, to less than one sample.

    Args:
        node: int64 [num_samples], the node of each sample.
        num_nodes: number of nodes.
        rng: source of randomness.

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
    """Raises DataError if a loader makes batches by code of its own, which a sharded loader would not run."""
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


def _batching(loader: DataLoader[Any], num_samples: int) -> tuple[int, bool]:
    """Returns the batch size of a loader, and whether it leaves out an incomplete last batch."""
    if isinstance(loader, ImageLoader):
        return loader.batches.batch_size, loader.batches.drop_last
    if loader.batch_size is None:
        raise DataError(
            "the training DataLoader has no batch_size (it was given batch_sampler or batch_size=None), and "
            "data that lives on the nodes comes in batches of its own. Give it batch_size and drop_last instead."
        )
    _require_every_sample(loader.sampler, num_samples)
    return loader.batch_size, loader.drop_last


def _require_every_sample(sampler: Any, num_samples: int) -> None:
    """Raises DataError if a sampler selects samples, because a new order would undo its choice."""
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
