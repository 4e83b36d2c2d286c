"""A run that is stopped and resumed from its checkpoint equals the one that was not; bad checkpoints are refused."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

import cloudedge_pl as ce
from cloudedge_pl.errors import CheckpointError
from cloudedge_pl.lightning import pl
from cloudedge_pl.signals import Interrupted
from cloudedge_pl.training.module import SCHEDULES
from tests.training.helpers import (
    CLASSES,
    EXIT_HEAD,
    SGD,
    WORKLOAD,
    SmallNet,
    comparable,
    loader,
    make_fleet,
    make_trainer,
    parameters_of,
    pictures,
)


def make_module() -> ce.CloudEdgeModule:
    torch.manual_seed(1)
    net = SmallNet(norm=True, dropout=0.3)
    return ce.CloudEdgeModule(net, num_classes=CLASSES, learning_rate=0.05, **SGD)


def make_strategy(split_point: int = 2, scheduler: Any = "atsa") -> ce.CloudEdgeStrategy:
    return ce.CloudEdgeStrategy(
        fleet=make_fleet(3, variation=0.6),
        offloading={"split_point": split_point},
        scheduler=scheduler,
        workload=WORKLOAD,
        exit_head=EXIT_HEAD,
        codec="none",
    )


def make_data() -> ce.SyntheticDataModule:
    return ce.SyntheticDataModule(
        num_classes=CLASSES,
        num_train=96,
        num_test=32,
        image_size=8,
        val_fraction=0.1,
        batch_size=16,
        eval_batch_size=4,
        augment=True,
    )


def run(
    root: Path, strategy: ce.CloudEdgeStrategy, callbacks: Any = (), ckpt_path: Any = None, **options: Any
) -> Any:
    pl.seed_everything(7)
    module, data = make_module(), make_data()
    extra = [
        ce.CloudDormancy(sleep_ratio=1.1, wake_ratio=1.05, warmup_windows=2, dwell_windows=1),
        ce.WeightedAggregation(),
        ce.CostLogger(),
    ]
    trainer = make_trainer(root, strategy, callbacks=[*extra, *callbacks], max_epochs=4, **options)
    trainer.fit(module, datamodule=data, ckpt_path=ckpt_path, weights_only=True)
    return module, trainer


def state_of(module: Any, strategy: ce.CloudEdgeStrategy, trainer: Any) -> dict[str, Any]:
    optimizer = trainer.optimizers[0].state_dict()
    return {
        "weights": parameters_of(module),
        "exit": parameters_of(strategy.deployment.exit_head),
        "momentum": [entry["momentum_buffer"] for entry in optimizer["state"].values()],
        "lr": [group["lr"] for group in optimizer["param_groups"]],
        "simulator": strategy.simulator.state_dict(),
        "draw": torch.rand(3),
    }


def assert_same(got: Any, expected: Any) -> None:
    torch.testing.assert_close(comparable(got), comparable(expected), rtol=0, atol=0, equal_nan=True)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("whole")
    strategy = make_strategy()
    epochs = pl.callbacks.ModelCheckpoint(dirpath=root, filename="{epoch}", save_top_k=-1)
    steps = pl.callbacks.ModelCheckpoint(
        dirpath=root, filename="{step}", save_top_k=-1, every_n_train_steps=8
    )
    module, trainer = run(root, strategy, [epochs, steps], enable_checkpointing=True)
    state = state_of(module, strategy, trainer)
    asleep = [not awake for awake in strategy.simulator.history.columns()["awake"]]
    assert 0 < sum(asleep) < len(asleep), "the run must hold windows of both kinds to be worth comparing"
    return {"root": root, "state": state}


@pytest.mark.parametrize("checkpoint", ["epoch=0", "epoch=2", "step=8", "step=16"])
def test_resumed_equals_uninterrupted(tmp_path: Path, uninterrupted: dict[str, Any], checkpoint: str) -> None:
    strategy = make_strategy()
    path = uninterrupted["root"] / f"{checkpoint}.ckpt"
    module, trainer = run(tmp_path, strategy, ckpt_path=path)
    assert_same(state_of(module, strategy, trainer), uninterrupted["state"])


class Signal(pl.Callback):
    """Sends this process a signal at a hook, after so many steps, so many times."""

    def __init__(self, hook: str, step: int, signum: int = signal.SIGTERM, times: int = 1) -> None:
        def send(trainer: Any, *_: Any) -> None:
            if trainer.global_step == step and not trainer.sanity_checking and self.times:
                for _ in range(times):
                    self.times -= 1
                    os.kill(os.getpid(), signum)

        self.times = times
        setattr(self, hook, send)


@pytest.mark.parametrize(
    ("hook", "step", "signum"),
    [
        ("on_train_batch_start", 6, signal.SIGINT),
        ("on_before_optimizer_step", 7, signal.SIGTERM),
        ("on_validation_batch_start", 10, signal.SIGTERM),
        ("on_validation_epoch_end", 15, signal.SIGINT),
        ("on_train_epoch_end", 5, signal.SIGTERM),
        ("on_train_epoch_end", 20, signal.SIGTERM),
    ],
)
def test_a_signal_leaves_a_checkpoint_that_resumes(
    tmp_path: Path, uninterrupted: dict[str, Any], hook: str, step: int, signum: int
) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    callbacks = [Signal(hook, step, signum), ce.InterruptCheckpoint()]
    with pytest.raises(Interrupted) as stopped:
        run(tmp_path, make_strategy(), callbacks, enable_checkpointing=True)
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
    assert stopped.value.code == 128 + signum
    assert stopped.value.checkpoint == tmp_path / "interrupted.ckpt"
    strategy = make_strategy()
    module, trainer = run(tmp_path, strategy, ckpt_path=tmp_path / "interrupted.ckpt")
    got, expected = state_of(module, strategy, trainer), dict(uninterrupted["state"])
    if step == trainer.global_step:  # nothing was left to train, which sets no random state
        del got["draw"], expected["draw"]
    assert_same(got, expected)


class Validations(pl.Callback):
    """Notes the steps and the results of the validations that ended."""

    def __init__(self) -> None:
        self.seen: dict[int, float] = {}

    def on_validation_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if not trainer.sanity_checking:
            self.seen[trainer.global_step] = float(trainer.callback_metrics["val/loss"])


@pytest.fixture(
    scope="module", params=[{}, {"val_check_interval": 3, "check_val_every_n_epoch": None}], ids=str
)
def validated(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], dict[int, float]]:
    """Options of a trainer, and the validations of a run that nothing stops."""
    whole = Validations()
    options = {**request.param, "num_sanity_val_steps": 0, "enable_checkpointing": True}
    run(tmp_path_factory.mktemp("whole"), make_strategy(), [whole], **options)
    return options, whole.seen


@pytest.mark.parametrize(
    ("hook", "step"),
    [
        ("on_before_optimizer_step", 2),
        ("on_before_optimizer_step", 4),
        ("on_before_optimizer_step", 5),
        ("on_train_batch_start", 14),
        ("on_validation_batch_start", 15),
        ("on_validation_batch_end", 15),
        ("on_train_epoch_end", 15),
    ],
)
def test_no_validation_is_lost_or_cut_short(
    tmp_path: Path, validated: tuple[dict[str, Any], dict[int, float]], hook: str, step: int
) -> None:
    options, whole = validated
    first, second = Validations(), Validations()
    callbacks = [Signal(hook, step), first, ce.InterruptCheckpoint()]
    with pytest.raises(Interrupted) as stopped:
        run(tmp_path / "stopped", make_strategy(), callbacks, **options)
    run(tmp_path / "resumed", make_strategy(), [second], ckpt_path=stopped.value.checkpoint, **options)
    assert not first.seen.keys() & second.seen.keys()
    assert first.seen | second.seen == whole


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    callbacks = [Signal("on_train_batch_start", 6, signal.SIGINT, times=2), ce.InterruptCheckpoint()]
    with pytest.raises(Interrupted) as stopped:
        run(tmp_path, make_strategy(), callbacks, enable_checkpointing=True)
    assert stopped.value.at_once
    assert not list(tmp_path.glob("*.ckpt"))


def test_checkpoint_of_another_split_point(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match=r"split point 2.*split_point=2"):
        run(tmp_path, make_strategy(split_point=3), ckpt_path=uninterrupted["root"] / "epoch=0.ckpt")


def test_checkpoint_of_another_backbone(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    module = ce.CloudEdgeModule("resnet18", num_classes=CLASSES)
    trainer = make_trainer(tmp_path, make_strategy())
    with pytest.raises(CheckpointError, match="another backbone"):
        trainer.test(module, loader(), ckpt_path=uninterrupted["root"] / "epoch=0.ckpt", weights_only=True)


@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty"])
def test_damaged_checkpoint(tmp_path: Path, uninterrupted: dict[str, Any], damage: str) -> None:
    content = (uninterrupted["root"] / "epoch=0.ckpt").read_bytes()
    path = tmp_path / "damaged.ckpt"
    path.write_bytes(
        {"truncated": content[: len(content) // 2], "garbage": b"not a checkpoint", "empty": b""}[damage]
    )
    with pytest.raises(CheckpointError, match=r"damaged\.ckpt"):
        run(tmp_path, make_strategy(), ckpt_path=path)


def test_missing_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        run(tmp_path, make_strategy(), ckpt_path=tmp_path / "none.ckpt")


def test_test_after_fit_reads_the_checkpoint_and_leaves_the_books_alone(
    tmp_path: Path, uninterrupted: dict[str, Any]
) -> None:
    strategy = make_strategy()
    module, trainer = run(tmp_path, strategy)
    books = strategy.simulator.state_dict()
    path = uninterrupted["root"] / "epoch=0.ckpt"
    trainer.test(module, datamodule=make_data(), ckpt_path=path, verbose=False, weights_only=True)
    saved = torch.load(path, weights_only=True)
    assert strategy.simulator.state_dict() == books
    # the test starts from what the tested run knew of the link: no warm-up again
    assert (
        strategy.evaluation.dormancy.measurements
        >= saved["cloudedge"]["simulator"]["dormancy"]["measurements"]
        > 0
    )
    assert_same(
        parameters_of(strategy.deployment.exit_head), dict(saved["cloudedge"]["modules"]["exit_head"])
    )


def test_plain_lightning_checkpoint_loads_with_a_warning(tmp_path: Path) -> None:
    plain = make_trainer(tmp_path, "auto", max_epochs=1)
    module = make_module()
    plain.fit(module, datamodule=make_data())
    plain.save_checkpoint(tmp_path / "plain.ckpt")
    trainer = make_trainer(tmp_path, make_strategy())
    with pytest.warns(UserWarning, match="exit head"):
        trainer.test(
            make_module(),
            datamodule=make_data(),
            ckpt_path=tmp_path / "plain.ckpt",
            verbose=False,
            weights_only=True,
        )


def test_cut_checkpoint_loads_into_the_plain_trainer(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    module = make_module()
    trainer = make_trainer(tmp_path, "auto")
    path = uninterrupted["root"] / "epoch=2.ckpt"
    trainer.test(module, datamodule=make_data(), ckpt_path=path, verbose=False, weights_only=True)
    saved = torch.load(path, weights_only=True)["state_dict"]
    assert_same(parameters_of(module), dict(saved))


def test_ordinary_loaders_resume_at_the_end_of_an_epoch(tmp_path: Path) -> None:
    """Shuffling and dropout draw from the global generator, validation starts anew: the stream must not shift."""

    def fit(ckpt_path: Any = None, callbacks: Any = ()) -> Any:
        pl.seed_everything(7)
        module, strategy = make_module(), make_strategy()
        trainer = make_trainer(
            tmp_path, strategy, callbacks=list(callbacks), max_epochs=4, enable_checkpointing=bool(callbacks)
        )
        data = torch.utils.data.DataLoader(pictures(), batch_size=16, shuffle=True)
        trainer.fit(module, data, loader(seed=1), ckpt_path=ckpt_path, weights_only=True)
        return state_of(module, strategy, trainer)

    whole = fit(callbacks=[pl.callbacks.ModelCheckpoint(dirpath=tmp_path, filename="{epoch}", save_top_k=-1)])
    assert_same(fit(tmp_path / "epoch=1.ckpt"), whole)


def test_a_constant_schedule_takes_its_own_rate_after_a_resume(
    tmp_path: Path, uninterrupted: dict[str, Any]
) -> None:
    module = make_module()
    module.schedule = "constant"
    module._make_schedule = SCHEDULES["constant"]
    trainer = make_trainer(tmp_path, make_strategy(), callbacks=[ce.WeightedAggregation()], max_epochs=4)
    trainer.fit(
        module, datamodule=make_data(), ckpt_path=uninterrupted["root"] / "epoch=2.ckpt", weights_only=True
    )
    assert {group["lr"] for group in trainer.optimizers[0].param_groups} == {0.05}
