"""Foreign modules on tokens, on features, and what reaches the backbone rather than what the data holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics.classification import MulticlassAccuracy

import cloudedge_pl as ce
from cloudedge_pl.errors import UntraceableBackboneError
from cloudedge_pl.partition import trace
from tests.training.helpers import (
    CLASSES,
    OtherModule,
    ResidualBlock,
    SmallNet,
    loader,
    make_fleet,
    make_strategy,
    make_trainer,
)
from tests.training.text import LstmClassifier, TransformerClassifier, text_loader, texts

TEXT = [LstmClassifier, TransformerClassifier]


@pytest.mark.parametrize("kind", TEXT)
def test_a_cut_through_text_changes_nothing(kind: Any) -> None:
    net, tokens = kind().eval(), texts(4).tensors[0]
    chain = trace(net, tokens[:1])
    assert chain.num_segments >= 4
    assert chain.live_bytes(0) == tokens[0].numel() * 4, "int32"
    for split_point in range(chain.num_segments + 1):
        assert torch.equal(chain.cloud(split_point)(chain.edge(split_point)(tokens)), net(tokens))


def test_the_layers_of_a_transformer_encoder_are_split_points() -> None:
    names = trace(TransformerClassifier(), texts(1).tensors[0]).names
    assert names == ("input", "embedding", "encoder.layers.0", "encoder.layers.1", "head")


@pytest.mark.parametrize("every", [1, 3], ids=["shared", "replicas"])
@pytest.mark.parametrize("kind", TEXT)
def test_text_is_learnt_and_answered_as_uncut(tmp_path: Path, kind: Any, every: int) -> None:
    torch.manual_seed(0)
    module, strategy = OtherModule(kind(), lr=0.2), make_strategy(2)
    callbacks = [ce.WeightedAggregation(every_n_steps=every)]
    make_trainer(tmp_path, strategy, max_epochs=12, callbacks=callbacks).fit(module, text_loader())
    assert strategy.plan.profile.input_shape == (10,)
    assert sum(module.losses[-6:]) < 0.9 * sum(module.losses[:6])
    predicted = make_trainer(tmp_path, make_strategy(2)).predict(module, text_loader())
    module.eval()
    with torch.no_grad():
        assert torch.equal(torch.cat(predicted), torch.cat([module(x) for x, _ in text_loader()]))  # type: ignore[arg-type]


class Maps(nn.Module):
    """A feature extractor: maps [B, 8, 4, 4], or their means."""

    def __init__(self, pooled: bool) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.block = ResidualBlock(8, norm=True)
        self.pooled = pooled

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(torch.relu(self.stem(x)))
        return x.mean((2, 3)) if self.pooled else x


class HeadOutside(OtherModule):
    def __init__(self, pooled: bool) -> None:
        super().__init__(Maps(pooled))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(8 if pooled else 128, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.net(x))


@pytest.mark.parametrize("pooled", [True, False])
def test_an_exit_head_gives_features_where_the_backbone_does(tmp_path: Path, pooled: bool) -> None:
    torch.manual_seed(0)
    module, strategy = HeadOutside(pooled), make_strategy(1)
    make_trainer(tmp_path, strategy, max_epochs=4).fit(module, loader())
    deployment = strategy.deployment
    assert deployment is not None
    assert deployment.exit_head is not None
    live = deployment.chain.edge(1)(torch.randn(2, 3, 8, 8))
    features = deployment.exit_head(live)
    assert features.shape == module.net(torch.randn(2, 3, 8, 8)).shape
    head_before = module.head[1].weight.detach().clone()
    functional.cross_entropy(module.head(features), torch.tensor([0, 1])).backward()
    assert torch.equal(module.head[1].weight, head_before)
    assert all(p.grad is not None for p in deployment.exit_head.parameters())
    assert module.losses[-1] < module.losses[0]


class Resizing(OtherModule):
    """Makes its pictures larger in its step, with whatever a step does besides."""

    def __init__(self) -> None:
        super().__init__(SmallNet())
        self.register_buffer("seen", torch.zeros(()))
        self.batches: list[int] = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.batches.append(batch_idx)
        self.seen += len(batch[0])
        self.log("noise", torch.rand(()))
        return super().training_step((functional.interpolate(batch[0], size=(16, 16)), batch[1]), batch_idx)


def test_the_plan_is_for_what_reaches_the_backbone(tmp_path: Path, recwarn: Any) -> None:
    module, states = Resizing(), []
    for example in (torch.zeros(1, 3, 16, 16), None):
        strategy = make_strategy(2, example_input=example)
        torch.manual_seed(0)
        make_trainer(tmp_path, strategy, max_epochs=0).fit(module, loader())
        assert strategy.plan.profile.input_shape == (3, 16, 16)
        states.append(torch.get_rng_state())
    assert module.batches == []
    assert module.seen == 0
    assert torch.equal(*states), "random numbers are drawn as if nothing had been looked at"
    make_trainer(tmp_path, make_strategy(2), max_steps=1).fit(module, loader())
    assert not [w for w in recwarn if "reach SmallNet" in str(w.message)]


def test_another_shape_than_the_plans_is_said(tmp_path: Path) -> None:
    strategy = make_strategy(2, example_input=torch.zeros(1, 3, 8, 8))
    with pytest.warns(UserWarning, match=r"example_input=torch.zeros\(1, 3, 16, 16\)"):
        make_trainer(tmp_path, strategy, max_steps=1).fit(Resizing(), loader())


class WholeModule(OtherModule):
    """Its own forward is the network; a metric is no part of that."""

    def __init__(self) -> None:
        super().__init__(SmallNet(norm=True))
        self.accuracy = MulticlassAccuracy(CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) * 2

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        logits = self(x)
        self.log("accuracy", self.accuracy(logits, y))
        return functional.cross_entropy(logits, y)


def test_the_whole_module_is_cut(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = WholeModule()
    strategy = ce.CloudEdgeStrategy(fleet=make_fleet(), backbone="", offloading={"split_point": 2})
    names = list(module.state_dict())
    make_trainer(tmp_path, strategy).fit(module, loader(), loader())
    assert strategy.plan.split_point == 2
    assert list(module.state_dict()) == names
    assert strategy.deployment is not None
    x = torch.randn(4, 3, 8, 8)
    module.eval()
    chain = strategy.deployment.chain
    assert torch.equal(chain.cloud(2)(chain.edge(2)(x)), module(x))
    again = ce.CloudEdgeStrategy(backbone="", offloading={"split_point": 2}, codec="none")
    predicted = make_trainer(tmp_path, again).predict(module, loader())
    assert torch.equal(torch.cat(predicted), torch.cat([module(x) for x, _ in loader()]))  # type: ignore[arg-type]


def test_shape_errors_name_the_example_input(tmp_path: Path) -> None:
    strategy = make_strategy(2, example_input=torch.zeros(1, 5, 8, 8))
    with pytest.raises(
        UntraceableBackboneError, match=r"example_input=torch.zeros\(1, \.\.\.\).*example_input_array"
    ):
        make_trainer(tmp_path, strategy).fit(OtherModule(SmallNet()), loader())
