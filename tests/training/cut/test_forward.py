"""The cut forward in other people's hands: called outside a step, copied, called with more than one input."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import cloudedge_pl as ce
from cloudedge_pl.errors import StrategyError
from cloudedge_pl.lightning import pl
from tests.training.helpers import OtherModule, SmallNet, loader, make_strategy, make_trainer


def seeded_net(**options: Any) -> SmallNet:
    torch.manual_seed(1)
    return SmallNet(**options)


class Curious(pl.Callback):
    """Runs the module wherever Lightning lets it."""

    def __init__(self) -> None:
        self.calls = 0

    def _look(self, trainer: Any, module: Any, *_: Any) -> None:
        module.net(torch.zeros(4, 3, 8, 8))
        assert trainer.strategy.run.forward.step is None, "a step is gone when it ends"
        self.calls += 1

    on_fit_start = on_train_start = on_validation_start = on_train_batch_start = on_train_batch_end = _look


def test_a_forward_outside_a_step_is_nobodys_task(tmp_path: Path) -> None:
    def fit(*callbacks: pl.Callback, **options: Any) -> tuple[dict[str, Any], OtherModule]:
        module, strategy = OtherModule(seeded_net()), make_strategy()
        module.example_input_array = torch.zeros(2, 3, 8, 8)
        trainer = make_trainer(tmp_path, strategy, callbacks=list(callbacks), max_epochs=1, **options)
        trainer.fit(module, loader(), loader(num=16))
        return strategy.simulator.state_dict(), module

    curious = Curious()
    plain, module = fit()
    watched, same = fit(curious, enable_model_summary=True)  # the summary runs the module on its example
    assert watched == plain
    assert curious.calls > 6
    for name, value in module.state_dict().items():
        assert torch.equal(value, same.state_dict()[name])


def test_outside_a_step_the_whole_network_answers_though_the_cloud_sleeps(tmp_path: Path) -> None:
    class Compare(ce.CloudDormancy):
        def decide(self, state: Any, delay_seconds: float) -> Any:
            return replace(state, awake=False)

        def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
            assert not trainer.strategy.record.awake
            x = torch.randn(4, 3, 8, 8)
            torch.testing.assert_close(module.net(x), SmallNet.forward(module.net, x))
            seen.append(True)

    seen: list[bool] = []
    make_trainer(tmp_path, make_strategy(), callbacks=[Compare()], max_epochs=1).fit(
        OtherModule(seeded_net()), loader()
    )
    assert seen


def test_a_copy_of_the_module_is_uncut(tmp_path: Path) -> None:
    copies: list[pl.LightningModule] = []

    class Copy(pl.Callback):
        def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
            copies.append(copy.deepcopy(module))

    make_trainer(tmp_path, make_strategy(), callbacks=[Copy()], max_epochs=1).fit(
        OtherModule(seeded_net()), loader()
    )
    x = torch.randn(4, 3, 8, 8)
    for each in copies:
        assert each.net.forward.__self__ is each.net
        assert torch.equal(each.net(x), SmallNet.forward(each.net, x))


def test_a_second_input_is_refused(tmp_path: Path) -> None:
    class Two(OtherModule):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return self.net(batch[0], True).sum()

    with pytest.raises(StrategyError, match="takes one tensor"):
        make_trainer(tmp_path, make_strategy()).fit(Two(seeded_net()), loader())


def test_a_step_may_be_skipped_before_the_backbone_is_reached(tmp_path: Path) -> None:
    class Picky(OtherModule):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return None if batch_idx == 1 else super().training_step(batch, batch_idx)

    strategy = make_strategy()
    make_trainer(tmp_path, strategy, max_epochs=1).fit(Picky(seeded_net()), loader())
    assert strategy.simulator.accounts.tasks.sum() == 32


def test_a_module_without_optimizer_runs(tmp_path: Path) -> None:
    class Still(OtherModule):
        def configure_optimizers(self) -> None:
            return None

    strategy = make_strategy()
    make_trainer(tmp_path, strategy, max_epochs=1).fit(Still(seeded_net()), loader())
    assert strategy.simulator.accounts.tasks.sum() == 48


@pytest.mark.parametrize("every", [1, 3])
def test_two_views_of_a_batch_go_through_in_one_step(tmp_path: Path, every: int) -> None:
    class Views(OtherModule):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            x, y = batch
            return functional.cross_entropy(self.net(x), y) + functional.cross_entropy(
                self.net(x.flip(-1)), y
            )

    strategy = make_strategy()
    aggregation = ce.WeightedAggregation(every_n_steps=every)
    make_trainer(tmp_path, strategy, callbacks=[aggregation], max_epochs=1).fit(Views(seeded_net()), loader())
    assert strategy.simulator.accounts.tasks.sum() == 48
