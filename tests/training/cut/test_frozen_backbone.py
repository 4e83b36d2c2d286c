"""A step that lets no gradient pass to its backbone trains the exit head, which stands in for that, or is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import cloudedge_pl as ce
from cloudedge_pl.errors import StrategyError
from cloudedge_pl.lightning import pl
from tests.training.helpers import CLASSES, OtherModule, SmallNet, loader, make_strategy, make_trainer


class Frozen(OtherModule):
    """Trains a classifier on features, which it may compute by other means than requires_grad_(False)."""

    def __init__(self) -> None:
        torch.manual_seed(1)
        super().__init__(SmallNet(), weight_decay=0.0)
        self.outer = nn.Linear(CLASSES, CLASSES)

    def features(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = functional.cross_entropy(self.outer(self.features(batch[0])), batch[1])
        self.losses.append(float(loss.detach()))
        return loss


class NoGrad(Frozen):
    def features(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return functional.normalize(self.net(x))


class Inference(Frozen):
    def features(self, x: Tensor) -> Tensor:
        with torch.inference_mode():
            features = self.net(x)
        return features.clone()


class Detached(Frozen):
    def features(self, x: Tensor) -> Tensor:
        return self.net(x).detach()


class Unrecordable(Frozen):
    """Reads a value before the loss is made, which no record replays."""

    def features(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            features = self.net(x)
        assert features.isfinite().all()
        return features


class UnrecordableWithin(Frozen):
    def features(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            features = self.net(x)
            assert features.isfinite().all()
            return features * 2


class Weights(pl.Callback):
    """The exit head's, before the run and after it."""

    def _note(self, trainer: Any, module: Any) -> list[Tensor]:
        return [p.detach().clone() for p in trainer.strategy.run.own_parameters]

    def on_train_start(self, trainer: Any, module: Any) -> None:
        self.before = self._note(trainer, module)

    def on_train_end(self, trainer: Any, module: Any) -> None:
        self.after = self._note(trainer, module)


def all_move(tmp_path: Path, module: Frozen, callbacks: Sequence[Any]) -> bool:
    """Whether a run trains every weight of the exit head."""
    weights = Weights()
    make_trainer(tmp_path, make_strategy(), callbacks=[*callbacks, weights]).fit(module, loader())
    return not any(map(torch.equal, weights.before, weights.after))


@pytest.mark.parametrize("every", [1, 2], ids=["shared", "replicas"])
@pytest.mark.parametrize("kind", [NoGrad, Inference, Detached, Unrecordable])
def test_the_exit_head_learns_on_features_that_are_not_trained(tmp_path: Path, kind: Any, every: int) -> None:
    module = kind()
    net = [p.detach().clone() for p in module.net.parameters()]
    assert all_move(tmp_path, module, [ce.WeightedAggregation(every_n_steps=every)])
    assert all(map(torch.equal, net, module.net.parameters())), "and the backbone does not"


@pytest.mark.parametrize("kind", [NoGrad, Detached])
def test_it_learns_while_the_cloud_sleeps(tmp_path: Path, kind: Any) -> None:
    class Asleep(pl.Callback):
        def setup(self, trainer: Any, module: Any, stage: str) -> None:
            trainer.strategy.policies.dormancy = lambda state, delay: replace(state, awake=False)

    assert all_move(tmp_path, kind(), [Asleep()])


def test_targets_made_without_gradients_stay_constant(tmp_path: Path) -> None:
    """A second call under no_grad makes targets: the exit head gets the gradient of the first one alone."""

    class Distilled(OtherModule):
        detaches = False

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            logits = self.net(batch[0])
            with torch.set_grad_enabled(self.detaches):
                targets = self.net(batch[0].flip(-1)).detach()
            return functional.mse_loss(logits, targets)

    weights = []
    for detaches in (False, True):
        torch.manual_seed(1)
        module, strategy = Distilled(SmallNet()), make_strategy()
        module.detaches = detaches
        make_trainer(tmp_path, strategy, max_epochs=1).fit(module, loader())
        assert strategy.deployment is not None
        weights.append([p.detach() for p in strategy.run.own_parameters])
    assert all(map(torch.equal, *weights))


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (UnrecordableWithin, {}, r"no gradient pass to SmallNet.*edge_loss_weight=0"),
        (
            NoGrad,
            {"codec": "bottleneck"},
            "learned codec",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused(
    tmp_path: Path, kind: Any, options: dict[str, Any], message: str
) -> None:
    strategy = make_strategy(2, **options)
    with pytest.raises(StrategyError, match=message):
        make_trainer(tmp_path, strategy, max_epochs=1).fit(kind(), loader())
