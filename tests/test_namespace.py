"""Projects that ``import lightning``, those that ``import pytorch_lightning``, and the mixture of both."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cloudedge_pl.namespace import PACKAGES

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


MIXTURE = """
from lightning.pytorch import callbacks
ours, pictures = ce.CloudEdgeModule(Module().backbone, num_classes=3), DataLoader(zeros(4, 3, 8, 8))
data = ce.SyntheticDataModule()
class Derived(ce.SyntheticDataModule): pass
theirs = L.Trainer(**QUIET)
cut = pl.Trainer(**QUIET, strategy="cloudedge")
timed = pl.Trainer(**QUIET, strategy="cloudedge", callbacks=[callbacks.Timer()])
CASES = {
    "strategy": lambda: fit(strategy=ce.CloudEdgeStrategy()),
    "name of the strategy": lambda: fit(strategy="cloudedge"),
    "callback": lambda: fit(callbacks=[ce.CostLogger()]),
    "ModelCheckpoint": lambda: fit(callbacks=[ce.BestCheckpoint(monitor="x")]),
    "callback of any strategy": lambda: fit(callbacks=[ce.InterruptCheckpoint(".")]),
    "module": lambda: theirs.fit(ours, pictures),
    "module to test": lambda: theirs.test(ours, pictures),
    "data": lambda: theirs.validate(Module(), datamodule=data),
    "data in place of a loader": lambda: theirs.fit(Module(), data),
    "data of a subclass": lambda: theirs.predict(Module(), Derived()),
    "their module": lambda: cut.fit(Module(), pictures),
    "their compiled module": lambda: cut.fit(torch.compile(Module(), backend="eager"), pictures),
    "their data": lambda: cut.fit(ours, datamodule=Data()),
    "their callback": lambda: timed.fit(ours, pictures),
    "too late": lambda: ce.use("lightning"),
    "nothing of ours": lambda: pl.Trainer(**QUIET).fit(Module(), pictures),
}
for name, case in CASES.items():
    try: case()
    except Exception as error: print("TOLD", name, "|", type(error).__name__, "|", error)
"""


@pytest.mark.parametrize("second", ["lightning as L", "pytorch_lightning as pl"])
def test_a_mixture_is_told_what_to_do(second: str) -> None:
    imports = ["import lightning as L", "import pytorch_lightning as pl, cloudedge_pl as ce; ce.CostLogger"]
    if second.startswith("lightning"):
        imports.reverse()
    shown = python("import torch\n" + "\n".join(imports) + FIT + MIXTURE)
    told = [line.split(" | ") for line in shown.splitlines() if line.startswith("TOLD")]
    assert len(told) == 16, shown
    assert told.pop()[1:] == [
        "TypeError",
        "`model` must be a `LightningModule` or `torch._dynamo.OptimizedModule`, got `Module`",
    ]
    for case, kind, message in told:
        assert kind == "NamespaceError", (case, message)
        assert "use('lightning')" in message or "comes too late" in message, (case, message)


def test_without_pytorch_lightning() -> None:
    shown = python(
        "import sys\n"
        "class Without:\n"
        "    def __init__(self, finder): self.finder = finder\n"
        "    def find_spec(self, name, *rest):\n"
        "        hidden = name.partition('.')[0] == 'pytorch_lightning'\n"
        "        return None if hidden else self.finder.find_spec(name, *rest)\n"
        "    def __getattr__(self, name): return getattr(self.finder, name)\n"
        "sys.meta_path[:] = map(Without, sys.meta_path)\n"
        "try: import pytorch_lightning\n"
        "except ModuleNotFoundError: print('HIDDEN')\n"
        "import cloudedge_pl as ce; ce.CostLogger, ce.SyntheticDataModule\n"
        "import lightning as L" + FIT + "\n"
        'trainer = fit(strategy="cloudedge", callbacks=[ce.WeightedAggregation()])\n'
        "print(package(trainer.strategy), trainer.global_step)"
    )
    assert shown.splitlines()[0] == "HIDDEN"
    assert shown.splitlines()[-1] == "['lightning'] 2"


CONFIGURATION = """
trainer:
  strategy:
    class_path: cloudedge_pl.CloudEdgeStrategy
    init_args: {offloading: {split_point: 1}}
  callbacks:
    - class_path: cloudedge_pl.WeightedAggregation
      init_args: {every_n_steps: 2}
    - class_path: cloudedge_pl.CostLogger
"""


@pytest.mark.parametrize(
    ("package", "imports"),
    [("lightning", "lightning as L"), ("pytorch_lightning", "pytorch_lightning as L")],
)
def test_the_lightning_cli_takes_name_class_and_file(package: str, imports: str, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(CONFIGURATION)
    ways = [
        ["--trainer.strategy=cloudedge"],
        [
            "--trainer.strategy=cloudedge_pl.CloudEdgeStrategy",
            "--trainer.strategy.offloading={split_point: 1}",
        ],
        [f"--config={tmp_path / 'run.yaml'}"],
    ]
    shown = python(
        f"import {imports}, cloudedge_pl as ce{FIT}\n"
        f"from {PACKAGES[package]}.cli import LightningCLI\n"
        f"for way in {ways!r}:\n"
        "    sys.argv = ['x', 'fit', *way]\n"
        "    trainer = LightningCLI(Module, Data, save_config_callback=None, trainer_defaults=QUIET).trainer\n"
        "    named = [type(each).__name__ for each in trainer.callbacks if 'cloudedge' in type(each).__module__]\n"
        "    print('RAN', package(trainer.strategy), trainer.strategy.plan.split_point, sorted(named))"
    )
    ran = [line for line in shown.splitlines() if line.startswith("RAN")]
    assert all(line.startswith(f"RAN ['{package}']") for line in ran), shown
    assert len(ran) == 3
    assert ran[1].endswith(" 1 []")
    assert ran[2].endswith(" 1 ['CostLogger', 'WeightedAggregation']")
