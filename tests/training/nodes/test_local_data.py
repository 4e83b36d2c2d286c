"""Training data that stays with the nodes that own it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import cloudedge_pl as ce
from cloudedge_pl.errors import DataError, StrategyError
from cloudedge_pl.lightning import pl
from cloudedge_pl.training.nodes.local_data import LocalData
from tests.training.helpers import (
    CLASSES,
    OtherModule,
    SmallNet,
    make_strategy,
    make_trainer,
    note_before_averages,
    pictures,
)

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
    """Keeps which node ran each sample, and of which class that was."""

    def __init__(self) -> None:
        self.nodes: list[np.ndarray] = []
        self.labels: list[np.ndarray] = []

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, *_: Any) -> None:
        self.nodes.append(trainer.strategy.record.assignment.node)
        self.labels.append(batch[-1].numpy())


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
        fleet=make_strategy().settings.fleet,
        offloading={"split_point": 2},
        shards={"by": "dirichlet", "min_size": 4},
    )
    data = ce.SyntheticDataModule(
        num_classes=CLASSES,
        num_train=96,
        num_test=32,
        image_size=8,
        val_fraction=0.1,
        batch_size=16,
        augment=True,
    )
    module = ce.CloudEdgeModule(SmallNet(norm=True), num_classes=CLASSES)
    aggregation, routes = ce.WeightedAggregation(every_n_steps=4, weighting="samples"), Routes()
    trainer = make_trainer(tmp_path, strategy, callbacks=[aggregation, routes], max_epochs=2)
    trainer.fit(module, datamodule=data)
    labels, owners = data.splits.train.labels.numpy(), strategy.local_data.shards.node
    owned = Counter(zip(owners.tolist(), labels.tolist(), strict=True))
    for epoch in range(2):
        of_epoch = slice(epoch * len(routes.nodes) // 2, (epoch + 1) * len(routes.nodes) // 2)
        nodes, classes = np.concatenate(routes.nodes[of_epoch]), np.concatenate(routes.labels[of_epoch])
        ran = Counter(zip(nodes.tolist(), classes.tolist(), strict=True))
        assert ran <= owned
        assert ran.total() == len(labels) // 16 * 16, "whole batches"


def test_samples_owned_are_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[Any] = []
    note_before_averages(
        monkeypatch,
        lambda replicas: noted.append([node[0].detach().clone() for node in replicas.parameters]),
    )
    strategy, routes = make_strategy(2, shards={"by": "dirichlet", "min_size": 3}), Routes()
    module = Numbered()
    aggregation = ce.WeightedAggregation(every_n_steps=3, weighting="samples")
    callbacks = [routes, aggregation]
    trainer = make_trainer(
        tmp_path, strategy, callbacks=callbacks, max_epochs=1, limit_train_batches=3, limit_val_batches=0
    )
    trainer.fit(module, numbered())
    sizes = strategy.local_data.shards.sizes
    tasks = np.bincount(np.concatenate(routes.nodes), minlength=len(sizes))
    assert np.abs(tasks / tasks.sum() - sizes / sizes.sum()).max() > 1e-3, (
        "else weights by tasks would pass, too"
    )
    mean = sum(int(size) * weight for size, weight in zip(sizes, noted[-1], strict=True)) / int(sizes.sum())
    torch.testing.assert_close(module.net.stem.weight.detach(), mean)


def test_bad_shards_are_refused(tmp_path: Path) -> None:
    class Stream(IterableDataset):
        def __iter__(self) -> Any:
            return iter([(*pair, 0) for pair in pictures(16)])

    class Batches:
        def __iter__(self) -> Any:
            return iter(numbered())

    class Repeated(DataLoader):
        def __iter__(self) -> Any:
            return (batch for batch in super().__iter__() for _ in range(2))

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
    with pytest.raises(DataError, match="a Repeated, which overrides __iter__"):
        fit(Repeated(TensorDataset(*pictures(16).tensors), batch_size=4), by="iid")


def test_overfit_batches_are_the_same_in_every_epoch(tmp_path: Path) -> None:
    strategy, routes, module = make_strategy(2, shards={"by": "iid"}), Routes(), Numbered()
    trainer = make_trainer(tmp_path, strategy, callbacks=[routes], max_epochs=3, overfit_batches=2)
    trainer.fit(module, numbered(shuffle=True))
    seen = [numbers.tolist() for numbers in module.seen]
    assert len(seen) == len(routes.nodes) == 6
    assert seen[:2] == seen[2:4] == seen[4:]
    assert not set(seen[0]) & set(seen[1])
    owners = strategy.local_data.shards.node
    for numbers, nodes in zip(seen, routes.nodes, strict=True):
        np.testing.assert_array_equal(nodes, owners[numbers])


def test_who_owns_what_is_saved_and_drawn_as_the_docstring_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strategy = make_strategy(2, shards={"by": "dirichlet", "min_size": 3})
    with pytest.raises(StrategyError, match="shards exist from on_train_start on"):
        strategy.local_data.class_counts()
    make_trainer(tmp_path, strategy, max_epochs=1).fit(Numbered(), numbered())
    monkeypatch.chdir(tmp_path)
    example = (LocalData.__doc__ or "").split("draw it::\n")[1].split("Args:")[0]
    exec(dedent(example), {"strategy": strategy})
    np.testing.assert_array_equal(ce.Shards.load(Path("shards.json")).node, strategy.local_data.shards.node)
    assert Path("shards.png").stat().st_size > 5_000


def test_the_classes_are_named_by_the_data_module_the_data_set_or_their_numbers(tmp_path: Path) -> None:
    def local_data(**fit: Any) -> LocalData:
        strategy = make_strategy(2, shards={"by": "iid"})
        make_trainer(tmp_path, strategy, max_epochs=1).fit(OtherModule(SmallNet()), **fit)
        return strategy.local_data

    data = pictures(64)
    y = data.tensors[1]
    numbers = [str(label) for label in range(CLASSES)]
    plain = local_data(train_dataloaders=DataLoader(data, batch_size=16))
    assert plain.class_names() == numbers
    owned = Counter(zip(plain.shards.node.tolist(), y.tolist(), strict=True))
    cells = [[owned[node, label] for label in range(CLASSES)] for node in range(3)]
    assert plain.class_counts().tolist() == cells

    data.classes = ["cat", "dog", "owl", "yak", "bee", "none"]
    named = local_data(train_dataloaders=DataLoader(data, batch_size=16))
    assert named.class_names() == data.classes
    assert named.class_counts().tolist() == [[*row, 0] for row in cells]

    data.classes = np.array(["cat", "dog", "owl", "yak", "bee"])
    assert local_data(train_dataloaders=DataLoader(data, batch_size=16)).class_names() == list(data.classes)
    data.classes = ["too", "few"]
    assert local_data(train_dataloaders=DataLoader(data, batch_size=16)).class_names() == numbers

    module = ce.SyntheticDataModule(
        num_classes=CLASSES, num_train=64, num_test=16, image_size=8, val_fraction=0.1, batch_size=16
    )
    assert local_data(datamodule=module).class_names() == list(module.class_names)
