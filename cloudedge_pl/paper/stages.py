"""The parts of a network that a reader knows: its stages, and its fully connected layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cloudedge_pl.costs.profile import CostProfile


def stage_of(name: str) -> str:
    """Returns the first part of a layer's name: "layer1" of "layer1.0.conv1"."""
    return name.split(".")[0]


def stages(names: Sequence[str]) -> list[tuple[str, int, int]]:
    """Returns the stages of a network: name, first and last split point.

    Args:
        names: of a profile, [N + 1], the input first.
    """
    found: list[tuple[str, int, int]] = []
    for point, name in enumerate(names):
        if point == 0:
            continue
        stage = stage_of(name)
        if found and found[-1][0] == stage:
            found[-1] = (stage, found[-1][1], point)
        else:
            found.append((stage, point, point))
    return found


def stage_ends(names: Sequence[str]) -> list[int]:
    """Returns the last split point of every stage."""
    return [last for _, _, last in stages(names)]


def fully_connected(network: CostProfile) -> np.ndarray:
    """Returns which segments are fully connected layers, bool [N]: they start from a vector instead of a map."""
    before = network.cut_shapes[:-1]
    return np.array([all(len(shape) == 1 for shape in shapes) for shapes in before])
