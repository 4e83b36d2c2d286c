"""Hostile inputs to every command: each ends well, or in one line that names what is wrong; never in a traceback."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from cloudedge_pl.commands.cli import main
from tests.fuzz.inputs import cases, files

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
}
WITH_RUN_DIR = ("plan", "simulate", "schedule", "train")
HINT = "Set CLOUDEDGE_TRACE=1 for the traceback."
CASES = list(cases())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("inputs")
    files(made)
    (made / "config").mkdir()
    return made


def run(command: str, overrides: Sequence[str], folder: Path) -> object:
    """What the command exits with: None where it ends well."""
    GlobalHydra.instance().clear()
    given = [each.format(folder=folder) for each in overrides]
    if "-m" in given:
        given.append(f"hydra.sweep.dir={folder}/sweep")
    elif command in WITH_RUN_DIR and not any(each.startswith("hydra.run.dir") for each in given):
        given.append(f"hydra.run.dir={folder}/run")
    sys.argv = ["cloudedge", command, *BASE[command], *given]
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


def test_the_table_is_large() -> None:
    assert len(CASES) >= 300
    assert {command for command, _, _ in CASES} == set(BASE)


def test_every_input_ends_well_or_in_one_line_that_names_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.delenv("CLOUDEDGE_TRACE", raising=False)
    monkeypatch.chdir(folder)
    config_of_a_run(folder)
    wrong = []
    for command, overrides, answer in CASES:
        try:
            code = run(command, overrides, folder)
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
        elif answer and not re.search(answer, said):
            wrong.append(f"{command} {overrides}: {answer!r} is not in: {said[:300]}")
        elif "\n" in said and not re.search("InfeasiblePlanError|of the sweep's jobs failed", said):
            wrong.append(f"{command} {overrides}: several lines: {said[:300]}")
    assert not wrong, f"{len(wrong)} of {len(CASES)}:\n" + "\n".join(wrong)
