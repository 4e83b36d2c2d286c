"""The paper's setting checks itself, and its fleet varies in what is asked for only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate

from cloudedge_pl.fleet import DEVICES, Fleet
from cloudedge_pl.paper.setting import PaperSetting, paper_fleet, paper_workload
from cloudedge_pl.partition import build_backbone, profile


def setting(**changes) -> PaperSetting:
    costs = profile(build_backbone("resnet18", num_classes=10), torch.zeros(1, 3, 16, 16))
    return PaperSetting(**{"profile": costs, "small_profile": costs, "folder": Path("unused"), **changes})


def test_none_keeps_the_fleet():
    assert setting().fleet() == paper_fleet()


def test_only_what_is_given_changes():
    found = setting().fleet(num_nodes=30, bandwidth_bits_per_second=5e6, variation=0.0, memory_bytes=2e6)
    base = paper_fleet()
    assert found.num_nodes == 30
    assert found.link == replace(base.link, bandwidth_bits_per_second=5e6, variation=0.0)
    assert {replace(node, name="") for node in found.nodes} == {
        replace(base.nodes[0], name="", memory_bytes=2e6)
    }
    assert found.cloud == base.cloud


def test_a_device_brings_its_own_memory_and_speed():
    node = setting().fleet(device="jetson-nano", num_nodes=2).nodes[1]
    assert node.name == "jetson-nano-1"
    assert (node.flops_per_second, node.memory_bytes) == (
        DEVICES["jetson-nano"].flops_per_second,
        DEVICES["jetson-nano"].memory_bytes,
    )


def test_a_mixed_fleet_is_repeated():
    mixed = Fleet.preset(num_nodes=4)
    found = setting(base_fleet=mixed).fleet(num_nodes=8)
    assert [node.flops_per_second for node in found.nodes[4:]] == [
        node.flops_per_second for node in mixed.nodes
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"node_counts": (20, 10)}, r"node_counts is \[20, 10\]"),
        ({"schedule_sizes": ()}, "schedule_sizes is"),
        ({"node_counts": (0, 10)}, "node_counts is 0"),
        ({"seeds": 0}, "seeds is 0"),
        ({"num_tasks": 1.5}, "num_tasks is 1.5"),
        ({"seed": -1}, "seed is -1"),
        ({"workload": replace(paper_workload(), phase="training")}, "workload=paper"),
    ],
)
def test_a_wrong_value_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        setting(**changes)


@pytest.mark.parametrize(
    "changes", [{"num_nodes": 0}, {"device": "abacus"}, {"bandwidth_bits_per_second": 0.0}]
)
def test_a_fleet_that_cannot_be_is_refused(changes):
    with pytest.raises(ValueError, match=r"num_nodes is 0|abacus|bandwidth"):
        setting().fleet(**changes)


def test_the_config_has_the_same_fleet_and_workload():
    with initialize_config_module("cloudedge_pl.conf", version_base="1.3"):
        composed = compose("train", ["fleet=paper", "workload=paper"])
    assert instantiate(composed.fleet, _convert_="all") == paper_fleet()
    assert instantiate(composed.workload) == paper_workload()
