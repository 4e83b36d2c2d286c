"""docs/paper.md says what is computed. Figure 7 takes minutes: ``python examples/paper_figures.py`` prints its rows."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from tests.paper.networks import measured

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
EXAMPLE = runpy.run_path(str(ROOT / "examples" / "paper_figures.py"))


@pytest.mark.parametrize("part", ["table1", "fig5", "fig6"])
def test_the_page_has_the_computed_verdicts(part: str):
    for row in EXAMPLE["verdict_rows"](measured(part)):
        assert row in PAGE.splitlines(), row


def test_the_page_has_no_other_verdicts():
    rows = [line for line in PAGE.splitlines() if re.search(r"\| (holds|does not hold)", line)]
    computed = [row for part in ("table1", "fig5", "fig6") for row in EXAMPLE["verdict_rows"](measured(part))]
    others = [row for row in rows if row not in computed]
    assert all("ATSA" in row for row in others), others


def test_the_example_draws_and_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    results = EXAMPLE["main"](("fig5",), tmp_path)
    assert (tmp_path / "paper_fig5.png").exists()
    assert results["fig5"].verdicts[0].claim in capsys.readouterr().out
