"""Training data that stays with the nodes: the strategy's link between shards, loaders and the step that runs."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytorch_lightning as pl
from torch.utils.data import DataLoader

from cloudedge_pl.data.loading import batches_processed
from cloudedge_pl.data.shards import Shards, labels_of, shard_dataset, shard_loader
from cloudedge_pl.errors import StrategyError


class LocalData:
    """Every node owns a shard of the training set, and runs what it owns.

    Args:
        num_nodes: in the fleet.
        seed: of the shards and of the order of the samples.
        by: how samples are shared out, a key of :data:`~cloudedge_pl.data.shards.SHARDINGS`.
        **options: of that sharding.
    """

    def __init__(self, num_nodes: int, seed: int, by: str = "iid", **options: Any) -> None:
        self.seed = seed
        self._draw_shards = lambda dataset: shard_dataset(dataset, by, num_nodes, **{"seed": seed, **options})
        self._shards: Shards | None = None
        self._loader: Any = None

    @property
    def is_set_up(self) -> bool:
        """Whether the training data has been looked at."""
        return self._shards is not None

    @property
    def shards(self) -> Shards:
        """Who owns which sample."""
        if self._shards is None:
            raise StrategyError("the training data is not set up yet: shards exist from on_train_start on.")
        return self._shards

    def shard(self, loader: object, trainer: pl.Trainer) -> object:
        """The training loader with batches that draw from every node in proportion to what it owns.

        Raises:
            StrategyError: where it is no torch DataLoader.
        """
        if not isinstance(loader, DataLoader):
            raise StrategyError(
                f"shards need a torch DataLoader to train with, this is a {type(loader).__name__}; give one, or leave "
                "CloudEdgeStrategy(shards=...) out, so that the scheduler routes every sample."
            )
        done = partial(batches_processed, trainer)
        self._loader = shard_loader(loader, self._draw, seed=self.seed, batches_done=done)
        return self._loader

    def _draw(self, dataset: Any) -> Shards:
        self._shards = self._draw_shards(dataset)
        return self._shards

    def labels(self) -> np.ndarray:
        """The class of each training sample, int64 [num_samples]."""
        return labels_of(self._loader.dataset)

    def owners(self, trainer: pl.Trainer, num_samples: int) -> np.ndarray:
        """The node that owns each sample of the batch that runs, int64 [num_samples]."""
        batch = trainer.fit_loop.epoch_loop.batch_idx
        nodes = self._loader.sampler.nodes(trainer.current_epoch, batch)
        if len(nodes) != num_samples:
            raise StrategyError(
                f"batch {batch} holds {len(nodes)} samples of the nodes' shards, and {num_samples} go through the "
                "backbone; with shards, a training step calls its backbone on its batch, and there is one training "
                "loader."
            )
        return nodes
