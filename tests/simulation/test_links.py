"""Links over time: blocks that fit together, resumption, the laws of the random ones, outages, and exact transfers."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudedge_pl.errors import CheckpointError
from cloudedge_pl.fleet import Link
from cloudedge_pl.simulation.links import LINKS, LinkProcess, LinkSegments, LinkSettings, transfer_end

LINK = Link(bandwidth_bits_per_second=2e6, propagation_seconds=0.03, variation=0.4, correlation=0.7)

KINDS: dict[str, LinkSettings] = {
    "constant": LINKS["constant"](),
    "lognormal": LINKS["lognormal"](),
}
FOREVER = {"constant"}


def blocks(process: LinkProcess, num_blocks: int) -> list[LinkSegments]:
    return [process.next() for _ in range(num_blocks)]


def joined(process: LinkProcess, num_blocks: int) -> LinkSegments:
    """The blocks as one stretch, which its own checks let pass."""
    given = blocks(process, num_blocks)
    columns = [
        np.concatenate([getattr(each, column) for each in given])
        for column in ("start_seconds", "bits_per_second", "propagation_seconds")
    ]
    return LinkSegments(*columns, given[-1].end_seconds)


def equal(left: LinkSegments, right: LinkSegments) -> bool:
    return left.end_seconds == right.end_seconds and all(
        np.array_equal(getattr(left, column), getattr(right, column))
        for column in ("start_seconds", "bits_per_second", "propagation_seconds")
    )


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 2**32 - 1), num_blocks=st.integers(1, 4))
@settings(max_examples=15)
def test_blocks_are_contiguous_from_0_on(kind: str, seed: int, num_blocks: int) -> None:
    given_blocks = blocks(KINDS[kind].process(LINK, seed), 1 if kind in FOREVER else num_blocks)
    assert given_blocks[0].start_seconds[0] == 0.0
    for before, after in itertools.pairwise(given_blocks):
        assert before.end_seconds == after.start_seconds[0]


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - FOREVER))
@given(seed=st.integers(0, 1000), stop=st.integers(0, 3))
@settings(max_examples=10)
def test_a_resumed_link_is_the_same_link(kind: str, seed: int, stop: int) -> None:
    process = KINDS[kind].process(LINK, seed)
    blocks(process, stop)
    state = json.loads(json.dumps(process.state_dict()))
    rest = blocks(process, 3)
    resumed = KINDS[kind].process(LINK, seed)
    blocks(resumed, 1)  # leaves no trace
    resumed.load_state_dict(state)
    assert all(map(equal, rest, blocks(resumed, 3)))


def test_a_link_that_lasts_for_ever_has_no_second_block() -> None:
    process = KINDS["constant"].process(LINK)
    (segments,) = blocks(process, 1)
    assert segments.bits_per_second.tolist() == [2e6]
    assert segments.propagation_seconds.tolist() == [0.03]
    assert segments.end_seconds == math.inf
    with pytest.raises(RuntimeError, match="lasts for ever"):
        process.next()


def test_another_link_does_not_take_the_state() -> None:
    state = KINDS["lognormal"].process(LINK).state_dict()
    with pytest.raises(CheckpointError, match="LognormalLink"):
        KINDS["constant"].process(LINK).load_state_dict(state)


@pytest.mark.parametrize("correlation", [0.0, 0.7])
def test_the_lognormal_link_has_its_deviation_and_correlation(correlation: float) -> None:
    settings = LINKS["lognormal"](variation=0.4, correlation=correlation, interval_seconds=0.5)
    segments = joined(settings.process(LINK, 5), 60)
    logs = np.log(segments.propagation_seconds / 0.03)
    num = len(logs) * (1 - correlation) / (1 + correlation)  # independent draws of the same weight
    assert abs(logs.mean()) < 4 * 0.4 / math.sqrt(num)
    assert logs.std() == pytest.approx(0.4, rel=0.03)
    for lag in (1, 2, 5):
        measured = np.corrcoef(logs[:-lag], logs[lag:])[0, 1]
        assert measured == pytest.approx(correlation**lag, abs=0.02)
    assert np.allclose(segments.bits_per_second * segments.propagation_seconds, 2e6 * 0.03)
    assert np.array_equal(np.diff(segments.start_seconds), np.full(len(segments) - 1, 0.5))


def test_the_correlation_holds_across_blocks() -> None:
    """Values at the seams would be independent if a block forgot its predecessor."""
    pairs = []
    for seed in range(400):
        first, second = blocks(LINKS["lognormal"](correlation=0.9).process(LINK, seed), 2)
        pairs.append(np.log([first.propagation_seconds[-1], second.propagation_seconds[0]]))
    assert np.corrcoef(np.array(pairs).T)[0, 1] == pytest.approx(0.9, abs=0.04)


def test_the_lognormal_link_takes_what_is_left_out_from_the_link() -> None:
    own = LINKS["lognormal"](variation=0.4, correlation=0.7).process(LINK, 3).next()
    assert equal(own, LINKS["lognormal"]().process(LINK, 3).next())


def test_seeds_differ() -> None:
    first, second = (KINDS["lognormal"].process(LINK, seed).next() for seed in (0, 1))
    assert not np.array_equal(first.bits_per_second, second.bits_per_second)


OUTAGES = st.lists(st.floats(0, 3000), min_size=2, max_size=8, unique=True).map(
    lambda edges: list(zip(*[iter(sorted(edges))] * 2, strict=False))
)


@given(outages=OUTAGES, seconds=st.lists(st.floats(0, 2047), min_size=1, max_size=20))
@settings(max_examples=50)
def test_outages_are_cut_exactly(outages: list[tuple[float, float]], seconds: list[float]) -> None:
    plain = joined(LINKS["lognormal"]().process(LINK, 1), 2)
    cut = joined(LINKS["lognormal"](outages=outages).process(LINK, 1), 2)
    edges = [edge for pair in outages for edge in pair if edge < cut.end_seconds]
    assert set(edges) <= set(cut.start_seconds.tolist())
    for moment in [*seconds, *edges]:
        out = any(start <= moment < end for start, end in outages)
        here, there = cut.at(moment), plain.at(moment)
        assert cut.bits_per_second[here] == (0.0 if out else plain.bits_per_second[there])
        assert cut.propagation_seconds[here] == plain.propagation_seconds[there]


def test_an_outage_in_a_constant_link_ends() -> None:
    segments = LINKS["constant"](outages=[[0.0, 1.0], [4.0, 6.0]]).process(LINK).next()
    assert segments.start_seconds.tolist() == [0, 1, 4, 6]
    assert segments.bits_per_second.tolist() == [0, 2e6, 0, 2e6]
    assert segments.end_seconds == math.inf


@pytest.mark.parametrize(
    "outages",
    [
        [[1, 1]],
        [[3, 4], [1, 2]],
        [[1, 3], [2, 4]],
        [[-1, 2]],
        [[1]],
        [[1, 2, 3]],
        [[1, math.inf]],
        [1, 2],
        3,
        "1-2",
    ],
)
def test_bad_outages_are_refused(outages: Any) -> None:
    with pytest.raises(ValueError, match="link_process ConstantLink: outages"):
        LINKS["constant"](outages=outages)


@pytest.mark.parametrize(
    "values",
    [
        {"variation": -0.1},
        {"variation": 51},
        {"correlation": 1.0},
        {"interval_seconds": 0},
        {"variation": "0.3"},
    ],
)
def test_bad_lognormal_settings_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"link_process LognormalLink: {next(iter(values))} is"):
        LINKS["lognormal"](**values)


@pytest.mark.parametrize(
    ("starts", "rates", "delays", "end", "message"),
    [
        ([], [], [], 1.0, "at least one"),
        ([[0.0]], [1.0], [0.0], 1.0, "num_segments"),
        ([0.0, 1.0], [1.0], [0.0, 0.0], 2.0, r"bits_per_second has shape \(1,\)"),
        ([0.0, 0.0], [1.0, 1.0], [0.0, 0.0], 2.0, "must ascend"),
        ([1.0, 0.5], [1.0, 1.0], [0.0, 0.0], 2.0, "must ascend"),
        ([0.0], [1.0], [0.0], 0.0, "behind the last one"),
        ([0.0], [1.0], [0.0], math.nan, "behind the last one"),
        ([math.nan], [1.0], [0.0], 1.0, r"start_seconds\[0\] is nan"),
        ([-1.0], [1.0], [0.0], 1.0, r"start_seconds\[0\] is -1"),
        ([0.0], [-1.0], [0.0], 1.0, r"bits_per_second\[0\] is -1"),
        ([0.0], [math.inf], [0.0], 1.0, r"bits_per_second\[0\] is inf"),
        ([0.0], [1.0], [math.nan], 1.0, r"propagation_seconds\[0\] is nan"),
        ([0.0], [0.0], [0.0], math.inf, "for ever"),
    ],
)
def test_segments_check_themselves(starts: Any, rates: Any, delays: Any, end: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LinkSegments(np.array(starts), np.array(rates), np.array(delays), end)


SEGMENTS = LinkSegments(np.array([0.0, 1.0, 3.0]), np.array([10.0, 0.0, 5.0]), np.zeros(3), 4.0)


@pytest.mark.parametrize(
    ("start", "bits", "end"),
    [
        (0.0, 0.0, 0.0),
        (0.0, 5.0, 0.5),
        (0.0, 10.0, 1.0),
        (0.5, 10.0, 4.0),
        (0.5, 10.1, math.inf),
        (1.5, 0.0, 1.5),
        (1.5, 1.0, 3.2),
    ],
)
def test_a_transfer_waits_for_the_end_of_an_outage(start: float, bits: float, end: float) -> None:
    assert transfer_end(SEGMENTS, start, bits) == pytest.approx(end)


@pytest.mark.parametrize("moment", [-0.1, 4.0, math.nan])
def test_a_time_outside_the_segments_is_refused(moment: float) -> None:
    with pytest.raises(ValueError, match="seconds is"):
        SEGMENTS.at(moment)
