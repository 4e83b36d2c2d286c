"""The paper's Table 1 and Figures 5 to 7 from Python, with a verdict on each claim: python examples/paper_figures.py

Draws them into a folder and prints the tables of docs/paper.md. Takes two minutes, nearly all of it for Figure 7.
`cloudedge reproduce` makes the other parts, too.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

import cloudedge_pl as ce
from cloudedge_pl.paper.part import PartResult, Report
from cloudedge_pl.paper.parts import PARTS
from cloudedge_pl.paper.setting import PaperSetting
from cloudedge_pl.paper.verdict import CONDITIONAL
from cloudedge_pl.partition import build_backbone
from cloudedge_pl.reports.paper import FIGURES

DOCS = Path(__file__).parents[1] / "docs"


def verdict_rows(result: PartResult) -> list[str]:
    """The verdicts as rows of a Markdown table: claim, verdict, what was measured, and where that changes."""
    rows = ["| claim | verdict | measured | where it holds |", "|---|---|---|---|"]
    for verdict in result.verdicts:
        changes = "; ".join(flip.text for flip in verdict.flips if flip.changes)
        here = "" if verdict.state != CONDITIONAL else " (also here)" if verdict.at_setting else " (not here)"
        rows.append(
            f"| {verdict.claim} | {verdict.state}{here} | {verdict.measured} | {changes or 'no change'} |"
        )
    return rows


def main(
    parts: Sequence[str] = ("table1", "fig5", "fig6", "fig7"), folder: Path = DOCS / "figures"
) -> dict[str, PartResult]:
    network = build_backbone("resnet34", num_classes=10)
    large, small = (
        ce.profile(network, torch.zeros(1, 3, size, size), name="ResNet-34") for size in (224, 32)
    )
    setting = PaperSetting(profile=large, small_profile=small, folder=folder)
    results = {}
    for name in parts:
        results[name] = PARTS[name].measure(setting, Report())
        print(FIGURES[name](results[name], folder / f"paper_{name}.png"))
        print("\n".join(verdict_rows(results[name])))
    return results


if __name__ == "__main__":
    main()
