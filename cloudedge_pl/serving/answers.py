"""From what a node returns to the answer: the exit head, the exit policy, the cloud, and the exit head in its place."""

from __future__ import annotations

import asyncio
import itertools
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
from cloudedge_pl.serving.requests import PATHS, Task, book, least_remaining_seconds
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
        self._turn = asyncio.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="exit-head")

    def close(self) -> None:
        """Ends the exit head's thread."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def give(self, tasks: Sequence[Task], tensors: Mapping[str, np.ndarray], node: int) -> None:
        """Answers every task that is not over.

        Args:
            tasks: a sample each.
            tensors: what the node returned for them, by name [B, ...].
            node: index of the node.
        """
        number, awake = len(tasks), self._cloud.awake
        if awake and not self._exits.are_on:
            await self._ask_cloud(tasks, tensors, np.full(number, CLOUD), node)
            return
        logits = await self._exit(tasks, tensors)
        if logits is None:
            return
        if not awake:
            self._take(tasks, logits, np.full(number, EXIT_ASLEEP), node)
            return
        sure = self._sure(logits)
        audited = draw_audited(sure, self._audit_share, self._generator)
        stay = audited | ~sure
        classes = logits.argmax(axis=1)
        found = classes.copy()
        if not stay.all():
            leave = ~stay
            self._take(_chosen(tasks, leave), logits[leave], np.full(leave.sum(), EARLY_EXIT), node)
        if stay.any():
            sent = {name: array[stay] for name, array in tensors.items()}
            paths = np.where(audited[stay], AUDITED, CLOUD)
            answered = await self._ask_cloud(_chosen(tasks, stay), sent, paths, node, logits[stay])
            if answered is None:
                return
            found[stay] = answered.argmax(axis=1)
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
        tensors: Mapping[str, np.ndarray],
        paths: np.ndarray,
        node: int,
        exit_logits: np.ndarray | None = None,
    ) -> np.ndarray | None:
        """Has the cloud answer tasks, or the exit head if it fails.

        Returns:
            The cloud's logits [B, classes]; None if it failed, or all tasks are over.
        """
        if all(task.request.over for task in tasks):
            return None
        sent = time.monotonic()
        try:
            found = await self._cloud.infer(tensors, least_remaining_seconds(tasks))
        except CallError as error:
            self._metrics.cloud_failed(error.kind)
            if exit_logits is None:
                exit_logits = await self._exit(tasks, tensors)
            if exit_logits is not None:
                self._take(tasks, exit_logits, np.full(len(tasks), EXIT_FAILED), node)
            return None
        book(tasks, "cloud", time.monotonic() - sent)
        self._metrics.uploaded(len(tasks) * self._cloud.sample_bytes)
        (logits,) = found.values()
        self._take(tasks, logits, paths, node)
        return logits

    async def _exit(self, tasks: Sequence[Task], tensors: Mapping[str, np.ndarray]) -> np.ndarray | None:
        """The exit head's logits [B, classes] when it is its turn; None if all tasks are over by then."""
        sent = time.monotonic()
        async with self._turn:
            if all(task.request.over for task in tasks):
                return None
            loop = asyncio.get_running_loop()
            (logits,) = (await loop.run_in_executor(self._pool, self._exit_head, tensors)).values()
        book(tasks, "exit_head", time.monotonic() - sent)
        return logits

    def _take(self, tasks: Sequence[Task], logits: np.ndarray, paths: np.ndarray, node: int) -> None:
        """Gives answers to the requests."""
        finite = np.isfinite(logits).all(axis=1).tolist()
        for task, row, path, good in zip(tasks, logits, paths.tolist(), finite, strict=True):
            if not good:
                task.request.fail(not_finite())
            elif task.request.take(task.row, row, path, node):
                self._metrics.answered_on(path)


def _chosen(tasks: Sequence[Task], which: np.ndarray) -> list[Task]:
    return list(itertools.compress(tasks, which.tolist()))


def not_finite() -> ProtocolError:
    """The error of a sample to which no part has a finite answer."""
    return ProtocolError("the input leads to values that are not finite; send it normalised.", status=422)
