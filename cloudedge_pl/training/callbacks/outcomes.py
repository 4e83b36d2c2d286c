"""Keeps what both paths answered to every sample of a test, and logs who exited and what the audit found."""

from __future__ import annotations

from pathlib import Path

from typing_extensions import override

from cloudedge_pl.errors import require_types
from cloudedge_pl.files import written_whole
from cloudedge_pl.lightning import pl
from cloudedge_pl.training.callbacks.base import strategy_of


class OutcomeTable(pl.Callback):
    """Writes a row for every sample of a test: its label, both paths' classes, the exit head's score and who answered.

    A simulator can replay the file; see :class:`~cloudedge_pl.exits.Outcomes` for the columns. Without an exit head
    there is no file. If samples may exit (``CloudEdgeStrategy(exits=...)``), a test also logs ``test/exited_share``
    and, of the samples that went to the cloud for an audit, ``test/audit_disagreement`` with the ends of its 95%
    interval, ``test/audit_disagreement_low`` and ``test/audit_disagreement_high``; without an audited sample only the
    interval, which is then 0 to 1.

    Args:
        path: of the .npz file; None writes none.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        require_types("OutcomeTable", OutcomeTable, {"path": path})
        self.path = None if path is None else Path(path)

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        strategy_of(trainer, self).policies.keeps_outcomes = True

    @override
    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        run = strategy_of(trainer, self).run
        if run.early_exit is None or not run.settings.exits.are_on:
            return
        report = run.early_exit.audit.report()
        low, high = report["disagreement_interval"]
        found = {"disagreement_low": low, "disagreement_high": high}
        if report["disagreement"] is not None:
            found["disagreement"] = report["disagreement"]
        pl_module.log("test/exited_share", run.early_exit.exited_share)
        pl_module.log_dict({f"test/audit_{name}": value for name, value in found.items()})

    @override
    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        early_exit = strategy_of(trainer, self).run.early_exit
        if self.path is not None and early_exit is not None:
            with written_whole(self.path) as part:
                early_exit.outcomes.save(part)
