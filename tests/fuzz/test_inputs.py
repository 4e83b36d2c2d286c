"""Hostile inputs to every command: each ends well, or in one line that names what is wrong; never in a traceback."""

from __future__ import annotations

import asyncio
import gc
import re
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from cloudedge_pl.commands.cli import main
from tests.fuzz.bundles import BUNDLES
from tests.fuzz.inputs import cases, files
from tests.fuzz.servers import serving

pytestmark = pytest.mark.slow

BASE = {
    "plan": ["model=resnet18"],
    "simulate": ["model=resnet18", "num_tasks=50", "figures=false"],
    "schedule": ["num_tasks=6", "num_nodes=2", "compare=[]", "convergence=[]", "baseline=null"],
    "train": ["data=synthetic", "model=resnet18", "trainer.max_epochs=1"],
    "evaluate": [],
    "calibrate": [],
    "collect": [],
    "reproduce": [],
    "export": [],
    "node": ["bundle={folder}/bundle", "port=0"],
    "cloud": ["bundle={folder}/bundle", "port=0"],
    "serve": ["bundle={folder}/bundle", "port=0", "nodes=[http://127.0.0.1:9]"],
    "up": ["bundle={folder}/bundle", "port=0"],
    "ask": ["url={network}"],
    "validate": ["bundle={folder}/bundle", "dir={folder}/validation", "hosts=loopback"],
}
WITH_RUN_DIR = ("plan", "simulate", "schedule", "train")
HANG_SECONDS = 600
HINT = "Set CLOUDEDGE_TRACE=1 for the traceback."
CASES = list(cases())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("inputs")
    files(made)
    (made / "config").mkdir()
    return made


@pytest.fixture(scope="module")
def places(folder: Path) -> Iterator[dict[str, str]]:
    """What stands for names in braces: folders, and URLs of servers that run meanwhile."""
    with serving(folder / "bundle") as urls:
        yield {"folder": str(folder), "pictures": str(folder / "pictures"), **urls}


@pytest.fixture
def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that starts ends at once; no process is started, and none is replaced."""

    def stopped(*_: object) -> asyncio.Event:
        event = asyncio.Event()
        event.set()
        return event

    def start(*_: object, **__: object) -> Any:
        raise AssertionError("a process was started")

    monkeypatch.setattr("cloudedge_pl.serving.listening.stop_event", stopped)
    monkeypatch.setattr("cloudedge_pl.commands.up.Child.start", start)
    monkeypatch.setattr("cloudedge_pl.commands.validate.enter", start)


@pytest.fixture
def little_is_collected() -> Iterator[None]:
    """What is there already is not looked through for garbage again and again."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def nothing_hangs() -> Iterator[None]:
    """The test fails if it takes too long."""

    def late(*_: object) -> None:
        raise KeyboardInterrupt(f"an input was not answered within {HANG_SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def run(command: str, overrides: Sequence[str], places: Mapping[str, str]) -> object:
    """What the command exits with: None where it ends well."""
    GlobalHydra.instance().clear()
    signal.alarm(HANG_SECONDS)
    folder = places["folder"]
    given = [each.format_map(places) for each in overrides if each]
    if "-m" in given:
        given.append(f"hydra.sweep.dir={folder}/sweep")
    elif command in WITH_RUN_DIR and not any(each.startswith("hydra.run.dir") for each in given):
        given.append(f"hydra.run.dir={folder}/run")
    sys.argv = ["cloudedge", command, *(each.format_map(places) for each in BASE[command]), *given]
    try:
        main()
    except SystemExit as end:
        return end.code
    return None


def config_of_a_run(folder: Path) -> None:
    """Leaves what `cloudedge evaluate` reads of a run: its config."""
    from hydra import compose, initialize_config_module

    with initialize_config_module("cloudedge_pl.conf", version_base="1.3"):
        cfg = compose("train", overrides=BASE["train"])
    OmegaConf.save(cfg, folder / ".hydra" / "config.yaml")


def _filled(answer: str, places: Mapping[str, str]) -> str:
    """A pattern with the server's URL in it."""
    return re.sub(r"^{(\w+)}", lambda name: re.escape(places[name[1]]), answer)


def test_the_table_is_large() -> None:
    assert len(CASES) + len(BUNDLES) >= 1150
    assert {command for command, _, _ in CASES} == set(BASE)


def test_every_input_ends_well_or_in_one_line_that_names_it(
    folder: Path,
    places: dict[str, str],
    nothing_starts: None,
    nothing_hangs: None,
    little_is_collected: None,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.delenv("CLOUDEDGE_TRACE", raising=False)
    monkeypatch.chdir(folder)
    config_of_a_run(folder)
    wrong = []
    for command, overrides, answer in CASES:
        try:
            code = run(command, overrides, places)
        except BaseException as error:  # a traceback is what this looks for
            wrong.append(f"{command} {overrides}: {type(error).__name__} came through: {error}")
            continue
        said = str(code or "").replace(HINT, "").strip()
        shown = capfd.readouterr().err
        if "Traceback" in shown or "Traceback" in said:
            wrong.append(f"{command} {overrides}: a traceback")
        elif not answer and code:
            wrong.append(f"{command} {overrides}: refused: {said[:300]}")
        elif answer and not code:
            wrong.append(f"{command} {overrides}: accepted")
        elif answer and not re.search(_filled(answer, places), said):
            wrong.append(f"{command} {overrides}: {answer!r} is not in: {said[:300]}")
        elif "\n" in said and not re.search("InfeasiblePlanError|of the sweep's jobs failed", said):
            wrong.append(f"{command} {overrides}: several lines: {said[:300]}")
    assert not wrong, f"{len(wrong)} of {len(CASES)}:\n" + "\n".join(wrong)
