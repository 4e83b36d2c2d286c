"""The master: takes requests, has nodes run their samples, and answers by cloud or exit head.

A request of n samples is n tasks. They wait in a window; the scheduler assigns them to nodes by what was measured of
these; what a node returns goes to the exit head or to the cloud (:mod:`cloudedge_pl.serving.answers`).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import time
from collections.abc import Iterable
from dataclasses import asdict
from functools import partial

import numpy as np

from cloudedge_pl.dormancy import DormancyRule
from cloudedge_pl.exits import Audit
from cloudedge_pl.scheduling import NodeState, Scheduler, TaskWindow, create_scheduler
from cloudedge_pl.serving.addresses import Addresses
from cloudedge_pl.serving.answers import Answers, not_finite
from cloudedge_pl.serving.client import Access, ModelClient
from cloudedge_pl.serving.cloud import CloudLink
from cloudedge_pl.serving.failures import Overloaded, TooLate
from cloudedge_pl.serving.manifest import ExitRule, Manifest
from cloudedge_pl.serving.master_settings import MasterSettings
from cloudedge_pl.serving.metrics import MasterMetrics
from cloudedge_pl.serving.model_server import ServedModel
from cloudedge_pl.serving.parts import TensorSpec
from cloudedge_pl.serving.protocol import ProtocolError
from cloudedge_pl.serving.requests import PATHS, Request, Task
from cloudedge_pl.serving.session import Run
from cloudedge_pl.serving.window import Window
from cloudedge_pl.serving.workers import Background, Node, finite_rows

MODEL = "network"
"""Name of the whole network in the master's paths."""

NOMINAL_SECONDS = 0.01
"""Time of a sample on a node before anything is measured."""

log = logging.getLogger(__name__)


