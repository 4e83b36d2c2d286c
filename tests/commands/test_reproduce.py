"""``cloudedge reproduce`` with small parts: what it leaves, what it keeps, and what stops it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

import cloudedge_pl.commands.reproduce as command
from cloudedge_pl.commands import paper_setting
from cloudedge_pl.commands.help import show
from cloudedge_pl.commands.reproduction import fingerprint
from cloudedge_pl.costs.input_codec import InputCodec
from cloudedge_pl.costs.profile import CostProfile
from cloudedge_pl.data import ImageDataModule
from cloudedge_pl.paper.part import Part, PartResult, Report, Table
from cloudedge_pl.paper.parts import PARTS
from cloudedge_pl.paper.setting import PaperSetting, paper_fleet, paper_workload
from cloudedge_pl.paper.verdict import judge
from cloudedge_pl.reports.paper import FIGURES
from cloudedge_pl.reports.style import figure_style, new_figure, save_figure
from cloudedge_pl.signals import Interrupted, stopped_by_signals
from tests.commands.command_line import CommandLine

TINY = ["model=resnet18", "image_size=32", "small_image_size=16"]

Reproduce = Callable[..., dict[str, Any]]


def found(value: float = 1.0) -> PartResult:
    table = Table(title="numbers", columns={"delay_seconds": [value, 2.0]})
    verdict = judge("it falls", f"it is {value:g} s", {"delay": value}, at_setting=True)
    return PartResult(verdicts=(verdict,), tables={"main": table, "more": table})


class Counted:
    """A part that counts how often it is measured, and keeps the setting."""

    def __init__(self, name: str, needs: tuple[str, ...] = ("num_tasks",)) -> None:
        self.calls = 0
        self.setting: PaperSetting | None = None
        self.part = Part(name=name, title=f"Figure of {name}", measure=self.measure, needs=needs)

    def measure(self, setting: PaperSetting, report: Report) -> PartResult:
        report.step("counting", 1, 2)
        self.calls += 1
        self.setting = setting
        return found(float(self.calls))


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> dict[str, Counted]:
    """Three small parts in place of the paper's."""
    small = {name: Counted(name) for name in ("one", "two", "three")}
    for name in list(PARTS):
        monkeypatch.delitem(PARTS, name)
    for name, each in small.items():
        monkeypatch.setitem(PARTS, name, each.part)
    monkeypatch.setitem(FIGURES, "one", draw)
    return small


def draw(result: PartResult, path: Path) -> Path:
    with figure_style():
        figure = new_figure(3, 2)
        figure.subplots().plot(result.tables["main"].columns["delay_seconds"])
        return save_figure(figure, path)


def config(folder: Path, *overrides: str) -> DictConfig:
    with initialize_config_module("cloudedge_pl.conf", version_base="1.3"):
        cfg = compose(
            "reproduce",
            [*TINY, *overrides, f"dir={folder}", f"hydra.runtime.output_dir={folder}"],
            return_hydra_config=True,
        )
    HydraConfig.instance().set_config(cfg)
    return OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"])


PROFILES: dict[int, CostProfile] = {}
"""Of the network by the size of pictures, so that it is traced once for all tests."""


@pytest.fixture
def reproduce(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reproduce]:
    """Calls the command as Hydra does, each time into the same folder."""
    build = paper_setting._profile

    def once(cfg: DictConfig, data: ImageDataModule, image_size: int) -> CostProfile:
        if image_size not in PROFILES:
            PROFILES[image_size] = build(cfg, data, image_size)
        return PROFILES[image_size]

    monkeypatch.setattr(paper_setting, "_profile", once)
    yield lambda *overrides: command.reproduce(config(tmp_path, *overrides))
    HydraConfig.instance().cfg = None


def calls(parts: dict[str, Counted]) -> list[int]:
    return [each.calls for each in parts.values()]


def states(summary: dict[str, Any]) -> list[str]:
    return [each["state"] for each in summary["parts"].values()]


def test_leaves_tables_pictures_the_page_and_a_summary(parts, reproduce, tmp_path, capsys):
    summary = reproduce()
    assert states(summary) == ["made"] * 3
    assert summary["claims"] == {"holds": 3, "holds under conditions": 0, "does not hold": 0}
    assert summary["experiment"] == "paper_quick"
    assert summary == json.loads((tmp_path / "summary.json").read_text())
    assert (tmp_path / "one.csv").read_text() == "delay_seconds\n1.0\n2.0\n"
    assert (tmp_path / "two_more.csv").is_file()
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "report.html").read_text()
    assert all(f"Figure of {name}" in page for name in parts)
    assert page.count("data:image/png;base64,") == 1
    assert "![Figure of one](one.png)" in (tmp_path / "report.md").read_text()
    said = capsys.readouterr().out
    assert "it is 1 s" in said
    assert str(tmp_path / "report.html") in said


