"""The errors of the package, and the checks that raise them. A message names the value, the limit and the fix.

Every error is also a ``ValueError`` or a ``RuntimeError``, so that callers need not import this module.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import math
import numbers
import os
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints, overload

T = TypeVar("T")

MAX_SEED = 2**32 - 1
"""Largest seed that numpy, torch and Lightning all accept."""


class InfeasiblePlanError(ValueError):
    """No split point satisfies every constraint."""


class UntraceableBackboneError(ValueError):
    """A backbone that ``torch.fx`` cannot trace."""


class DataError(ValueError):
    """A data set that is missing, empty or inconsistent."""


class CheckpointError(RuntimeError):
    """A checkpoint that is corrupt, or belongs to another backbone or split point."""


class BundleError(RuntimeError):
    """An exported bundle that is damaged or incomplete, or whose parts are of different exports."""


class StrategyError(RuntimeError):
    """A Lightning feature, callback or loop that the cloud-edge strategy does not support."""


class NamespaceError(RuntimeError):
    """Classes of ``pytorch_lightning`` and of ``lightning`` in one run."""


@overload
def lookup(choices: Mapping[str, T], name: str, kind: str) -> T: ...


@overload
def lookup(choices: Sequence[str], name: str, kind: str) -> str: ...


def lookup(choices: Mapping[str, Any] | Sequence[str], name: str, kind: str) -> Any:
    """Looks up a name that the user chose: the one helper for every choice of names.

    Args:
        choices: a registry of objects by name, or the allowed names.
        name: the name that was chosen.
        kind: what the names stand for, in the singular ("scheduler").

    Returns:
        ``choices[name]`` from a registry, else the name.

    Raises:
        ValueError: if the name is unknown; the message lists the choices.
    """
    if not isinstance(name, str):
        raise ValueError(
            f"{kind} {name!r} is not a name (text). Choose one of: {', '.join(sorted(choices))}."
        )
    if name in choices:
        return choices[name] if isinstance(choices, Mapping) else name
    close = difflib.get_close_matches(name, choices, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"unknown {kind} {name!r}.{hint} Choose one of: {', '.join(sorted(choices))}.")


def require_positive(owner: str, allow_infinite: bool = False, **values: float) -> None:
    """Checks that values are positive numbers.

    Args:
        owner: object that the values belong to ("workload"), for the message.
        allow_infinite: whether infinity is valid.
        **values: by field.

    Raises:
        ValueError: naming the owner, the field and the value.
    """
    for field, value in values.items():
        good = _is_number(value) and value > 0
        if not good or math.isnan(value) or (math.isinf(value) and not allow_infinite):
            raise ValueError(
                f"{_named(owner, field)} is {_shown(value)}; it must be a positive, finite number."
            )


def require_range(
    owner: str,
    low: float,
    high: float,
    *,
    open_low: bool = False,
    open_high: bool = False,
    whole: bool = False,
    **values: float,
) -> None:
    """Checks that values lie in a range.

    Args:
        owner: object that the values belong to ("workload"), for the message.
        low: smallest value.
        high: largest value.
        open_low: whether ``low`` itself is outside the range.
        open_high: whether ``high`` itself is outside the range.
        whole: whether the values must be integers; 2.0 is not one.
        **values: by field.

    Raises:
        ValueError: naming the owner, the field, the value and the range.
    """
    for field, value in values.items():
        good = _is_number(value)
        above = good and (value > low if open_low else value >= low)
        below = good and (value < high if open_high else value <= high)
        if not (above and below) or (whole and not _fits(value, int)):
            interval = f"{'(' if open_low else '['}{low}, {high}{')' if open_high else ']'}"
            what = f"be a whole number in {interval}" if whole else f"lie in {interval}"
            raise ValueError(f"{_named(owner, field)} is {_shown(value)}; it must {what}.")


def require_seed(owner: str, **values: Any) -> None:
    """Checks that seeds are whole numbers in [0, 2^32 - 1].

    Args:
        owner: object that the seeds belong to, for the message.
        **values: by field.

    Raises:
        ValueError: naming the owner, the field and the value.
    """
    for field, value in values.items():
        named: dict[str, Any] = {field: value}
        require_range(owner, 0, MAX_SEED, whole=True, **named)


def require_saved(what: str, saved: Iterable[str], expected: Iterable[str]) -> None:
    """Checks that a checkpoint holds all that this version reads.

    Args:
        what: part of the checkpoint and its verb, for the message: "simulator has".
        saved: names that it holds.
        expected: names that are read.

    Raises:
        CheckpointError: naming what is missing.
    """
    if missing := sorted(set(expected) - set(saved)):
        raise CheckpointError(
            f"the checkpoint's {what} no {', '.join(missing)}: an earlier version of cloudedge_pl wrote it. "
            "Load its weights with ckpt_path left out and module.load_state_dict, or resume with that version."
        )


def require_types(owner: str, function: Callable[..., Any], values: Mapping[str, Any]) -> None:
    """Checks arguments against the annotations of a function or class.

    A ``bool`` is true or false only; an ``int`` is not 2.0, True or "3"; a ``float`` is any number except nan. Text,
    names (``Literal``), lists and mappings must be of their own type, and ``| None`` accepts null. A parameter whose
    annotation is a class accepts anything except plain numbers and text. A seed lies in [0, 2^32 - 1].

    Args:
        owner: object that the arguments belong to ("workload"), for the message.
        function: a function or class. A parameter without an annotation accepts anything.
        values: by parameter; names that are not parameters are ignored.

    Raises:
        ValueError: naming the owner, the parameter, the value and what is expected.
    """
    hints = argument_types(function)
    for field, value in values.items():
        if field in hints:
            _require(owner, field, value, hints[field])
            if field == "seed" and value is not None:
                require_seed(owner, seed=value)


def require_fields(owner: str, instance: Any) -> None:
    """Checks the fields of a dataclass instance against their annotations, as :func:`require_types` does."""
    values = {field.name: getattr(instance, field.name) for field in dataclasses.fields(instance)}
    require_types(owner, type(instance), values)


@functools.cache
def argument_types(function: Callable[..., Any]) -> dict[str, Any]:
    """Returns annotations by parameter: of a function, or of a class's constructor and those it passes keywords to."""
    if not inspect.isclass(function):
        return _hints(function)
    if dataclasses.is_dataclass(function):
        return _field_hints(function)
    found: dict[str, Any] = {}
    for base in function.__mro__:
        constructor = base.__dict__.get("__init__")
        if constructor is None or base is object:
            continue
        found = {**_hints(constructor), **found}
        parameters = inspect.signature(constructor).parameters.values()
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    return found


