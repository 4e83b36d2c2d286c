"""Memory at the edge and on the master: hand-made networks, and the facts about ResNet-34."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from cloudedge_pl.costs.memory import ACTIVATIONS, activation_bytes, edge_memory_bytes, master_memory_bytes
from cloudedge_pl.costs.profile import CostProfile
from cloudedge_pl.fleet import Workload
from tests.offloading.cases import make_profile, profiles


def two_layers() -> CostProfile:
    """Two segments with round numbers."""
    return CostProfile(
        model="two",
        input_shape=(1, 2, 2),
        names=("input", "a", "b"),
        segment_flops=np.array([10.0, 20.0]),
        segment_parameter_bytes=np.array([100.0, 1000.0]),
        segment_trainable_bytes=np.array([80.0, 900.0]),
        segment_weights=np.array([15.0, 200.0]),
        segment_map_bytes=np.array([40.0, 8.0]),
        segment_peak_bytes=np.array([60.0, 50.0]),
        segment_saved_bytes=np.array([70.0, 30.0]),
        segment_moved_bytes=np.array([0.0, 0.0]),
        cut_bytes=np.array([16.0, 40.0, 8.0]),
        cut_shapes=(((1, 2, 2),), ((10,),), ((2,),)),
        exit_parameter_bytes=np.array([0.0, 12.0, 0.0]),
        exit_activation_bytes=np.array([0.0, 5.0, 0.0]),
    )


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("paper", [0, 4 * 15 + 3 * 40, 4 * 215 + 3 * 48]),
        ("inference", [0, 100 + 3 * 60, 1100 + 3 * 60]),
        # Parameters, gradients, two copies of optimizer state, saved activations.
        ("training", [0, 100 + 3 * 80 + 3 * 70, 1100 + 3 * 980 + 3 * 100]),
    ],
)
def test_modes_by_hand(mode, expected):
    workload = Workload(samples_per_pass=3, optimizer_slots=2)
    np.testing.assert_allclose(edge_memory_bytes(two_layers(), workload, mode), expected)


def test_master_holds_the_edge_part_and_the_exit_head():
    inference = master_memory_bytes(two_layers(), Workload(samples_per_pass=3), "inference")
    np.testing.assert_allclose(inference, [0, 100 + 12 + 3 * 5, 1100])
    training = master_memory_bytes(two_layers(), Workload(phase="training", optimizer_slots=2))
    np.testing.assert_allclose(training, [0, 100 + 4 * 12 + 5, 1100])


@pytest.mark.parametrize("phase", ["inference", "training"])
def test_auto_goes_by_the_phase(phase):
    profile, workload = make_profile(3), Workload(phase=phase)
    np.testing.assert_array_equal(
        edge_memory_bytes(profile, workload, "auto"), edge_memory_bytes(profile, workload, phase)
    )


def test_unknown_mode_names_those_there_are():
    with pytest.raises(ValueError, match=r"unknown memory formula 'trainign'\. Did you mean 'training'\?"):
        edge_memory_bytes(two_layers(), Workload(phase="inference"), "trainign")


@settings(max_examples=50)
@given(profiles())
def test_memory_never_falls_with_depth(profile):
    for mode in ("auto", *ACTIVATIONS):
        memory = edge_memory_bytes(profile, Workload(phase="inference"), mode)
        assert memory[0] == 0
        assert (np.diff(memory) >= 0).all()


@settings(max_examples=50)
@given(profiles())
def test_activations_of_a_batch_are_those_of_its_samples(profile):
    for mode in ("paper", "inference", "training"):
        one = edge_memory_bytes(profile, Workload(samples_per_pass=1), mode)
        five = edge_memory_bytes(profile, Workload(samples_per_pass=5), mode)
        np.testing.assert_allclose(five - one, 4 * activation_bytes(profile, mode), atol=1e-3)
