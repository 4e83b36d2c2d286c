"""The paper's setting with its own network, counted once for all tests."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch

from cloudedge_pl.costs.profile import CostProfile
from cloudedge_pl.paper.part import PartResult, Report
from cloudedge_pl.paper.parts import PARTS
from cloudedge_pl.paper.setting import PaperSetting
from cloudedge_pl.paper.verdict import Flip, Verdict
from cloudedge_pl.partition import build_backbone, profile

NAMES = {"resnet34": "ResNet-34"}


@cache
def resnet(name: str = "resnet34", pixels: int = 224, num_classes: int = 10) -> CostProfile:
    """The costs of a network, without computing or allocating anything."""
    with torch.device("meta"):
        network = build_backbone(name, num_classes=num_classes)
        return profile(network, torch.zeros(1, 3, pixels, pixels), name=NAMES.get(name, name))


def paper_setting(**changes: Any) -> PaperSetting:
    networks = {"profile": resnet(), "small_profile": resnet(pixels=32), "folder": Path("unused")}
    return PaperSetting(**{**networks, **changes})


def tiny_setting(**changes: Any) -> PaperSetting:
    """A network and numbers with which every part takes a moment."""
    tiny = resnet("resnet18", 32)
    quick = {"profile": tiny, "small_profile": tiny, "seeds": 2, "schedule_sizes": (3, 6)}
    return paper_setting(**{**quick, **changes})


@cache
def measured(part: str) -> PartResult:
    """What a part finds at the paper's setting."""
    return PARTS[part].measure(paper_setting(), Report())


def verdict(result: PartResult, claim: str) -> Verdict:
    """The verdict on the claim that has these words."""
    (found,) = [each for each in result.verdicts if claim in each.claim]
    return found


def flip(found: Verdict, axis: str) -> Flip:
    """Where a claim holds along the axis of this name."""
    (along,) = [each for each in found.flips if each.axis == axis]
    return along
