"""The plan's table: a row for each split point, the choice marked, readable in 110 columns."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from cloudedge_pl.offloading import OffloadGoal, plan_offloading
from cloudedge_pl.offloading.picture import picture_baseline
from cloudedge_pl.reports.plan_table import CHOSEN, LOSES, plan_notes, plan_table
from tests.offloading.cases import LINK, UNCHANGED, make_fleet, make_node, make_profile, make_workload


def render(plan, width: int = 110) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width).print(plan_table(plan))
    return stream.getvalue().splitlines()


def test_every_split_point_has_one_row_and_the_choice_is_marked():
    plan = plan_offloading(make_profile(1, 6), make_fleet(memory_bytes=2e6), make_workload(arrival_rate=0.1))
    lines = render(plan)
    assert max(len(line) for line in lines) <= 110
    for index, name in enumerate(plan.profile.names):
        (row,) = [line for line in lines if f" {name} " in line and f" {index} " in line]
        assert (CHOSEN in row) == (index == plan.split_point)
        assert ("yes" in row) == plan.feasible[index]
        assert ("memory over by" in row) == (not plan.feasible[index])


def test_the_table_names_what_limits():
    plan = plan_offloading(
        make_profile(1, 6), make_fleet(), make_workload(max_delay_seconds=2.0, arrival_rate=0.1)
    )
    text = " ".join(render(plan))
    assert "memory 800 MB" in text
    assert "delay 2 s" in text
    assert "energy without limit" in text


def test_an_overloaded_queue_has_no_delay():
    plan = plan_offloading(
        make_profile(1, 6), make_fleet(1), make_workload(arrival_rate=1e5, max_delay_seconds=10)
    )
    (row,) = [line for line in render(plan) if " layer6 " in line]
    assert "overload" in row
    assert "∞" not in row
    assert "nan" not in row


def test_a_forced_infeasible_choice_is_marked_and_explained():
    plan = plan_offloading(
        make_profile(1, 6),
        make_fleet(memory_bytes=1e3),
        make_workload(arrival_rate=0.1),
        goal=OffloadGoal(split_point=5),
    )
    lines = render(plan)
    assert "(forced)" in lines[0]
    (row,) = [line for line in lines if CHOSEN in line]
    assert "memory over by" in row


def test_what_loses_against_sending_the_picture_is_marked_in_its_row_and_in_a_note():
    workload = replace(make_workload(arrival_rate=0.1), picture_bytes=50.0)
    goal = OffloadGoal(split_point=2, input_codec="jpeg")
    plan = plan_offloading(make_profile(1, 6), make_fleet(), workload, goal=goal)
    picture, lines = picture_baseline(plan), render(plan)
    assert picture.loses[2]
    assert 0 < picture.sends_more.sum() < len(lines)
    for index, name in enumerate(plan.profile.names):
        (row,) = [line for line in lines if f" {name} " in line and f" {index} " in line]
        assert row.count(LOSES) == int(picture.sends_more[index]) + int(picture.is_slower[index])
    notes = plan_notes(plan)
    assert any(
        note.startswith("picture (JPEG of quality 75): sending it to the cloud takes 50 B, ")
        for note in notes
    )
    (loses,) = [note for note in notes if note.startswith("loses against the picture: split point 2 ")]
    assert "rather than 50 B" in loses


def test_a_choice_that_sends_less_and_is_faster_does_not_lose():
    slow = replace(make_fleet(), link=replace(LINK, bandwidth_bits_per_second=1e3))
    workload = replace(make_workload(arrival_rate=0.01, max_delay_seconds=1e9), picture_bytes=1e6)
    plan = plan_offloading(make_profile(1, 6), slow, workload, goal=OffloadGoal(split_point=3))
    assert not any(note.startswith("loses") for note in plan_notes(plan))
    assert any(note.startswith("picture (raw): sending it") for note in plan_notes(plan))


def test_notes_say_what_would_help_and_what_it_is_worth():
    plan = plan_offloading(make_profile(1, 6), make_fleet(memory_bytes=2e6), make_workload(arrival_rate=0.1))
    notes = plan_notes(plan)
    assert any(
        note.startswith("better: split point 3, if ") and "rather than 1.6 MB" in note for note in notes
    )
    assert any(note.startswith("price: one more MB of ") for note in notes)
    assert any(note.startswith("bottleneck: ") for note in notes)
    assert not any(note.startswith("caution") for note in notes)


def test_a_crowded_link_is_pointed_out():
    crowded = replace(make_fleet(), link=replace(LINK, bandwidth_bits_per_second=1e5))
    workload = make_workload(arrival_rate=100.0, max_delay_seconds=100.0)
    plan = plan_offloading(
        make_profile(1, 6), crowded, workload, goal=OffloadGoal(split_point=1), codec=UNCHANGED
    )
    assert any(note.startswith("caution: all uploads together would take") for note in plan_notes(plan))


def test_a_master_that_could_not_answer_every_task_is_pointed_out():
    weak = replace(make_fleet(), master=make_node("boss", flops_per_second=1e6))
    plan = plan_offloading(
        make_profile(1, 6), weak, make_workload(arrival_rate=1.0), goal=OffloadGoal(split_point=1)
    )
    assert any("of the master's time" in note for note in plan_notes(plan))


def test_what_is_needed_and_what_there_is_are_told_apart():
    free = plan_offloading(make_profile(1, 6), make_fleet(), make_workload(arrival_rate=0.1))
    barely = make_workload(
        arrival_rate=0.1, max_delay_seconds=float(free.costs.delay_seconds[6]) * (1 - 1e-6)
    )
    plan = plan_offloading(make_profile(1, 6), make_fleet(), barely)
    (note,) = [note for note in plan_notes(plan) if note.startswith("better: split point 6, if delay")]
    needed, now = note.partition(" might be ")[2].split(" rather than ")
    assert needed != now
    value, limit = plan.reasons[6].removeprefix("delay ").partition(" on ")[0].split(" > ")
    assert (value, limit) == (needed, now)


def test_the_verdict_and_the_end_of_long_names_are_there_in_80_columns():
    profile = make_profile(1, 6)
    names = ("input", *(f"encoder.layers.encoder_layer_{n}.self_attention" for n in range(6)))
    plan = plan_offloading(
        replace(profile, names=names), make_fleet(memory_bytes=2e6), make_workload(arrival_rate=0.1)
    )
    lines = render(plan, width=80)
    assert any("feasible" in line for line in lines)
    for number in range(6):
        assert sum(f" e.l.e{number}.self_attention " in line for line in lines) == 1
