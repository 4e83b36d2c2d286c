"""Which of the two packages of Lightning this process uses: ``pytorch_lightning`` or ``lightning``.

Both packages contain the same classes, and those of one are not subclasses of the other's. The classes of
``cloudedge_pl`` derive from one package, which is chosen once: by :func:`use`, else by the environment variable
CLOUDEDGE_LIGHTNING, else by what has been imported when the first of these classes is used.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from cloudedge_pl.errors import NamespaceError, lookup

VARIABLE = "CLOUDEDGE_LIGHTNING"
PACKAGES = {"pytorch_lightning": "pytorch_lightning", "lightning": "lightning.pytorch"}
"""Modules that hold the classes, by package."""

STRATEGIES = {
    "cloudedge": (
        "cloudedge_pl.training.strategies.cloudedge",
        "CloudEdgeStrategy",
        "cut between a fleet of edge nodes and a cloud",
    ),
}
"""Module, class and description of every strategy, by its name in ``Trainer(strategy=NAME)``."""

ENTRY_POINTS = ("fit", "validate", "test", "predict")
"""Methods of a Trainer that take modules and data."""

_decided: str | None = None


def use(package: str) -> None:
    """Chooses the package of Lightning that the classes of ``cloudedge_pl`` derive from.

    Args:
        package: "lightning" for projects that ``import lightning as L``, or "pytorch_lightning".

    Raises:
        ValueError: if the name is another one.
        NamespaceError: if the other package has been chosen already.
    """
    global _decided
    lookup(PACKAGES, package, "package of Lightning")
    if _decided not in (None, package):
        raise NamespaceError(
            f'use("{package}") comes too late: the classes of cloudedge_pl derive from {_decided} in this process. '
            f"Call it before the first of them is used, or set {VARIABLE}={package}."
        )
    _decided = package


def namespace(asking: str | None = None) -> str:
    """Returns the chosen package, and chooses one if none has been chosen.

    Args:
        asking: package of the Trainer that asks; it is chosen unless :func:`use` or the variable says otherwise.
    """
    if _decided is None:
        use(os.environ.get(VARIABLE) or asking or _imported())
    assert _decided is not None
    return _decided


def _imported() -> str:
    """Returns the imported package; if both or neither are imported, pytorch_lightning if it is installed."""
    if "pytorch_lightning" in sys.modules:
        return "pytorch_lightning"
    if PACKAGES["lightning"] in sys.modules or find_spec("pytorch_lightning") is None:
        return "lightning"
    return "pytorch_lightning"


def package_of(thing: object) -> str | None:
    """Returns the package of Lightning that an object's class derives from, or None."""
    for ancestor in type(thing).__mro__:
        package = ancestor.__module__.partition(".")[0]
        if package in PACKAGES:
            return package
    return None


def require_one_namespace(*things: object) -> None:
    """Checks that trainers, modules, callbacks and other objects derive from the chosen package.

    Raises:
        NamespaceError: naming the first object that derives from the other package.
    """
    ours = namespace()
    for thing in things:
        package = package_of(thing)
        if package not in (None, ours):
            raise _mixture(f"{type(thing).__name__} derives from {package}", ours, str(package))


def _mixture(what: str, ours: str, theirs: str) -> NamespaceError:
    return NamespaceError(
        f"{what}, the classes of cloudedge_pl derive from {ours} in this process, and classes of the two packages do "
        f"not mix. To use {theirs} everywhere, call cloudedge_pl.use({theirs!r}) right after `import cloudedge_pl` or "
        f"set {VARIABLE}={theirs}, and import nothing from {ours}; to use {ours} everywhere, import Trainer, "
        f"LightningModule, LightningDataModule and callbacks from {PACKAGES[ours]}."
    )


def register_strategies(package: str) -> None:
    """Registers the names of :data:`STRATEGIES` with a package of Lightning that has been imported."""
    strategies: Any = import_module(f"{PACKAGES[package]}.strategies")
    for name, (home, kind, description) in STRATEGIES.items():
        if name not in strategies.StrategyRegistry:
            strategies.StrategyRegistry.register(name, _creator(package, name), description=description)
        if home in sys.modules and hasattr(sys.modules[home], kind):
            admit(getattr(sys.modules[home], kind))
    trainers = [getattr(sys.modules.get(home), "Trainer", None) for home in PACKAGES.values()]
    if None not in trainers:  # no mixture is possible before both packages have been imported
        for trainer in trainers:
            for name in ENTRY_POINTS:
                setattr(trainer, name, _asking_first(getattr(trainer, name)))


def admit(strategy: type) -> None:
    """Lets the other package's Trainer accept the strategy, so that its ``connect`` can raise a helpful error.

    The Trainer's own error only says that the strategy is not a Strategy.
    """
    for package, home in PACKAGES.items():
        strategies: Any = sys.modules.get(f"{home}.strategies")
        if package != namespace() and hasattr(strategies, "Strategy"):
            strategies.Strategy.register(strategy)  # a virtual subclass: nothing but isinstance changes


def _asking_first(entry_point: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps a method of a Trainer so that it first checks for a mixture if one of our objects takes part.

    The Trainer's own errors only say that a LightningModule is not a LightningModule, or that a parent was expected.
    """

    @functools.wraps(entry_point)
    def checked(self: Any, *arguments: Any, **keywords: Any) -> Any:
        given = [getattr(each, "_orig_mod", each) for each in (*arguments, *keywords.values())]  # if compiled
        things = [self, self.strategy, *self.callbacks, *given]
        if any(is_ours(thing) for thing in things):
            require_one_namespace(*things)
        return entry_point(self, *arguments, **keywords)

    return checked


def is_ours(thing: object) -> bool:
    """Returns whether an object's class belongs to this package or derives from a class of it."""
    home = __name__.partition(".")[0]
    return any(ancestor.__module__.partition(".")[0] == home for ancestor in type(thing).__mro__)


def _creator(package: str, name: str) -> Callable[[], Any]:
    home, kind, _ = STRATEGIES[name]

    def create() -> Any:
        if namespace(asking=package) != package:
            raise _mixture(f'Trainer(strategy="{name}") is of {package}', namespace(), package)
        return getattr(import_module(home), kind)()

    return create
