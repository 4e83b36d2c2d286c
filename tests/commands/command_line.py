"""The command line, in this process or in one of its own. This process saves the seconds that imports take."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
from hydra.core.global_hydra import GlobalHydra

from cloudedge_pl.commands.cli import main


class CommandLine(Protocol):
    """Runs ``cloudedge ...`` and returns what it exits with: None where it ends well."""

    def __call__(self, *arguments: str) -> object: ...


@dataclass(frozen=True)
class Done:
    """A command that has ended: its status, and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


def called(*arguments: str) -> object:
    """Runs a command in this process and folder, and returns what it exits with."""
    GlobalHydra.instance().clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["cloudedge", *arguments])
        patch.delenv("CLOUDEDGE_TRACE", raising=False)
        try:
            main()
        except SystemExit as end:
            return end.code
    return None


def cloudedge(folder: Path, *arguments: str) -> Done:
    """Runs a command in this process, in a folder."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        end = called(*arguments)
    said = f"{end}\n" if isinstance(end, str) else ""  # as Python does
    status = end if isinstance(end, int) else int(end is not None)
    return Done(status, out.getvalue(), err.getvalue() + said)


def cloudedge_process(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a command as a user does: in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", "from cloudedge_pl.commands.cli import main; main()", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
