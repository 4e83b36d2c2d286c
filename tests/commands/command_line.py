"""The command line in this process, which saves the seconds that imports take; its fixture is in conftest.py."""

from __future__ import annotations

from typing import Protocol


class CommandLine(Protocol):
    """Runs ``cloudedge ...`` and returns what it exits with: None where it ends well."""

    def __call__(self, *arguments: str) -> object: ...
