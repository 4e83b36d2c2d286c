"""Energy of tasks: by hand, and the two ways to count computing where they must agree."""

from __future__ import annotations

import numpy as np

from cloudedge_pl.costs.energy import linear_compute_joules, omega_compute_joules, radio_joules, static_joules
from cloudedge_pl.costs.transmission import sending_seconds
from cloudedge_pl.fleet import Fleet
from tests.offloading.cases import make_fleet


def powers(fleet: Fleet) -> tuple[np.ndarray, np.ndarray]:
    """Idle and busy watts, [num_nodes, 1] each."""
    return fleet.array("idle_watts")[:, None], fleet.array("busy_watts")[:, None]


def speed(fleet: Fleet) -> np.ndarray:
    """[num_nodes, 1]."""
    return fleet.array("effective_flops_per_second")[:, None]


def test_linear_is_power_above_idle_times_time():
    fleet = make_fleet(2, idle_watts=2.0, busy_watts=6.0)
    joules = linear_compute_joules(*powers(fleet), np.full((2, 3), 0.5))
    np.testing.assert_allclose(joules, np.full((2, 3), 2.0))


def test_omega_is_omega_z_f():
    fleet = make_fleet(1)  # reaches 10 GFLOP/s
    joules = omega_compute_joules(*powers(fleet), speed(fleet), np.array([1e9]), 1e-19)
    np.testing.assert_allclose(joules, [[1e-19 * 1e9 * 10e9]])


def test_omega_by_default_draws_busy_power_at_full_speed():
    fleet = make_fleet(2, idle_watts=1.0, busy_watts=5.0)
    flops = np.array([0.0, 1e9, 7e9])
    np.testing.assert_allclose(
        omega_compute_joules(*powers(fleet), speed(fleet), flops),
        linear_compute_joules(*powers(fleet), flops / 10e9 * np.ones((2, 1))),
    )


def test_radio_is_transmit_power_times_sending_time():
    seconds = sending_seconds(np.array([0.0, 1e6]), np.array([[8e6], [4e6]]))
    joules = radio_joules(np.full((2, 1), 0.5), seconds)
    np.testing.assert_allclose(joules, [[0.0, 0.5], [0.0, 1.0]])


def test_no_power_for_ever_is_no_energy():
    joules = static_joules(np.array([0.0, 2.0, 2.0]), np.array([np.inf, 3.0, np.inf]))
    np.testing.assert_array_equal(joules, [0.0, 6.0, np.inf])
