"""``export_bundle``: what a manifest says of the run that trained the network."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import cloudedge_pl as ce
from cloudedge_pl.errors import BundleError, StrategyError
from cloudedge_pl.lightning import pl
from tests.training.helpers import OtherModule, SmallNet, loader, make_strategy, make_trainer


def trained(root: Path, *callbacks: pl.Callback, **options: Any) -> tuple[pl.Trainer, OtherModule]:
    torch.manual_seed(0)
    module = OtherModule(SmallNet(norm=True))
    trainer = make_trainer(root, make_strategy(**options), max_epochs=1, callbacks=list(callbacks))
    trainer.fit(module, loader(), loader(num=256, batch_size=64))
    return trainer, module


def exported(trainer: pl.Trainer, folder: Path, **options: Any) -> ce.Manifest:
    return ce.export_bundle(trainer.strategy, folder, **{"format": "torch"} | options).manifest


def test_a_trained_network_is_exported_as_it_answers(tmp_path: Path) -> None:
    trainer, module = trained(tmp_path, split_point=2, codec="int8")
    manifest = exported(
        trainer, tmp_path / "bundle", class_names=["zero", "one", "two", "three", "four"], run={"seed": 3}
    )
    assert (manifest.split_point, manifest.model, manifest.codec.name) == (2, "SmallNet", "int8")
    assert (manifest.class_names[1], manifest.run) == ("one", {"seed": 3})
    assert (manifest.dormancy.mode, manifest.exits.are_on, manifest.preprocessing) == ("never", False, None)
    assert not any(hasattr(module.net, name) for name in ("_trainer", "exit_head"))
    samples = torch.cat(trainer.predict(module, loader(), ckpt_path=None))  # type: ignore[arg-type]
    parts = {name: torch.export.load(manifest.path(name)).module() for name in ("edge", "cloud")}
    images = torch.cat([batch[0] for batch in loader()])
    given = dict(
        zip([each.name for each in manifest.parts["edge"].outputs], parts["edge"](images), strict=True)
    )
    with torch.no_grad():
        answered = parts["cloud"](*(given[each.name] for each in manifest.cut))[0]
    torch.testing.assert_close(answered, samples, atol=1e-4, rtol=1e-4)


def test_the_rules_of_the_run_are_in_the_manifest(tmp_path: Path) -> None:
    trainer, module = trained(tmp_path, ce.CloudDormancy(mode="deadline"), exits={"max_disagreement": 0.5})
    ce.calibrate_exits(trainer, module, dataloaders=loader(num=256, batch_size=64))
    calibration = trainer.strategy.run.calibration
    manifest = exported(trainer, tmp_path / "bundle")
    assert manifest.dormancy.mode == "deadline"
    assert (manifest.exits.policy, manifest.exits.max_risk) == ("confidence", 0.5)
    assert manifest.exits.threshold == pytest.approx(calibration.threshold)
    assert manifest.exits.guarantee == calibration.guarantee
    assert ce.Manifest.read(tmp_path / "bundle") == manifest


def test_a_threshold_that_was_given_promises_nothing(tmp_path: Path) -> None:
    trainer, _ = trained(tmp_path, exits={"threshold": 0.7})
    exits = exported(trainer, tmp_path / "bundle").exits
    assert (exits.threshold, exits.guarantee) == (0.7, None)


def test_exits_that_are_not_calibrated_let_no_sample_exit(tmp_path: Path) -> None:
    trainer, _ = trained(tmp_path, exits={"max_disagreement": 0.1})
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        exits = exported(trainer, tmp_path / "bundle").exits
    assert (exits.are_on, exits.threshold) == (False, None)
    assert any("not calibrated" in str(each.message) for each in said)


@pytest.mark.parametrize(("split_point", "where"), [(0, "at the edge"), (5, "in the cloud")])
def test_a_network_that_is_not_cut_has_no_parts(tmp_path: Path, split_point: int, where: str) -> None:
    trainer, _ = trained(tmp_path, split_point=split_point)
    with pytest.raises(StrategyError, match=rf"leaves nothing {where}.*offloading\.exclude_ends=true"):
        exported(trainer, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_a_rule_of_ones_own_is_no_manifests(tmp_path: Path) -> None:
    class Own(ce.CloudDormancy):
        def decide(self, state: Any, delay_seconds: float) -> Any:
            return state

    trainer, _ = trained(tmp_path, Own())
    with pytest.raises(BundleError, match="function of the run's own"):
        exported(trainer, tmp_path / "bundle")


def test_there_is_a_name_for_each_class(tmp_path: Path) -> None:
    trainer, _ = trained(tmp_path)
    with pytest.raises(ValueError, match="class_names are 2 and the logits 5"):
        exported(trainer, tmp_path / "bundle", class_names=["yes", "no"])


def test_the_format_is_looked_up_before_anything_else(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="onnx, torch"):
        ce.export_bundle(make_strategy(), tmp_path, format="foo")
    with pytest.raises(StrategyError, match="not set up"):
        ce.export_bundle(make_strategy(), tmp_path)


def test_a_network_in_double_precision_is_exported_for_torch_alone(tmp_path: Path) -> None:
    """onnxruntime has no convolution in double precision."""
    torch.manual_seed(0)
    trainer = make_trainer(tmp_path, make_strategy(split_point=2), max_epochs=1)
    images, labels = next(iter(loader()))
    doubles = TensorDataset(images.double(), labels)
    trainer.fit(OtherModule(SmallNet().double()), DataLoader(doubles, batch_size=8))
    assert exported(trainer, tmp_path / "bundle").image.datatype == "FP64"
    with pytest.raises(BundleError, match=r"'edge', which takes float64: .*module\.float\(\).*format=torch"):
        exported(trainer, tmp_path / "other", format="onnx")
    assert not (tmp_path / "other").exists()
