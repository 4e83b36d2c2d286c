"""Attributes of objects in place of their own for a while; a module's ``forward`` and hooks among them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from torch import nn

_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


@contextmanager
def replaced(attributes: Iterable[tuple[object, str, Any]]) -> Iterator[None]:
    """Inside, objects have other attributes of their own; where there are several of one name, the last.

    Args:
        attributes: of each the object, the name and the value. Where the object itself had none of that name, but its
            class perhaps, it has none afterwards.
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
    """Inside, a call of a module is one of its stand-in: neither its ``forward`` runs nor its hooks."""
    return replaced([(module, "_compiled_call_impl", stand_in) for module, stand_in in stand_ins])


def call_of(module: nn.Module) -> Callable[..., Any]:
    """What a call of a module runs: its hooks and its ``forward``."""
    return module._compiled_call_impl or module._call_impl


def has_hooks(module: nn.Module) -> bool:
    """Whether anything is hooked to the calls of a module itself."""
    return any(vars(module).get(kind) for kind in _HOOKS)


def without_hooks(module: nn.Module) -> AbstractContextManager[None]:
    """Inside, hooks of the module and its parts are off, but for torch's own, such as weight norm's."""
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
