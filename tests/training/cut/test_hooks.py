"""Hooks on the modules of a cut backbone fire as on the plain one, or are refused where the cut runs through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from cloudedge_pl.errors import StrategyError
from cloudedge_pl.lightning import pl
from cloudedge_pl.partition import trace
from tests.training.helpers import OtherModule, SmallNet, loader, make_strategy, make_trainer


class Hooked:
    """Hooks of every kind on some submodules, which note what they see."""

    def __init__(self, net: nn.Module, names: list[str]) -> None:
        self.seen: list[tuple[str, str, tuple[int, ...]]] = []
        for name in names:
            module = net.get_submodule(name)
            module.register_forward_pre_hook(self._noting("pre", name), with_kwargs=True)
            module.register_forward_hook(self._noting("forward", name))
            module.register_full_backward_pre_hook(self._noting("backward pre", name))
            module.register_full_backward_hook(self._noting("backward", name))

    def _noting(self, kind: str, name: str) -> Any:
        def note(_module: nn.Module, values: Any, *_: Any) -> None:
            first = values[0] if isinstance(values, tuple) else values
            assert isinstance(first, Tensor) or (kind, name[:4]) == ("backward", "stem"), (
                "tensors, with values"
            )
            assert first is None or first.device.type == "cpu"
            self.seen.append((kind, name, () if first is None else tuple(first.shape)))

        return note


def seen(tmp_path: Path, net: nn.Module, names: list[str], strategy: Any) -> Any:
    hooked = Hooked(net, names)
    make_trainer(tmp_path, strategy, max_epochs=1).fit(OtherModule(net), loader(), loader())
    return hooked.seen


class Pair(nn.Module):
    """Takes a keyword and gives two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor, *, scale: float) -> tuple[Tensor, Tensor]:
        return self.left(x), self.right(x) * scale


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU())
        self.pair = Pair()
        self.blocks = nn.Sequential(SmallNet().block, SmallNet().block)
        self.head = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 5))

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.pair(self.stem(x), scale=0.5)
        return self.head(self.blocks(left + right).mean((2, 3)))


WHOLE = ["stem", "stem.0", "pair", "pair.left", "blocks.0", "blocks.0.conv1", "blocks.1", "head", "head.2"]


def test_hooks_fire_as_on_the_plain_network(tmp_path: Path) -> None:
    runs = []
    for strategy in (make_strategy(split_at(Nested(), "blocks.0.conv2"), edge_loss_weight=0), "auto"):
        torch.manual_seed(0)
        runs.append(seen(tmp_path, Nested(), WHOLE, strategy))
    assert {kind for kind, *_ in runs[0]} == {"pre", "forward", "backward pre", "backward"}
    assert runs[0] == runs[1]


def split_at(net: nn.Module, name: str) -> int:
    return trace(net, torch.zeros(1, 3, 8, 8)).names.index(name)


def test_what_a_hook_returns_goes_on(tmp_path: Path) -> None:
    class Returns(pl.Callback):
        """Hooks, in the middle of the set-up, a container that runs whole in the cloud."""

        def on_train_start(self, trainer: Any, module: Any) -> None:
            module.net.head.register_forward_hook(lambda _module, _inputs, output: output * 0)

    module = OtherModule(Nested())
    strategy = make_strategy(2, edge_loss_weight=0)
    make_trainer(tmp_path, strategy, max_steps=1, callbacks=[Returns()]).fit(module, loader())
    assert module.losses[0] == pytest.approx(torch.tensor(5.0).log().item()), "all logits are 0"


def test_a_hook_on_what_the_cut_runs_through_is_refused(tmp_path: Path) -> None:
    net = Nested()
    net.blocks.register_forward_hook(lambda *_: None)
    module, strategy = OtherModule(net), make_strategy(split_at(net, "blocks.0.conv2"))
    with pytest.raises(StrategyError, match=r"runs through blocks of Nested, which is hooked"):
        make_trainer(tmp_path, strategy, max_epochs=1).fit(module, loader())


def test_a_summary_hooks_what_it_likes(tmp_path: Path) -> None:
    module = OtherModule(Nested())
    module.example_input_array = torch.zeros(1, 3, 8, 8)
    summary = pl.callbacks.ModelSummary(max_depth=-1)
    strategy = make_strategy(split_at(Nested(), "blocks.0.conv2"))
    make_trainer(tmp_path, strategy, max_steps=1, callbacks=[summary]).fit(module, loader())


def test_planning_fires_no_hook() -> None:
    net = torchvision.models.resnet18(num_classes=5)
    hooked = Hooked(net, ["conv1", "layer2", "layer2.0", "fc"])
    trace(net, torch.zeros(1, 3, 32, 32))
    names = ["layer1", "layer2", "layer3"]
    trace(net, torch.zeros(1, 3, 32, 32), split_modules=names)
    assert hooked.seen == []


def test_hooks_fire_once_where_the_split_is_by_hand(tmp_path: Path) -> None:
    """The named module, what runs before it, and what follows."""
    names = ["stem", "stem.0", "pair", "blocks.0", "blocks.0.conv1", "blocks.1", "head"]
    runs = []
    for by_hand in (True, False):
        torch.manual_seed(0)
        strategy: Any = "auto"
        if by_hand:
            strategy = make_strategy(2, split_modules=["stem", "blocks.0"], edge_loss_weight=0)
        runs.append(seen(tmp_path, Nested(), names, strategy))
    assert runs[0] == runs[1]
    net = Nested()
    net.blocks.register_forward_pre_hook(lambda *_: None)
    strategy = make_strategy(2, split_modules=["stem", "blocks.0"])
    with pytest.raises(StrategyError, match="runs through blocks"):
        make_trainer(tmp_path, strategy, max_epochs=1).fit(OtherModule(net), loader())
