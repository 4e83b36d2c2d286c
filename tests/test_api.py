"""The public names, and the calls of the README as they stand there."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

import cloudedge_pl as ce
from cloudedge_pl.errors import UntraceableBackboneError


def test_every_public_name_is_there() -> None:
    for name in ce.__all__:
        assert getattr(ce, name) is not None
        assert name in dir(ce)


def test_an_unknown_name_lists_those_there_are() -> None:
    with pytest.raises(AttributeError, match="CloudEdgeStrategy"):
        _ = ce.CloudEdgeStrat


def test_planning_and_scheduling_as_in_the_readme() -> None:
    fleet = ce.Fleet.preset(
        "raspberry-pi-4", 10, speed_spread=0.0, memory_bytes=100e6, max_energy_joules=math.inf
    )
    profile = ce.profile(torchvision.models.resnet34(), torch.zeros(1, 3, 224, 224))
    plan = ce.plan_offloading(
        profile,
        fleet,
        ce.Workload(arrival_rate=2.0, max_delay_seconds=5.0, phase="inference"),
        goal=ce.OffloadGoal(objective="deepest"),
    )
    assert 0 < plan.split_point <= profile.num_segments == 34
    times = np.outer(np.ones(20), profile.flops[plan.split_point] / fleet.array("flops_per_second"))
    assignment = ce.schedule(times, scheduler="atsa", seed=0)
    assert assignment.tasks_per_node.tolist() == [2] * 10


def test_the_readmes_python_parses() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    blocks = [block.split("```")[0] for block in readme.split("```python\n")[1:]]
    assert len(blocks) >= 3
    for block in blocks:
        compile(block, "README.md", "exec")


def test_an_untraceable_backbone_says_why() -> None:
    class Branching(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x) if x.sum() > 0 else self.layer(-x)

    with pytest.raises(UntraceableBackboneError, match="Branching"):
        ce.profile(Branching(), torch.zeros(1, 4))
