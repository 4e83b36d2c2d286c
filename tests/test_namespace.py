"""Projects that ``import lightning``, those that ``import pytorch_lightning``, and the mixture of both."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

FIT = """
import sys
from torch import nn, optim, zeros
from torch.utils.data import DataLoader

class Module(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    def training_step(self, batch, index):
        return nn.functional.cross_entropy(self.backbone(batch), zeros(len(batch)).long())
    def configure_optimizers(self):
        return optim.SGD(self.parameters(), 0.1)

class Data(L.LightningDataModule):
    def train_dataloader(self):
        return DataLoader(zeros(4, 3, 8, 8), 2)

QUIET = dict(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
             enable_model_summary=False)

def fit(**options):
    trainer = L.Trainer(**QUIET, **options)
    trainer.fit(Module(), Data())
    return trainer

def package(thing):
    return sorted({c.__module__.split(".")[0] for c in type(thing).__mro__} & {"lightning", "pytorch_lightning"})
"""


def python(code: str, **variables: str) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "CLOUDEDGE_LIGHTNING"} | variables
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize(
    "imports", ["cloudedge_pl as ce, lightning as L", "lightning as L, cloudedge_pl as ce"]
)
def test_classes_follow_the_package_that_was_imported(imports: str) -> None:
    shown = python(
        f"import {imports}{FIT}\n"
        'trainer = fit(strategy="cloudedge", callbacks=[ce.WeightedAggregation(), ce.CostLogger()])\n'
        "print(package(trainer.strategy), package(ce.CloudEdgeModule), 'pytorch_lightning' in sys.modules)\n"
        "assert issubclass(ce.CloudEdgeModule, L.LightningModule) and trainer.strategy.plan is not None"
    )
    assert shown.splitlines()[-1] == "['lightning'] [] False"


@pytest.mark.parametrize(
    ("before", "variables", "expected"),
    [
        ("import cloudedge_pl", {}, "pytorch_lightning"),
        ("import lightning, pytorch_lightning, cloudedge_pl", {}, "pytorch_lightning"),
        ("import lightning, pytorch_lightning, cloudedge_pl; cloudedge_pl.use('lightning')", {}, "lightning"),
        ("import pytorch_lightning, cloudedge_pl", {"CLOUDEDGE_LIGHTNING": "lightning"}, "lightning"),
    ],
)
def test_what_decides(before: str, variables: dict[str, str], expected: str) -> None:
    code = f"{before}\nfrom cloudedge_pl.namespace import namespace; print(namespace())"
    assert python(code, **variables).split() == [expected]


def test_a_mixture_is_told_what_to_do() -> None:
    shown = python(
        "import cloudedge_pl as ce; ce.CostLogger\nimport lightning as L" + FIT + "\n"
        "from lightning.pytorch import callbacks\n"
        "def wrong(make):\n"
        "    try: make()\n"
        "    except ce.errors.NamespaceError as error: print('TOLD', error)\n"
        "wrong(lambda: fit(strategy=ce.CloudEdgeStrategy()))\n"
        "wrong(lambda: fit(strategy='cloudedge'))\n"
        "wrong(lambda: fit(callbacks=[ce.CostLogger()]))\n"
        "wrong(lambda: fit(callbacks=[ce.BestCheckpoint(monitor='x')]))\n"
        "wrong(lambda: fit(callbacks=[ce.InterruptCheckpoint('.')]))\n"
        "wrong(lambda: ce.use('lightning'))\n"
        "import pytorch_lightning as pl\n"
        "ours = pl.Trainer(**QUIET, strategy='cloudedge', callbacks=[callbacks.Timer()])\n"
        "wrong(lambda: ours.fit(ce.CloudEdgeModule(Module().backbone, num_classes=3), DataLoader(zeros(4, 3, 8, 8))))"
    )
    told = [line for line in shown.splitlines() if line.startswith("TOLD")]
    assert len(told) == 7, shown
    assert "Timer derives from lightning" in told.pop()
    assert "comes too late" in told.pop()
    assert all("cloudedge_pl.use('lightning')" in line for line in told)


def test_the_lightning_cli_takes_name_and_class() -> None:
    for strategy, split_point in [
        ("--trainer.strategy=cloudedge", ""),
        (
            "--trainer.strategy=cloudedge_pl.CloudEdgeStrategy",
            "--trainer.strategy.offloading={split_point: 1}",
        ),
    ]:
        arguments = ["x", "fit", strategy, *([split_point] if split_point else [])]
        shown = python(
            "import lightning as L, cloudedge_pl as ce" + FIT + "\n"
            "from lightning.pytorch.cli import LightningCLI\n"
            f"sys.argv = {arguments!r}\n"
            "cli = LightningCLI(Module, Data, save_config_callback=None, trainer_defaults=QUIET)\n"
            "print(type(cli.trainer.strategy).__name__, cli.trainer.strategy.plan.split_point)"
        )
        assert shown.split()[0] == "CloudEdgeStrategy", shown
        assert not split_point or shown.split()[1] == "1"
