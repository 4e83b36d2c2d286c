"""Training data that the nodes own: connects shards, the training loader and the step that runs."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from cloudedge_pl.data.labels import labels_of
from cloudedge_pl.data.loading import batches_processed
from cloudedge_pl.data.sharded_loading import shard_loader
from cloudedge_pl.data.sharding import shard_dataset
from cloudedge_pl.data.shards import Shards
from cloudedge_pl.errors import StrategyError
from cloudedge_pl.lightning import pl

_NOT_SET_UP = "the training data is not set up yet: shards exist from on_train_start on."


class LocalData:
    """Every node owns a shard of the training set and runs its own samples.

    It is ``strategy.local_data`` of a :class:`~cloudedge_pl.CloudEdgeStrategy` with ``shards``. Once training has
    started it knows the owner of every sample. To save the shards and to draw it::

        from pathlib import Path

        from cloudedge_pl.reports.shard_figures import save_shards

        data = strategy.local_data
        data.shards.save("shards.json")  # read again by Shards.load
        save_shards(data.class_counts(), data.class_names(), Path("shards.png"))

    Args:
        num_nodes: number of nodes in the fleet.
        seed: seed of the shards and of the order of the samples.
        by: how samples are distributed, a key of :data:`~cloudedge_pl.data.sharding.SHARDINGS`.
        **options: options of that sharding.
    """

    def __init__(self, num_nodes: int, seed: int, by: str, **options: Any) -> None:
        self.seed = seed
        self._draw_shards = lambda dataset: shard_dataset(dataset, by, num_nodes, **{"seed": seed, **options})
        self._shards: Shards | None = None
        self._loader: Any = None
        self._labels: np.ndarray | None = None
        self._datamodule: pl.LightningDataModule | None = None

    @property
    def is_set_up(self) -> bool:
        """Whether the training data has been read and its shards drawn."""
        return self._shards is not None

    @property
    def shards(self) -> Shards:
        """The owner of every sample."""
        if self._shards is None:
            raise StrategyError(_NOT_SET_UP)
        return self._shards

    def shard(self, loader: object, trainer: pl.Trainer) -> object:
        """Returns the training loader with batches that draw from every node in proportion to its shard.

        With ``Trainer(overfit_batches=...)`` the batches are the same in every epoch.

        Raises:
            StrategyError: if ``loader`` is not a torch DataLoader.
        """
        if not isinstance(loader, DataLoader):
            raise StrategyError(
                f"shards need a torch DataLoader to train with, this is a {type(loader).__name__}; give one, or leave "
                "CloudEdgeStrategy(shards=...) out, so that the scheduler routes every sample."
            )
        self._loader = shard_loader(
            loader,
            self._draw,
            seed=self.seed,
            batches_done=partial(batches_processed, trainer),
            reshuffle=not trainer.overfit_batches,  # type: ignore[attr-defined] # set from outside its class
        )
        self._datamodule = getattr(trainer, "datamodule", None)
        self._labels = None
        return self._loader

    def _draw(self, dataset: Any) -> Shards:
        self._shards = self._draw_shards(dataset)
        return self._shards

    def labels(self) -> np.ndarray:
        """The class of each training sample, int64 [num_samples].

        Raises:
            DataError: if the training data has no labels; see :func:`~cloudedge_pl.data.labels.labels_of`.
            StrategyError: before ``on_train_start``.
        """
        if not self.is_set_up:
            raise StrategyError(_NOT_SET_UP)
        if self._labels is None:
            self._labels = labels_of(self._loader.dataset)
        return self._labels

    def class_names(self) -> list[str]:
        """The name of each class.

        The names are the datamodule's ``class_names`` or the data set's ``classes``; if neither names every class,
        they are the classes' numbers.

        Raises:
            DataError, StrategyError: as in :meth:`labels`.
        """
        num_classes = int(self.labels().max()) + 1
        for owner, attribute in ((self._datamodule, "class_names"), (self._loader.dataset, "classes")):
            names = getattr(owner, attribute, None)
            if isinstance(names, Collection) and len(names) >= num_classes:
                return [str(name) for name in names]
        return [str(label) for label in range(num_classes)]

    def class_counts(self) -> np.ndarray:
        """The number of samples of each class on each node, int64 [num_nodes, num_classes].

        Raises:
            DataError, StrategyError: as in :meth:`labels`.
        """
        return self.shards.class_counts(self.labels(), len(self.class_names()))

    def owners(self, trainer: pl.Trainer, num_samples: int) -> np.ndarray:
        """The owner of each sample of the current batch, int64 [num_samples]."""
        batch = trainer.fit_loop.epoch_loop.batch_idx
        nodes = self._loader.sampler.nodes(trainer.current_epoch, batch)
        if len(nodes) != num_samples:
            raise StrategyError(
                f"batch {batch} holds {len(nodes)} samples of the nodes' shards, and {num_samples} go through the "
                "backbone; with shards, a training step calls its backbone on its batch, and there is one training "
                "loader."
            )
        return nodes
