"""A step runs once, and its loss on the exit head's logits is what a second run of it would give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from cloudedge_pl.errors import StrategyError
from cloudedge_pl.lightning import pl
from cloudedge_pl.training.strategies.cloudedge import CloudEdgeStrategy
from tests.training.helpers import CLASSES, OtherModule, SmallNet, loader, make_strategy, make_trainer


class Plain(OtherModule):
    """Cross-entropy, with everything that a step may do beside."""

    def __init__(self) -> None:
        torch.manual_seed(1)
        super().__init__(SmallNet())
        self.outputs: list[Tensor] = []
        self.steps = {"count": 0}

    def made(self, logits: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return functional.cross_entropy(logits, y)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        loss = self.made(self(x), x, y)
        self.outputs.append(loss.detach())
        self.steps["count"] += 1
        self.losses.append(float(loss.detach()))
        return loss


class InPlace(Plain):
    def made(self, logits: Tensor, x: Tensor, y: Tensor) -> Tensor:
        logits /= 2.0
        logits[:, 0] *= 1.5
        loss = functional.cross_entropy(logits, y)
        loss += 0.01 * sum(p.square().sum() for p in self.net.head.parameters())
        return loss


class HeadOutside(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.outer = nn.Sequential(nn.BatchNorm1d(CLASSES), nn.Dropout(0.5), nn.Linear(CLASSES, CLASSES))

    def made(self, logits: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return functional.cross_entropy(self.outer(logits), y)


class TwoViews(Plain):
    def made(self, logits: Tensor, x: Tensor, y: Tensor) -> Tensor:
        other = self.net(x.flip(-1))
        with torch.no_grad():
            soft = other.softmax(1)
        hard, _ = torch.stack([logits, other]).max(0)
        return functional.cross_entropy(hard, y) - (soft * logits.log_softmax(1)).sum(1).mean()


class Looks(Plain):
    """Cannot be replayed: a number leaves the tensors and comes back."""

    def made(self, logits: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return functional.cross_entropy(logits, y) * float(logits.abs().max() < 100)


class _Halved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x / 2

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] / 2


class OwnFunction(Plain):
    """Cannot be replayed: what a function of one's own does is not recorded."""

    def made(self, logits: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return functional.cross_entropy(_Halved.apply(logits), y) + 0.1 * logits.square().mean()


def trained(root: Path, kind: type[Plain], dtype: Any, records: bool, monkeypatch: Any) -> tuple[Plain, bool]:
    pl.seed_everything(3)
    module, strategy = kind(), make_strategy()
    if not records:
        name = "cloudedge_pl.training.cut.joint_loss.is_compiled"
        monkeypatch.setattr(name, lambda module: True)
    precision = "64-true" if dtype == torch.float64 else "32-true"
    make_trainer(root, strategy, precision=precision).fit(module, loader(dtype=dtype))
    monkeypatch.undo()
    return module, strategy.run.joint_loss.records


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("kind", "replays"),
    [
        (Plain, True),
        (InPlace, True),
        (HeadOutside, True),
        (TwoViews, True),
        (Looks, False),
        (OwnFunction, False),
    ],
)
def test_the_loss_is_that_of_two_evaluations_and_effects_happen_once(
    tmp_path: Path, kind: type[Plain], replays: bool, dtype: Any, monkeypatch: Any
) -> None:
    once, recorded = trained(tmp_path, kind, dtype, True, monkeypatch)
    twice, _ = trained(tmp_path, kind, dtype, False, monkeypatch)
    assert recorded == replays
    for module in (once, twice):
        assert len(module.outputs) == len(module.losses) == module.steps["count"] == 6
    assert once.losses == pytest.approx(twice.losses, rel=1e-6)
    for name, value in twice.state_dict().items():
        # A penalty on weights has one gradient, of both losses together, where two evaluations add two.
        torch.testing.assert_close(once.state_dict()[name], value, msg=name)


def test_a_step_that_is_replayed_is_entered_once(tmp_path: Path) -> None:
    entered: list[int] = []

    class Counted(Plain):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            entered.append(batch_idx)
            return super().training_step(batch, batch_idx)

    make_trainer(tmp_path, make_strategy(), max_epochs=1).fit(Counted(), loader())
    assert entered[-2:] == [1, 2]
    assert entered.count(1) == 1  # the first batch also shows, before the training, what reaches the backbone


@pytest.mark.parametrize("way", ["version", "data"])
def test_a_momentum_update_in_a_step_that_must_run_twice_is_refused(tmp_path: Path, way: str) -> None:
    class Teacher(Looks):
        def __init__(self) -> None:
            super().__init__()
            self.teacher = nn.Linear(CLASSES, CLASSES).requires_grad_(False)

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            with torch.no_grad():
                weight = self.teacher.weight.data if way == "data" else self.teacher.weight
                weight.mul_(0.9)
            return super().training_step(batch, batch_idx)

    with pytest.raises(StrategyError, match=r"teacher\.weight.*edge_loss_weight=0"):
        make_trainer(tmp_path, make_strategy()).fit(Teacher(), loader())
    strategy: CloudEdgeStrategy = make_strategy(edge_loss_weight=0)
    make_trainer(tmp_path, strategy, max_epochs=1).fit(Teacher(), loader())
    assert strategy.simulator.accounts.tasks.sum() == 48