def test_the_same_settings_keep_what_is_made_and_others_make_it_anew(parts, reproduce, tmp_path):
    reproduce("only=[one,two]")
    first = (tmp_path / "report.html").read_text()
    assert calls(parts) == [1, 1, 0]
    assert "Figure of three: not made" in first
    assert states(reproduce()) == ["kept", "kept", "made"]
    assert states(reproduce("num_tasks=10")) == ["made"] * 3
    assert calls(parts) == [2, 2, 2]
    assert "2.0" in (tmp_path / "one.csv").read_text()
    assert states(reproduce("num_tasks=10", "seeds=3", "only=[three]")) == ["kept"] * 3  # needs no seeds


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        ([], "paper_quick, 160 steps of 128 pictures, 3 seeds"),
        (
            ["trainer.max_steps=-1", "trainer.max_epochs=2", "training.seeds=1"],
            "2 epochs of 128 pictures, 1 seeds",
        ),
        (["trainer.fast_dev_run=true"], "one step only"),
    ],
)
def test_the_page_says_how_long_is_trained(parts, reproduce, tmp_path, overrides, text):
    reproduce(*overrides)
    assert text in (tmp_path / "report.html").read_text()


def test_force_makes_what_is_asked_for_anew(parts, reproduce):
    reproduce()
    assert states(reproduce("force=true", "only=[two]")) == ["kept", "made", "kept"]
    assert calls(parts) == [1, 2, 1]


def test_the_page_of_kept_parts_is_that_of_made_ones_and_their_files_come_back(parts, reproduce, tmp_path):
    reproduce()
    section = (tmp_path / "report.md").read_text().partition("## How this page")[0]
    for name in ("one.csv", "one.png", "report.md"):
        (tmp_path / name).unlink()
    reproduce()
    assert (tmp_path / "report.md").read_text().partition("## How this page")[0] == section
    assert (tmp_path / "one.csv").is_file()
    assert (tmp_path / "one.png").is_file()


@pytest.mark.parametrize("damage", ["", "{", '{"fingerprint": 1}', "[]"])
def test_a_damaged_result_is_made_again(parts, reproduce, tmp_path, damage):
    reproduce()
    (tmp_path / "two" / "result.json").write_text(damage)
    assert states(reproduce()) == ["kept", "made", "kept"]


def test_a_part_that_fails_is_said_and_does_not_stop_the_others(parts, reproduce, tmp_path, monkeypatch):
    def broken(setting: PaperSetting, report: Report) -> PartResult:
        raise ValueError("no <such> thing")

    good = PARTS["two"]
    monkeypatch.setitem(
        PARTS, "two", Part(name="two", title="Figure of two", measure=broken, needs=good.needs)
    )
    with pytest.raises(command.PartsFailed, match=r"1 of 3 parts failed.*two: ValueError: no <such> thing"):
        reproduce()
    assert "broken" in (tmp_path / "two" / "error.txt").read_text()
    page = (tmp_path / "report.html").read_text()
    assert "no &lt;such&gt; thing" in page
    assert "no <such> thing" not in page
    assert states(json.loads((tmp_path / "summary.json").read_text())) == ["made", "failed", "made"]
    monkeypatch.setitem(PARTS, "two", good)
    assert states(reproduce()) == ["kept", "made", "kept"]
    assert not (tmp_path / "two" / "error.txt").exists()


def test_a_drawing_that_fails_keeps_the_numbers(parts, reproduce, tmp_path, monkeypatch):
    def broken(result: PartResult, path: Path) -> Path:
        raise KeyError("no such column")

    monkeypatch.setitem(FIGURES, "three", broken)
    with pytest.raises(command.PartsFailed, match="three: KeyError"):
        reproduce()
    assert (tmp_path / "three.csv").is_file()
    monkeypatch.setitem(FIGURES, "three", draw)
    assert states(reproduce()) == ["kept"] * 3
    assert (tmp_path / "three.png").is_file()


def test_an_interrupted_part_goes_on_and_finished_ones_are_not_made_again(
    parts, reproduce, tmp_path, monkeypatch, capsys
):
    times = 0

    def stopped(setting: PaperSetting, report: Report) -> PartResult:
        nonlocal times
        times += 1
        left = setting.folder / "two" / "half.txt"
        if times == 1:
            left.write_text("half")
            os.kill(os.getpid(), signal.SIGINT)
        return found(float(len(left.read_text())))

    needs = PARTS["two"].needs
    monkeypatch.setitem(PARTS, "two", Part(name="two", title="Figure of two", measure=stopped, needs=needs))
    with pytest.raises(Interrupted) as raised, stopped_by_signals():
        reproduce()
    assert raised.value.code == 130
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["interrupted"], summary["interrupted_during"]) == ("SIGINT", "part two")
    assert states(summary) == ["made", "stopped", "not made"]
    assert "Figure of one" in (tmp_path / "report.html").read_text()
    assert "Made so far: one. The same command goes on from there." in capsys.readouterr().out
    assert states(reproduce()) == ["kept", "made", "made"]
    assert (calls(parts), times) == ([1, 0, 1], 2)
    assert (tmp_path / "two.csv").read_text() == "delay_seconds\n4.0\n2.0\n"


