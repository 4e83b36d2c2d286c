"""The one checked conversion of every key: what fits an annotation, and what the error says of what does not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from cloudedge_pl.errors import (
    MAX_SEED,
    argument_types,
    lookup,
    require_fields,
    require_positive,
    require_range,
    require_seed,
    require_types,
)


def takes(
    flag: bool = True,
    count: int = 1,
    share: float = 1.0,
    name: str = "",
    mode: Literal["a", "b"] = "a",
    maybe: int | None = None,
    items: Sequence[int] = (),
    pair: tuple[int, str] = (1, ""),
    options: Mapping[str, Any] | None = None,
    path: Path | None = None,
    whatever: Any = None,
    seed: int | None = 0,
) -> None:
    """A function with an argument of every kind."""


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("flag", False),
        ("count", 0),
        ("count", np.int64(3)),
        ("share", 1),
        ("share", math.inf),
        ("share", np.float32(0.5)),
        ("name", "true"),
        ("mode", "b"),
        ("maybe", None),
        ("maybe", 3),
        ("items", [1, 2]),
        ("items", ()),
        ("pair", (1, "x")),
        ("options", {"a": 1}),
        ("options", None),
        ("path", "some/where"),
        ("path", Path()),
        ("whatever", object()),
        ("seed", MAX_SEED),
        ("seed", None),
        ("not_an_argument", "passed over"),
    ],
)
def test_fits(field: str, value: Any) -> None:
    require_types("owner", takes, {field: value})


@pytest.mark.parametrize(
    ("field", "value", "must"),
    [
        ("flag", "maybe", "true or false"),
        ("flag", 1, "true or false"),
        ("flag", None, "true or false"),
        ("count", 2.0, "a whole number"),
        ("count", True, "a whole number"),
        ("count", "3", "a whole number"),
        ("count", math.nan, "a whole number"),
        ("share", math.nan, "a number"),
        ("share", False, "a number"),
        ("share", "1.0", "a number"),
        ("share", None, "a number"),
        ("name", 3, "text"),
        ("mode", "c", "one of: a, b"),
        ("mode", True, "one of: a, b"),
        ("maybe", "x", "a whole number or null"),
        ("items", 3, "a list (of a whole number)"),
        ("items", "12", "a list (of a whole number)"),
        ("items", [1, 2.5], "a list (of a whole number)"),
        ("items", {"a": 1}, "a list (of a whole number)"),
        ("pair", (1, "x", 2), "a list"),
        ("pair", (1, 2), "a list"),
        ("options", 3, "a mapping or null"),
        ("options", [1], "a mapping or null"),
        ("path", 3, "a path or null"),
        ("seed", 1.5, "a whole number or null"),
    ],
)
def test_does_not_fit(field: str, value: Any, must: str) -> None:
    with pytest.raises(ValueError, match=r"^owner: ") as error:
        require_types("owner", takes, {field: value})
    assert str(error.value).startswith(f"owner: {field} is {value!r}; it must be {must}")


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1])
def test_a_seed_has_a_range(seed: int) -> None:
    message = rf"seed is {seed}; it must be a whole number in \[0, 4294967295\]"
    with pytest.raises(ValueError, match=message):
        require_types("owner", takes, {"seed": seed})
    with pytest.raises(ValueError, match=message):
        require_seed("owner", seed=seed)


@pytest.mark.parametrize("seed", [0, MAX_SEED, np.int64(5)])
def test_seeds(seed: Any) -> None:
    require_seed("owner", seed=seed)


@pytest.mark.parametrize("seed", [1.0, True, None, "1", math.nan])
def test_no_seeds(seed: Any) -> None:
    with pytest.raises(ValueError, match="owner: seed is"):
        require_seed("owner", seed=seed)


class Base:
    def __init__(self, count: int, **options: Any) -> None: ...


class Passes(Base):
    def __init__(self, flag: bool, **options: Any) -> None:
        super().__init__(**options)


class Stops(Base):
    def __init__(self, flag: bool) -> None:
        super().__init__(1)


def test_keywords_that_are_passed_on_are_checked_too() -> None:
    assert argument_types(Passes) == {"flag": bool, "count": int}
    assert argument_types(Stops) == {"flag": bool}
    with pytest.raises(ValueError, match="count is 'x'; it must be a whole number"):
        require_types("passes", Passes, {"flag": True, "count": "x"})


@dataclass(frozen=True)
class Checked:
    count: int
    share: float = 1.0

    def __post_init__(self) -> None:
        require_fields("checked", self)


def test_fields_of_a_dataclass() -> None:
    assert Checked(3).count == 3
    with pytest.raises(ValueError, match=r"checked: share is 'x'; it must be a number\."):
        Checked(3, "x")  # type: ignore[arg-type]  # the fault that is looked for


@pytest.mark.parametrize(
    ("value", "options"),
    [
        (0, {"open_low": True}),
        (1, {"open_high": True}),
        (-0.1, {}),
        (1.1, {}),
        (math.nan, {}),
        (True, {}),
        ("1", {}),
        (None, {}),
        (0.5, {"whole": True}),
        (1.0, {"whole": True}),
    ],
)
def test_out_of_range(value: Any, options: dict[str, bool]) -> None:
    with pytest.raises(ValueError, match=r"owner: share is .*; it must"):
        require_range("owner", 0, 1, share=value, **options)


def test_within_range() -> None:
    require_range("owner", 0, 1, share=0)
    require_range("owner", 0, 1, share=1.0)
    require_range("owner", 0, 1, whole=True, share=1)
    require_range("owner", 0, math.inf, share=math.inf)


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, "1", True, None])
def test_not_positive(value: Any) -> None:
    with pytest.raises(ValueError, match=r"owner: size is .*; it must be a positive, finite number"):
        require_positive("owner", size=value)


def test_positive() -> None:
    require_positive("owner", size=1e-9)
    require_positive("owner", allow_infinite=True, size=math.inf)


def test_names() -> None:
    assert lookup({"atsa": 1}, "atsa", "scheduler") == 1
    with pytest.raises(
        ValueError, match=r"unknown scheduler .asta.\. Did you mean .atsa.*Choose one of: atsa"
    ):
        lookup({"atsa": 1}, "asta", "scheduler")
    with pytest.raises(ValueError, match="scheduler 3 is not a name"):
        lookup({"atsa": 1}, 3, "scheduler")  # type: ignore[arg-type]  # the fault that is looked for
