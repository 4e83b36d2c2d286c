"""Context managers that replace attributes of objects for a while, such as a module's ``forward`` or its hooks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from torch import nn

_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


@contextmanager
def replaced(attributes: Iterable[tuple[object, str, Any]]) -> Iterator[None]:
    """Sets instance attributes of objects inside the context and restores them afterwards.

    Args:
        attributes: an object, a name and a value for each; of several for the same name the last counts. An attribute
            that the object itself did not have, though its class may, is removed afterwards.
    """
    taken = [(vars(owner), name, value) for owner, name, value in attributes]
    before = [own.get(name, _NONE) for own, name, _ in taken]
    for own, name, value in taken:
        own[name] = value
    try:
        yield
    finally:
        for (own, name, _), earlier in zip(taken, before, strict=True):
            own.pop(name, None)
            if earlier is not _NONE:
                own[name] = earlier


_NONE = object()


def called_by(stand_ins: Iterable[tuple[nn.Module, Callable[..., Any]]]) -> AbstractContextManager[None]:
    """Makes calls of a module run its stand-in instead, inside the context: neither ``forward`` nor hooks run."""
    return replaced([(module, "_compiled_call_impl", stand_in) for module, stand_in in stand_ins])


def call_of(module: nn.Module) -> Callable[..., Any]:
    """The function that a call of a module runs: its hooks and its ``forward``."""
    return module._compiled_call_impl or module._call_impl


def has_hooks(module: nn.Module) -> bool:
    """Whether the module itself has hooks on its calls."""
    return any(vars(module).get(kind) for kind in _HOOKS)


def without_hooks(module: nn.Module) -> AbstractContextManager[None]:
    """Turns off the hooks of a module and its submodules, except torch's own, such as weight norm's."""
    off = []
    for each in module.modules():
        for kind in _HOOKS:
            hooks = vars(each).get(kind, {})
            kept = OrderedDict((key, hook) for key, hook in hooks.items() if _is_torchs(hook))
            if len(kept) < len(hooks):
                off.append((each, kind, kept))
    return replaced(off)


def _is_torchs(hook: Callable[..., Any]) -> bool:
    return str(getattr(hook, "__module__", "")).startswith("torch.")
