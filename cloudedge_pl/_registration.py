"""Runs an action once another package is imported, without importing it.

Lightning finds strategies by name in its registry, and importing Lightning takes seconds. This package therefore waits
until the user imports it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType


def when_imported(package: str, action: Callable[[], None]) -> None:
    """Calls ``action`` after ``package`` has been imported, or now if it has been."""
    if getattr(getattr(sys.modules.get(package), "__spec__", None), "_initializing", True) is False:
        action()
    else:
        sys.meta_path.insert(0, _Waiter(package, action))


class _Waiter(MetaPathFinder):
    """Finds no module itself, but adds a step to the package's own loader."""

    def __init__(self, package: str, action: Callable[[], None]) -> None:
        self.package, self.action = package, action

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.package:
            return None
        sys.meta_path.remove(self)  # the other finders find the package
        try:
            spec = find_spec(fullname)
        finally:
            sys.meta_path.insert(0, self)  # finding a package does not import it yet
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self)
        return spec


class _Loader(Loader):
    def __init__(self, loader: Loader, waiter: _Waiter) -> None:
        self.loader, self.waiter = loader, waiter

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        if self.waiter in sys.meta_path:
            sys.meta_path.remove(self.waiter)
            self.waiter.action()
