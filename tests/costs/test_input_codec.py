"""The form in which pictures are sent."""

from __future__ import annotations

from typing import Any

import pytest

from cloudedge_pl.costs import InputCodec


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "jpg"}, "Did you mean 'jpeg'"),
        ({"name": "jpeg", "quality": 0}, r"quality is 0; it must be a whole number in \[1, 100\]"),
        ({"name": "jpeg", "quality": 101}, "quality is 101"),
        ({"name": "jpeg", "quality": 75.5}, "quality is 75.5"),
        ({"name": "jpeg", "subsampling": "4:1:1"}, "unknown subsampling"),
    ],
)
def test_wrong_values_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        InputCodec(**given)


def test_its_words() -> None:
    assert str(InputCodec()) == "raw"
    assert str(InputCodec("jpeg", quality=40)) == "JPEG of quality 40"
