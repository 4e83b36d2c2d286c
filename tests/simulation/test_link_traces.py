"""Links from files: what a trace says, literally, and bad files."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudedge_pl.errors import DataError
from cloudedge_pl.simulation.links import LINKS, transfer_end
from tests.simulation.links import LINK, bits, joined

TRACES = Path(__file__).parent / "traces"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "measured.csv"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("traces")


def test_a_row_holds_to_the_next_and_the_last_for_ever(path: Path) -> None:
    path.write_text("bits_per_second,t_seconds,delay_seconds\n4e6,100,0.02\n0,103,0.5\n1e6,104.5,0.03\n")
    segments = LINKS["trace"](path=path).process(LINK).next()
    assert segments.start_seconds.tolist() == [0, 3, 4.5]
    assert segments.bits_per_second.tolist() == [4e6, 0, 1e6]
    assert segments.propagation_seconds.tolist() == [0.02, 0.5, 0.03]
    assert segments.end_seconds == math.inf


def test_a_trace_is_repeated(path: Path) -> None:
    path.write_text("t_seconds,delay_seconds,bits_per_second\n0,0.02,4e6\n3,0.5,0\n5,0.03,0\n")
    segments = joined(LINKS["trace"](path=path, loop=True).process(LINK), 3)
    assert segments.start_seconds[:7].tolist() == [0, 3, 5, 7, 10, 12, 14]
    assert segments.end_seconds == 7 * len(segments) / 3
    for column, row in (("bits_per_second", [4e6, 0, 0]), ("propagation_seconds", [0.02, 0.5, 0.03])):
        assert (getattr(segments, column).reshape(-1, 3) == row).all()


def test_the_link_stands_for_a_column_that_is_left_out(path: Path) -> None:
    path.write_text("t_seconds,delay_seconds\n0,0.02\n3,0.5\n")
    assert LINKS["trace"](path=path).process(LINK).next().bits_per_second.tolist() == [2e6, 2e6]
    path.write_text("t_seconds,bits_per_second\n0,5e5\n3,6e5\n")
    assert LINKS["trace"](path=path).process(LINK).next().propagation_seconds.tolist() == [0.03, 0.03]


def delivered(times: list[int], until: int) -> int:
    """Packets that Mahimahi lets pass after 0 ms, up to a time in ms, as its queue counts them."""
    base, row, packets = 0, 0, 0
    while base + times[row] <= until:
        packets += base + times[row] > 0
        row += 1
        if row == len(times):
            base, row = base + times[-1], 0
    return packets


@given(
    times=st.lists(st.integers(0, 400), min_size=1, max_size=60)
    .map(sorted)
    .filter(lambda times: times[-1] > 0),
    step=st.sampled_from([1, 7, 100]),
)
@settings(max_examples=60)
def test_mahimahi_delivers_in_every_interval_what_the_trace_says(
    folder: Path, times: list[int], step: int
) -> None:
    path = folder / "any.down"
    path.write_text("".join(f"{each}\n" for each in times))
    segments = LINKS["mahimahi"](path=path, interval_seconds=step / 1000).process(LINK).next()
    period = times[-1]
    behind = [2 * period + step] if step <= period else []
    for moment in [*range(step, period, step), period, 2 * period, *behind]:
        assert bits(segments, moment / 1000) == pytest.approx(12_000 * delivered(times, moment))


def test_the_capacity_of_a_mahimahi_period_is_exact() -> None:
    times = [int(line) for line in (TRACES / "cellular.up").read_text().split()]
    segments = joined(LINKS["mahimahi"](path=TRACES / "cellular.up").process(LINK), 2)
    for period in (1, 10, 100):
        assert bits(segments, period * times[-1] / 1000) == pytest.approx(period * 12_000 * len(times))
    assert (segments.bits_per_second == 0).any()  # the gap
    assert (segments.propagation_seconds == 0.03).all()


def test_a_mahimahi_trace_of_one_line_is_a_constant_link(path: Path) -> None:
    path.write_text("1\n")
    segments = LINKS["mahimahi"](path=path).process(LINK).next()
    assert segments.bits_per_second.tolist() == [pytest.approx(12e6)]
    assert segments.end_seconds == math.inf


def pensieve_seconds(times: list[float], megabits: list[float], num_bits: float) -> float:
    """How long a download takes, as Pensieve's simulator computes it, without its overheads."""
    row, last, sent, delay = 1, times[0], 0.0, 0.0
    while True:
        rate, duration = megabits[row] * 1e6, times[row] - last
        if sent + rate * duration > num_bits:
            return delay + (num_bits - sent) / rate
        sent, delay, last, row = sent + rate * duration, delay + duration, times[row], row + 1
        if row == len(times):
            row, last = 1, times[0]


@given(
    gaps=st.lists(st.sampled_from([0.0, 0.5, 1.0, 5.0]), min_size=3, max_size=20),
    rates=st.lists(st.floats(0.1, 50), min_size=21, max_size=21),
    megabits=st.floats(1, 500),
)
@settings(max_examples=60)
def test_a_throughput_trace_is_read_as_pensieve_reads_it(
    folder: Path, gaps: list[float], rates: list[float], megabits: float
) -> None:
    path, times = folder / "any", [10.0, *(10.0 + np.cumsum([*gaps, 2.0])).tolist()]
    path.write_text("".join(f"{time} {rate!r}\n" for time, rate in zip(times, rates, strict=False)))
    segments = LINKS["throughput"](path=path).process(LINK).next()
    expected = pensieve_seconds(times, rates, megabits * 1e6)
    if expected < segments.end_seconds:
        assert transfer_end(segments, 0.0, megabits * 1e6) == pytest.approx(expected)


