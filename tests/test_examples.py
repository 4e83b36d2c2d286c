"""The examples run as they are."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize(
    ("name", "accuracy"), [("python_api", "test/accuracy"), ("other_project", "test_acc")]
)
def test_an_example_runs_and_learns(name, accuracy):
    scores = runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"](max_epochs=2)
    assert scores[accuracy] > 0.7
