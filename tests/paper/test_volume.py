"""Figure 8: bytes against the formula, and what the verdicts say of cut and dormancy."""

from __future__ import annotations

import pytest

from cloudedge_pl.dormancy import DormancyRule
from cloudedge_pl.paper.part import PartResult, Report
from cloudedge_pl.paper.verdict import CONDITIONAL
from cloudedge_pl.paper.volume import AWAKE, CLOUD_ONLY, PAPER_RULE, measure_fig8
from tests.paper.networks import flip, paper_setting, resnet, tiny_setting, verdict


@pytest.fixture(scope="module")
def result() -> PartResult:
    def jpeg(codec: object, size: int) -> float:
        return 100.0 * size

    return measure_fig8(paper_setting(num_tasks=400, seeds=2, measure_picture=jpeg), Report())


def rows(result: PartResult, table: str, **wanted: object) -> list[dict]:
    columns = result.tables[table].columns
    found = [dict(zip(columns, row, strict=True)) for row in result.tables[table].rows()]
    return [row for row in found if all(row[name] == value for name, value in wanted.items())]


def test_pictures_have_a_byte_for_each_value_or_what_is_measured(result):
    for size in (32, 224):
        (raw,) = rows(result, "schemes", image_size=size, form="raw")
        assert raw["upload_bytes"] == 3 * size * size
        (jpeg,) = rows(result, "schemes", image_size=size, form="JPEG of quality 75")
        assert jpeg["upload_bytes"] == 100 * size
        assert jpeg["scheme"] == CLOUD_ONLY


@pytest.mark.parametrize(("form", "bytes_per_element"), [("float32", 4.0), ("float16", 2.0)])
def test_an_awake_cut_sends_what_crosses_it(result, form, bytes_per_element):
    for row in rows(result, "cuts", image_size=224, form=form, scheme=AWAKE):
        crossing = resnet().cut_bytes[row["split_point"]] / 4 * bytes_per_element
        assert row["upload_bytes"] == crossing
        assert row["times_the_picture"] == pytest.approx(crossing / (3 * 224 * 224))


def test_dormancy_sends_the_same_bytes_of_fewer_tasks(result):
    for row in rows(result, "schemes", image_size=224, cut="planned", form="float32", scheme=PAPER_RULE):
        whole = resnet().cut_bytes[row["split_point"]]
        assert row["least_upload_bytes"] < row["upload_bytes"] < row["most_upload_bytes"] <= whole
        assert row["upload_bytes"] + row["to_exit_head_bytes"] == pytest.approx(whole)


def test_the_cut_saves_data_where_float32_is_smaller_than_the_picture(result):
    found = verdict(result, "Cutting the network reduces")
    picture, cut = 3 * 224 * 224, resnet().cut_bytes
    assert found.state == CONDITIONAL
    along = flip(found, "split point")
    assert along.tried == tuple(range(1, 34))
    assert along.holds == tuple(bool(cut[at] < picture) for at in range(1, 34))
    sizes = flip(found, "codec")
    assert dict(zip(sizes.tried, sizes.holds, strict=True)) == {
        "float32": False, "float16": False, "int8": True, "bottleneck": True,
    }  # fmt: skip
    assert found.numbers["cut_bytes"] == cut[int(found.numbers["split_point"])]


def test_dormancy_saves_nothing_on_a_steady_link(result):
    along = flip(verdict(result, "Dormancy reduces"), "link variation")
    assert not along.holds[0]
    assert along.holds[-1]
    numbers = verdict(result, "Dormancy reduces").numbers
    assert numbers["paper_rule_bytes"] < numbers["awake_bytes"]


def test_a_cloud_that_never_sleeps_saves_nothing():
    setting = tiny_setting(num_tasks=50, seeds=1, dormancy=DormancyRule(mode="never"))
    numbers = verdict(measure_fig8(setting, Report()), "Dormancy reduces").numbers
    assert numbers["dormancy_bytes"] == numbers["awake_bytes"]
