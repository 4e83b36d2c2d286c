"""The paper's claims on its own network, as far as they hold."""

from __future__ import annotations

import runpy
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch
import torchvision

from cloudedge_pl.costs import CodecConfig, CostFormulas
from cloudedge_pl.costs.memory import edge_memory_bytes
from cloudedge_pl.costs.profile import CostProfile
from cloudedge_pl.offloading import cost_table, sweep
from cloudedge_pl.partition import profile
from cloudedge_pl.reports.paper_figures import (
    FORMULAS,
    NUM_NODES,
    WORKLOAD,
    offloading_positions,
    paper_fleet,
    stages,
)
from tests.offloading.cases import make_workload


@pytest.fixture(scope="module")
def resnet34() -> CostProfile:
    return profile(torchvision.models.resnet34(), torch.zeros(1, 3, 224, 224), name="ResNet-34")


def test_table_1_the_position_moves_back_with_more_nodes(resnet34):
    assert offloading_positions(resnet34).split_point.tolist() == [11, 19, 25]
    for formulas in (CostFormulas(), CostFormulas.paper()):
        positions = sweep(
            resnet34,
            paper_fleet(),
            WORKLOAD,
            "num_nodes",
            NUM_NODES,
            formulas=formulas,
            codec=CodecConfig("none"),
        ).split_point
        assert (np.diff(positions) >= 0).all()
        assert positions[0] < positions[-1]


def test_figure_5_memory_grows_most_in_layer4_and_hardly_in_the_linear_layer(resnet34):
    memory = edge_memory_bytes(resnet34, make_workload(), "paper")
    stage = {name: (first, last) for name, first, last in stages(resnet34.names)}
    assert stage["layer4"] == (28, 33)
    grown = memory[stage["layer4"][1]] - memory[stage["layer3"][1]]
    assert grown > 0.5 * memory[-1]
    assert memory[-1] - memory[-2] < 0.03 * memory[-1]
    share = resnet34.segment_parameter_bytes[-1] / resnet34.segment_parameter_bytes.sum()
    assert share == pytest.approx(0.024, abs=0.001)


def test_figure_6_delay_falls_where_the_transfer_rules_and_rises_where_the_node_does(resnet34):
    def delay(device: str, bandwidth: float) -> np.ndarray:
        fleet = paper_fleet(device=device, bandwidth=bandwidth)
        return cost_table(
            resnet34, fleet, make_workload(arrival_rate=10.0), FORMULAS, CodecConfig("none")
        ).delay_seconds

    falling, rising = delay("jetson-nano", 5e6), delay("raspberry-pi-4", 50e6)
    ends = [last for _, _, last in stages(resnet34.names)]
    assert (np.diff(falling[ends[1:]]) < 0).all()
    assert (np.diff(rising[ends[:-1]]) > 0).all()
    assert falling.argmin() == 34
    assert rising.argmin() == 0


def test_data_volume_a_cut_before_layer4_sends_more_than_the_picture(resnet34):
    table = cost_table(resnet34, paper_fleet(), WORKLOAD, FORMULAS, CodecConfig("none"))
    ratio = table.upload_bytes / table.upload_bytes[0]
    np.testing.assert_allclose(ratio[[1, 9, 17, 29, 33, 34]], [5.33, 2.67, 1.33, 0.67, 0.0136, 0], atol=0.01)
    assert (ratio[1:29] > 1).all()
    coded = cost_table(resnet34, paper_fleet(), WORKLOAD, codec=CodecConfig("int8"))
    assert (coded.upload_bytes[15:] < coded.upload_bytes[0]).all()


def test_the_example_draws_the_figures_and_prints_the_table(tmp_path: Path):
    main = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "paper_figures.py"))["main"]
    assert main(tmp_path) == [11, 19, 25]
    for name in ("figure5_memory.png", "figure6_delay.png"):
        assert np.ptp(matplotlib.image.imread(tmp_path / name)[..., :3]) > 0.5


def test_stages_are_the_first_parts_of_names():
    assert stages(["input", "conv1", "layer1.0.conv1", "layer1.1.conv2", "fc"]) == [
        ("conv1", 1, 1),
        ("layer1", 2, 3),
        ("fc", 4, 4),
    ]
