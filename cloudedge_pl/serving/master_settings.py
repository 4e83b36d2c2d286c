"""What a user says about the master: one frozen dataclass that checks itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cloudedge_pl.errors import require_fields, require_positive, require_range, require_seed

LEAST_EXCESS = 2.0
"""A call that was cut short by a client's deadline says nothing of the server, unless it took this times as long as
expected, and the patience besides."""


@dataclass(frozen=True, kw_only=True)
class MasterSettings:
    """How the master opens windows, calls nodes and cloud, and how long it waits for them.

    Args:
        max_tasks: samples that may be unanswered at once; requests beyond that get 503.
        deadline_seconds: time in which a request is answered, or gets 504; a client may give less.
        window_seconds: time from the first waiting task to the opening of its window; 0 opens at once.
        window_tasks: so many waiting tasks open a window before that.
        batch_size: samples that a node gets in one call at most.
        calls_per_node: calls that a node has at once at most; with 2 it never waits for the network.
        cloud_calls: calls that the cloud has at once at most; further ones wait in the master, and the exit head
            answers where that takes too long.
        smoothing: weight of the newest measurement of a node's time, in (0, 1].
        patience: a call that takes so many times its expected time has failed, ...
        patience_seconds: ... but not before this time.
        retry_seconds: a node that has failed is tried again after this time, and doubly so long after every further
            failure, ...
        max_retry_seconds: ... but at most this long.
        probe_seconds: time between two probes of a cloud that sleeps.
        least_delay_seconds: a shorter delay to the cloud counts as this, because the jitter of a fast link is no reason
            to sleep.
        count_computation: whether the time that the cloud itself takes is part of the delay; that of servers which do
            not say it always is.
        audit_share: of the samples that pass the exits' threshold, the share that goes to the cloud anyway, in [0, 1];
            None takes the bundle's.
        require_manifest: whether nodes and cloud must say which export they serve; servers of others do not.
        seed: of the audit's draws and of the scheduler.

    Raises:
        ValueError: if a value is out of range.
    """

    max_tasks: int = 256
    deadline_seconds: float = 5.0
    window_seconds: float = 0.0
    window_tasks: int = 16
    batch_size: int = 8
    calls_per_node: int = 2
    cloud_calls: int = 16
    smoothing: float = 0.2
    patience: float = 10.0
    patience_seconds: float = 0.5
    retry_seconds: float = 0.25
    max_retry_seconds: float = 8.0
    probe_seconds: float = 0.5
    least_delay_seconds: float = 0.02
    count_computation: bool = False
    audit_share: float | None = None
    require_manifest: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        require_fields("master", self)
        require_range(
            "master",
            1,
            1_000_000,
            whole=True,
            max_tasks=self.max_tasks,
            window_tasks=self.window_tasks,
            batch_size=self.batch_size,
            calls_per_node=self.calls_per_node,
            cloud_calls=self.cloud_calls,
        )
        require_positive(
            "master",
            deadline_seconds=self.deadline_seconds,
            patience_seconds=self.patience_seconds,
            retry_seconds=self.retry_seconds,
            probe_seconds=self.probe_seconds,
        )
        require_range(
            "master",
            0,
            math.inf,
            open_high=True,
            window_seconds=self.window_seconds,
            least_delay_seconds=self.least_delay_seconds,
        )
        require_range("master", 1, math.inf, open_high=True, patience=self.patience)
        require_range("master", 0, 1, open_low=True, smoothing=self.smoothing)
        require_range(
            "master", self.retry_seconds, math.inf, open_high=True, max_retry_seconds=self.max_retry_seconds
        )
        if self.audit_share is not None:
            require_range("master", 0, 1, audit_share=self.audit_share)
        require_seed("master", seed=self.seed)

    def limit_seconds(self, expected_seconds: float) -> float:
        """Time after which a call that was expected to take ``expected_seconds`` has failed."""
        return max(self.patience * expected_seconds, self.patience_seconds)

    def is_failure(self, kind: str, limit_seconds: float, expected_seconds: float) -> bool:
        """Whether a call without a usable answer is a failure of the server, and not of a client's short deadline.

        Args:
            kind: of the :class:`~cloudedge_pl.serving.failures.CallError`.
            limit_seconds: that the call had.
            expected_seconds: that it was expected to take.
        """
        return kind != "slow" or limit_seconds >= max(LEAST_EXCESS * expected_seconds, self.patience_seconds)
