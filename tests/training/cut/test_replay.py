"""The second evaluation of a step draws what the first drew, and leaves no trace."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from cloudedge_pl.errors import StrategyError
from tests.training.helpers import CLASSES, OtherModule, SmallNet, loader, make_strategy, make_trainer

SOURCES: dict[str, Any] = {
    "numpy": lambda: np.random.default_rng(3),
    "torch": lambda: torch.Generator().manual_seed(3),
    "python": lambda: random.Random(3),
    "global": lambda: None,
}


def permutation(source: Any, count: int) -> Tensor:
    if isinstance(source, np.random.Generator):
        return torch.from_numpy(source.permutation(count))
    if isinstance(source, random.Random):
        return torch.tensor(source.sample(range(count), count))
    return torch.randperm(count, generator=source)


class Shuffling(OtherModule):
    """Permutes its batch, and notes whose labels meet the logits."""

    def __init__(self, source: Any, noted: list[Tensor]) -> None:
        torch.manual_seed(1)
        super().__init__(SmallNet())
        self.source = source
        self.note = noted.append

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        order = permutation(self.source, len(batch[0]))
        x, y = batch[0][order], batch[1][order]
        self.note(y)
        logits = self(x)
        assert logits.isfinite().all()  # looks at values before the loss is made, which no record replays
        return functional.cross_entropy(logits, y)


@pytest.mark.parametrize("source", SOURCES)
def test_both_evaluations_draw_the_same(tmp_path: Path, source: str) -> None:
    cut_labels: list[Tensor] = []
    plain_labels: list[Tensor] = []
    cut = Shuffling(SOURCES[source](), cut_labels)
    plain = Shuffling(SOURCES[source](), plain_labels)
    torch.manual_seed(0)
    make_trainer(tmp_path, make_strategy(), max_epochs=1).fit(cut, loader())
    cut_labels = [
        y for y in cut_labels if len(y) == 16
    ]  # without the sample that shows what reaches the backbone
    for first, second in zip(cut_labels[::2], cut_labels[1::2], strict=True):
        assert torch.equal(first, second)
    assert any(
        not torch.equal(one, other) for one, other in zip(cut_labels[::2], cut_labels[2::2], strict=False)
    )
    if source != "global":  # nor is a draw skipped or doubled
        make_trainer(tmp_path, "auto", max_epochs=1).fit(plain, loader())
        for one, other in zip(cut_labels[::2], plain_labels, strict=True):
            assert torch.equal(one, other)


HIDDEN = np.random.default_rng(5)


def test_a_source_that_cannot_be_rewound_is_an_error(tmp_path: Path) -> None:
    class Sly(OtherModule):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            order = torch.from_numpy(HIDDEN.permutation(len(batch[0])))
            logits = self(batch[0][order])
            assert logits.isfinite().all()
            return functional.cross_entropy(logits, batch[1][order])

    module = Sly(SmallNet())
    with pytest.raises(StrategyError, match="edge_loss_weight=0"):
        make_trainer(tmp_path, make_strategy(), max_epochs=1).fit(module, loader())


class Adversarial(OtherModule):
    """Trains on pictures moved along the gradient; the graph of that gradient is freed."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch[0].clone().requires_grad_(), batch[1]
        (slope,) = torch.autograd.grad(functional.cross_entropy(self(x), y), x)
        return functional.cross_entropy(self((x + 0.1 * slope.sign()).detach()), y)


def test_a_step_that_asks_for_its_inputs_gradient_needs_training_without_exit_head(tmp_path: Path) -> None:
    with pytest.raises(StrategyError, match=r"a second time.*edge_loss_weight=0"):
        make_trainer(tmp_path, make_strategy(), max_epochs=1).fit(Adversarial(SmallNet()), loader())
    strategy = make_strategy(edge_loss_weight=0)
    make_trainer(tmp_path, strategy, max_epochs=1).fit(Adversarial(SmallNet()), loader())
    assert strategy.simulator.accounts.tasks.sum() == 48


def test_buffers_outside_the_backbone_move_once(tmp_path: Path) -> None:
    class Normed(OtherModule):
        def __init__(self) -> None:
            torch.manual_seed(1)
            super().__init__(SmallNet())
            self.norm = nn.BatchNorm1d(CLASSES)
            self.register_buffer("queue", torch.zeros(48))
            self.register_buffer("pointer", torch.zeros((), dtype=torch.long))

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            x, y = batch
            at = int(self.pointer)
            self.queue[at : at + len(x)] += 1.0
            self.pointer += len(x)
            return functional.cross_entropy(self.norm(self(x)), y)

    module = Normed()
    make_trainer(tmp_path, make_strategy(), max_epochs=1).fit(module, loader())
    assert module.norm.num_batches_tracked == 3
    assert module.pointer == 48
    assert torch.equal(module.queue, torch.ones(48))
