"""What the commands do and say about exits: calibration, its figure, and the entry of summary.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cloudedge_pl.commands.reporting import console
from cloudedge_pl.errors import StrategyError
from cloudedge_pl.exits import RISKS, Calibration, Outcomes
from cloudedge_pl.lightning import pl
from cloudedge_pl.reports.exit_figures import save_exit_figure
from cloudedge_pl.training.strategies.calibration import calibrate_exits, save_calibration
from cloudedge_pl.training.strategies.hooks import RunHooks


def needs_calibration(strategy: object) -> bool:
    """Whether samples may exit by a threshold that is to be calibrated."""
    if not isinstance(strategy, RunHooks):
        return False
    exits = strategy.settings.exits
    return exits.are_on and exits.threshold is None


def calibrate_trained(
    trainer: pl.Trainer, module: pl.LightningModule, datamodule: pl.LightningDataModule, best: str
) -> None:
    """Calibrates after a training, and writes the result into the best checkpoint; says so if that is not possible.

    Args:
        trainer: of the training.
        module: that was trained.
        datamodule: with the validation set.
        best: path of the best checkpoint; "" calibrates the last weights.
    """
    strategy = trainer.strategy
    if not needs_calibration(strategy):
        return
    assert isinstance(strategy, RunHooks)
    try:
        found = calibrate_exits(trainer, module, datamodule=datamodule, ckpt_path=best or None)
    except StrategyError as error:
        console().print(f"No sample exits: {error}", style="bold red", soft_wrap=True)
        return
    if best:
        save_calibration(strategy, best, best)
    say_calibrated(found)


def say_calibrated(found: Calibration) -> None:
    """Prints what a calibration found."""
    if found.exits_nothing:
        console().print(found.guarantee, style="bold red", soft_wrap=True)
        return
    console().print(
        f"A sample exits if its score by {found.policy} is above {found.threshold:.4g}, as {found.exited_share:.1%} "
        f"of {found.num_samples:,} validation samples do. {found.guarantee}",
        soft_wrap=True,
    )


def exit_summary(strategy: RunHooks) -> dict[str, Any]:
    """Returns the entry ``exits`` of summary.json: settings, calibration, and what the test showed if one has run."""
    settings, calibration, early_exit = (
        strategy.settings.exits,
        strategy.run.calibration,
        strategy.run.early_exit,
    )
    outcomes = None if early_exit is None or not len(early_exit.outcomes) else early_exit.outcomes
    summary: dict[str, Any] = {"policy": settings.chosen_policy}
    if settings.are_on:
        summary |= {
            "risk": settings.risk,
            "method": settings.method,
            "delta": settings.delta,
            "threshold": settings.threshold,
        }
    if settings.are_on and settings.threshold is None:
        summary |= {"max_disagreement": settings.max_risk, "calibration": None}
        if calibration is not None and settings.accept(calibration):
            summary |= {"threshold": calibration.threshold, "calibration": _calibrated(calibration)}
    if outcomes is not None:
        summary["by_path"] = outcomes.accuracy_by_path()
    if outcomes is not None and early_exit is not None and settings.are_on:
        summary |= {
            "exited_share": early_exit.exited_share,
            "test_risk": _risk(outcomes, early_exit.threshold, settings.risk),
            "audit": early_exit.audit.report(),
        }
    return summary


def _calibrated(calibration: Calibration) -> dict[str, Any]:
    kept = ("num_samples", "exited_share", "empirical_risk", "bound", "guarantee")
    return {name: getattr(calibration, name) for name in kept}


def _risk(outcomes: Outcomes, threshold: float, risk: str) -> float | None:
    """The risk over all samples of a test, which knows both answers, as if the cloud had always been awake."""
    if risk == "accuracy_loss" and (outcomes.label < 0).any():
        return None
    losses = RISKS[risk](outcomes.exit_class, outcomes.cloud_class, outcomes.label)
    return float(np.mean(losses & outcomes.exits(threshold)))


def save_exits(strategy: RunHooks, folder: Path) -> None:
    """Draws the figure of a calibration, if there is one for the network's weights."""
    calibration = strategy.run.calibration
    if calibration is not None:
        plan = strategy.plan
        upload_bytes = float(plan.costs.upload_bytes[plan.split_point])
        save_exit_figure(calibration, upload_bytes, folder / "figures" / "exits.png")
