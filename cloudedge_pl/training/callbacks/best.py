"""The best checkpoint of a run, across a resume into another folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typing_extensions import override

from cloudedge_pl.errors import lookup
from cloudedge_pl.lightning import pl


class BestCheckpoint(pl.callbacks.ModelCheckpoint):
    """Lightning's ``ModelCheckpoint`` whose best scores survive a resume into another folder.

    Lightning forgets them, so that the first score after the resume counts as the best. Checkpoints in the earlier
    folder are kept and never removed from here; the best one may be among them.
    """

    @override
    def on_sanity_check_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Raises an error before the first epoch if validation does not log the monitored metric."""
        stage, slash, _ = (self.monitor or "").partition("/")
        of_the_stage = {name: name for name in trainer.callback_metrics if name.startswith(f"{stage}/")}
        if slash and of_the_stage:
            lookup(of_the_stage, self.monitor or "", "metric to monitor,")

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        known = state_dict.get("best_k_models", {})
        there = {path: score for path, score in known.items() if "://" in path or Path(path).is_file()}
        if lost := sorted(known.keys() - there.keys()):
            pl.utilities.rank_zero_warn(
                f"of the best checkpoints so far, {', '.join(lost)} is no longer there: its score does not count."
            )
            select, worst = (max, min) if self.mode == "max" else (min, max)
            best = select(there, key=there.__getitem__, default="")
            kth = worst(there, key=there.__getitem__, default="")
            state_dict = {
                **state_dict,
                "best_k_models": there,
                "best_model_path": best,
                "best_model_score": there.get(best),
                "kth_best_model_path": kth,
                "kth_value": there.get(kth, self.kth_value),
            }
        super().load_state_dict({**state_dict, "dirpath": self.dirpath})
