"""Fixtures of the commands' tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.command_line import CommandLine, called


@pytest.fixture
def cloudedge_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """Runs commands in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return called
