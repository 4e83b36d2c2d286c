"""A computation that is made to take at least so long."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cloudedge_pl.serving import session
from cloudedge_pl.serving.session import paced

INPUTS = {"x": np.arange(6.0).reshape(3, 2)}


def test_a_sample_takes_at_least_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    clock = iter((10.0, 10.5, 20.0, 29.0))
    monkeypatch.setattr(session.time, "sleep", slept.append)
    monkeypatch.setattr(session.time, "perf_counter", lambda: next(clock))
    slow = paced(lambda inputs: {"y": 2 * inputs["x"]}, 2.0)
    for _ in range(2):
        assert np.array_equal(slow(INPUTS)["y"], 2 * INPUTS["x"])
    assert slept == [3 * 2.0 - 0.5, 0.0]  # the second took longer than that by itself


def test_without_a_time_nothing_is_changed() -> None:
    def run(inputs: object) -> dict[str, np.ndarray]:
        return {}

    assert paced(run, 0.0) is run
    for wrong in (-1.0, math.inf):
        with pytest.raises(ValueError, match="least_seconds"):
            paced(run, wrong)
