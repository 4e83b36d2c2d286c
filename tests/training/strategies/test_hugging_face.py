"""Hugging Face's classifiers, whose forward pass torch.fx cannot follow, cut after modules that are named by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    ConvNextConfig,
    ConvNextForImageClassification,
    ResNetConfig,
    ResNetForImageClassification,
    ViTConfig,
    ViTForImageClassification,
)

import cloudedge_pl as ce
from cloudedge_pl.errors import StrategyError, UntraceableBackboneError
from cloudedge_pl.partition import profile, trace
from tests.training.helpers import CLASSES, OtherModule, loader, make_strategy, make_trainer


def vit() -> nn.Module:
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = ViTConfig(**sizes, image_size=8, patch_size=2, hidden_dropout_prob=0.1, num_labels=CLASSES)
    return ViTForImageClassification(config)


def resnet() -> nn.Module:
    sizes: dict[str, Any] = {
        "embedding_size": 8,
        "hidden_sizes": [8, 16],
        "depths": [1, 1],
        "layer_type": "basic",
    }
    return ResNetForImageClassification(ResNetConfig(**sizes, num_labels=CLASSES))


def convnext() -> nn.Module:
    sizes: dict[str, Any] = {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2, "patch_size": 2}
    return ConvNextForImageClassification(ConvNextConfig(**sizes, num_labels=CLASSES))


CUTS = [
    (vit, ["vit.embeddings", "vit.layers.0", "vit.layers.1"]),
    (resnet, ["resnet.embedder", "resnet.encoder.stages.0", "resnet.encoder.stages.1.layers.0"]),
    (convnext, ["convnext.embeddings", "convnext.encoder.stages.0.layers.0", "convnext.encoder.stages.1"]),
]


@pytest.mark.parametrize(("make", "names"), CUTS, ids=["vit", "resnet", "convnext"])
def test_a_cut_after_named_modules_changes_nothing(make: Any, names: list[str]) -> None:
    net, x = make(), torch.randn(3, 3, 8, 8)
    chain = trace(net, x[:1], split_modules=names)
    assert net.training, "as before"
    assert chain.names[1:4] == tuple(names)
    net.eval()
    for at in range(chain.num_segments + 1):
        assert torch.equal(chain.cloud(at)(chain.edge(at)(x)), net(x).logits)
    edge = chain.edge_parameters(2)
    assert set(edge) == {
        n for n, _ in net.named_parameters() if n.startswith((*(f"{m}." for m in names[:2]),))
    }
    costs = profile(chain, x[:1])
    assert (costs.segment_flops > 0).all()
    used = sum(p.numel() * 4 for n, p in net.named_parameters() if n in chain.parameter_segments)
    assert costs.segment_trainable_bytes.sum() == used


class ByKeyword(OtherModule):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(pixel_values=x).logits


class WithLabels(OtherModule):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.net(batch[0], labels=batch[1]).loss


@pytest.mark.parametrize("every", [1, 2], ids=["shared", "replicas"])
@pytest.mark.parametrize(("make", "names"), CUTS[:2], ids=["vit", "resnet"])
def test_training_and_prediction(tmp_path: Path, make: Any, names: list[str], every: int) -> None:
    torch.manual_seed(0)
    module, strategy = ByKeyword(make()), make_strategy(2, split_modules=names)
    callbacks = [ce.WeightedAggregation(every_n_steps=every)]
    before = {name: p.detach().clone() for name, p in module.net.named_parameters()}
    make_trainer(tmp_path, strategy, max_epochs=2, callbacks=callbacks).fit(module, loader())
    assert strategy.deployment is not None
    still = [
        n
        for n in strategy.deployment.chain.parameter_segments
        if torch.equal(before[n], module.net.get_parameter(n))
    ]
    assert not [n for n in still if not n.endswith("k_proj.bias")], (
        "only attention's key bias has no gradient"
    )
    predicted = make_trainer(tmp_path, make_strategy(2, split_modules=names)).predict(module, loader())
    module.eval()
    with torch.no_grad():
        expected = torch.cat([module(x) for x, _ in loader()])
    torch.testing.assert_close(torch.cat(predicted), expected)  # type: ignore[arg-type]


def test_a_loss_inside_the_backbone_is_refused(tmp_path: Path) -> None:
    strategy = make_strategy(2, split_modules=CUTS[0][1])
    with pytest.raises(StrategyError, match="Compute the loss from what it returns"):
        make_trainer(tmp_path, strategy).fit(WithLabels(vit()), loader())


class GoesRound(nn.Module):
    """Its input is used once more behind the first layer, as a skip connection over a named module is."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.one(x))
        return self.head(self.two(x) + x)


def test_what_cannot_be_cut_by_hand_is_refused() -> None:
    x = torch.zeros(1, 4)
    for names, reason in (
        (["one", "two"], "bypasses"),
        (["two", "one"], "in the order in which they are named"),
        (["three"], "no submodule 'three'"),
    ):
        with pytest.raises(UntraceableBackboneError, match=reason):
            trace(GoesRound(), x, split_modules=names)
    with pytest.raises(UntraceableBackboneError, match="split_modules="):
        trace(vit(), torch.zeros(1, 3, 8, 8))
