"""Settings given as a frozen dataclass, or as a mapping of its fields, which is how YAML files hold them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar, cast

from cloudedge_pl.errors import lookup

T = TypeVar("T")


def as_settings(kind: type[T], given: T | Mapping[str, Any] | None, owner: str) -> T:
    """Returns an instance of a dataclass.

    Args:
        kind: the dataclass.
        given: an instance, which is returned; a mapping of fields; or None, which takes the defaults.
        owner: name of the settings in messages ("offloading").

    Raises:
        ValueError: if it is no mapping, a key is not a field, or a value is not valid.
    """
    if isinstance(given, kind):
        return given
    if given is not None and not isinstance(given, Mapping):
        raise ValueError(f"{owner} is {given!r}; it must be a mapping.")
    values = dict(cast(Mapping[str, Any], given or {}))
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # a dataclass
    for key in values:
        lookup(known, str(key), f"key of {owner},")
    return kind(**values)
