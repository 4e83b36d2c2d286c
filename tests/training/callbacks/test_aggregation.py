"""What the callbacks say of a run: their order does not matter, and a subclass decides in its own way."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import cloudedge_pl as ce
from cloudedge_pl.lightning import pl
from tests.training.helpers import (
    OtherModule,
    SmallNet,
    loader,
    make_strategy,
    make_trainer,
    parameters_of,
)


def seeded_module() -> OtherModule:
    torch.manual_seed(1)
    return OtherModule(SmallNet(norm=True))


def test_reversed_callbacks_give_the_same_numbers(tmp_path: Path) -> None:
    class Sometimes(ce.CloudDormancy):
        def decide(self, state: Any, delay_seconds: float) -> Any:
            return replace(state, awake=not state.awake)

    class Reader(pl.Callback):
        """What another callback sees after each batch."""

        def __init__(self) -> None:
            self.weights: list[torch.Tensor] = []
            self.clocks: list[float] = []

        def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
            self.weights.append(module.net.stem.weight.detach().clone())
            self.clocks.append(trainer.strategy.simulator.clock_seconds)

    runs = []
    for order in (1, -1):
        pl.seed_everything(0)
        module, strategy, reader = seeded_module(), make_strategy(2, variation=0.5), Reader()
        aggregation = ce.WeightedAggregation(every_n_steps=3, failure_rate=0.1)
        interrupt = ce.InterruptCheckpoint(str(tmp_path))
        callbacks = [Sometimes(), ce.CostLogger(), aggregation, interrupt, reader][::order]
        trainer = make_trainer(
            tmp_path, strategy, callbacks=callbacks, max_epochs=4, enable_checkpointing=True
        )
        trainer.fit(module, loader(), loader(seed=1))
        numbers = {name: float(value) for name, value in trainer.callback_metrics.items()}
        books = json.dumps(strategy.simulator.state_dict())
        runs.append((parameters_of(module), books, numbers, reader.weights, reader.clocks))
    (weights, books, *one), (other_weights, other_books, *other) = runs
    assert books == other_books
    assert {"aggregation/interval_steps", "aggregation/failures", "cost/awake"} <= one[0].keys()
    torch.testing.assert_close([other_weights, *other], [weights, *one], rtol=0, atol=0, equal_nan=True)


class EveryOtherThenThird(ce.WeightedAggregation):
    """Intervals of two and of three steps, in turn; notes what it is asked with."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.asked: list[tuple[int, bool]] = []

    def should_aggregate(self, progress: Any, clock_seconds: float, epoch_ends: bool) -> bool:
        self.asked.append((progress.steps, epoch_ends))
        assert clock_seconds > 0
        return progress.total_steps % 5 in (2, 0)


def test_a_subclass_says_when_to_aggregate(tmp_path: Path) -> None:
    spread: list[bool] = []

    class Spread(pl.Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            weights = [node[0].detach() for node in trainer.strategy.run.edge.replicas.parameters]
            spread.append(any(not torch.equal(each, weights[0]) for each in weights))

    strategy, callback = make_strategy(2), EveryOtherThenThird()
    trainer = make_trainer(tmp_path, strategy, callbacks=[Spread(), callback], max_epochs=4)
    trainer.fit(seeded_module(), loader())
    assert callback.asked == [
        (1, False), (2, False), (1, True), (2, False), (3, False), (1, True),
        (2, False), (1, False), (2, True), (3, False), (1, False), (2, True),
    ]  # fmt: skip
    differs = [step % 5 not in (2, 0) for step in range(1, 13)]
    assert spread == differs
    assert strategy.run.aggregation.aggregations == 5
    bytes_each = 2 * 3 * strategy.deployment.edge_parameter_bytes()
    assert strategy.simulator.accounts.sync_bytes.sum() == pytest.approx(5 * bytes_each)


def test_steps_left_over_are_averaged_before_the_module_hears_that_training_ends(tmp_path: Path) -> None:
    averaged: list[bool] = []

    class Module(OtherModule):
        def on_train_end(self) -> None:
            aggregation = self.trainer.strategy.run.aggregation  # type: ignore[attr-defined]
            averaged.append(aggregation.progress.steps == 0)

    class Stop(pl.Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            trainer.should_stop = trainer.global_step == 2

    torch.manual_seed(1)
    strategy = make_strategy(2)
    callbacks = [Stop(), ce.WeightedAggregation(every_n_steps=8)]
    make_trainer(tmp_path, strategy, callbacks=callbacks).fit(Module(SmallNet()), loader())
    assert averaged == [True]
    assert strategy.run.aggregation.aggregations == 1
