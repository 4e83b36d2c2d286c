"""What is trained for Fig. 9: systems that share data, seeds, schedule and backbone, as runs of ``cloudedge train``."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloudedge_pl.errors import require_fields, require_range
from cloudedge_pl.paper.part import Report

OURS, BRANCHYNET, PLAIN = "collaborative", "branchynet", "plain"


@dataclass(frozen=True, kw_only=True)
class TrainedSystem:
    """A system whose learning is compared.

    Args:
        title: in tables and figures; None takes the name of the backbone.
        overrides: of ``cloudedge train``, which make the system out of the collaborative one.
    """

    title: str | None
    overrides: tuple[str, ...]


EXIT_THRESHOLD: Final = 0.9
"""BranchyNet's samples exit above this score 1 - H / log C; for ten classes that is an entropy H below 0.23 nats."""

SYSTEMS: Final[dict[str, TrainedSystem]] = {
    OURS: TrainedSystem(title="collaborative", overrides=()),
    BRANCHYNET: TrainedSystem(
        title="BranchyNet",
        overrides=(
            "fleet.num_nodes=1",
            "callbacks.dormancy.mode=never",
            "exits=entropy",
            f"exits.threshold={EXIT_THRESHOLD}",
            "exits.audit_share=0",
        ),
    ),
    PLAIN: TrainedSystem(title=None, overrides=("strategy=auto",)),
}
"""The systems of Fig. 9. BranchyNet is one node whose cloud never sleeps; sure samples exit."""

QUIET: Final = (
    "test=false",
    "callbacks.checkpoint=null",
    "callbacks.progress=null",
    "logger.tensorboard=null",
)
"""Only the validations count: no test, no best checkpoint, and nothing that only a reader at the screen would see."""


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """One run, which may consist of several parts if it was interrupted.

    Args:
        system: a key of :data:`SYSTEMS`.
        title: of the system.
        seed: of the run.
        folder: of the run's parts, which are numbered from 1 on.
        overrides: of ``cloudedge train``, without the folder.
    """

    system: str
    title: str
    seed: int
    folder: Path
    overrides: tuple[str, ...]

    @property
    def command(self) -> str:
        """What a user types for the same training, which then leaves more than validations."""
        return shlex.join(["cloudedge", "train", *(each for each in self.overrides if each not in QUIET)])

    @property
    def parts(self) -> list[Path]:
        """The folders of the run's parts so far, in order; one that holds no config has not begun."""
        numbers = (int(path.name) for path in self.folder.glob("*/") if path.name.isdigit())
        folders = [self.folder / str(number) for number in sorted(numbers)]
        return [path for path in folders if (path / ".hydra" / "config.yaml").is_file()]

    @property
    def is_finished(self) -> bool:
        """Whether the last part ended by itself."""
        path = self.parts[-1] / "summary.json" if self.parts else None
        if path is None or not path.is_file():
            return False
        return json.loads(path.read_text(encoding="utf-8"))["interrupted"] is None


Start = Callable[[Sequence[TrainingRun], Report], None]
"""Makes all runs that are not finished, goes on with those that were interrupted, and reports the steps."""


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainingPlan:
    """Which runs there are, and what is the same.

    Args:
        overrides: of ``cloudedge train`` for all runs: the experiment, and what the user gave.
        start: makes the runs.
        seeds: number of runs of each system, with the seeds 0, 1, ...; at least 1. One shows no spread.
        margin_share: errors that differ by at most this share of the samples count as the same, in [0, 1].
        network: name of the backbone.

    Raises:
        ValueError: if a value is outside its range.
    """

    overrides: tuple[str, ...]
    start: Start
    seeds: int = 3
    margin_share: float = 0.01
    network: str = "ResNet-34"

    def __post_init__(self) -> None:
        require_fields("training", self)
        require_range("training", 1, math.inf, whole=True, seeds=self.seeds)
        require_range("training", 0, 1, margin_share=self.margin_share)

    def title(self, system: str) -> str:
        """The system's name in tables and figures."""
        return SYSTEMS[system].title or f"plain {self.network}"

    def runs(self, folder: Path) -> list[TrainingRun]:
        """Returns the runs of all systems, seed by seed; each has a folder of its own in that of the part."""
        return [
            TrainingRun(
                system=key,
                title=self.title(key),
                seed=seed,
                folder=folder / f"{key}-{seed}",
                overrides=(*self.overrides, *system.overrides, *QUIET, f"seed={seed}"),
            )
            for seed in range(self.seeds)
            for key, system in SYSTEMS.items()
        ]
