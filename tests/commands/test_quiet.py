"""What is no business of the user's stays out of a command's output, and only there."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path

import pytest

from cloudedge_pl.commands.quiet import LOGGERS, quiet_lightning
from tests.commands.command_line import cloudedge_process
from tests.commands.test_train import QUICK

NOISE = (
    "litlogger",
    "LeafSpec",
    "will be deleted",
    "The dirpath has changed",
    "TPU",
    "Warning",
    "deprecated",
)


def test_a_run_and_its_evaluation_say_what_is_for_the_user(tmp_path: Path) -> None:
    quick = [*QUICK, "trainer.max_epochs=1"]
    trained = cloudedge_process(tmp_path, "train", *quick, "hydra.run.dir=run")
    evaluated = cloudedge_process(
        tmp_path, "evaluate", "ckpt=run/checkpoints/best.ckpt", "hydra.run.dir=evaluated"
    )
    for done in (trained, evaluated):
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        assert not [noise for noise in NOISE if noise in said], said
        assert "GPU available" in said
    assert "resnet18 on 10 nodes" in trained.stdout
    assert json.loads((tmp_path / "run" / "plan.json").read_text())["model"] == "resnet18"
    again = cloudedge_process(tmp_path, "train", *quick, "hydra.run.dir=run")
    assert "will be deleted" in again.stdout + again.stderr, "there are earlier metrics now"


@pytest.mark.parametrize("name", LOGGERS)
def test_other_messages_and_other_warnings_are_heard(name: str, caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger(name)
    tip = "Tip: try installing [litlogger]"
    with caplog.at_level(logging.INFO, name), warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        logger.addHandler(caplog.handler)
        with quiet_lightning():
            logger.info(tip)
            logger.info("GPU available")
            warnings.warn("`isinstance(treespec, LeafSpec)` is deprecated", FutureWarning, stacklevel=1)
            warnings.warn("something else", FutureWarning, stacklevel=1)
        logger.info(tip)
        logger.removeHandler(caplog.handler)
    said = list(dict.fromkeys(record.getMessage() for record in caplog.records))
    assert said == ["GPU available", tip]
    assert [str(warning.message) for warning in heard] == ["something else"]
