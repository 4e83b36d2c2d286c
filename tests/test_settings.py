"""Settings as a dataclass, as a mapping of its fields, or by default."""

from __future__ import annotations

from typing import Any

import pytest

from cloudedge_pl.offloading import OffloadGoal
from cloudedge_pl.settings import as_settings


def test_instances_mappings_and_none_are_taken() -> None:
    goal = OffloadGoal(split_point=3)
    assert as_settings(OffloadGoal, goal, "offloading") is goal
    assert as_settings(OffloadGoal, {"split_point": 3}, "offloading") == goal
    assert as_settings(OffloadGoal, None, "offloading") == OffloadGoal()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"split_pont": 3}, "unknown key of offloading, 'split_pont'. Did you mean 'split_point'"),
        ({"memory_share": 2.0}, "offloading: memory_share is 2.0"),
        ([], r"offloading is \[\]; it must be a mapping"),
    ],
)
def test_bad_mappings_are_named(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_settings(OffloadGoal, given, "offloading")
