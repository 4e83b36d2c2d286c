"""Energy of tasks: by hand, and the two ways to count computing where they must agree."""

from __future__ import annotations

import numpy as np
import pytest

from cloudedge_pl.costs.energy import linear_compute_joules, omega_compute_joules, radio_joules, static_joules
from tests.offloading.cases import make_fleet


def test_linear_is_power_above_idle_times_time():
    fleet = make_fleet(2, idle_watts=2.0, busy_watts=6.0)
    np.testing.assert_allclose(linear_compute_joules(fleet, np.full((2, 3), 0.5)), np.full((2, 3), 2.0))


def test_omega_is_omega_z_f():
    fleet = make_fleet(1)  # reaches 10 GFLOP/s
    np.testing.assert_allclose(omega_compute_joules(fleet, np.array([1e9]), 1e-19), [[1e-19 * 1e9 * 10e9]])


def test_omega_by_default_draws_busy_power_at_full_speed():
    fleet = make_fleet(2, idle_watts=1.0, busy_watts=5.0)
    flops = np.array([0.0, 1e9, 7e9])
    np.testing.assert_allclose(
        omega_compute_joules(fleet, flops), linear_compute_joules(fleet, flops / 10e9 * np.ones((2, 1)))
    )


def test_radio_is_transmit_power_times_sending_time():
    fleet = make_fleet(2, transmit_watts=0.5)
    joules = radio_joules(fleet, np.array([0.0, 1e6]), np.array([8e6, 4e6]))
    np.testing.assert_allclose(joules, [[0.0, 0.5], [0.0, 1.0]])


def test_no_power_for_ever_is_no_energy():
    assert static_joules(make_fleet(1, idle_watts=0.0), np.full((1, 1), np.inf)) == 0
    assert static_joules(make_fleet(1, idle_watts=2.0), np.full((1, 1), 3.0)) == pytest.approx(6.0)
