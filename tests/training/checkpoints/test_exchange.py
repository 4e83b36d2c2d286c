"""Checkpoints between strategies, after a fit, without optimizer state, and those that do not fit."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch

import cloudedge_pl as ce
from cloudedge_pl.errors import CheckpointError
from cloudedge_pl.lightning import pl
from cloudedge_pl.training.checkpoints.optimizer_states import state_excluding, state_including
from tests.training.helpers import (
    OtherModule,
    SmallNet,
    loader,
    make_strategy,
    make_trainer,
    parameters_of,
)


def make_module() -> OtherModule:
    torch.manual_seed(1)
    return OtherModule(SmallNet(norm=True))


def fit(
    root: Path, strategy: Any, every: int | None = None, ckpt_path: Any = None, **options: Any
) -> tuple[OtherModule, pl.Trainer]:
    pl.seed_everything(3)
    module = make_module()
    callbacks = [] if every is None else [ce.WeightedAggregation(every_n_steps=every)]
    trainer = make_trainer(root, strategy, callbacks=callbacks, **options)
    trainer.fit(module, loader(), ckpt_path=ckpt_path)
    return module, trainer


def test_resuming_from_a_plain_checkpoint_keeps_its_momentum(tmp_path: Path) -> None:
    module, plain = fit(tmp_path, "auto", max_epochs=1)
    plain.save_checkpoint(tmp_path / "plain.ckpt")
    noted: dict[str, Any] = {}

    class Note(pl.Callback):
        def on_train_start(self, trainer: Any, module: Any) -> None:
            state = trainer.optimizers[0].state
            noted["momentum"] = [state[p]["momentum_buffer"].clone() for p in module.parameters()]

    strategy = make_strategy()
    trainer = make_trainer(tmp_path, strategy, callbacks=[Note()], max_epochs=2)
    with pytest.warns(UserWarning, match="exit head starts untrained"):
        trainer.fit(make_module(), loader(), ckpt_path=tmp_path / "plain.ckpt")
    for got, parameter in zip(noted["momentum"], module.parameters(), strict=True):
        assert torch.equal(got, plain.optimizers[0].state[parameter]["momentum_buffer"])
    assert strategy.simulator.accounts.tasks.sum() == 48


def test_the_plain_trainer_resumes_from_a_cut_one(tmp_path: Path) -> None:
    _, trainer = fit(tmp_path, make_strategy(), max_epochs=1)
    trainer.save_checkpoint(tmp_path / "cut.ckpt")
    _, resumed = fit(tmp_path, "auto", ckpt_path=tmp_path / "cut.ckpt", max_epochs=2)
    assert resumed.global_step == 6


def test_hidden_parameters_come_back_where_they_were() -> None:
    torch.manual_seed(0)
    shown, hidden, more = (torch.nn.Parameter(torch.randn(3)) for _ in range(3))
    optimizer = torch.optim.AdamW([{"params": [shown, hidden]}, {"params": [more], "lr": 0.5}])
    for parameter in (shown, hidden, more):
        parameter.grad = torch.randn(3)
    optimizer.step()
    whole = optimizer.state_dict()
    plain = torch.optim.AdamW([{"params": [shown]}, {"params": [more]}])
    plain.load_state_dict(state_excluding([hidden], optimizer))
    assert torch.equal(plain.state[more]["exp_avg"], optimizer.state[more]["exp_avg"])
    assert plain.param_groups[1]["lr"] == 0.5
    again = state_including(
        [hidden], [optimizer.state[hidden]], state_excluding([hidden], optimizer), optimizer
    )
    torch.testing.assert_close(again, whole, rtol=0, atol=0)


def test_a_checkpoint_saved_after_fit_resumes(tmp_path: Path) -> None:
    _, whole = fit(tmp_path, make_strategy(num_nodes=2), every=3, max_epochs=2)
    expected = parameters_of(whole.lightning_module)
    _, first = fit(tmp_path, make_strategy(num_nodes=2), every=3, max_epochs=1)
    first.save_checkpoint(tmp_path / "after.ckpt")
    module, _ = fit(tmp_path, make_strategy(num_nodes=2), 3, tmp_path / "after.ckpt", max_epochs=2)
    torch.testing.assert_close(parameters_of(module), expected, rtol=0, atol=0)


def test_weights_alone_hold_no_replica(tmp_path: Path) -> None:
    _, trainer = fit(tmp_path, make_strategy(), every=3)
    trainer.save_checkpoint(tmp_path / "weights.ckpt", weights_only=True)
    own = torch.load(tmp_path / "weights.ckpt", weights_only=True)["cloudedge"]
    assert own["nodes"] is None
    assert own["optimizer"] is None
    assert own["modules"]["exit_head"]
    make_trainer(tmp_path, make_strategy()).test(
        make_module(), loader(), ckpt_path=tmp_path / "weights.ckpt", verbose=False
    )


def test_what_nodes_have_learned_is_not_dropped_unsaid(tmp_path: Path) -> None:
    class Save(pl.Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            if trainer.global_step == 2:
                trainer.save_checkpoint(tmp_path / "middle.ckpt")

    trainer = make_trainer(
        tmp_path, make_strategy(), callbacks=[ce.WeightedAggregation(every_n_steps=4), Save()]
    )
    trainer.fit(make_module(), loader())
    with pytest.raises(CheckpointError, match="2 steps after an aggregation"):
        fit(tmp_path, make_strategy(), every=1, ckpt_path=tmp_path / "middle.ckpt")


def test_a_fleet_of_another_size_cannot_resume(tmp_path: Path) -> None:
    _, trainer = fit(tmp_path, make_strategy(num_nodes=4), max_epochs=1)
    trainer.save_checkpoint(tmp_path / "four.ckpt")
    with pytest.raises(CheckpointError, match="fleet of 4 nodes, this one has 6"):
        fit(tmp_path, make_strategy(num_nodes=6), ckpt_path=tmp_path / "four.ckpt")


def test_a_checkpoint_with_objects_in_it_is_not_called_corrupt(tmp_path: Path) -> None:
    _, trainer = fit(tmp_path, make_strategy(), max_epochs=1)
    trainer.save_checkpoint(tmp_path / "plain.ckpt")
    content = torch.load(tmp_path / "plain.ckpt", weights_only=True)
    torch.save({**content, "extra": functools.partial(print)}, tmp_path / "objects.ckpt")
    tester = make_trainer(tmp_path, make_strategy())
    with pytest.raises(CheckpointError, match="weights_only=False"):
        tester.test(make_module(), loader(), ckpt_path=tmp_path / "objects.ckpt", weights_only=True)
    tester.test(
        make_module(), loader(), ckpt_path=tmp_path / "objects.ckpt", weights_only=False, verbose=False
    )


def test_the_learning_rate_finder_leaves_no_trace(tmp_path: Path) -> None:

    noted: dict[str, Any] = {}

    class Note(pl.Callback):
        def on_train_start(self, trainer: Any, *_: Any) -> None:
            strategy = trainer.strategy
            noted.setdefault("windows", len(strategy.simulator.history))
            noted.setdefault("head", parameters_of(strategy.deployment.exit_head))

        def on_train_end(self, trainer: Any, *_: Any) -> None:
            noted["end"] = parameters_of(trainer.strategy.deployment.exit_head)

    strategy = make_strategy()
    finder = pl.callbacks.LearningRateFinder(num_training_steps=5, update_attr=False)
    trainer = make_trainer(
        tmp_path, strategy, callbacks=[finder, Note()], max_epochs=1, enable_checkpointing=True
    )
    module = make_module()
    trainer.fit(module, loader())
    assert len(strategy.simulator.history) == 3
    trainer.test(module, loader(), verbose=False)
    torch.testing.assert_close(parameters_of(strategy.deployment.exit_head), noted["end"], rtol=0, atol=0)
