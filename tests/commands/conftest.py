"""Fixtures of the commands' tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from cloudedge_pl.commands.cli import main
from tests.commands.command_line import CommandLine


@pytest.fixture
def cloudedge_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """Runs commands in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CLOUDEDGE_TRACE", raising=False)

    def run(*arguments: str) -> object:
        GlobalHydra.instance().clear()
        monkeypatch.setattr(sys, "argv", ["cloudedge", *arguments])
        try:
            main()
        except SystemExit as end:
            return end.code
        return None

    return run
