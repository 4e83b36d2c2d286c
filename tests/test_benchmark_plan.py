"""The planning benchmark prints what it says it prints."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "plan.py"


def test_json_has_split_points_and_seconds_per_model(capsys):
    runpy.run_path(str(BENCHMARK))["main"](["--json", "--size", "64", "resnet18", "mobilenet_v3_large"])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["model"] for row in rows] == ["resnet18", "mobilenet_v3_large"]
    for result in rows:
        assert result["torch"]
        assert result["split_points"] > 15
        assert result["trace_seconds"] > 0
        assert result["plan_seconds"] > 0
