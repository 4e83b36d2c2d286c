"""``cloudedge export``: a bundle from a run's checkpoint, and one clear line where there can be none."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from cloudedge_pl.serving import Manifest
from tests.commands.command_line import CommandLine, cloudedge

QUICK = [
    "model=resnet18",
    "fleet.memory_bytes=96e6",
    "data=synthetic",
    "data.num_train=64",
    "data.num_test=32",
    "data.batch_size=32",
    "data.num_classes=4",
    "exits.threshold=0.9",
    "callbacks.dormancy.mode=deadline",
    "trainer.max_epochs=1",
    "callbacks.progress=null",
]
BEST = "ckpt=run/checkpoints/best.ckpt"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained run."""
    folder = tmp_path_factory.mktemp("export")
    done = cloudedge(folder, "train", *QUICK, "hydra.run.dir=run")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_a_checkpoint_becomes_a_bundle(run: Path) -> None:
    done = cloudedge(run, "export", BEST, "dir=bundle", "whole=true")
    assert done.returncode == 0, done.stdout + done.stderr
    manifest = Manifest.read(run / "bundle")
    manifest.check_hashes()
    for name, part in manifest.parts.items():
        assert f" {name} " in done.stdout
        assert part.largest_difference <= 1e-4
    assert "batches of 1, 2 and 7" in done.stdout
    assert "above 0.9" in done.stdout
    assert manifest.id[:12] in done.stdout
    assert (manifest.model, manifest.num_classes, manifest.format) == ("resnet18", 4, "onnx")
    assert (manifest.exits.threshold, manifest.dormancy.mode) == (0.9, "deadline")
    assert manifest.preprocessing is not None
    assert manifest.run == {"seed": 0, "checkpoint": "best.ckpt"}
    assert (run / "bundle" / "triton" / "cloud" / "1" / "model.onnx").is_file()
    shape = (3, *manifest.image.shape[1:])
    session = onnxruntime.InferenceSession(manifest.path("whole"))
    assert session.run(None, {"image": np.zeros(shape, np.float32)})[0].shape == (3, 4)


@pytest.fixture
def export(run: Path, cloudedge_here: CommandLine, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """Runs ``cloudedge export`` in this process, in the folder with the trained run."""
    monkeypatch.chdir(run)
    return partial(cloudedge_here, "export")


def test_keys_of_the_run_and_of_the_command_are_given_alike(run: Path, export: CommandLine) -> None:
    assert export(BEST, "dir=other", "format=torch", "exits.threshold=0.5") is None
    manifest = Manifest.read(run / "other")
    assert (manifest.format, manifest.exits.threshold) == ("torch", 0.5)
    assert {part.largest_difference for part in manifest.parts.values()} == {0.0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ckpt=run/checkpoints/absent.ckpt"], "no checkpoint at run/checkpoints/absent.ckpt"),
        ([BEST, "format=foo"], "unknown format of a bundle 'foo'"),
        ([BEST, "whole=perhaps"], "whole is 'perhaps'; it must be true or false"),
        ([BEST, "dir=run"], "which is of no bundle"),
        ([BEST, "offloading.split_point=3"], "the checkpoint was cut at split point"),
        (["ckpt=run/damaged.ckpt"], "cannot be read"),
    ],
)
def test_what_cannot_be_exported_gives_one_clear_line(
    run: Path, export: CommandLine, arguments: list[str], message: str
) -> None:
    damaged = run / "run" / "damaged.ckpt"
    damaged.write_bytes((run / "run" / "checkpoints" / "best.ckpt").read_bytes()[:-1000])
    said = str(export(*arguments))
    assert message in said
    assert "Traceback" not in said


def test_help_names_its_own_keys(export: CommandLine, capfd: pytest.CaptureFixture[str]) -> None:
    assert not export("--help")
    shown = capfd.readouterr().out
    for key in ("ckpt=PATH", "dir=bundle", "format=onnx", "whole=false", "exits=default"):
        assert key in shown
