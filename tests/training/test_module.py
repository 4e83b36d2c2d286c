"""The package's own module: its optimizer has the settings that were given, its schedule the steps that there are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from torch.utils.data import DataLoader, IterableDataset

import cloudedge_pl as ce
from cloudedge_pl.lightning import pl
from cloudedge_pl.training.module import ENDLESS_SCHEDULES, SCHEDULES
from tests.training.helpers import CLASSES, SmallNet, loader, make_trainer, pictures


def make_module(**options: Any) -> ce.CloudEdgeModule:
    return ce.CloudEdgeModule(SmallNet(), num_classes=CLASSES, learning_rate=0.01, **options)


class WithoutLength(IterableDataset):
    def __iter__(self) -> Iterator[Any]:
        yield from pictures()


class Settings(pl.Callback):
    """Notes what the optimizer steps with; lets the training end in its second epoch."""

    def __init__(self, key: str) -> None:
        self.key, self.seen = key, []

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self.seen.append(trainer.optimizers[0].param_groups[0][self.key])
        trainer.should_stop = trainer.current_epoch > 0


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_the_momentum_is_the_one_that_was_given(tmp_path: Path, schedule: str, momentum: float) -> None:
    for optimizer, key, expected in (("sgd", "momentum", momentum), ("adamw", "betas", (momentum, 0.999))):
        settings = Settings(key)
        module = make_module(schedule=schedule, momentum=momentum, optimizer=optimizer)
        make_trainer(tmp_path, callbacks=[settings]).fit(module, loader())
        assert settings.seen == [expected] * 4


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("max_epochs", [-1, 2])
def test_a_training_of_unknown_length(tmp_path: Path, schedule: str, max_epochs: int) -> None:
    data = loader() if max_epochs == -1 else DataLoader(WithoutLength(), batch_size=16)
    settings = Settings("lr")
    trainer = make_trainer(tmp_path, callbacks=[settings], max_epochs=max_epochs)
    module = make_module(schedule=schedule)
    if schedule in ENDLESS_SCHEDULES:
        trainer.fit(module, data)
        assert settings.seen == [0.01] * 4
        return
    reason = rf"schedule='{schedule}'.*\(max_steps=-1, max_epochs={max_epochs}\).*schedule='constant'"
    with pytest.raises(ValueError, match=reason):
        trainer.fit(module, data)


def test_a_number_of_steps_is_enough(tmp_path: Path) -> None:
    settings = Settings("lr")
    trainer = make_trainer(tmp_path, callbacks=[settings], max_epochs=-1, max_steps=5)
    trainer.fit(make_module(), loader())
    assert len(set(settings.seen)) == 4
