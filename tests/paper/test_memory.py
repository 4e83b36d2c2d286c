"""Figure 5: what memory grows by, against counts by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cloudedge_pl.paper.memory import STEEP, connected_share, steepness, with_classes
from cloudedge_pl.paper.part import Report
from cloudedge_pl.paper.parts import PARTS
from cloudedge_pl.paper.stages import fully_connected, stage_ends, stages
from cloudedge_pl.paper.verdict import CONDITIONAL
from tests.paper.networks import flip, measured, resnet, tiny_setting, verdict

LAYER4_WEIGHTS = 9 * (256 * 512 + 5 * 512 * 512) + 256 * 512
LAYER4_MAPS = 7 * 512 * 7 * 7
"""Six convolutions of 3x3 and the one of 1x1 beside the first two; each has 512 maps of 7x7."""


def test_layer4_and_the_fully_connected_layer_hold_what_their_shapes_say():
    columns = measured("fig5").tables["stages"].columns
    weights = dict(zip(columns["stage"], columns["weights_share"], strict=True))
    total = (
        21_797_672 - 1000 * 513 + 10 * 512 - 17_024
    )  # torchvision's parameters, without biases and normalisations
    assert weights["layer4"] == pytest.approx(LAYER4_WEIGHTS / total, rel=1e-6)
    assert weights["fc"] == pytest.approx(5120 / total, rel=1e-6)
    assert sum(weights.values()) == pytest.approx(1)


def test_memory_is_steep_at_the_end_until_many_samples_run_at_once():
    claim = verdict(measured("fig5"), "grows slowly")
    assert claim.state == CONDITIONAL
    memory = np.asarray(measured("fig5").tables["memory"].columns["paper_bytes"])
    by_hand = ((memory[34] - memory[27]) / 7) / (memory[27] / 27)
    assert claim.numbers["growth in the last positions over growth before"] == pytest.approx(by_hand)
    assert by_hand > STEEP
    for axis in claim.flips[:3]:
        assert axis.changes
        assert axis.holds[0]


def test_the_reason_holds_from_the_number_of_classes_on_that_outweighs_layer4():
    claim = verdict(measured("fig5"), "fully connected")
    ((least, _),) = flip(claim, "number of classes").holds_in
    assert least == int((LAYER4_WEIGHTS + LAYER4_MAPS) / 513) + 1
    networks = flip(claim, "network")
    assert dict(zip(networks.tried, networks.holds, strict=True)) == {
        networks.tried[0]: False, "alexnet": True, "vgg16": True, "resnet18": False, "resnet50": False,
        "mobilenet_v2": False,
    }  # fmt: skip


def test_other_numbers_of_classes_change_the_last_layer_only():
    assert connected_share(with_classes(resnet(), 1000)) == pytest.approx(
        connected_share(resnet(num_classes=1000))
    )


@pytest.mark.parametrize(
    ("memory", "expected"), [([0, 1, 2, 3, 4, 5], 1.0), ([0, 1, 2, 3, 4, 8], 4.0), ([0, 7], 1.0)]
)
def test_steepness_is_growth_at_the_end_over_growth_before(memory, expected):
    assert steepness(np.array(memory, dtype=float)) == expected


def test_stages_are_the_first_parts_of_names():
    names = ["input", "conv1", "layer1.0.conv1", "layer1.1.conv2", "fc"]
    assert stages(names) == [("conv1", 1, 1), ("layer1", 2, 3), ("fc", 4, 4)]
    assert stage_ends(names) == [1, 3, 4]


def test_the_fully_connected_layers_are_those_without_a_map():
    assert np.flatnonzero(fully_connected(resnet())).tolist() == [33]
    assert np.flatnonzero(fully_connected(resnet("vgg16"))).tolist() == [13, 14, 15]


def test_a_small_network_has_all_tables():
    result = PARTS["fig5"].measure(tiny_setting(), Report())
    assert result.tables["memory"].num_rows == 19
