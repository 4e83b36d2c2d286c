"""The dataclasses of fleet and workload check themselves; presets are what they say."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from cloudedge_pl.errors import lookup
from cloudedge_pl.fleet import CLOUDS, DEVICES, Cloud, EdgeNode, Fleet, Link, Workload

NODE = EdgeNode("pi", flops_per_second=48e9, memory_bytes=4e9, memory_bandwidth_bytes_per_second=12.8e9)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("flops_per_second", 0.0),
        ("flops_per_second", -1.0),
        ("flops_per_second", math.nan),
        ("flops_per_second", math.inf),
        ("memory_bytes", 0.0),
        ("memory_bandwidth_bytes_per_second", -3.0),
        ("throughput_bits_per_second", 0.0),
        ("efficiency", 0.0),
        ("efficiency", 1.2),
        ("idle_watts", -1.0),
        ("busy_watts", 0.1),  # below idle
        ("transmit_watts", -0.5),
        ("max_energy_joules", 0.0),
    ],
)
def test_a_bad_node_names_itself_and_the_field(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"'pi'.*{field}"):
        replace(NODE, **{field: value})


@pytest.mark.parametrize("field", ["flops_per_second", "memory_bandwidth_bytes_per_second", "efficiency"])
def test_a_bad_cloud_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        replace(Cloud(), **{field: -1.0})


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("bandwidth_bits_per_second", 0.0, "bandwidth"),
        ("bandwidth_bits_per_second", -5.0, "bandwidth"),
        ("propagation_seconds", -0.1, "propagation"),
        ("variation", -0.1, "variation"),
        ("correlation", 1.0, "correlation"),
        ("uplink_bits_per_second", (), "at least one"),
        ("uplink_bits_per_second", (1e6, 0.0), r"\[1\]"),
    ],
)
def test_a_bad_link_is_refused(field: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(Link(), **{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("arrival_rate", 0.0),
        ("max_delay_seconds", -1.0),
        ("window_seconds", 0.0),
        ("samples_per_pass", 0),
        ("optimizer_slots", -1),
        ("input_bytes", 0.0),
        ("picture_bytes", -1.0),
        ("phase", "sleeping"),
    ],
)
def test_a_bad_workload_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValueError, match="workload"):
        replace(Workload(), **{field: value})


def test_a_fleet_needs_nodes_and_their_names_are_unique() -> None:
    with pytest.raises(ValueError, match="no node"):
        Fleet(nodes=())
    with pytest.raises(ValueError, match=r"more than once: pi"):
        Fleet(nodes=(NODE, NODE))
    with pytest.raises(ValueError, match="num_nodes is 0; it must lie in"):
        Fleet.preset(num_nodes=0)


def test_unknown_presets_list_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"Did you mean 'raspberry-pi-4'.*jetson-nano"):
        Fleet.preset("raspbery-pi-4")
    with pytest.raises(ValueError, match=r"cloud preset.*a100.*t4"):
        Fleet.preset(cloud="z80")
    with pytest.raises(ValueError, match="jetson-nano"):
        Fleet.preset([])


def test_the_master_is_like_the_largest_node() -> None:
    fleet = Fleet(nodes=(NODE, replace(NODE, name="big", memory_bytes=8e9, max_energy_joules=5.0)))
    assert fleet.coordinator == replace(NODE, name="master", memory_bytes=8e9)
    own = replace(NODE, name="own")
    assert Fleet(nodes=(NODE,), master=own).coordinator is own


def test_presets_deal_devices_out_in_turn_and_spread_their_speed() -> None:
    fleet = Fleet.preset(["raspberry-pi-4", "jetson-nano"], 5, speed_spread=0.2, seed=1)
    assert [node.name.rpartition("-")[0] for node in fleet.nodes] == ["raspberry-pi-4", "jetson-nano"] * 2 + [
        "raspberry-pi-4"
    ]
    base = np.array([DEVICES[node.name.rpartition("-")[0]].flops_per_second for node in fleet.nodes])
    factors = fleet.array("flops_per_second") / base
    assert ((factors > 0.8) & (factors < 1.2)).all()
    assert len(set(factors)) == 5
    assert fleet == Fleet.preset(["raspberry-pi-4", "jetson-nano"], 5, speed_spread=0.2, seed=1)
    assert fleet != Fleet.preset(["raspberry-pi-4", "jetson-nano"], 5, speed_spread=0.2, seed=2)


def test_preset_limits_apply_to_every_node() -> None:
    fleet = Fleet.preset(
        "jetson-nano", 3, memory_bytes=1e8, max_energy_joules=7.0, cloud=Cloud("own", flops_per_second=1e12)
    )
    assert set(fleet.array("memory_bytes")) == {1e8}
    assert set(fleet.array("max_energy_joules")) == {7.0}
    assert fleet.cloud.name == "own"


def test_every_preset_is_sound() -> None:
    for name, node in DEVICES.items():
        assert node.name == name
        assert node.effective_flops_per_second == node.flops_per_second * node.efficiency
    for name, cloud in CLOUDS.items():
        assert cloud.name == name
        assert cloud.effective_flops_per_second > max(n.effective_flops_per_second for n in DEVICES.values())


def test_lookup_answers_an_unknown_name_with_those_there_are() -> None:
    assert lookup({"a": 1}, "a", "letter") == 1
    with pytest.raises(ValueError, match=r"unknown letter 'z'\. Choose one of: a, b\."):
        lookup({"b": 2, "a": 1}, "z", "letter")
