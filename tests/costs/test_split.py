"""Costs of a task at one split point: those that the planner's table is made of."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudedge_pl.costs import CodecConfig, CostFormulas, split_costs
from cloudedge_pl.offloading import cost_table
from tests.offloading.cases import fleets, profiles, workloads


@settings(max_examples=60)
@given(profiles(), fleets(), workloads(), st.sampled_from(["none", "int8", "bottleneck", "top_k"]))
def test_simulator_and_planner_use_the_same_numbers(profile, fleet, workload, codec):
    formulas, config = CostFormulas(), CodecConfig(codec, ratio=0.1)
    table = cost_table(profile, fleet, workload, formulas, config)
    for split_point in range(table.num_points):
        costs = split_costs(profile, fleet, workload, split_point, formulas, config)
        slowest = table.slowest_node[split_point]
        assert costs.execution_seconds[slowest] == table.delay_parts["execution"][split_point]
        assert costs.cloud_seconds == table.delay_parts["cloud"][split_point]
        assert costs.terminal_seconds == table.delay_parts["uplink"][split_point]
        assert costs.upload_bytes == table.upload_bytes[split_point]
        assert costs.download_bytes == table.download_bytes[split_point]
        assert (costs.exit_seconds > 0) == (0 < split_point < profile.num_segments)
        assert costs.task_memory_bytes >= 0
    with pytest.raises(ValueError, match="outside"):
        split_costs(profile, fleet, workload, profile.num_segments + 1)