def test_files_of_other_settings_are_moved_aside(parts, reproduce, tmp_path, monkeypatch):
    def leaves(setting: PaperSetting, report: Report) -> PartResult:
        (setting.folder / "two" / "run").mkdir(exist_ok=True)
        return found()

    needs = PARTS["two"].needs
    monkeypatch.setitem(PARTS, "two", Part(name="two", title="Figure of two", measure=leaves, needs=needs))
    reproduce()
    reproduce("num_tasks=10")
    reproduce("num_tasks=10", "force=true")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [
        "one",
        "three",
        "two",
        "two-earlier",
        "two-earlier-2",
    ]
    assert (tmp_path / "two-earlier" / "run").is_dir()


def test_the_setting_is_the_configs(parts, reproduce):
    reproduce("only=[one]", "num_tasks=77", "fleet.num_nodes=4", "node_counts=[2,4]", "seed=5")
    setting = parts["one"].setting
    assert setting is not None
    assert (setting.num_tasks, setting.node_counts, setting.seed) == (77, (2, 4), 5)
    assert setting.base_fleet.num_nodes == 4
    assert setting.base_fleet.link == paper_fleet().link
    assert setting.workload == paper_workload()
    assert setting.codec.name == "none"
    assert setting.goal.split_point is None
    assert setting.profile.input_elements == 3 * 32 * 32
    assert setting.small_profile.input_elements == 3 * 16 * 16
    assert setting.measure_picture is not None
    small, large = (setting.measure_picture(InputCodec("jpeg"), size) for size in (16, 64))
    assert 0 < small < large < 3 * 64 * 64


def test_jpeg_is_measured_on_photographs_or_on_the_data(parts, reproduce):
    taken = {}
    for choice in ("photographs", "data"):
        reproduce("only=[one]", f"jpeg_pictures={choice}", "force=true")
        measure = parts["one"].setting.measure_picture
        taken[choice] = measure(InputCodec("jpeg", quality=75), 224)
    assert 7_000 < taken["photographs"] < 12_000
    assert taken["data"] < taken["photographs"] / 2, "enlarged digits take few bytes"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("only=[ones]", "unknown part of the reproduction 'ones'. Did you mean 'one'"),
        ("only=[]", "only is []"),
        ("only=one", "only is 'one'; it must be a list"),
        ("force=1", "force is 1"),
        ("training.parallel=0", "parallel is 0"),
        ("image_size=0", "image_size is 0"),
        ("image_size=500", "image_size is 500, and the photographs"),
        ("jpeg_pictures=photos", "unknown choice of jpeg_pictures 'photos'. Did you mean 'photographs'"),
        ("node_counts=[20,10]", "node_counts is [20, 10]"),
        ("workload.phase=training", "workload=paper"),
        ("fleet.num_nodes=ten", "fleet: num_nodes is 'ten'"),
    ],
)
def test_a_wrong_key_is_refused_before_anything_is_made(parts, reproduce, override, message):
    with pytest.raises(ValueError) as raised:  # noqa: PT011  # the message is compared in full
        reproduce(override)
    assert message in str(raised.value)
    assert calls(parts) == [0, 0, 0]


def test_fingerprints_differ_by_what_is_needed_alone(tmp_path):
    part = Counted("one", needs=("fleet",)).part
    content = {"fleet": {"num_nodes": 10, "folder": str(tmp_path / "a")}, "seeds": 3}
    first = fingerprint(part, content, tmp_path, "1")
    moved = {"fleet": {"num_nodes": 10, "folder": "/elsewhere/a"}, "seeds": 4}
    assert fingerprint(part, moved, Path("/elsewhere"), "1") == first
    assert fingerprint(part, content, tmp_path, "2") != first
    assert fingerprint(part, {"fleet": {"num_nodes": 11}}, tmp_path, "1") != first
    with pytest.raises(ValueError, match="unknown key that one needs, 'fleet'"):
        fingerprint(part, {"fleets": 1}, tmp_path, "1")


def test_every_part_needs_keys_that_there_are():
    with initialize_config_module("cloudedge_pl.conf", version_base="1.3"):
        keys = set(compose("reproduce"))
    assert all(set(part.needs) <= keys for part in PARTS.values())


def test_help_lists_the_keys_of_the_experiment_that_is_the_default():
    shown = " ".join(show("reproduce", []).split())
    assert "only=null The parts to make" in shown
    assert "trainer.max_epochs=-1" in shown
    assert "hydra" not in shown.partition("data=digits")[0].replace("${hydra:", "")


def test_a_wrong_part_on_the_command_line_is_one_line(cloudedge_here: CommandLine, tmp_path: Path) -> None:
    said = str(cloudedge_here("reproduce", "only=[fig77]"))
    assert "unknown part of the reproduction 'fig77'" in said
    assert "Traceback" not in said
    assert (tmp_path / "reproduction" / "paper_quick" / ".hydra" / "config.yaml").is_file()
