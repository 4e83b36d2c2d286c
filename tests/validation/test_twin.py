"""The simulator's inputs: what was measured of parts and links alone adds up to what a lone request takes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudedge_pl.dormancy import DormancyRule, DormancyState
from cloudedge_pl.scheduling import create_scheduler
from cloudedge_pl.serving.master_settings import MasterSettings
from cloudedge_pl.validation.conditions import Condition, Span
from cloudedge_pl.validation.measured import Figures, ServerFigures
from cloudedge_pl.validation.outcomes import Outcome
from cloudedge_pl.validation.twin import MasterView, Twin, second_fastest
from tests.validation.figures import CLOUD, NODE, figures, twin

SPAN = Span(warmup_seconds=0.0, seconds=10.0)
PLAIN = Condition(about="plain", load=0.1)
ALONE = NODE.service_seconds + NODE.link_seconds + CLOUD.service_seconds + CLOUD.link_seconds
"""What a request takes that meets no other: its call of the node, and its call of the cloud."""


def run(
    made: Twin, arrivals: list[float], condition: Condition = PLAIN, span: Span = SPAN, name: str = "x"
) -> Outcome:
    return made.run(np.array(arrivals), create_scheduler("min_completion"), condition, span, name=name)


def test_a_lone_request_takes_the_sum_of_both_calls(tmp_path: Path) -> None:
    found = run(twin(tmp_path), [0.5, 2.0, 4.0])
    assert found.median_seconds == pytest.approx(ALONE, abs=1e-9)
    assert found.p95_seconds == pytest.approx(ALONE, abs=1e-9)
    assert found.uploaded_bytes == CLOUD.sent_bytes
    assert found.share_asleep == 0
    assert found.by_path == {"cloud": 1.0}


def test_the_master_s_own_time_is_part_of_every_delay(tmp_path: Path) -> None:
    slower = replace(figures(0.05), master_seconds=0.004)
    found = run(twin(tmp_path, figures=slower), [0.5, 2.0])
    assert found.median_seconds == pytest.approx(ALONE + 0.004, abs=1e-9)


positive = st.floats(1e-3, 0.5)


@settings(max_examples=25)
@given(
    service=positive,
    link=positive,
    cloud=positive,
    far=positive,
    rates=st.tuples(st.floats(1e5, 1e12), st.floats(1e6, 1e12)),
)
def test_the_sum_does_not_depend_on_how_links_are_split(
    tmp_path_factory: pytest.TempPathFactory,
    service: float,
    link: float,
    cloud: float,
    far: float,
    rates: tuple[float, float],
) -> None:
    """Rates say only which part of a link's time is a queue's."""
    node = ServerFigures(
        service_seconds=service,
        jitter=0.0,
        link_seconds=link,
        bits_per_second=rates[0],
        sent_bytes=1000.0,
        received_bytes=1000.0,
    )
    there = ServerFigures(
        service_seconds=cloud,
        jitter=0.0,
        link_seconds=far,
        bits_per_second=rates[1],
        sent_bytes=100.0,
        received_bytes=10.0,
    )
    made = twin(tmp_path_factory.getbasetemp(), figures=Figures(nodes=(node,), cloud=there, exit_seconds=0.0))
    found = run(made, [0.0, 5.0])
    assert found.median_seconds == pytest.approx(service + link + cloud + far, rel=1e-6)


def test_two_requests_at_once_share_the_link_to_the_cloud(tmp_path: Path) -> None:
    found = run(twin(tmp_path, 0.05, 0.05), [1.0, 1.0])
    sending = 8 * CLOUD.sent_bytes / CLOUD.bits_per_second
    waits = max(sending, CLOUD.service_seconds)  # the second one waits for the link, then for the cloud
    assert found.median_seconds == pytest.approx(ALONE + waits / 2, abs=1e-9)


def test_the_cloud_s_delay_rises_for_a_while(tmp_path: Path) -> None:
    condition = Condition(about="slow", load=0.1, slow_from=0.2, slow_until=0.4, slow_factor=3.0)
    made = twin(tmp_path, rule=DormancyRule(mode="never"))
    found = run(made, [0.5, 2.5, 3.0, 3.5, 8.0], condition)
    assert found.p95_seconds == pytest.approx(ALONE + 2 * 2 * 0.02, abs=1e-9)
    assert run(made, [0.5, 8.0], condition).p95_seconds == pytest.approx(ALONE, abs=1e-9)
    assert (tmp_path / "link_x.csv").read_text().startswith("t_seconds,delay_seconds\n0.0,")


def test_in_an_outage_calls_wait_for_the_patience_and_then_the_exit_head_answers(tmp_path: Path) -> None:
    condition = Condition(about="outage", load=0.1, outage_from=0.2, outage_until=0.6)
    made = twin(tmp_path)
    patience = made.patience_seconds
    assert patience == MasterSettings().limit_seconds(CLOUD.link_seconds + CLOUD.service_seconds) == 0.55
    # before; as it begins; when it is known; one after the other until after the end
    arrivals = [1.0, 2.05, 3.0, 4.0, 5.0, *np.arange(6.1, 9.9, 0.3).tolist()]
    found = run(made, arrivals, condition)
    assert found.failed == 0
    # asleep from the third request on, and awake with the first after the end: the rule still warms up
    assert found.share_asleep == pytest.approx((6.1 - 3.0) / 10, abs=1e-9)
    assert found.by_path["exit"] == pytest.approx(3 / len(arrivals))
    lone = run(made, [2.05], condition)
    assert lone.median_seconds == pytest.approx(ALONE + patience, abs=0.011)


def test_what_a_dead_node_had_goes_to_the_others(tmp_path: Path) -> None:
    condition = Condition(about="dead", load=0.1, dies_at=0.5)
    made = twin(tmp_path, 0.05, 0.5, 0.06)
    assert second_fastest(made.figures) == 2
    before = run(made, [1.0, 1.0, 1.0], condition)
    assert before.by_node == {"node-0": 2 / 3, "node-2": 1 / 3}
    after = run(made, [4.99, 4.99, 7.0, 7.0], condition)
    assert "node-2" not in after.by_node
    assert after.failed == 0


def test_only_the_time_that_is_measured_counts(tmp_path: Path) -> None:
    span = Span(warmup_seconds=5.0, seconds=5.0)
    found = run(twin(tmp_path), [1.0, 1.0, 1.0, 1.0, 7.0], span=span)
    assert found.requests == 1
    assert found.median_seconds == pytest.approx(ALONE, abs=1e-9)
    assert found.uploaded_bytes == CLOUD.sent_bytes  # of all


def test_the_master_knows_of_an_outage_when_the_first_call_has_timed_out() -> None:
    rule = DormancyRule(warmup_windows=1, dwell_windows=1)
    view = MasterView(rule=rule, begin_seconds=2.0, known_seconds=2.5, end_seconds=4.0)

    def after(state: DormancyState, clock: float, delay: float = 0.04) -> DormancyState:
        return view(state, delay, limit_seconds=math.inf, clock_seconds=clock)

    state = after(DormancyState(), 1.9)
    assert state.measurements == 1
    assert after(state, 2.0, 9.0) == state  # nothing has come back
    asleep = after(state, 2.5)
    assert not asleep.awake
    assert asleep.measurements == 1
    assert not after(asleep, 3.99).awake
    assert after(asleep, 4.0).awake


def test_capacity_is_that_of_all_nodes() -> None:
    assert figures(0.05, 0.1, 0.2).capacity == pytest.approx(20 + 10 + 5)
