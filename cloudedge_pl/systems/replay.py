"""What a trained network answers to every sample of its test set, so that a simulation can be given an accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from cloudedge_pl.errors import DataError, require_range
from cloudedge_pl.exits.audit import draw_audited
from cloudedge_pl.simulation.task_records import EARLY_EXIT, EDGE, EXIT_ASLEEP, EXIT_OVERLOAD, TaskRecords
from cloudedge_pl.simulation.tasks import Tasks
from cloudedge_pl.systems.build import BuiltSystem

SAMPLES, SURE, AUDIT = 0x73616D70, 0x73757265, 0x61756469
"""Parts of the seeds of samples, sure samples and audits."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Answers:
    """Who answers which sample of a test set rightly, and of which the exit head is sure; columns [num_samples], bool.

    Args:
        split_point: at which the exit head was trained.
        cloud: whether the network's answer is right if it is cut there, through the codec.
        exit_head: whether the exit head's is.
        uncut: by the form of the picture that the network gets whole, "raw" or "jpeg": whether its answer is right. The
            network is then run as it is, without a codec.
        sure: by exit policy: whether the exit head answers while the cloud is awake.
        audit_share: of the sure samples, the share that goes to the cloud anyway, in [0, 1].

    Raises:
        DataError: if the columns differ in length, or are empty.
    """

    split_point: int
    cloud: np.ndarray
    exit_head: np.ndarray
    uncut: Mapping[str, np.ndarray]
    sure: Mapping[str, np.ndarray] = field(default_factory=dict)
    audit_share: float = 0.0

    def __post_init__(self) -> None:
        require_range("answers", 0, 1, audit_share=self.audit_share)
        lengths = {
            len(column) for column in (self.cloud, self.exit_head, *self.uncut.values(), *self.sure.values())
        }
        if len(lengths) > 1 or 0 in lengths:
            raise DataError(
                f"answers: columns have the lengths {sorted(lengths)}; give one value a sample to each."
            )

    def __len__(self) -> int:
        return len(self.cloud)

    def accuracy(self, records: TaskRecords, built: BuiltSystem) -> float:
        """Share of the answered tasks whose answer is right; nan without any.

        Args:
            records: of a system, whose ``sample`` are rows of these columns.
            built: that system.
        """
        answered = records[records.answered]
        sample, path = answered.sample, answered.path
        at_exit = np.isin(path, (EXIT_ASLEEP, EARLY_EXIT, EXIT_OVERLOAD))
        is_cut = 0 < built.plan.split_point == self.split_point
        whole = self.uncut[built.system.input_codec]
        right = self.cloud[sample] if is_cut else whole[sample]
        right = np.where(path == EDGE, self.uncut["raw"][sample], right)
        right = np.where(at_exit, self.exit_head[sample], right)
        return float(right.mean()) if len(right) else np.nan


def with_samples(tasks: Tasks, num_samples: int, seed: int) -> Tasks:
    """Gives every task a sample: all samples in random order, again and again, so that each is used equally often."""
    random = np.random.default_rng([seed, SAMPLES])
    rounds = -(-len(tasks) // num_samples)
    order = np.concatenate([random.permutation(num_samples) for _ in range(rounds)])
    return replace(tasks, sample=order[: len(tasks)])


def with_exits(tasks: Tasks, policy: str, exit_share: float, answers: Answers | None, seed: int) -> Tasks:
    """Marks the tasks of which the exit head is sure, and those of them that are audited.

    Args:
        tasks: with samples, if there are answers.
        policy: of the exits.
        exit_share: of the tasks that are sure, drawn at random, if there are no answers.
        answers: say which samples are sure; None if no network is trained.
        seed: of the draws.
    """
    if answers is None:
        sure = np.random.default_rng([seed, SURE]).random(len(tasks)) < exit_share
        return replace(tasks, exits=sure)
    sure = answers.sure[policy][tasks.sample]
    audited = draw_audited(sure, answers.audit_share, np.random.default_rng([seed, AUDIT]))
    return replace(tasks, exits=sure, audited=audited)