def test_a_trace_of_broadband_is_read() -> None:
    segments = LINKS["throughput"](path=TRACES / "broadband").process(LINK).next()
    assert segments.start_seconds[:3].tolist() == [0, 5, 10]
    assert segments.bits_per_second[:2] == pytest.approx([19.484458e6, 20.315259e6])
    assert segments.start_seconds[12] == 60
    assert segments.bits_per_second[12] == segments.bits_per_second[0]


HEAD = "t_seconds,delay_seconds,bits_per_second\n"
TWO = "0,0.02,4e6\n1,0.02,4e6\n"


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        ("trace", "", "is empty"),
        ("trace", HEAD, "no row"),
        ("trace", HEAD + "0,0.02,4e6\n", "one row, in line 2"),
        ("trace", "0,0.02\n1,0.02\n", "column in .*line 1"),
        ("trace", "t_seconds\n0\n1\n", "needs t_seconds, and delay_seconds"),
        ("trace", "delay_seconds,bits_per_second\n1,2\n", "needs t_seconds"),
        ("trace", HEAD + TWO + "0.5,0.02,4e6\n", "line 4: t_seconds is 0.5, the row before has 1.0"),
        ("trace", HEAD + TWO + "1,0.02,4e6\n", "line 4: .*one row for each time"),
        ("trace", HEAD + TWO + "2,-0.02,4e6\n", "line 4: delay_seconds is '-0.02'"),
        ("trace", HEAD + TWO + "2,0.02,-1\n", "line 4: bits_per_second is '-1'"),
        ("trace", HEAD + TWO + "2,nan,4e6\n", "line 4: delay_seconds is 'nan'"),
        ("trace", HEAD + TWO + "2,,4e6\n", "line 4: delay_seconds is ''"),
        ("trace", HEAD + TWO + "2,0.02\n", "line 4: it has 2 cells"),
        ("trace", HEAD + TWO + "2,fast,4e6\n", "line 4: delay_seconds is 'fast'"),
        ("trace", HEAD + TWO + "2,0.02,0\n", "line 4: the last bits_per_second is 0"),
        ("trace", HEAD + "0,20,4e6\n1,30,4e6\n", "is it in milliseconds"),
        ("trace", HEAD + "0,0.02,0\n1,0.02,0\n", "every rate is 0"),
        ("trace", HEAD + "0,0.02,50\n1,0.02,20\n", "is it in Mbit/s"),
        ("trace", HEAD + "0,0.02,4e6\n1e-9,0.02,4e6\n", "line 3: the trace lasts 1e-09 s"),
        ("mahimahi", "", "no line above 0 ms"),
        ("mahimahi", "0\n0\n", "no line above 0 ms"),
        ("mahimahi", "1\n3\n2\n", "line 3: the time in ms is 2, the row before has 3"),
        ("mahimahi", "1\n-2\n", "line 2: it is '-2'"),
        ("mahimahi", "1\n2.5\n", "line 2: it is '2.5'"),
        ("mahimahi", "1\nnan\n", "line 2: it is 'nan'"),
        ("mahimahi", "1\n2 3\n", "line 2: it is '2 3'"),
        ("mahimahi", "1\n" + "9" * 30, "line 2: it is '9"),
        ("mahimahi", "1\n999999999999999\n", "line 2: the trace lasts .*10000000 is the largest"),
        ("throughput", "", "no row"),
        ("throughput", "0 20\n", "one row, in line 1"),
        ("throughput", "0 20\n5 20\n4 20\n", "line 3: the time is 4.0"),
        ("throughput", "0 20\n5 -1\n", "line 2: the rate is '-1'"),
        ("throughput", "0 20\n5 nan\n", "line 2: the rate is 'nan'"),
        ("throughput", "0,20\n5,20\n", "line 1: it is '0,20'"),
        ("throughput", "0 20 1\n5 20\n", "line 1: it is '0 20 1'"),
        ("throughput", "0 20\n5 0\n5 7\n", "every rate is 0"),
        ("throughput", "0 20\n0 20\n", "the trace lasts 0 s"),
        ("throughput", "0 20\n5 20000000\n", "is it in bit/s"),
    ],
)
def test_a_bad_trace_is_refused_with_its_name(path: Path, kind: str, content: str, message: str) -> None:
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        LINKS[kind](path=path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("kind", ["trace", "mahimahi", "throughput"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b"1\n2\n", mtime=0), "compressed by gzip"),
        (bytes(range(128, 256)), "line 1: byte 0 is not UTF-8"),
        ("1\n2\n".encode("utf-16-le"), "NUL"),
    ],
)
def test_a_file_that_is_no_text_is_refused(path: Path, kind: str, content: bytes, message: str) -> None:
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        LINKS[kind](path=path)


@pytest.mark.parametrize("kind", ["trace", "mahimahi", "throughput"])
def test_a_file_that_is_not_there_is_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv is not a file"):
        LINKS[kind](path=tmp_path / "none.csv")
    with pytest.raises(DataError, match="is not a file"):
        LINKS[kind](path=str(tmp_path))


@pytest.mark.parametrize("seconds", [0.0005, 0.0015, 0, "0.1", math.nan])
def test_a_bad_interval_is_refused(seconds: Any) -> None:
    with pytest.raises(ValueError, match="link_process MahimahiLink: interval_seconds is"):
        LINKS["mahimahi"](path=TRACES / "cellular.up", interval_seconds=seconds)
