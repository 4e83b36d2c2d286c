"""Arrivals: slices and resumption change nothing, rates and bursts follow the formulas, bad traces are refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudedge_pl.errors import CheckpointError
from cloudedge_pl.simulation.arrivals import (
    ARRIVALS,
    BLOCK,
    ArrivalSettings,
    ConstantArrivals,
    MmppArrivals,
    OnOffArrivals,
    PoissonArrivals,
    TraceArrivals,
)

RANDOM: list[ArrivalSettings] = [
    PoissonArrivals(tasks_per_second=3.0),
    ConstantArrivals(tasks_per_second=7.0),
    MmppArrivals(tasks_per_second=(2.0, 30.0), holding_seconds=(5.0, 1.0)),
    OnOffArrivals(tasks_per_second=20.0, on_seconds=1.0, off_seconds=4.0),
]
PIECES = st.lists(st.integers(0, BLOCK + 100), min_size=1, max_size=5)


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "trace.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@settings(max_examples=40)
@given(kind=st.sampled_from(RANDOM), pieces=PIECES, seed=st.integers(0, 99), stop=st.integers(0, 4))
def test_slices_and_resumption_change_no_value(
    kind: ArrivalSettings, pieces: list[int], seed: int, stop: int
) -> None:
    whole = kind.process(seed).next(sum(pieces)).seconds
    process, parts = kind.process(seed), []
    for row, piece in enumerate(pieces):
        if row == stop:
            state = json.loads(json.dumps(process.state_dict()))
            process = kind.process(seed)
            process.load_state_dict(state)
        parts.append(process.next(piece).seconds)
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert (np.diff(whole) >= 0).all()
    assert (whole >= 0).all()
    assert len(whole) == sum(pieces)


@pytest.mark.parametrize("kind", [*RANDOM[:1], *RANDOM[2:]])
def test_another_seed_gives_other_times(kind: ArrivalSettings) -> None:
    assert (kind.process(0).next(9).seconds != kind.process(1).next(9).seconds).all()


def test_poisson_has_exponential_gaps() -> None:
    gaps = np.diff(PoissonArrivals(tasks_per_second=4.0).process(3).next(200_000).seconds)
    assert gaps.mean() == pytest.approx(0.25, rel=0.01)
    assert gaps.std() / gaps.mean() == pytest.approx(1, abs=0.02)
    assert (gaps > 0.25).mean() == pytest.approx(math.exp(-1), abs=0.005)


def test_constant_never_drifts() -> None:
    seconds = ConstantArrivals(tasks_per_second=3.0).process().next(3 * BLOCK).seconds
    np.testing.assert_array_equal(seconds, np.arange(3 * BLOCK) / 3.0)


def counts_per(seconds: np.ndarray, width: float) -> np.ndarray:
    return np.bincount((seconds / width).astype(int))[:-1]


def dispersion_of_mmpp(rates: tuple[float, float], holding: tuple[float, float], width: float) -> float:
    """Variance over mean of the tasks in a stretch of time (Fischer and Meier-Hellstern 1993, two phases)."""
    out, back = 1 / holding[0], 1 / holding[1]
    total = out + back
    mean = (rates[0] * back + rates[1] * out) / total
    scale = 2 * (rates[0] - rates[1]) ** 2 * out * back / (total**3 * mean)
    return 1 + scale * (1 - (1 - math.exp(-total * width)) / (total * width))


@pytest.mark.parametrize(
    ("kind", "rates", "holding"),
    [
        (RANDOM[2], (2.0, 30.0), (5.0, 1.0)),
        (RANDOM[3], (20.0, 0.0), (1.0, 4.0)),
        (MmppArrivals(tasks_per_second=[0.0, 5.0], holding_seconds=[0.05, 0.02]), (0.0, 5.0), (0.05, 0.02)),
    ],
)
@pytest.mark.parametrize("width", [0.5, 10.0])
def test_rate_and_burstiness_of_phases(
    kind: ArrivalSettings, rates: tuple[float, float], holding: tuple[float, float], width: float
) -> None:
    seconds = kind.process(5).next(600_000).seconds
    mean = (rates[0] * holding[0] + rates[1] * holding[1]) / sum(holding)
    assert len(seconds) / seconds[-1] == pytest.approx(mean, rel=0.03)
    counts = counts_per(seconds, width)
    assert counts.var() / counts.mean() == pytest.approx(dispersion_of_mmpp(rates, holding, width), rel=0.06)


def test_on_off_gaps_have_the_variation_of_kuczura() -> None:
    """Squared coefficient of variation of an interrupted Poisson process: 1 + 2 rate off_rate_out / (out + back)^2."""
    gaps = np.diff(
        OnOffArrivals(tasks_per_second=20.0, on_seconds=1.0, off_seconds=4.0).process(1).next(800_000).seconds
    )
    out, back = 1 / 1.0, 1 / 4.0
    assert gaps.var() / gaps.mean() ** 2 == pytest.approx(1 + 2 * 20.0 * out / (out + back) ** 2, rel=0.03)


def test_phases_start_in_the_stationary_state() -> None:
    kind = OnOffArrivals(tasks_per_second=1e4, on_seconds=1.0, off_seconds=3.0)
    on = [kind.process(seed).next(1).seconds[0] < 1e-3 for seed in range(1500)]
    assert np.mean(on) == pytest.approx(0.25, abs=0.04)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("poisson", {"tasks_per_second": 0}, "tasks_per_second is 0"),
        ("constant", {"tasks_per_second": math.inf}, "tasks_per_second is inf"),
        ("mmpp", {"tasks_per_second": [1.0]}, "two values"),
        ("mmpp", {"tasks_per_second": [0.0, 0.0]}, "0 in both phases"),
        ("mmpp", {"tasks_per_second": [1.0, -1.0]}, r"tasks_per_second\[1\] is -1"),
        ("mmpp", {"holding_seconds": [1.0, 0.0]}, r"holding_seconds\[1\] is 0"),
        ("mmpp", {"holding_seconds": [1e-6, 1e-6]}, "use poisson"),
        ("on_off", {"off_seconds": -1.0}, "off_seconds is -1"),
    ],
)
def test_a_bad_value_is_refused_by_name(name: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ARRIVALS[name](**values)


def test_the_state_of_another_kind_is_refused() -> None:
    with pytest.raises(CheckpointError, match="PoissonArrivals"):
        ConstantArrivals().process().load_state_dict(PoissonArrivals().process().state_dict())


def test_a_trace_gives_its_times_and_classes_and_ends(tmp_path: Path) -> None:
    kind = TraceArrivals(path=written(tmp_path, "class,t_seconds\nb,0.5\na,0.5\nb,2\n"))
    process = kind.process()
    first, rest = process.next(2), process.next(9)
    assert kind.class_names == ("b", "a")
    assert [*first.seconds, *rest.seconds] == [0.5, 0.5, 2]
    assert [*first.kind, *rest.kind] == [0, 1, 0]
    assert len(process.next(1).seconds) == 0


def test_a_trace_of_whole_blocks_ends(tmp_path: Path) -> None:
    rows = "\n".join(map(str, range(2 * BLOCK)))
    process = TraceArrivals(path=written(tmp_path, f"t_seconds\n{rows}\n")).process()
    assert process.next(3 * BLOCK).seconds.tolist() == list(range(2 * BLOCK))


def test_a_trace_of_one_row(tmp_path: Path) -> None:
    path = written(tmp_path, "t_seconds\n1.5\n")
    given = TraceArrivals(path=path).process().next(2)
    assert (given.seconds.tolist(), given.kind.tolist()) == ([1.5], [-1])
    with pytest.raises(ValueError, match=r"trace\.csv: its tasks all arrive at once"):
        TraceArrivals(path=path, loop=True)


def test_a_repeated_trace_goes_on_after_its_mean_gap(tmp_path: Path) -> None:
    kind = TraceArrivals(path=written(tmp_path, "t_seconds\n1\n2\n5\n"), loop=True)
    assert kind.process().next(7).seconds.tolist() == [1, 2, 5, 7, 8, 11, 13]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t_seconds\n1\n0.5\n", "line 3: t_seconds is 0.5 and in the row before 1; sort"),
        ("t_seconds\n-1\n", "line 2: t_seconds is '-1'"),
        ("t_seconds\n0\nnan\n", "line 3: t_seconds is 'nan'"),
        ("t_seconds\ninf\n", "line 2: t_seconds is 'inf'"),
        ("t_seconds\n1 s\n", "line 2: t_seconds is '1 s'"),
        ("", "it is empty"),
        ("t_seconds\n", "no row below"),
        ("class\na\n", "lacks the column t_seconds"),
        ("time\n1\n", "line 1: 'time'"),
        ("t_seconds,class\n1,\n", "line 2: class is empty"),
        ("t_seconds,class\n1\n", "line 2: it has 1 cells"),
        (b"t_seconds\n1\n\xff\n", "line 3: byte 12 is not UTF-8"),
        ("t_seconds\n1\n".encode("utf-16-le"), "UTF-16"),
    ],
)
def test_a_bad_trace_is_refused_by_file_and_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(ValueError, match=r"trace\.csv.*" + message):
        TraceArrivals(path=written(tmp_path, text))


def test_a_trace_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file"):
        TraceArrivals(path=tmp_path / "none.csv")
