"""The map: its cells from the simulator, and the verdicts that follow from them."""

from __future__ import annotations

import pytest

from cloudedge_pl.paper import wins
from cloudedge_pl.paper.choices import EDGE, FLOAT32, INT8, JPEG, PLANNED, RAW, cells_of
from cloudedge_pl.paper.part import PartResult, Report
from cloudedge_pl.paper.verdict import FAILS
from cloudedge_pl.paper.wins import measure_map
from tests.paper.networks import flip, paper_setting, resnet, verdict

JPEG_BYTES = 12_000.0


@pytest.fixture(scope="module")
def result() -> PartResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wins, "RATES", (0.05, 2.0, 20.0))
        patch.setattr(wins, "LOADS", (5.0, 20.0, 40.0))
        setting = paper_setting(
            num_tasks=120, node_counts=(10, 20), measure_picture=lambda codec, size: JPEG_BYTES
        )
        return measure_map(setting, Report())


def test_every_cell_has_every_choice_at_its_own_place(result):
    cells = cells_of(result.tables["cells"])
    assert len(cells) == 2 * 3 * 3
    for choices in cells.values():
        by_name = {
            name: [each for each in choices if each.name == name] for name in (RAW, JPEG, EDGE, FLOAT32, INT8)
        }
        assert [each.split_point for each in by_name[FLOAT32]] == [1, 9, 17, 29, 33]
        assert [each.upload_bytes for each in by_name[FLOAT32]] == [
            resnet().cut_bytes[at] for at in (1, 9, 17, 29, 33)
        ]
        assert [each.upload_bytes for each in by_name[RAW]] == [3 * 224 * 224]
        assert [each.upload_bytes for each in by_name[JPEG]] == [JPEG_BYTES]
        assert [(each.split_point, each.upload_bytes) for each in by_name[EDGE]] == [(34, 0.0)]


def test_a_better_link_and_more_nodes_let_no_choice_fall_behind(result):
    cells = cells_of(result.tables["cells"])
    for (nodes, rate, load), choices in cells.items():
        faster, larger = cells.get((nodes, 20e6, load)), cells.get((20, rate, load))
        for mine, other in zip(choices, faster or (), strict=False):
            if mine.name != PLANNED and mine.name == other.name and mine.keeps_up:
                assert other.keeps_up
        for mine, other in zip(choices, larger or (), strict=False):
            if mine.name != PLANNED and mine.name == other.name and mine.keeps_up:
                assert other.keeps_up


def test_jpeg_is_never_beaten_and_the_edge_alone_is_where_it_is_overloaded(result):
    jpeg = verdict(result, f"sooner than {JPEG}")
    assert jpeg.state == FAILS
    assert flip(jpeg, "JPEG").tried == (1, 2, 5, 10, 20, 40, 80, 150)
    edge = verdict(result, f"sooner than {EDGE}")
    assert edge.numbers["rival_seconds"] == float("inf")  # ten nodes do not keep up with 40 tasks/s
    assert flip(edge, "cut").holds == (True, True, True)


def test_a_large_jpeg_is_as_slow_as_a_raw_picture(result):
    jpeg, raw = (verdict(result, f"sooner than {name}") for name in (JPEG, RAW))
    assert flip(jpeg, "JPEG").holds[-1] == flip(raw, "cut").holds[-1]


def test_without_pictures_there_is_no_jpeg():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wins, "RATES", ())
        patch.setattr(wins, "LOADS", ())
        found = measure_map(paper_setting(num_tasks=20, node_counts=(10,)), Report())
    assert len(found.verdicts) == 2
    assert JPEG not in found.tables["cells"].columns["choice"]
