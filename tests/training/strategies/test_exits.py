"""Early exits: who answers in a test and a prediction, what is calibrated, and what a checkpoint holds of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import cloudedge_pl as ce
from cloudedge_pl.errors import StrategyError
from cloudedge_pl.exits import Outcomes
from cloudedge_pl.training.strategies.calibration import save_calibration
from tests.training.helpers import (
    CLASSES,
    OtherModule,
    SmallNet,
    loader,
    make_strategy,
    make_trainer,
    pictures,
)

EXITS: dict[str, Any] = {"max_disagreement": 0.1, "audit_share": 0.5}


def trained(folder: Path, exits: Any, **options: Any) -> tuple[Any, OtherModule]:
    """A trainer and module after a short fit."""
    torch.manual_seed(0)
    module = OtherModule(SmallNet())
    trainer = make_trainer(folder, make_strategy(exits=exits, **options), max_epochs=4)
    trainer.fit(module, loader(num=160))
    return trainer, module


def held_back(num: int = 400) -> DataLoader:
    return loader(batch_size=50, num=num, seed=9)


def both_answers(trainer: Any, module: OtherModule) -> tuple[torch.Tensor, torch.Tensor]:
    """The logits of cloud and exit head for the held-back samples, without the run's own code."""
    images = pictures(400, 9).tensors[0]
    deployment = trainer.strategy.deployment
    module.eval(), deployment.exit_head.eval()
    with torch.no_grad():
        live = deployment.chain.edge(deployment.split_point)(images)
        return module.net(images), deployment.exit_head(live)


def test_a_calibrated_test_answers_sure_samples_by_the_exit_head(tmp_path: Path) -> None:
    trainer, module = trained(tmp_path, EXITS)
    found = ce.calibrate_exits(trainer, module, dataloaders=held_back())
    cloud, exit_logits = both_answers(trainer, module)
    scores = torch.softmax(exit_logits.double(), 1).amax(1).numpy()
    differs = (cloud.argmax(1) != exit_logits.argmax(1)).numpy()
    assert 0 < found.exited_share < 1
    assert found.exited_share == pytest.approx((scores > found.threshold).mean(), abs=0.005)
    assert found.empirical_risk == pytest.approx((differs & (scores > found.threshold)).mean(), abs=0.005)
    assert found.bound <= 0.1

    table = ce.OutcomeTable(tmp_path / "outcomes.npz")
    trainer.callbacks.append(table)
    logged = trainer.test(module, held_back(), verbose=False)[0]
    outcomes = Outcomes.load(tmp_path / "outcomes.npz")
    assert (outcomes.label == pictures(400, 9).tensors[1].numpy()).all()
    assert (outcomes.cloud_class == cloud.argmax(1).numpy()).all()
    assert (outcomes.exit_class == exit_logits.argmax(1).numpy()).all()
    assert outcomes.exit_score == pytest.approx(scores, abs=1e-5)
    sure = outcomes.exits(found.threshold)
    early, audited = outcomes.path == 2, outcomes.path == 3
    assert (early | audited == sure).all()
    assert 0.3 < audited.sum() / sure.sum() < 0.7
    audit = trainer.strategy.run.early_exit.audit
    assert (audit.num_samples, audit.num_passed, audit.num_audited) == (400, sure.sum(), audited.sum())
    assert audit.num_disagreed == differs[audited].sum()
    assert logged["test/exited_share"] == pytest.approx(early.mean())
    assert logged["test/audit_disagreement"] == pytest.approx(differs[audited].mean())
    assert logged["test/audit_disagreement_low"] <= logged["test/audit_disagreement"]


def test_a_prediction_mixes_both_answers(tmp_path: Path) -> None:
    trainer, module = trained(tmp_path, {**EXITS, "audit_share": 0.0})
    found = ce.calibrate_exits(trainer, module, dataloaders=held_back())
    answers = torch.cat(trainer.predict(module, held_back()))
    cloud, exit_logits = both_answers(trainer, module)
    sure = torch.softmax(exit_logits.double(), 1).amax(1) > found.threshold
    assert torch.allclose(answers, torch.where(sure[:, None], exit_logits, cloud), atol=1e-5)
    assert not torch.allclose(answers, cloud, atol=1e-3)


