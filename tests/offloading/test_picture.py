"""Split points against sending the picture: who loses, and where the picture's bytes come from."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

from cloudedge_pl.costs import CostProfile, InputCodec
from cloudedge_pl.fleet import Fleet, Workload
from cloudedge_pl.offloading import (
    OffloadGoal,
    picture_baseline,
    plan_dict,
    plan_offloading,
    with_picture_bytes,
)
from tests.offloading.cases import fleets, make_fleet, make_profile, make_workload, profiles, workloads

JPEG = OffloadGoal(split_point=1, input_codec="jpeg", jpeg_quality=60)


@given(profiles(), fleets(), workloads())
def test_who_loses_follows_from_the_costs(profile: CostProfile, fleet: Fleet, workload: Workload) -> None:
    plan = plan_offloading(profile, fleet, workload, goal=OffloadGoal(split_point=0))
    picture, costs = picture_baseline(plan), plan.costs
    assert not picture.loses[0]
    given = workload.picture_bytes or workload.input_bytes
    assert picture.num_bytes == (given or np.prod(profile.input_shape))
    for point in range(costs.num_points):
        slower = costs.delay_seconds[point] > costs.delay_seconds[0]
        more = costs.upload_bytes[point] > costs.upload_bytes[0]
        assert picture.loses[point] == (slower or more)
    assert not picture.sends_more[-1], "at the edge nothing is sent"


def test_a_smaller_picture_makes_the_cloud_cheaper_and_cuts_lose() -> None:
    profile, fleet, workload = make_profile(), make_fleet(transmit_watts=1.0), make_workload()
    large = replace(workload, picture_bytes=1000.0)
    raw = plan_offloading(profile, fleet, large, goal=OffloadGoal(split_point=1))
    small = plan_offloading(profile, fleet, replace(workload, picture_bytes=20.0), goal=JPEG)
    before, after = picture_baseline(raw), picture_baseline(small)
    assert (before.num_bytes, after.num_bytes) == (1000.0, 20.0)
    assert after.delay_seconds < before.delay_seconds
    assert after.energy_joules < before.energy_joules
    assert after.sends_more.sum() > before.sends_more.sum()
    assert np.all(after.loses >= before.loses)
    np.testing.assert_array_equal(small.costs.upload_bytes[1:], raw.costs.upload_bytes[1:])


def test_the_default_plan_sends_raw_pictures() -> None:
    plan = plan_offloading(make_profile(), make_fleet(), make_workload())
    assert plan.goal.picture == InputCodec("raw")
    assert plan.costs.upload_bytes[0] == 3 * 8 * 8


def test_jpeg_needs_bytes_and_says_where_to_take_them() -> None:
    with pytest.raises(
        ValueError, match=r"data=digits.*workload\.picture_bytes=900.*datamodule\.picture_bytes"
    ):
        plan_offloading(make_profile(), make_fleet(), make_workload(), goal=JPEG)


def test_bytes_are_measured_only_where_none_are_given() -> None:
    asked: list[InputCodec] = []

    def measure(codec: InputCodec) -> float:
        asked.append(codec)
        return 321.0

    assert with_picture_bytes(Workload(), JPEG, measure).picture_bytes == 321
    assert asked == [InputCodec("jpeg", quality=60)]
    assert with_picture_bytes(Workload(picture_bytes=5.0), JPEG, measure).picture_bytes == 5
    assert with_picture_bytes(Workload(), OffloadGoal(), measure).picture_bytes is None
    assert len(asked) == 1


def test_plan_json_holds_the_picture() -> None:
    workload = replace(make_workload(), picture_bytes=20.0)
    plan = plan_offloading(make_profile(), make_fleet(), workload, goal=JPEG)
    content = json.loads(json.dumps(plan_dict(plan)))
    found, first = content["picture"], content["split_points"][0]
    assert (found["name"], found["quality"], found["subsampling"]) == ("jpeg", 60, "4:2:0")
    assert found["bytes"] == first["upload_bytes"] == 20
    assert (found["delay_seconds"], found["energy_joules"]) == (
        first["delay_seconds"],
        first["energy_joules"],
    )
    baseline = picture_baseline(plan)
    assert set(found["sends_more"]) | set(found["is_slower"]) == set(np.flatnonzero(baseline.loses))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"input_codec": "png"}, "unknown input codec 'png'"),
        ({"input_codec": "jpeg", "jpeg_quality": 0}, "quality is 0"),
        ({"jpeg_subsampling": "4:1:1"}, "unknown subsampling"),
        ({"jpeg_quality": "high"}, "jpeg_quality is 'high'; it must be a whole number"),
    ],
)
def test_wrong_settings_are_named(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OffloadGoal(**given)
