"""The paper's Figures 5 and 6 and the trend of its Table 1, from the formulas: python examples/paper_figures.py

Writes two figures into docs/figures, which docs/paper.md explains. Takes seconds, because nothing is trained.
"""

from pathlib import Path

import torch
import torchvision

import cloudedge_pl as ce
from cloudedge_pl.reports.paper_figures import offloading_positions, save_paper_figures

DOCS = Path(__file__).parents[1] / "docs"


def main(folder: Path = DOCS / "figures") -> list[int]:
    profile = ce.profile(torchvision.models.resnet34(), torch.zeros(1, 3, 224, 224), name="ResNet-34")
    for path in save_paper_figures(profile, folder):
        print(path)
    table = offloading_positions(profile)
    for nodes, position in zip(table.values, table.split_point, strict=True):
        print(f"{nodes:.0f} nodes: offloading position {position}, after {profile.names[position]}")
    return table.split_point.tolist()


if __name__ == "__main__":
    main()
