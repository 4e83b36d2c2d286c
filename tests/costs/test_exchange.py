"""An aggregation by hand: the master receives one node after the other, and sends to all at once."""

from __future__ import annotations

import numpy as np
import pytest

from cloudedge_pl.costs.exchange import collected_at, exchange_costs, multicast_seconds
from cloudedge_pl.fleet import Fleet
from tests.offloading.cases import make_node


def make_fleet() -> Fleet:
    """Nodes of 1 and 8 Mbit/s, a master of 4 Mbit/s; every machine draws 2 W idle and 0.5 W more to send."""
    nodes = (
        make_node("slow", throughput_bits_per_second=1e6),
        make_node("fast", throughput_bits_per_second=8e6),
    )
    return Fleet(nodes, master=make_node("master", throughput_bits_per_second=4e6))


def test_the_master_receives_on_one_link():
    fleet = make_fleet()
    # 1 MB takes 8 s from the slow node, 2 s from the fast one; the master's link is free when the slow one's ends.
    assert collected_at(1e6, fleet, np.zeros(2)) == pytest.approx(8.0)
    # Ready at 0 and 7: the fast node's bytes follow the slow node's on the master's link.
    assert collected_at(1e6, fleet, np.array([0.0, 7.0])) == pytest.approx(10.0)
    assert multicast_seconds(1e6, fleet) == pytest.approx(8.0)


def test_an_exchange_costs_its_radio_and_everyones_idle_power():
    exchange = exchange_costs(1e6, make_fleet())
    assert exchange.seconds == pytest.approx(16.0)
    np.testing.assert_allclose(exchange.joules, 2.0 * 16 + 0.5 * np.array([8.0, 2.0, 8.0]))
    np.testing.assert_array_equal(exchange.num_bytes, [2e6, 2e6, 0.0])


def test_absent_nodes_cost_nothing_and_nobody_waits_for_them():
    exchange = exchange_costs(1e6, make_fleet(), np.array([False, True]))
    # The fast node's 1 MB takes 2 s on the master's link, and 2 s back at 4 Mbit/s.
    assert exchange.seconds == pytest.approx(4.0)
    np.testing.assert_allclose(exchange.joules, [0.0, 2.0 * 4 + 0.5 * 2, 2.0 * 4 + 0.5 * 2])
    np.testing.assert_array_equal(exchange.num_bytes, [0.0, 2e6, 0.0])
