"""Training data that stays with the nodes that own it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import cloudedge_pl as ce
from cloudedge_pl.errors import DataError, StrategyError
from tests.training.helpers import CLASSES, OtherModule, SmallNet, make_strategy, make_trainer, pictures

NUMBERS = torch.arange(64)


class Numbered(OtherModule):
    """Keeps the number of each sample that it trains on."""

    def __init__(self) -> None:
        torch.manual_seed(1)
        super().__init__(SmallNet())
        self.seen: list[Tensor] = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, number, y = batch
        if not self.seen or self.seen[-1] is not number:  # once a batch: the joint loss runs the step twice
            self.seen.append(number)
        return functional.cross_entropy(self(x), y)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        assert len(self(batch[0]))


def numbered(batch_size: int = 16, **options: Any) -> DataLoader:
    x, y = pictures(64).tensors
    return DataLoader(TensorDataset(x, NUMBERS, y), batch_size=batch_size, **options)


class Routes(pl.Callback):
    def __init__(self) -> None:
        self.nodes: list[np.ndarray] = []

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        self.nodes.append(trainer.strategy.record.assignment.node)


@pytest.mark.parametrize(
    "shards",
    [{"by": "iid"}, {"by": "dirichlet", "alpha": 0.3, "min_size": 2}, {"by": "class", "classes_per_node": 2}],
)
@pytest.mark.parametrize("every", [1, 3])
def test_every_sample_runs_on_the_node_that_owns_it(
    tmp_path: Path, shards: dict[str, Any], every: int
) -> None:
    strategy, routes, module = make_strategy(2, shards=shards), Routes(), Numbered()
    callbacks = [ce.WeightedAggregation(every_n_steps=every), routes]
    trainer = make_trainer(tmp_path, strategy, callbacks=callbacks, max_epochs=3)
    trainer.fit(module, numbered(shuffle=True), numbered())
    owners = strategy.local_data.shards.node
    assert len(module.seen) == len(routes.nodes) == 12
    for seen, nodes in zip(module.seen, routes.nodes, strict=True):
        np.testing.assert_array_equal(nodes, owners[seen.numpy()])
    for epoch in range(3):
        of_epoch = torch.cat(module.seen[4 * epoch : 4 * epoch + 4])
        assert sorted(of_epoch.tolist()) == NUMBERS.tolist()
    tasks = strategy.simulator.accounts.tasks[:-1]
    np.testing.assert_array_equal(tasks, 3 * strategy.local_data.shards.sizes)


def test_the_projects_own_pictures_are_sharded_too(tmp_path: Path) -> None:
    strategy = ce.CloudEdgeStrategy(
        fleet=make_strategy().fleet, offloading={"split_point": 2}, shards={"by": "dirichlet", "min_size": 4}
    )
    data = ce.SyntheticDataModule(
        num_classes=CLASSES, num_train=96, num_test=32, image_size=8, batch_size=16, augment=True
    )
    module = ce.CloudEdgeModule(SmallNet(norm=True), num_classes=CLASSES)
    aggregation = ce.WeightedAggregation(every_n_steps=4, weighting="samples")
    trainer = make_trainer(tmp_path, strategy, callbacks=[aggregation], max_epochs=2)
    trainer.fit(module, datamodule=data)
    labels = data.splits.train.labels.numpy()
    counts = strategy.local_data.shards.class_counts(labels, CLASSES)
    assert counts.sum() == len(labels)
    assert strategy.nodes is None, "the nodes are done with when the run is"


def test_samples_owned_are_the_weights(tmp_path: Path) -> None:
    noted: list[Any] = []

    class Note(pl.Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            nodes = trainer.strategy.nodes
            noted.append([node[0].detach().clone() for node in nodes.replicas.parameters])

    strategy = make_strategy(2, shards={"by": "dirichlet", "min_size": 3})
    module = Numbered()
    aggregation = ce.WeightedAggregation(every_n_steps=4, weighting="samples")
    make_trainer(tmp_path, strategy, callbacks=[Note(), aggregation], max_epochs=1).fit(module, numbered())
    sizes = strategy.local_data.shards.sizes
    mean = sum(int(size) * weight for size, weight in zip(sizes, noted[-1], strict=True)) / int(sizes.sum())
    torch.testing.assert_close(module.net.stem.weight.detach(), mean)


def test_bad_shards_are_refused(tmp_path: Path) -> None:
    class Stream(IterableDataset):
        def __iter__(self) -> Any:
            return iter([(*pair, 0) for pair in pictures(16)])

    class Batches:
        def __iter__(self) -> Any:
            return iter(numbered())

    def fit(loader: Any, **shards: Any) -> None:
        make_trainer(tmp_path, make_strategy(2, shards=shards)).fit(Numbered(), loader)

    with pytest.raises(DataError, match="IterableDataset"):
        fit(DataLoader(Stream(), batch_size=4), by="iid")
    with pytest.raises(ValueError, match="Did you mean 'dirichlet'"):
        fit(numbered(), by="dirichelt")
    with pytest.raises(ValueError, match="alpha"):
        fit(numbered(), by="dirichlet", alpha=-1.0)
    with pytest.raises(StrategyError, match="torch DataLoader"):
        fit(Batches(), by="iid")