def _field_hints(kind: type) -> dict[str, Any]:
    """The annotations of a dataclass's fields, each read in the module of the class that has it."""
    try:
        hints = get_type_hints(kind)
    except (NameError, TypeError):  # annotations that exist for type checkers only
        return {}
    return {field.name: hints[field.name] for field in dataclasses.fields(kind) if field.init}


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        hints = get_type_hints(inspect.unwrap(function))
        parameters = inspect.signature(function).parameters
    except (NameError, TypeError, ValueError):  # annotations that exist for type checkers only
        return {}
    named = {
        name for name, each in parameters.items() if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
    }
    return {name: hint for name, hint in hints.items() if name in named}


def _require(owner: str, field: str, value: Any, hint: Any) -> None:
    if not _fits(value, hint):
        raise ValueError(f"{_named(owner, field)} is {value!r}; it must be {' or '.join(_described(hint))}.")


def _fits(value: Any, hint: Any) -> bool:
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any or isinstance(hint, TypeVar):
        return True
    if origin in (Union, types.UnionType):
        return any(_fits(value, each) for each in inner)
    if origin is Literal:
        return value in inner and not (isinstance(value, bool) and True not in inner and False not in inner)
    if hint is None or hint is type(None):
        return value is None
    if hint is float:
        return _is_number(value) and value == value
    if hint is int:
        return isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if hint in (bool, str):
        return isinstance(value, hint)
    kind = origin or hint
    if inspect.isclass(kind) and issubclass(kind, os.PathLike):
        return isinstance(value, (str, os.PathLike))
    if kind in (list, tuple) or _is_sequence(kind):
        if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Sequence):
            return not isinstance(value, (str, bytes, Mapping, int, float, type(None)))
        items = [each for each in inner if each is not Ellipsis]
        if kind is tuple and Ellipsis not in inner and inner:
            return len(value) == len(inner) and all(map(_fits, value, inner))
        return not items or all(_fits(each, items[0]) for each in value)
    return not isinstance(value, (str, bytes, int, float, type(None), list))


def _is_sequence(kind: Any) -> bool:
    return inspect.isclass(kind) and issubclass(kind, Sequence) and not issubclass(kind, str)


def _described(hint: Any) -> list[str]:
    """Describes the values that an annotation accepts."""
    origin, inner = get_origin(hint), get_args(hint)
    words = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "text",
        type(None): "null",
    }
    if origin in (Union, types.UnionType):
        return list(dict.fromkeys(word for each in inner for word in _described(each)))
    if origin is Literal:
        return [f"one of: {', '.join(map(str, inner))}"]
    if hint in words:
        return [words[hint]]
    kind = origin or hint
    if inspect.isclass(kind) and issubclass(kind, os.PathLike):
        return ["a path"]
    if kind in (list, tuple) or _is_sequence(kind):
        items = [each for each in inner if each is not Ellipsis]
        return [f"a list (of {' or '.join(_described(items[0]))})" if items else "a list"]
    if inspect.isclass(kind) and issubclass(kind, Mapping):
        return ["a mapping"]
    return [f"a mapping or {getattr(hint, '__name__', hint)}"]


def _named(owner: str, field: str) -> str:
    return f"{owner}: {field}" if owner else field


def _is_number(value: object) -> bool:
    """Returns whether a value is a number of Python, numpy or torch, and not a bool."""
    return hasattr(value, "__float__") and not isinstance(value, bool)


def _shown(value: object) -> str:
    return str(value) if _is_number(value) else repr(value)
