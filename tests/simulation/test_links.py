"""Links of every kind: blocks that fit together, resumption and outages."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudedge_pl.errors import CheckpointError
from cloudedge_pl.simulation.links import LINKS, LinkSettings
from tests.simulation.links import LINK, blocks, equal, joined

TRACES = Path(__file__).parent / "traces"

KINDS: dict[str, LinkSettings] = {
    "constant": LINKS["constant"](),
    "lognormal": LINKS["lognormal"](),
    "gilbert_elliott": LINKS["gilbert_elliott"](),
    "diurnal": LINKS["diurnal"](),
    "trace": LINKS["trace"](path=TRACES / "delay.csv", loop=True),
    "mahimahi": LINKS["mahimahi"](path=TRACES / "cellular.up"),
    "throughput": LINKS["throughput"](path=TRACES / "broadband"),
}
FOREVER = {"constant"}


def test_every_kind_is_tried() -> None:
    assert KINDS.keys() == LINKS.keys()


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
