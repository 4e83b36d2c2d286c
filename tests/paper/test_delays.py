"""Figure 6: where the delay falls, and to which link rate the claims hold."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from cloudedge_pl.offloading import cost_table
from cloudedge_pl.paper.delays import (
    ARRIVAL_RATE,
    beats_the_cloud,
    falls_at_every_position,
    falls_by_stage,
    falls_from_first_to_last,
    faster_nodes,
)
from cloudedge_pl.paper.part import Report
from cloudedge_pl.paper.parts import PARTS
from cloudedge_pl.paper.verdict import CONDITIONAL, FAILS
from tests.offloading.cases import make_workload
from tests.paper.networks import flip, measured, paper_setting, tiny_setting, verdict


def seconds(megabits: float, device: str | None = None) -> np.ndarray:
    setting = paper_setting()
    fleet = setting.fleet(device=device, bandwidth_bits_per_second=megabits * 1e6, variation=0.0)
    workload = make_workload(arrival_rate=ARRIVAL_RATE)
    return cost_table(setting.profile, fleet, workload, setting.formulas, setting.codec).delay_seconds


@pytest.mark.parametrize(
    ("claim", "compare"),
    [
        ("last position than at the first", lambda delay: delay[-1] < delay[1]),
        ("sooner than the cloud", lambda delay: delay[1:].min() < delay[0]),
    ],
)
@pytest.mark.parametrize(
    ("axis", "device"), [("link rate", None), ("link rate with jetson-nano nodes", "jetson-nano")]
)
def test_a_claim_holds_up_to_the_link_rate_that_is_given(claim, compare, axis, device):
    found = flip(verdict(measured("fig6"), claim), axis)
    ((least, most),) = found.holds_in
    beyond = found.tried[found.tried.index(most) + 1]
    assert least == found.tried[0]
    assert beyond / most < 1.02
    assert [compare(seconds(rate, device)) for rate in (most, beyond)] == [True, False]


def test_delay_falls_by_stage_on_a_slow_link_and_never_at_every_position():
    assert verdict(measured("fig6"), "from stage to stage").state == CONDITIONAL
    gradual = verdict(measured("fig6"), "gradually")
    assert gradual.state == FAILS
    delay = seconds(20.0)
    rising = sum(later > earlier for earlier, later in pairwise(delay[1:]))
    assert (
        gradual.numbers["share of positions where the delay rises, 10 raspberry-pi-4, 20 Mbit/s"]
        == rising / 33
    )


def test_parts_of_the_delay_add_up_in_the_table():
    columns = measured("fig6").tables["delay"].columns
    parts = [
        np.asarray(columns[f"{name}_seconds"])
        for name in ("uplink", "wait", "execution", "transfer", "cloud")
    ]
    np.testing.assert_allclose(sum(parts), columns["delay_seconds"])


def test_a_cut_before_layer4_sends_more_than_the_picture():
    columns = measured("fig6").tables["delay"].columns
    ratio = np.asarray(columns["upload_bytes"][:35]) / columns["upload_bytes"][0]
    np.testing.assert_allclose(ratio[[1, 9, 17, 29, 33, 34]], [5.33, 2.67, 1.33, 0.67, 0.0136, 0], atol=0.01)
    assert (ratio[1:29] > 1).all()


def test_outcomes_of_a_delay_by_hand():
    delay = np.array([3.0, 5.0, 4.0, 4.5, 2.0])
    assert falls_from_first_to_last(delay, []) == (True, 0.4)
    assert falls_by_stage(delay, [1, 3, 4]) == (True, 0.0)
    assert falls_at_every_position(delay, []) == (False, pytest.approx(1 / 3))
    assert beats_the_cloud(delay, []) == (True, pytest.approx(2 / 3))


def test_overload_never_falls():
    delay = np.array([1.0, 2.0, np.inf, np.inf])
    assert falls_from_first_to_last(delay, []) == (False, np.inf)
    assert falls_at_every_position(delay, []) == (False, 1.0)
    assert beats_the_cloud(delay, []) == (False, 2.0)


def test_faster_nodes_take_less_time_in_proportion():
    setting = paper_setting()
    workload = make_workload(arrival_rate=1e-6)
    fleet = setting.fleet(variation=0.0)
    slow, fast = (
        cost_table(setting.profile, faster_nodes(fleet, speed), workload).delay_parts["execution"]
        for speed in (10.0, 40.0)
    )
    np.testing.assert_allclose(slow, 4 * fast)


def test_a_small_network_has_all_tables():
    result = PARTS["fig6"].measure(tiny_setting(), Report())
    assert result.tables["delay"].num_rows == 2 * 19
