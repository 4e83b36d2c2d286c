"""The dormancy callback in a run: its rule knows the clock and the limit, and a subclass decides otherwise."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import cloudedge_pl as ce
from cloudedge_pl.dormancy import DormancyState
from tests.training.helpers import WORKLOAD, OtherModule, SmallNet, loader, make_strategy, make_trainer


def history(
    tmp_path: Path, callback: ce.CloudDormancy, epochs: int = 1, **strategy: Any
) -> dict[str, list[Any]]:
    torch.manual_seed(1)
    run = make_strategy(2, **strategy)
    trainer = make_trainer(tmp_path, run, callbacks=[callback], max_epochs=epochs)
    trainer.fit(OtherModule(SmallNet(norm=True)), loader(), loader(seed=1))
    return {name: column.tolist() for name, column in run.simulator.history.columns().items()}


def test_dwell_seconds_are_seconds_of_the_runs_clock(tmp_path: Path) -> None:
    class Alternating(ce.CloudDormancy):
        def decide(self, state: DormancyState, delay_seconds: float) -> DormancyState:
            return super().decide(state, 1e9 if state.awake else 0.0)  # calls for a change in every window

    plain = history(tmp_path, ce.CloudDormancy(mode="never"))
    step = plain["clock_seconds"][0]
    rule = Alternating(mode="deadline", dwell_windows=1, dwell_seconds=2.5 * step)
    found = history(tmp_path, rule, epochs=5, workload=replace(WORKLOAD, max_delay_seconds=1e3))
    opens = [0.0, *found["clock_seconds"][:-1]]
    changes = [
        at for at, (one, other) in enumerate(itertools.pairwise([True, *found["awake"]])) if one != other
    ]
    assert len(changes) >= 3  # asleep, and awake again
    assert all(opens[b] - opens[a] >= 2.5 * step for a, b in itertools.pairwise(changes))


@pytest.mark.parametrize(("limit", "awake"), [(1e-6, False), (math.inf, True)])
def test_deadline_is_the_workloads_limit(tmp_path: Path, limit: float, awake: bool) -> None:
    rule = ce.CloudDormancy(mode="deadline", dwell_windows=1)
    found = history(tmp_path, rule, workload=replace(WORKLOAD, max_delay_seconds=limit))
    assert found["awake"]
    assert set(found["awake"]) == {awake}


def test_a_subclass_of_two_arguments_reads_the_times_of_its_window(tmp_path: Path) -> None:
    class Reader(ce.CloudDormancy):
        def __init__(self) -> None:  # without the rule of the parent
            self.clocks: list[float] = []

        def decide(self, state: DormancyState, delay_seconds: float) -> DormancyState:
            self.clocks.append(self.window_times.clock_seconds)
            return state

    reader = Reader()
    found = history(tmp_path, reader)
    assert {0.0, *found["clock_seconds"][:-1]} <= set(reader.clocks)