class Master:
    """Answers requests of the whole network by nodes, exit head and cloud. To be made and used in one event loop.

    Args:
        manifest: of the bundle that all of them serve.
        addresses: of nodes and cloud.
        exit_head: what crosses the cut, by name -> logits; called in a thread.
        settings: sizes and times.
        scheduler: which node runs which task; None is ATSA.
        dormancy: when the cloud sleeps; None is the bundle's rule.
        exits: which samples the exit head answers; None is the bundle's rule.
        access: how nodes and cloud are spoken to.

    Attributes:
        metrics: what ``/metrics`` shows.
        nodes: in the order of the addresses.
        scheduler: which node runs which task.
        unanswered: samples that are not answered yet.
        cloud: behind its link.
    """

    def __init__(
        self,
        manifest: Manifest,
        addresses: Addresses,
        exit_head: Run,
        *,
        settings: MasterSettings | None = None,
        scheduler: Scheduler | None = None,
        dormancy: DormancyRule | None = None,
        exits: ExitRule | None = None,
        access: Access | None = None,
    ) -> None:
        self.manifest, self.settings = manifest, settings or MasterSettings()
        settings = self.settings
        self.scheduler = scheduler or create_scheduler("atsa", seed=settings.seed)
        self.metrics = MasterMetrics(PATHS)
        self._background = Background()
        self._session = (access or Access()).session()
        self.cloud = CloudLink(
            self._client(addresses.cloud, "cloud") if addresses.cloud else None,
            dormancy or manifest.dormancy,
            settings,
            self._background,
        )
        rule = exits or manifest.exits
        share = rule.audit_share if settings.audit_share is None else settings.audit_share
        self._answers = Answers(exit_head, self.cloud, rule, share, self.metrics, seed=settings.seed)
        self.nodes = [
            self._node(index, name, url) for index, (name, url) in enumerate(addresses.nodes.items())
        ]
        self._window = Window(settings.window_seconds, settings.window_tasks, self._assign)
        self._homeless: list[Task] = []
        self.unanswered = 0
        self._show()

    def _client(self, url: str, part: str) -> ModelClient:
        spec = self.manifest.parts[part]
        return ModelClient(
            url,
            part,
            spec.inputs,
            spec.outputs,
            self._session,
            manifest_id=self.manifest.id,
            require_manifest=self.settings.require_manifest,
        )

    def _node(self, index: int, name: str, url: str) -> Node:
        return Node(
            index,
            name,
            self._client(url, "edge"),
            self.settings,
            self._background,
            answered=self._ran,
            returned=self._retry,
            joined=self._house,
        )

    def _show(self) -> None:
        for node in self.nodes:
            self.metrics.show_node(node.name, "up", partial(getattr, node, "up"))
            self.metrics.show_node(node.name, "seconds", partial(getattr, node.estimate, "mean_seconds"))
            self.metrics.show_node(node.name, "outstanding", partial(getattr, node, "outstanding"))
        self.metrics.show("cloud_asleep", lambda: float(not self.cloud.awake))
        self.metrics.show("cloud_delay_seconds", lambda: self.cloud.delay_seconds)
        self.metrics.show("cloud_average_seconds", lambda: self.cloud.state.average_seconds)
        self.metrics.show("unanswered", lambda: float(self.unanswered))

    async def start(self, wait_seconds: float = 5.0) -> None:
        """Greets nodes and cloud. Those that do not answer within the time are waited for in the background."""
        greetings = [self._background.start(node.join()) for node in self.nodes]
        greetings.append(self._background.start(self.cloud.join()))
        await asyncio.wait(greetings, timeout=wait_seconds)

    async def close(self) -> None:
        """Ends all calls, probes and threads."""
        await self._background.close()
        await self._session.close()
        self._answers.close()

    @property
    def audit(self) -> Audit:
        """What the audited samples showed."""
        return self._answers.audit

    @property
    def ready(self) -> bool:
        """Whether a node can take tasks."""
        return any(node.up for node in self.nodes)

    def served(self) -> ServedModel:
        """The whole network as a model of a server, under the name :data:`MODEL`."""
        manifest = self.manifest
        preprocessing = None if manifest.preprocessing is None else asdict(manifest.preprocessing)
        return ServedModel(
            name=MODEL,
            inputs=(manifest.image,),
            outputs=network_outputs(manifest.num_classes),
            infer=self.infer,
            manifest_id=manifest.id,
            parameters={
                "model": manifest.model,
                "class_names": list(manifest.class_names),
                "paths": list(PATHS),
                "nodes": [node.name for node in self.nodes],
                "preprocessing": preprocessing,
            },
            ready=lambda: self.ready,
            platform="cloudedge_pl",
        )

    async def infer(self, tensors: dict[str, np.ndarray], timeout_seconds: float) -> dict[str, np.ndarray]:
        """Answers a request.

        Args:
            tensors: the input of the network, by name [n, ...].
            timeout_seconds: what the client gives; the master's own deadline is kept, too.

        Returns:
            ``logits`` [n, classes], ``class`` [n], ``path`` [n] (index in PATHS), ``node`` [n] (index of the node).

        Raises:
            ProtocolError: if the input is not finite, or has more samples than are ever accepted.
            Overloaded: if too many samples are unanswered.
            TooLate: after the deadline.
        """
        (images,) = tensors.values()
        self._admit(images)
        loop = asyncio.get_running_loop()
        seconds = min(timeout_seconds, self.settings.deadline_seconds)
        request = Request(images, self.manifest.num_classes, time.monotonic() + seconds)
        timer = loop.call_later(seconds, self._expire, request, seconds)
        self.unanswered += len(images)
        try:
            self._window.add(request.tasks())
            found = await request.answer
        finally:
            self.unanswered -= len(images)
            timer.cancel()
            if self._homeless:
                self._homeless = [task for task in self._homeless if not task.request.over]
        if len(images) == 1:
            self.metrics.overhead(time.monotonic() - request.started - request.stages.seconds)
        return found

    def _admit(self, images: np.ndarray) -> None:
        number, limit = len(images), self.settings.max_tasks
        if number > limit:
            raise ProtocolError(
                f"the request has {number} samples, and max_tasks is {limit}; send fewer.", status=413
            )
        if images.dtype.kind == "f" and not np.isfinite(images).all():
            raise ProtocolError("the input has values that are not finite.")
        if self.unanswered + number > limit:
            up = [node for node in self.nodes if node.up]
            seconds = self.unanswered * self._fastest() / max(len(up), 1)
            raise Overloaded(f"{self.unanswered} samples wait; max_tasks is {limit}.", seconds)

    def _expire(self, request: Request, seconds: float) -> None:
        why = "" if self.ready else f"; none of the {len(self.nodes)} nodes is well, see the master's log"
        request.fail(TooLate(f"no answer within {seconds:.3g} s{why}."))

    def _fastest(self) -> float:
        """Seconds of a sample on the fastest node."""
        known = [node.estimate.mean_seconds for node in self.nodes if node.up and node.estimate.measurements]
        return min(known, default=NOMINAL_SECONDS)

    def _assign(self, tasks: list[Task]) -> None:
        """Schedules the tasks of a window. Those that no node can take wait for one to join."""
        for tried, group in _by_tried(task for task in tasks if not task.request.over):
            available = np.array([node.up and node.name not in tried for node in self.nodes])
            if not available.any():
                self._homeless.extend(group)
                continue
            now, fastest = time.monotonic(), self._fastest()
            seconds = np.array([node.estimate.at(now, fastest) for node in self.nodes])
            ready = np.array(
                [node.backlog_seconds(now, each) for node, each in zip(self.nodes, seconds, strict=True)]
            )
            state = NodeState(
                ready, np.full(len(ready), math.inf), available, tuple(node.name for node in self.nodes)
            )
            times = np.broadcast_to(seconds, (len(group), len(seconds)))
            chosen = self.scheduler.assign(TaskWindow(times), state).node
            for index in np.unique(chosen).tolist():
                self.nodes[index].give(
                    [task for task, node in zip(group, chosen, strict=True) if node == index]
                )

    def _house(self) -> None:
        """Schedules the tasks that waited for a node."""
        homeless, self._homeless = self._homeless, []
        self._assign(homeless)

    def _retry(self, tasks: list[Task]) -> None:
        """Gives tasks to other nodes; one that all have tried may be tried again, unless it spoils them."""
        up = {node.name for node in self.nodes if node.up}
        for task in tasks:
            if up <= task.tried:
                task.tried = frozenset()
        if tasks:
            self.metrics.retried(len(tasks))
            self._assign(tasks)

    async def _ran(self, node: Node, tasks: list[Task], tensors: dict[str, np.ndarray]) -> None:
        """Takes what a node returned. Samples whose values are not finite are given to another node."""
        finite = finite_rows(tensors)
        if not finite.all():
            node.doubt()
            spoiled = list(itertools.compress(tasks, ~finite))
            tasks = list(itertools.compress(tasks, finite))
            tensors = {name: array[finite] for name, array in tensors.items()}
            self._try_elsewhere(node, spoiled)
        if tasks:
            await self._answers.give(tasks, tensors, node.index)

    def _try_elsewhere(self, node: Node, tasks: list[Task]) -> None:
        others = {each.name for each in self.nodes if each.up}
        for task in tasks:
            task.tried |= {node.name}
            if others <= task.tried:
                task.request.fail(not_finite())
        self._retry([task for task in tasks if not task.request.over])


def network_outputs(num_classes: int) -> tuple[TensorSpec, ...]:
    """What the master returns as the model :data:`MODEL`; see :meth:`Master.infer`."""
    return (
        TensorSpec(name="logits", datatype="FP32", shape=(-1, num_classes)),
        TensorSpec(name="class", datatype="INT64", shape=(-1,)),
        TensorSpec(name="path", datatype="UINT8", shape=(-1,)),
        TensorSpec(name="node", datatype="INT32", shape=(-1,)),
    )


def _by_tried(tasks: Iterable[Task]) -> list[tuple[frozenset[str], list[Task]]]:
    """Tasks by the nodes that are not to run them: each group is a window of equal tasks."""
    groups: dict[frozenset[str], list[Task]] = {}
    for task in tasks:
        groups.setdefault(task.tried, []).append(task)
    return list(groups.items())
