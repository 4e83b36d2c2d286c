"""What holds for all tests: the same examples of a law in every run; and a choice of tests for a second run of them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")  # --hypothesis-profile=default draws others


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option that makes the choice."""
    about = "of each parametrised test, run its first case only"
    parser.addoption("--first-cases", action="store_true", help=about)


@pytest.hookimpl(trylast=True)  # of the tests that -m and -k leave
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what the option leaves out."""
    if config.getoption("--first-cases"):
        chosen = first_cases(items)
        config.hook.pytest_deselected(items=[each for each in items if each not in chosen])
        items[:] = chosen


def first_cases(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Returns of each test its first case."""
    firsts: dict[str, pytest.Item] = {}
    for each in items:
        firsts.setdefault(each.nodeid.partition("[")[0], each)
    return list(firsts.values())
