"""``ckpt=newest`` is the best checkpoint of the newest run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from cloudedge_pl.commands.checkpoint_command import run_on_checkpoint


def write_run(folder: Path, written_at: int) -> Path:
    """A run with a checkpoint and a config, which holds when it was written."""
    checkpoint = folder / "checkpoints" / "best.ckpt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "config.yaml").write_text(f"written_at: {written_at}\n")
    os.utime(checkpoint, (written_at, written_at))
    return checkpoint


def test_the_newest_run_is_the_one_whose_checkpoint_was_written_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(Path("outputs/2026-01-02/10-00-00"), 1_000)
    write_run(Path("outputs/2026-01-01/10-00-00"), 2_000)
    given: list[list[str]] = []
    monkeypatch.setattr(sys, "argv", ["cloudedge", "ckpt=newest", "seed=1"])
    run_on_checkpoint("evaluate", lambda: given.append(sys.argv[1:]))
    newest = Path("outputs/2026-01-01/10-00-00/checkpoints/best.ckpt")
    assert str(newest) in capsys.readouterr().out
    (arguments,) = given
    assert any(str(newest.resolve()) in each for each in arguments)
    assert "seed=1" in arguments


@pytest.mark.parametrize(("arguments", "message"), [(["ckpt=newest"], "train first"), ([], "or ckpt=newest")])
def test_what_to_do_without_one(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["cloudedge", *arguments])
    with pytest.raises(SystemExit, match=message):
        run_on_checkpoint("evaluate", lambda: None)
