"""What the commands add to a run: a warning of a metric that EarlyStopping waits for in vain."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from cloudedge_pl.commands.running import UnknownMonitors
from cloudedge_pl.lightning import pl
from tests.training.helpers import OtherModule, SmallNet, loader, make_trainer


def warned(root: Path, monitor: str, validates: bool = True) -> list[str]:
    stop = pl.callbacks.EarlyStopping(monitor, strict=False)
    trainer = make_trainer(root, callbacks=[UnknownMonitors(), stop])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer.fit(OtherModule(SmallNet()), loader(), loader(seed=1) if validates else None)
    return [str(each.message) for each in caught if "EarlyStopping monitors" in str(each.message)]


@pytest.mark.parametrize("validates", [True, False])
def test_a_metric_that_nothing_logs_is_named_once(tmp_path: Path, validates: bool) -> None:
    (message,) = warned(tmp_path, "val/los", validates)
    assert "'val/los', which nothing logs" in message
    assert "Logged are: loss" in message


def test_a_metric_that_is_logged_passes(tmp_path: Path) -> None:
    assert warned(tmp_path, "val_loss") == []