def test_a_fixed_threshold_needs_no_calibration(tmp_path: Path) -> None:
    trainer, module = trained(tmp_path, {"threshold": 0.0, "audit_share": 0.0})
    answers = torch.cat(trainer.predict(module, held_back()))
    assert torch.allclose(answers, both_answers(trainer, module)[1], atol=1e-5)  # all samples exit
    with pytest.raises(StrategyError, match="a fixed threshold"):
        ce.calibrate_exits(trainer, module, dataloaders=held_back())


def test_nothing_exits_before_a_calibration_and_a_warning_says_so(tmp_path: Path) -> None:
    trainer, module = trained(tmp_path, EXITS)
    with pytest.warns(UserWarning, match="not calibrated"):
        answers = torch.cat(trainer.predict(module, held_back()))
    assert torch.allclose(answers, both_answers(trainer, module)[0], atol=1e-5)


def test_validation_lets_nothing_exit_by_a_threshold_that_is_yet_to_be_calibrated(tmp_path: Path) -> None:
    trainer, module = trained(tmp_path, EXITS)
    ce.calibrate_exits(trainer, module, dataloaders=held_back())
    trainer.validate(module, held_back(), verbose=False)
    assert trainer.strategy.run.early_exit is None


@pytest.mark.parametrize(("threshold", "path"), [(0.0, "accuracy_exit"), (1.0, "accuracy")])
def test_a_fixed_threshold_holds_in_the_validation_of_every_epoch(
    tmp_path: Path, threshold: float, path: str
) -> None:
    module = ce.CloudEdgeModule(SmallNet(), num_classes=CLASSES, learning_rate=0.01, schedule="constant")
    strategy = make_strategy(exits={"threshold": threshold, "audit_share": 0.0}, backbone="backbone")
    trainer = make_trainer(tmp_path, strategy, max_epochs=1)
    trainer.fit(module, loader(num=160), held_back())
    logged = trainer.callback_metrics
    assert logged["val/accuracy_answered"] == logged[f"val/{path}"]
    assert logged["val/accuracy_exit"] != logged["val/accuracy"]


def test_a_sleeping_cloud_makes_the_exit_head_answer_all(tmp_path: Path) -> None:
    trainer, module = trained(tmp_path, {"threshold": 1.0})
    asleep = ce.CloudDormancy()
    asleep.decide = lambda state, delay: type(state)(awake=False)  # type: ignore[method-assign]
    trainer.callbacks.extend([asleep, ce.OutcomeTable(tmp_path / "outcomes.npz")])
    answers = torch.cat(trainer.predict(module, held_back()))
    assert torch.allclose(answers, both_answers(trainer, module)[1], atol=1e-5)
    trainer.test(module, held_back(), verbose=False)
    assert (Outcomes.load(tmp_path / "outcomes.npz").path == 1).all()
    assert trainer.strategy.run.early_exit.audit.num_samples == 0


def test_a_checkpoint_holds_the_calibration(tmp_path: Path) -> None:
    trainer, module = trained(tmp_path, EXITS)
    found = ce.calibrate_exits(trainer, module, dataloaders=held_back())
    expected = torch.cat(trainer.predict(module, held_back()))
    trainer.save_checkpoint(tmp_path / "whole.ckpt")

    fresh = make_trainer(tmp_path, make_strategy(exits=EXITS))
    again = OtherModule(SmallNet())
    options = {"ckpt_path": tmp_path / "whole.ckpt", "weights_only": True}
    answers = torch.cat(fresh.predict(again, held_back(), **options))
    assert fresh.strategy.run.calibration == found
    assert torch.allclose(answers, expected, atol=1e-6)

    other = make_trainer(tmp_path, make_strategy(exits={**EXITS, "max_disagreement": 0.2}))
    with pytest.warns(UserWarning, match="at most 0.1 by 'ucb', delta 0.05, and this run asks for .* 0.2"):
        other.predict(OtherModule(SmallNet()), held_back(), **options)


def test_a_calibration_can_be_written_into_a_checkpoint_later(tmp_path: Path) -> None:
    trainer, _ = trained(tmp_path, None)
    trainer.save_checkpoint(tmp_path / "plain.ckpt")
    before = (tmp_path / "plain.ckpt").read_bytes()

    later = make_trainer(tmp_path, make_strategy(exits=EXITS))
    other = OtherModule(SmallNet())
    found = ce.calibrate_exits(later, other, dataloaders=held_back(), ckpt_path=tmp_path / "plain.ckpt")
    save_calibration(later.strategy, tmp_path / "plain.ckpt", tmp_path / "calibrated.ckpt")
    assert (tmp_path / "plain.ckpt").read_bytes() == before
    both = [torch.load(tmp_path / name, weights_only=True) for name in ("plain.ckpt", "calibrated.ckpt")]
    assert both[0]["cloudedge"]["exits"] is None
    assert ce.Calibration.from_dict(both[1]["cloudedge"]["exits"]) == found
    for name, value in both[0]["state_dict"].items():
        assert torch.equal(value, both[1]["state_dict"][name])


