"""The training benchmark prints what it says it prints; its naive loop computes what the strategy computes."""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

BENCHMARK = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "train_step.py"))
COLUMNS = {"nodes", "split", "interval", "batch_norm", "seconds", "plain_seconds", "ratio"}


@pytest.mark.slow
def test_json_has_a_row_for_every_case(capsys):
    arguments = "--json --no-memory --sizes 64 --splits layer1 --nodes 2 --intervals 2 --repeats 1"
    BENCHMARK["main"](arguments.split())
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["interval"] for row in rows] == [2]
    for row in rows:
        assert row.keys() >= COLUMNS
        assert row["ratio"] == pytest.approx(row["seconds"] / row["plain_seconds"])
    assert rows[0]["naive_seconds"] > 0


@pytest.fixture
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.slow
@pytest.mark.usefixtures("double")
def test_the_naive_loop_trains_as_the_strategy_does():
    case: dict[str, Any] = {
        "size": 64, "nodes": 3, "split": "layer1", "interval": 2, "batch_norm": "local", "edge_loss_weight": 0.0,
    }  # fmt: skip
    batch = BENCHMARK["batch_of"](64)
    off: list[torch.Tensor] = []
    naive = BENCHMARK["Naive"](batch, case)

    class Compare(pl.Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            node = torch.from_numpy(trainer.strategy.record.assignment.node)
            order = node.argsort(stable=True)
            naive.batch = batch[0][order].contiguous(memory_format=torch.channels_last), batch[1][order]
            naive.step(torch.bincount(node, minlength=3).tolist())
            own = trainer.lightning_module.net.layer1[0].conv1.weight.detach()
            off.append((own - naive.nodes[0].layer1[0].conv1.weight.detach()).abs().max() / own.abs().max())

    BENCHMARK["train"](case, 2, Compare(), precision="64-true")
    assert off[1] < 1e-12
