"""Tasks of which the exit head is sure: by an assumed share, or the samples of a test with the answers they got."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Final

import numpy as np

from cloudedge_pl.errors import DataError, require_range, require_seed
from cloudedge_pl.exits import Outcomes
from cloudedge_pl.simulation.arrivals import BLOCK
from cloudedge_pl.simulation.fleet_run import Source
from cloudedge_pl.simulation.task_records import (
    CLOUD,
    EARLY_EXIT,
    EDGE,
    EXIT_ASLEEP,
    EXIT_OVERLOAD,
    PATHS,
    TaskRecords,
)
from cloudedge_pl.simulation.tasks import Tasks

SURE, SAMPLE, AUDIT = 0x73757265, 0x73616D70, 0x61756469
"""Parts of the seeds of sure tasks, samples and audits."""

ANSWERED: Final = (CLOUD, EXIT_ASLEEP, EARLY_EXIT, EDGE, EXIT_OVERLOAD)


class SureTasks:
    """Marks the tasks of a source: those of which the exit head is sure, and those of them that are audited.

    A task's marks depend on the seed and its number only.

    Args:
        source: of the tasks.
        share: of the tasks of which the exit head is sure, in [0, 1], if there are no outcomes.
        sure: whether the exit head is sure of each sample of a test, bool [num_samples]. Each task then is one of the
            samples, drawn at random.
        audit_share: of the sure tasks, the share that goes to the cloud anyway, in [0, 1].
        seed: of the draws.

    Raises:
        ValueError: if a share is outside [0, 1].
        DataError: if the test has no sample.
    """

    def __init__(
        self,
        source: Source,
        *,
        share: float = 0.0,
        sure: np.ndarray | None = None,
        audit_share: float = 0.0,
        seed: int = 0,
    ) -> None:
        require_range("exits", 0, 1, exit_share=share, audit_share=audit_share)
        require_seed("exits", seed=seed)
        if sure is not None and not len(sure):
            raise DataError("the outcomes of the test have no sample; test the run on at least one.")
        self._source, self._share, self._sure = source, share, sure
        self._audit_share, self._seed, self._given = audit_share, seed, 0

    def next(self, num_tasks: int) -> Tasks:
        """Returns the tasks behind the last ones given; fewer only where the source ends."""
        tasks = self._source.next(num_tasks)
        count = len(tasks)
        audited = self._uniform(AUDIT, count) < self._audit_share
        marks: dict[str, np.ndarray] = {}
        if self._sure is None:
            exits = self._uniform(SURE, count) < self._share
        else:
            sample = (self._uniform(SAMPLE, count) * len(self._sure)).astype(np.int64)
            exits, marks["sample"] = np.asarray(self._sure, dtype=bool)[sample], sample
        self._given += count
        return replace(tasks, exits=exits, audited=exits & audited, **marks)

    def _uniform(self, part: int, count: int) -> np.ndarray:
        """Draws of the next tasks, uniform in [0, 1), from blocks of a fixed size."""
        first, end = self._given // BLOCK, math.ceil((self._given + count) / BLOCK)
        blocks = [
            np.random.default_rng([self._seed, block, part]).random(BLOCK) for block in range(first, end)
        ]
        skip = self._given - first * BLOCK
        return np.concatenate([np.zeros(0), *blocks])[skip : skip + count]


class Accuracy:
    """Counts right answers by path, from records that are given piece by piece.

    Args:
        outcomes: what exit head and cloud answer to each sample; a network that is whole at the edge answers as in the
            cloud.
    """

    def __init__(self, outcomes: Outcomes) -> None:
        known = outcomes.label >= 0
        self._known = known
        self._right_exit = known & (outcomes.exit_class == outcomes.label)
        self._right_cloud = known & (outcomes.cloud_class == outcomes.label)
        self.tasks, self.right = dict.fromkeys(ANSWERED, 0), dict.fromkeys(ANSWERED, 0)

    def add(self, records: TaskRecords) -> None:
        """Counts the answered tasks among records whose samples have labels."""
        for path in ANSWERED:
            sample = records.sample[records.path == path]
            right = self._right_cloud if path in (CLOUD, EDGE) else self._right_exit
            self.tasks[path] += int(self._known[sample].sum())
            self.right[path] += int(right[sample].sum())

    def report(self) -> dict[str, Any]:
        """Accuracy of all answers and of each path, and the labelled answers; None where there are none."""
        total = sum(self.tasks.values())
        return {
            "accuracy": sum(self.right.values()) / total if total else None,
            "accuracy_by_path": {
                PATHS[path]: self.right[path] / count for path, count in self.tasks.items() if count
            },
            "labelled_answers": total,
        }