def test_training_on_drops_the_calibration(tmp_path: Path) -> None:
    trainer, module = trained(tmp_path, EXITS)
    ce.calibrate_exits(trainer, module, dataloaders=held_back())
    trainer.save_checkpoint(tmp_path / "calibrated.ckpt")
    trainer.fit_loop.max_epochs = 5
    trainer.fit(module, loader(num=160), ckpt_path=tmp_path / "calibrated.ckpt", weights_only=True)
    assert trainer.strategy.run.calibration is None


def test_a_calibration_changes_nothing_else(tmp_path: Path) -> None:
    trainer, module = trained(tmp_path, EXITS)
    weights = {name: value.clone() for name, value in module.state_dict().items()}
    books = trainer.strategy.simulator.report()
    callbacks = list(trainer.callbacks)
    ce.calibrate_exits(trainer, module, dataloaders=held_back())
    assert all(torch.equal(value, weights[name]) for name, value in module.state_dict().items())
    assert trainer.strategy.simulator.report() == books
    assert trainer.callbacks == callbacks


@pytest.mark.parametrize("policy", ["confidence", "entropy"])
def test_too_few_samples_let_nothing_exit(tmp_path: Path, policy: str) -> None:
    trainer, module = trained(tmp_path, policy)
    found = ce.calibrate_exits(trainer, module, dataloaders=held_back(100))
    assert found.threshold == math.inf
    assert "at least 149" in found.guarantee
    assert found.policy == policy


def test_the_loss_of_accuracy_needs_labels(tmp_path: Path) -> None:
    trainer, module = trained(tmp_path, {**EXITS, "risk": "accuracy_loss"})
    found = ce.calibrate_exits(trainer, module, dataloaders=held_back())
    cloud, exit_logits = both_answers(trainer, module)
    labels = pictures(400, 9).tensors[1]
    lost = ((cloud.argmax(1) == labels) & (exit_logits.argmax(1) != labels)).numpy()
    scores = torch.softmax(exit_logits.double(), 1).amax(1).numpy()
    assert found.empirical_risk == pytest.approx(np.mean(lost & (scores > found.threshold)), abs=0.005)


@pytest.mark.parametrize(
    ("exits", "options", "message"),
    [
        (None, {}, "names no policy"),
        (EXITS, {"split_point": 0}, "has no exit head"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(tmp_path: Path, exits: Any, options: Any, message: str) -> None:
    trainer, module = trained(tmp_path, exits, **options)
    with pytest.raises(StrategyError, match=message):
        ce.calibrate_exits(trainer, module, dataloaders=held_back())


def test_without_a_validation_set_there_is_nothing_to_calibrate_on(tmp_path: Path) -> None:
    trainer, module = trained(tmp_path, EXITS)
    with pytest.raises(StrategyError, match="no validation sample"):
        ce.calibrate_exits(trainer, module, dataloaders=[])


def test_another_trainer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StrategyError, match="SingleDeviceStrategy"):
        ce.calibrate_exits(make_trainer(tmp_path), OtherModule(SmallNet()), dataloaders=held_back())


def test_a_compiled_module_exits_alike(tmp_path: Path) -> None:
    trainer, module = trained(tmp_path, {"threshold": 0.9, "audit_share": 0.2})
    expected = torch.cat(trainer.predict(module, held_back()))
    compiled = torch.compile(module, backend="eager")
    again = make_trainer(tmp_path, make_strategy(exits={"threshold": 0.9, "audit_share": 0.2}))
    state = trainer.strategy.deployment.exit_head.state_dict()
    again.test(compiled, held_back(), verbose=False)  # plans and cuts
    again.strategy.deployment.exit_head.load_state_dict(state)
    assert torch.allclose(torch.cat(again.predict(compiled, held_back())), expected, atol=1e-5)
    assert 0 < again.strategy.run.early_exit.exited_share < 1
