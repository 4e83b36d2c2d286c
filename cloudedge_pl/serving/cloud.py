"""The cloud as the master sees it: its calls, the delay T_rd that they measure, and whether it sleeps."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Mapping

import numpy as np

from cloudedge_pl.dormancy import DormancyRule, DormancyState, next_state
from cloudedge_pl.serving.client import ModelClient, Reply
from cloudedge_pl.serving.estimates import RoundTrip
from cloudedge_pl.serving.failures import CallError
from cloudedge_pl.serving.master_settings import MasterSettings
from cloudedge_pl.serving.parts import zeros
from cloudedge_pl.serving.workers import Background, finite_rows

CLOUD_SHARE = 0.8
"""Share of a request's remaining time that the cloud gets; the exit head needs the rest if it fails."""

log = logging.getLogger(__name__)


class CloudLink:
    """The cloud part behind its link, and the rule of its sleep.

    Every call measures the delay: the time from sending the cut tensors to the answer, as for one sample, without the
    time that the cloud says it took itself. While it sleeps, a probe of one sample of zeros takes a call's place; it
    is as long as a call, so that both compare. A call that fails is an outage, which is an infinite delay.

    Source: Xu 2020, Sec. 2.4; deviates: where the cloud does not say its own time, or ``count_computation`` is set, the
    delay includes it, so that an overloaded cloud sleeps as one that is far away does. A probe has the size of a sample
    instead of ``probe_bytes``. Delays below ``least_delay_seconds`` count as equal.

    Args:
        client: of the cloud part; None if there is no cloud, so that the exit head answers everything.
        rule: when it sleeps.
        settings: of the master.
        background: runs the probes.

    Attributes:
        state: of the rule.
        delay_seconds: the newest delay; infinite after a failure, nan before the first.
    """

    def __init__(
        self, client: ModelClient | None, rule: DormancyRule, settings: MasterSettings, background: Background
    ) -> None:
        self.client, self.rule = client, rule
        self.state = DormancyState(awake=client is not None and rule.mode != "always")
        self.delay_seconds = math.nan
        self._settings, self._background = settings, background
        self._calls, self._links = RoundTrip(), RoundTrip()
        self._probing = False
        self._said: set[str] = set()  # kinds of failure, since it was awake again: each is said once
        self._slots = asyncio.Semaphore(settings.cloud_calls)

    @property
    def awake(self) -> bool:
        """Whether samples are sent to it."""
        return self.client is not None and self.state.awake

    @property
    def sample_bytes(self) -> int:
        """Bytes that are sent to it for a sample."""
        return 0 if self.client is None else self.client.sample_bytes

    async def join(self) -> None:
        """Measures the link for the first time: calls of one sample, and of several, if nodes are asked for several."""
        if self.client is None or self.rule.mode == "always":
            return
        if await self._probe(1) and (largest := self._settings.batch_size) > 1:
            for samples in (largest, 1, largest):
                await self._probe(samples)

    async def infer(
        self, tensors: Mapping[str, np.ndarray], remaining_seconds: float
    ) -> dict[str, np.ndarray]:
        """Has the cloud answer samples.

        Args:
            tensors: what crosses the cut, by name [B, ...]; more are left out.
            remaining_seconds: until the first of the samples' deadlines.

        Raises:
            CallError: if it does not; an outage is counted then, unless only the time was short.
        """
        deadline = time.monotonic() + CLOUD_SHARE * remaining_seconds
        try:
            async with asyncio.timeout(CLOUD_SHARE * remaining_seconds):
                await self._slots.acquire()
        except TimeoutError as error:
            raise CallError("the cloud has more calls than it can answer in time", "busy") from error
        try:
            if not self.awake:
                raise CallError("the cloud fell asleep", "asleep")
            return await self._call(tensors, deadline - time.monotonic())
        finally:
            self._slots.release()

    async def _call(self, tensors: Mapping[str, np.ndarray], seconds: float) -> dict[str, np.ndarray]:
        """Has the cloud answer samples within a time."""
        assert self.client is not None, "the cloud is awake"
        samples = len(tensors[self.client.inputs[0].name])
        expected = self._calls.expected_seconds(samples)
        limit = min(self._settings.limit_seconds(expected), seconds)
        sent = time.monotonic()
        try:
            reply = await self.client.call(tensors, max(limit, 0.001))
        except CallError as error:
            if self._settings.is_failure(error.kind, limit, expected):
                self._measured(math.inf, error)
            raise
        if not finite_rows(reply.tensors).all():
            self._background.start(self._probe(1))
            raise CallError(f"{self.client.url} answered values that are not finite", "rubbish")
        self._took(time.monotonic() - sent, reply, samples)
        return reply.tensors

    def _took(self, call_seconds: float, reply: Reply, samples: int) -> None:
        """Takes the time of a call, which without the server's own is that of the link."""
        self._calls.add(call_seconds, samples)
        seconds = call_seconds
        if not self._settings.count_computation:
            seconds = max(call_seconds - reply.server_seconds, 0.0)
        self._links.add(seconds, samples)
        self._measured(max(self._links.of_one(seconds, samples), self._settings.least_delay_seconds))

    @property
    def _own_seconds(self) -> float:
        """What is expected of a call beside the delay that the rule compares."""
        return max(self._calls.expected_seconds(1) - self._links.expected_seconds(1), 0.0)

    def _measured(self, delay_seconds: float, error: CallError | None = None) -> None:
        """Lets the rule decide on a delay."""
        was_awake, self.delay_seconds = self.state.awake, delay_seconds
        self.state = next_state(
            self.rule,
            self.state,
            delay_seconds,
            limit_seconds=max(self._settings.deadline_seconds - self._own_seconds, 0.0),
            clock_seconds=time.monotonic(),
        )
        if was_awake and not self.state.awake:
            why = (
                error or f"the delay is {delay_seconds:.3g} s, on average {self.state.average_seconds:.3g} s"
            )
            log.warning("The cloud sleeps: %s", why)
        elif self.state.awake and not was_awake:
            log.warning("The cloud is awake again: the delay is %.3g s.", delay_seconds)
            self._said.clear()
        elif error is not None and error.kind not in self._said:
            log.warning("The cloud fails: %s", error)
        if error is not None:
            self._said.add(error.kind)
        if not self.state.awake and not self._probing:
            self._probing = True
            self._background.start(self._watch())

    async def _watch(self) -> None:
        """Probes the cloud until it is awake."""
        while not self.state.awake:
            await asyncio.sleep(self._settings.probe_seconds)
            await self._probe(1)
        self._probing = False

    async def _probe(self, samples: int) -> bool:
        """Measures the delay with samples of zeros; returns whether the cloud answered."""
        assert self.client is not None
        given = zeros(self.client.inputs, samples)
        try:
            if self.delay_seconds != self.delay_seconds or math.isinf(self.delay_seconds):
                await self.client.hello(self._settings.deadline_seconds)
            sent = time.monotonic()
            reply = await self.client.call(given, self._settings.deadline_seconds)
            taken = time.monotonic() - sent
        except CallError as error:
            self._measured(math.inf, error)
            return False
        if not finite_rows(reply.tensors).all():
            wrong = f"{self.client.url} answers samples of zeros with values that are not finite"
            self._measured(math.inf, CallError(wrong, "rubbish"))
            return False
        self._took(taken, reply, samples)
        return True
