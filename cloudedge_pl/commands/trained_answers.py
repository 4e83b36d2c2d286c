"""What the network of a run answers to its test set by every path, for ``cloudedge compare run=FOLDER``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict

from cloudedge_pl.commands.calibrate import turn_on
from cloudedge_pl.commands.picture_accuracy import right_pictures
from cloudedge_pl.commands.running import build
from cloudedge_pl.costs.input_codec import InputCodec
from cloudedge_pl.data import ImageDataModule
from cloudedge_pl.errors import StrategyError
from cloudedge_pl.exits import Calibration, Outcomes
from cloudedge_pl.lightning import pl
from cloudedge_pl.systems import Answers
from cloudedge_pl.training.strategies.calibration import calibrate_exits
from cloudedge_pl.training.strategies.hooks import RunHooks

OUTCOMES = {"_target_": "cloudedge_pl.training.OutcomeTable", "path": None}
"""The callback that keeps both paths' answers, and writes no file."""


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """The network of a run, evaluated.

    Args:
        answers: on the test set.
        calibrations: by exit policy.
        accuracy_gap: by how much the cloud was more accurate than the exit head on the validation set; None if the
            module logs no such accuracies.
    """

    answers: Answers
    calibrations: Mapping[str, Calibration]
    accuracy_gap: float | None

    @property
    def thresholds(self) -> dict[str, float]:
        """The score above which samples exit, by exit policy; infinite where none exits."""
        return {policy: calibration.threshold for policy, calibration in self.calibrations.items()}


def checkpoint_of(folder: Path) -> Path:
    """Returns the best checkpoint of a run, or else its last one.

    Raises:
        FileNotFoundError: if the folder has none.
    """
    for name in ("best", "last"):
        path = folder / "checkpoints" / f"{name}.ckpt"
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"run is {folder}, which holds no checkpoints/best.ckpt; give the folder of a `cloudedge train`."
    )


def trained_network(
    saved: DictConfig, checkpoint: Path, policies: Mapping[str, str | None], pictures: Iterable[InputCodec]
) -> TrainedNetwork:
    """Evaluates a run's network: both paths through the codec, every exit policy, and whole on every form of picture.

    Args:
        saved: config of the run.
        checkpoint: of the run.
        policies: of exits, each with the method by which its threshold is calibrated on the validation set, or None for
            the run's own.
        pictures: forms in which the network gets pictures when it runs whole.

    Raises:
        StrategyError: if the run's network is not cut.
        ValueError: if its data module has no pictures to encode.
    """
    each = {
        policy: _evaluation(evaluated_config(saved, policy, method), checkpoint)
        for policy, method in (policies or {"confidence": None}).items()
    }
    any_one = next(iter(each.values()))
    outcomes, strategy, datamodule = any_one.outcomes, any_one.strategy, any_one.datamodule
    if not isinstance(datamodule, ImageDataModule):
        raise ValueError(
            f"{type(datamodule).__name__} holds no pictures; systems are compared on an ImageDataModule's."
        )
    return TrainedNetwork(
        Answers(
            split_point=strategy.plan.split_point,
            cloud=outcomes.cloud_class == outcomes.label,
            exit_head=outcomes.exit_class == outcomes.label,
            uncut={codec.name: right_pictures(any_one.module, datamodule, codec) for codec in pictures},
            sure={
                policy: each[policy].outcomes.exits(each[policy].calibration.threshold) for policy in policies
            },
            audit_share=strategy.settings.exits.audit_share,
        ),
        {policy: each[policy].calibration for policy in policies},
        any_one.accuracy_gap,
    )


def evaluated_config(saved: DictConfig, policy: str, method: str | None) -> DictConfig:
    """Returns a run's config with an exit policy whose threshold is calibrated, without loggers and progress bars."""
    cfg = OmegaConf.masked_copy(saved, [str(key) for key in saved])
    turn_on(cfg)
    with open_dict(cfg):
        cfg.exits.policy, cfg.exits.threshold = policy, None
        cfg.exits.method = method or cfg.exits.get("method", "ucb")
        cfg.logger, cfg.callbacks.outcomes = {}, OUTCOMES
        if "progress" in cfg.callbacks:
            cfg.callbacks.progress, cfg.trainer.enable_progress_bar = None, False
    return cfg


@dataclass(frozen=True, eq=False)
class _Evaluation:
    """A run's network with one exit policy: calibrated on the validation set, then tested."""

    datamodule: pl.LightningDataModule
    module: pl.LightningModule
    strategy: RunHooks
    calibration: Calibration
    outcomes: Outcomes
    accuracy_gap: float | None


def _evaluation(cfg: DictConfig, checkpoint: Path) -> _Evaluation:
    datamodule, module, trainer, _ = build(cfg)
    strategy = trainer.strategy
    if not isinstance(strategy, RunHooks):
        raise StrategyError("the run's network is not cut (strategy=auto); compare one that is.")
    calibration = calibrate_exits(trainer, module, datamodule=datamodule, ckpt_path=checkpoint)
    gap = _accuracy_gap(trainer)
    trainer.test(module, datamodule=datamodule, verbose=False)  # with the weights that calibration has loaded
    assert strategy.run.early_exit is not None
    return _Evaluation(datamodule, module, strategy, calibration, strategy.run.early_exit.outcomes, gap)


def _accuracy_gap(trainer: pl.Trainer) -> float | None:
    found = trainer.callback_metrics
    if "val/accuracy" not in found or "val/accuracy_exit" not in found:
        return None
    return float(found["val/accuracy"] - found["val/accuracy_exit"])
