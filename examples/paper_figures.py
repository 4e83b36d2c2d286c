"""Table 1 and Figures 5 and 6 of the paper from Python, with a verdict on each claim: python examples/paper_figures.py

Draws into the folder figures. Takes seconds, because nothing is trained. `cloudedge reproduce` makes the others too.
"""

from pathlib import Path

import torch

import cloudedge_pl as ce
from cloudedge_pl.paper.part import Report
from cloudedge_pl.paper.parts import PARTS
from cloudedge_pl.paper.setting import PaperSetting
from cloudedge_pl.partition import build_backbone
from cloudedge_pl.reports.paper import FIGURES


def main(folder: Path = Path("figures")) -> list[str]:
    network = build_backbone("resnet34", num_classes=10)
    large, small = (
        ce.profile(network, torch.zeros(1, 3, size, size), name="ResNet-34") for size in (224, 32)
    )
    setting = PaperSetting(profile=large, small_profile=small, folder=folder)
    states = []
    for name in ("table1", "fig5", "fig6"):
        result = PARTS[name].measure(setting, Report())
        print(FIGURES[name](result, folder / f"{name}.png"))
        for verdict in result.verdicts:
            print(f"  {verdict.claim} {verdict.state}: {verdict.measured}")
            states.append(verdict.state)
    return states


if __name__ == "__main__":
    main()
