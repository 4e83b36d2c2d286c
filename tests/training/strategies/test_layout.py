"""What lies how in memory is the user's: code that views weights, gradients or activations goes on working."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import cloudedge_pl as ce
from cloudedge_pl.lightning import pl
from tests.training.helpers import CLASSES, OtherModule, loader, make_strategy, make_trainer

INTERVALS = [1, 3]
"""One pass with shared weights, and a replica for each node."""


class LeNet(nn.Module):
    """PyTorch's tutorial's, for pictures of 8 pixels; the second convolution is heavy enough to become a product."""

    def __init__(self, width: int = 160) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.fc1 = nn.Linear(width * 2 * 2, 16)
        self.fc2 = nn.Linear(16, CLASSES)
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(functional.relu(self.conv1(x)))
        x = self.pool(functional.relu(self.conv2(x)))
        x = x.view(-1, self.width * 2 * 2)
        return self.fc2(functional.relu(self.fc1(x)))


class WholeViews(nn.Module):
    """Views whole maps of several pixels, before and behind a heavy convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 160, 3, stride=4, padding=1)
        self.norm = nn.BatchNorm2d(160)
        self.conv2 = nn.Conv2d(160, 160, 3, padding=1)
        self.head = nn.Linear(160 * 4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.conv1(x)))
        x = x.view(x.size(0), 160 * 4).view(x.size(0), 160, 2, 2)
        x = self.conv2(x).view(x.size(0), 160 * 4)
        return self.head(functional.relu(x))


def fit(root: Path, module: pl.LightningModule, every: int, split_point: int = 2, **options: Any) -> Any:
    callbacks = [ce.WeightedAggregation(every_n_steps=every), *options.pop("callbacks", [])]
    strategy = make_strategy(split_point, **options)
    trainer = make_trainer(root, strategy, callbacks=callbacks, max_epochs=1)
    trainer.fit(module, loader(), loader(seed=1))
    return trainer


@pytest.mark.parametrize("every", INTERVALS)
@pytest.mark.parametrize("split_point", [0, 1, 2, 3])
@pytest.mark.parametrize("make", [LeNet, WholeViews])
def test_a_backbone_that_views_its_maps(tmp_path: Path, make: Any, split_point: int, every: int) -> None:
    module = OtherModule(make())
    fit(tmp_path, module, every, split_point)
    assert len(module.losses) == 3


@pytest.mark.parametrize("codec", ["float16", "int8", "top_k", "bottleneck"])
def test_a_cloud_part_that_views_what_a_codec_gives(tmp_path: Path, codec: str) -> None:
    for split_point in (1, 2):
        module = OtherModule(WholeViews())
        strategy = make_strategy(split_point, codec=codec)
        make_trainer(tmp_path, strategy, max_steps=1).fit(module, loader())
        assert len(module.losses) == 1


class Viewing(OtherModule):
    """Views weights and gradients in every hook that has them."""

    def __init__(self) -> None:
        super().__init__(WholeViews())
        self.norms: list[Tensor] = []

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        stepped = [p for group in optimizer.param_groups for p in group["params"]]
        self.norms += [p.grad.view(-1).norm() for p in (*stepped, *self.parameters()) if p.grad is not None]
        self.norms += [p.view(-1).norm() for p in (*stepped, *self.parameters())]
        shapes = {tuple(p.shape) for p in stepped}
        assert (160, 160, 3, 3) in shapes

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        self.clip_gradients(optimizer, gradient_clip_val=1.0, gradient_clip_algorithm="value")
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.grad.view(-1).clamp_(-0.5, 0.5)

    def on_after_backward(self) -> None:
        self.norms += [p.grad.view(-1).norm() for p in self.parameters() if p.grad is not None]


@pytest.mark.parametrize("every", INTERVALS)
def test_hooks_that_view_weights_and_gradients(tmp_path: Path, every: int) -> None:
    module = Viewing()
    fit(tmp_path, module, every)
    assert module.norms


@pytest.mark.parametrize("every", INTERVALS)
def test_hooks_of_layers_that_view_activations_and_their_gradients(tmp_path: Path, every: int) -> None:
    module, seen = OtherModule(WholeViews()), []

    def forwards(layer: nn.Module, inputs: Any, out: Tensor) -> None:
        seen.append(inputs[0].view(-1).sum() + out.view(-1).sum())

    def backwards(layer: nn.Module, of_inputs: Any, of_outputs: Any) -> None:
        seen.extend(gradient.view(-1).sum() for gradient in (*of_inputs, *of_outputs) if gradient is not None)

    for layer in module.net.children():
        layer.register_forward_hook(forwards)
        layer.register_full_backward_hook(backwards)
    fit(tmp_path, module, every)
    assert seen


@pytest.mark.parametrize("every", INTERVALS)
def test_lightnings_pruning(tmp_path: Path, every: int) -> None:
    module = OtherModule(WholeViews())
    pruned = [(module.net.conv2, "weight"), (module.net.head, "weight")]
    pruning = pl.callbacks.ModelPruning("l1_unstructured", pruned, amount=0.5)
    fit(tmp_path, module, every, split_point=1, callbacks=[pruning])
    assert (module.net.conv2.weight == 0).float().mean() >= 0.5


@pytest.mark.parametrize("every", INTERVALS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_users_layout_is_kept_everywhere(tmp_path: Path, layout: Any, every: int) -> None:
    """A module that its user has converted runs in channels_last from end to end; one that is not, nowhere."""
    maps: list[Tensor] = []

    class Net(WholeViews):
        def forward(self, x: Tensor) -> Tensor:
            first = self.norm(self.conv1(x))
            second = self.conv2(functional.relu(first))
            return self.head(second.flatten(1))

    net = Net().to(memory_format=layout)
    for layer in (net.conv1, net.norm, net.conv2):
        layer.register_forward_hook(
            lambda _, inputs, out: maps.extend((inputs[0], out)) if net.training else None
        )
    trainer = fit(tmp_path, OtherModule(net), every, split_point=2)
    heavy = [net.conv2.weight]
    if every > 1:
        replicas = trainer.strategy.run.edge.replicas
        heavy += [replica[replicas.names.index("conv2.weight")] for replica in replicas.parameters]
    assert all(weight.is_contiguous(memory_format=layout) for weight in heavy)
    seen = [value for value in maps if value.shape[1] > 3 and not value.is_meta]
    assert seen
    assert all(value.is_contiguous(memory_format=layout) for value in seen)


def test_the_packages_own_module_converts_its_backbone_on_request() -> None:
    for wanted in (False, True):
        weight = ce.CloudEdgeModule(LeNet(), CLASSES, channels_last=wanted).backbone.conv2.weight
        assert weight.is_contiguous(memory_format=torch.channels_last) is wanted
