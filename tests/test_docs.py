"""README.md and docs/ are right: their Python runs, their commands compose, their names and paths exist."""

from __future__ import annotations

import doctest
import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import torchvision
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import nn

import cloudedge_pl as ce
from cloudedge_pl.commands.help import ON_CHECKPOINT, WITH_KEYS, read
from cloudedge_pl.offloading import OBJECTIVES
from cloudedge_pl.partition import BACKBONES, build_backbone
from cloudedge_pl.scheduling import SCHEDULERS

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(document: Path, language: str) -> list[str]:
    """The document's fenced blocks of a language, each at its own line, so that a traceback tells where it is."""
    text = document.read_text(encoding="utf-8")
    found = []
    for match in BLOCK.finditer(text):
        if match[1] == language:
            found.append("\n" * text[: match.start(2)].count("\n") + match[2])
    return found


def commands() -> list[str]:
    lines = [line for document in DOCUMENTS for block in blocks(document, "") for line in block.splitlines()]
    return [line for line in lines if line.startswith("cloudedge ")]


class ShortTrainer(pl.Trainer):
    """A Trainer of two batches that leaves nothing behind; all else is as the document says."""

    def __init__(self, **options: Any) -> None:
        short = {"max_epochs": 1, "limit_train_batches": 2, "limit_val_batches": 1, "num_sanity_val_steps": 0}
        silent = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
        quiet = dict.fromkeys(silent, False)
        super().__init__(**{**options, **short, **quiet, "accelerator": "cpu"})


class YourModule(pl.LightningModule):
    """What the reader brings along: a module of theirs whose backbone is called ``net``."""

    def __init__(self) -> None:
        super().__init__()
        self.net = torchvision.models.resnet18(num_classes=10)

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


@pytest.fixture
def registries() -> Iterator[None]:
    """Removes afterwards what a document enters into a registry."""
    before = [(registry, dict(registry)) for registry in (SCHEDULERS, OBJECTIVES, BACKBONES)]
    yield
    for registry, entries in before:
        registry.clear()
        registry.update(entries)


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize(
    "document", [path for path in DOCUMENTS if blocks(path, "python")], ids=lambda path: path.name
)
def test_python_runs_from_top_to_bottom(
    document: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pl, "Trainer", ShortTrainer)
    names: dict[str, Any] = {}
    if document.name == "README.md":
        names |= {
            "YourModule": YourModule,
            "your_datamodule": ce.SyntheticDataModule(num_train=96, batch_size=16),
        }
    for block in blocks(document, "python"):
        exec(compile(block, document.name, "exec"), names)


def test_there_are_blocks_and_commands_to_try() -> None:
    assert len(blocks(ROOT / "README.md", "python")) >= 4
    assert len(commands()) >= 12


def test_the_api_pages_list_every_public_name() -> None:
    listed = [
        name
        for page in (ROOT / "docs" / "api").glob("*.md")
        for name in re.findall(r"^\.\. auto\w+:: (\w+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert sorted(listed) == sorted(ce.__all__)


WITH_EXAMPLES = sorted(
    str(path.relative_to(ROOT).with_suffix("")).replace("/", ".")
    for path in (ROOT / ce.__name__).rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_of_docstrings_run(name: str) -> None:
    failed, tried = doctest.testmod(import_module(name))
    assert tried > 0
    assert not failed


def trees() -> Iterator[str]:
    """The paths in the trees of docs/architecture.md, whose folders are indented by two spaces a level."""
    for block in blocks(ROOT / "docs" / "architecture.md", "text"):
        folders: list[str] = []
        for line in block.strip("\n").splitlines():
            if found := re.match(r"( *)([\w.]+/|\w+\.py)(\s|$)", line):
                level = len(found[1]) // 2
                folders[level:] = [found[2]]
                yield "".join(folders)


def test_the_paths_of_the_architecture_exist() -> None:
    found = list(trees())
    missing = [path for path in found if not ((ROOT / path).exists() or (ROOT / ce.__name__ / path).exists())]
    assert len(found) > 30
    assert not missing


def composed(name: str, overrides: list[str]) -> DictConfig:
    with initialize_config_module("cloudedge_pl.conf", version_base="1.3"):
        return compose(name, overrides)


@pytest.mark.parametrize("line", commands())
def test_a_command_has_a_config(line: str) -> None:
    _, command, *words = shlex.split(line, comments=True)
    sweep = "-m" in words
    own = [f"{key.name}=" for key in read(f"{command}.yaml")[2]] if command in WITH_KEYS else []
    # A range such as interval(0,1) has no values to try.
    values = [word for word in words if "=" in word and "(" not in word]
    overrides = [word for word in values if not word.startswith(("ckpt=", *own))]
    choices = [
        [f"{key}={value}" for value in (values.split(",") if sweep else [values])]
        for key, _, values in (override.partition("=") for override in overrides)
    ]
    for job in range(max(map(len, choices), default=1)):  # each value is in one of them
        chosen = [each[job % len(each)] for each in choices]
        assert composed("train" if command in ON_CHECKPOINT else command, chosen)


def plans() -> list[tuple[str, int, str, str]]:
    """README's table of limits: overrides, chosen split point, its name, what is in the way of the next."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]+`|\(none\)) \| (\d+), `(\S+)` \| (\w+)", text, re.MULTILINE)
    return [(overrides.strip("`"), int(point), name, limit) for overrides, point, name, limit in rows]


@pytest.fixture(scope="module")
def costs() -> Any:
    head = instantiate(composed("plan", []).exit_head)
    return ce.profile(build_backbone("resnet34", num_classes=10), torch.zeros(1, 3, 32, 32), exit_head=head)


@pytest.mark.parametrize(("overrides", "point", "name", "limit"), plans())
def test_the_table_of_plans_is_right(costs: Any, overrides: str, point: int, name: str, limit: str) -> None:
    cfg = composed("plan", [] if overrides == "(none)" else overrides.split())
    fleet, workload, codec = instantiate(cfg.fleet), instantiate(cfg.workload), instantiate(cfg.codec)
    goal, formulas = instantiate(cfg.offloading, _convert_="all"), instantiate(cfg.formulas)
    plan = ce.plan_offloading(costs, fleet, workload, goal=goal, formulas=formulas, codec=codec)
    assert (plan.split_point, plan.name) == (point, name)
    if limit == "nothing":
        assert plan.objective == "min_delay"
    else:
        assert limit in plan.reasons[point + 1]


def test_the_table_of_plans_is_found() -> None:
    assert len(plans()) == 5
