"""From what a node returns to the answer: the exit head, the exit policy, the cloud, and the exit head in its place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from cloudedge_pl.exits import Audit, draw_audited, exit_scores, passes
from cloudedge_pl.serving.cloud import CloudLink
from cloudedge_pl.serving.failures import CallError
from cloudedge_pl.serving.manifest import ExitRule
from cloudedge_pl.serving.metrics import MasterMetrics
from cloudedge_pl.serving.protocol import ProtocolError
from cloudedge_pl.serving.requests import PATHS, Task, least_remaining_seconds
from cloudedge_pl.serving.session import Run

CLOUD, EXIT_ASLEEP, EARLY_EXIT, AUDITED, EXIT_FAILED = range(len(PATHS))


class Answers:
    """Answers samples by the cloud or by the exit head, which runs in a thread of its own.

    Args:
        exit_head: what crosses the cut, by name -> logits.
        cloud: asked for the samples that do not exit.
        exits: which samples do.
        audit_share: of those that pass, the share that goes to the cloud anyway.
        metrics: counts the answers.
        seed: of the audit's draws.

    Attributes:
        audit: what the audited samples showed.
    """

    def __init__(
        self,
        exit_head: Run,
        cloud: CloudLink,
        exits: ExitRule,
        audit_share: float,
        metrics: MasterMetrics,
        *,
        seed: int = 0,
    ) -> None:
        self.audit = Audit()
        self._exit_head, self._cloud, self._exits, self._metrics = exit_head, cloud, exits, metrics
        self._audit_share = audit_share
        self._generator = np.random.default_rng([seed, 1])
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="exit-head")

    def close(self) -> None:
        """Ends the exit head's thread."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def give(self, tasks: Sequence[Task], tensors: Mapping[str, np.ndarray], node: int) -> None:
        """Answers every task.

        Args:
            tasks: a sample each.
            tensors: what the node returned for them, by name [B, ...].
            node: index of the node.
        """
        rows = np.arange(len(tasks))
        if not self._cloud.awake:
            self._take(tasks, rows, await self._exit(tasks, tensors), EXIT_ASLEEP, node)
            return
        if not self._exits.are_on:
            await self._ask_cloud(tasks, rows, tensors, None, node)
            return
        logits = await self._exit(tasks, tensors)
        sure = self._sure(logits)
        audited = draw_audited(sure, self._audit_share, self._generator)
        leave = sure & ~audited
        self._take(tasks, rows[leave], logits, EARLY_EXIT, node)
        classes = logits.argmax(axis=1)
        found = classes
        if not leave.all():
            found = await self._ask_cloud(tasks, rows[~leave], tensors, logits, node, audited)
        if found is not None:
            self.audit.count(sure, audited, classes, found)
            self._metrics.audited(int(audited.sum()), int((found != classes)[audited].sum()))

    def _sure(self, logits: np.ndarray) -> np.ndarray:
        """[B] bool: which samples pass the threshold."""
        threshold = self._exits.threshold
        assert threshold is not None, "exits are on"
        wide = logits.astype(np.float64)
        with np.errstate(invalid="ignore"):
            powers = np.exp(wide - wide.max(axis=1, keepdims=True))
            probabilities = powers / powers.sum(axis=1, keepdims=True)
        return passes(exit_scores(self._exits.policy, probabilities), threshold)

    async def _ask_cloud(
        self,
        tasks: Sequence[Task],
        rows: np.ndarray,
        tensors: Mapping[str, np.ndarray],
        exit_logits: np.ndarray | None,
        node: int,
        audited: np.ndarray | None = None,
    ) -> np.ndarray | None:
        """Has the cloud answer some rows, or the exit head if it fails; returns the classes [B], or None then."""
        assert self._cloud.client is not None, "the cloud is awake"
        names = [spec.name for spec in self._cloud.client.inputs]
        whole = len(rows) == len(tasks)
        cut = {name: tensors[name] if whole else tensors[name][rows] for name in names}
        asking = [tasks[row] for row in rows]
        sent = time.monotonic()
        try:
            found = await self._cloud.infer(cut, least_remaining_seconds(asking))
        except CallError as error:
            self._metrics.cloud_failed(error.kind)
            if exit_logits is None:
                exit_logits = await self._exit(tasks, tensors)
            self._take(tasks, rows, exit_logits, EXIT_FAILED, node)
            return None
        tasks[0].request.stages.cloud += time.monotonic() - sent
        self._metrics.uploaded(sum(array.nbytes for array in cut.values()))
        (answered,) = found.values()
        logits = np.empty((len(tasks), answered.shape[1]), answered.dtype)
        logits[rows] = answered
        if audited is None:
            self._take(tasks, rows, logits, CLOUD, node)
        else:
            self._take(tasks, rows[~audited[rows]], logits, CLOUD, node)
            self._take(tasks, rows[audited[rows]], logits, AUDITED, node)
            classes = np.zeros(len(tasks), np.int64)
            classes[rows] = answered.argmax(axis=1)
            return classes
        return answered.argmax(axis=1)

    async def _exit(self, tasks: Sequence[Task], tensors: Mapping[str, np.ndarray]) -> np.ndarray:
        """The exit head's logits [B, classes]."""
        sent = time.monotonic()
        loop = asyncio.get_running_loop()
        (logits,) = (await loop.run_in_executor(self._pool, self._exit_head, tensors)).values()
        tasks[0].request.stages.exit_head += time.monotonic() - sent
        return logits

    def _take(
        self, tasks: Sequence[Task], rows: np.ndarray, logits: np.ndarray, path: int, node: int
    ) -> None:
        """Gives the answers of one path to the requests."""
        if not len(rows):
            return
        finite = np.isfinite(logits[rows]).all(axis=1)
        for row, good in zip(rows.tolist(), finite.tolist(), strict=True):
            task = tasks[row]
            if good:
                task.request.take(task.row, logits[row], path, node)
            else:
                task.request.fail(not_finite())
        self._metrics.answered_on(path, len(rows))


def not_finite() -> ProtocolError:
    """The error of a sample to which no part has a finite answer."""
    return ProtocolError("the input leads to values that are not finite; send it normalised.", status=422)
