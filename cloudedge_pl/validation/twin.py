"""The simulator's inputs from what was measured, and its run on the same arrivals.

How the real stations become the simulator's, which has none of its own for some of them:

- the master's own time, the way to a node and HTTP: the constant time of the *terminal*;
- the way from a node to the master: the node's *radio*, at a rate at which what is sent to the cloud takes as long as
  what the node answers;
- the way from the master to the cloud: the *backhaul*, which all share; its delay there and back is the *propagation*;
- an outage: until calls time out it is a longer propagation, because the exit head answers then; what the master knows
  of it, the rule of the cloud's sleep is told (:class:`MasterView`).
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cloudedge_pl.costs.split import SplitCosts
from cloudedge_pl.dormancy import Decide, DormancyRule, DormancyState, next_state
from cloudedge_pl.fleet import EdgeNode, Fleet, Link
from cloudedge_pl.scheduling import Scheduler
from cloudedge_pl.serving.master_settings import MasterSettings
from cloudedge_pl.simulation.churn import Churn
from cloudedge_pl.simulation.fleet_run import SimulationResult, simulate
from cloudedge_pl.simulation.link_laws import ConstantLink
from cloudedge_pl.simulation.link_traces import TraceLink
from cloudedge_pl.simulation.scenario import Scenario, WindowRule
from cloudedge_pl.simulation.task_records import CLOUD, TaskRecords
from cloudedge_pl.simulation.task_source import GivenTasks
from cloudedge_pl.simulation.tasks import ServiceNoise, Tasks
from cloudedge_pl.validation.conditions import Condition, Span
from cloudedge_pl.validation.measured import FASTEST_LINK, Figures
from cloudedge_pl.validation.outcomes import Outcome, percentiles, shares

STEP_SECONDS = 0.01
"""Steps in which the rest of an outage falls."""


@dataclass(frozen=True, kw_only=True)
class MasterView:
    """The rule of the cloud's sleep, told of an outage what the master can know.

    Nothing returns during an outage. So nothing is measured until the first call has timed out; from then on until the
    end the delay is infinite.

    Args:
        rule: by which the cloud sleeps.
        begin_seconds: of the outage.
        known_seconds: when the first call has timed out.
        end_seconds: of the outage.
    """

    rule: DormancyRule
    begin_seconds: float
    known_seconds: float
    end_seconds: float

    def __call__(
        self, state: DormancyState, delay_seconds: float, /, *, limit_seconds: float, clock_seconds: float
    ) -> DormancyState:
        """The state for the window that opens."""
        if self.begin_seconds <= clock_seconds < min(self.known_seconds, self.end_seconds):
            return state
        known = self.known_seconds <= clock_seconds < self.end_seconds
        return next_state(
            self.rule,
            state,
            math.inf if known else delay_seconds,
            limit_seconds=limit_seconds,
            clock_seconds=clock_seconds,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Twin:
    """A fleet in the simulator that stands for a real one.

    Args:
        figures: what was measured.
        master: settings of the master.
        rule: by which the cloud sleeps.
        delay_seconds: of the cloud's link one way, as it was set.
        folder: where files of the link's delay are written.
    """

    figures: Figures
    master: MasterSettings
    rule: DormancyRule
    delay_seconds: float
    folder: Path

    @property
    def costs(self) -> SplitCosts:
        """Seconds and bytes of a request at every station."""
        figures, (cloud_rate, radio_rate, answer_seconds) = self.figures, self._rates
        return SplitCosts(
            execution_seconds=np.array([node.service_seconds for node in figures.nodes]),
            exit_seconds=max(figures.exit_seconds, 1e-6),
            cloud_seconds=figures.cloud.service_seconds,
            upload_bytes=figures.cloud.sent_bytes,
            download_bytes=0.0,
            exit_upload_bytes=answer_seconds * min(radio_rate, cloud_rate) / 8,
            exit_download_bytes=0.0,
            terminal_seconds=max(self._node_link_seconds - answer_seconds, 0.0) + figures.master_seconds,
            task_memory_bytes=0.0,
        )

    @property
    def _node_link_seconds(self) -> float:
        return float(np.mean([node.link_seconds for node in self.figures.nodes]))

    @property
    def _rates(self) -> tuple[float, float, float]:
        """Rate of the cloud's link and of the radios in bit/s, and the seconds of a node's answer on its link."""
        nodes, cloud = self.figures.nodes, self.figures.cloud
        rate = float(np.median([node.bits_per_second for node in nodes]))
        answer = 8 * float(np.mean([node.received_bytes for node in nodes])) / rate
        answer = min(answer, self._node_link_seconds)
        return cloud.bits_per_second, min(8 * cloud.sent_bytes / max(answer, 1e-12), FASTEST_LINK), answer

    @property
    def propagation_seconds(self) -> float:
        """Of the way to the cloud and back: what a call takes beside sending and computing."""
        cloud = self.figures.cloud
        return max(cloud.link_seconds - 8 * cloud.sent_bytes / cloud.bits_per_second, 0.0)

    @property
    def fleet(self) -> Fleet:
        """Nodes and link; only their rates are used."""
        cloud_rate, radio_rate, _ = self._rates
        machine = EdgeNode(
            "master",
            flops_per_second=1e9,
            memory_bytes=1e9,
            memory_bandwidth_bytes_per_second=1e9,
            throughput_bits_per_second=radio_rate,
        )
        nodes = tuple(replace(machine, name=f"node-{index}") for index in range(len(self.figures.nodes)))
        link = Link(
            bandwidth_bits_per_second=FASTEST_LINK,
            propagation_seconds=self.propagation_seconds,
            variation=0.0,
        )
        return Fleet(nodes, link=link, master=replace(machine, throughput_bits_per_second=cloud_rate))

    @property
    def patience_seconds(self) -> float:
        """After which the master gives a call of the cloud up."""
        cloud = self.figures.cloud
        return self.master.limit_seconds(cloud.link_seconds + cloud.service_seconds)

    def delays(self, condition: Condition, span: Span) -> list[tuple[float, float]]:
        """The link's propagation over time: seconds, and delay from then on."""
        normal = self.propagation_seconds
        found = [(0.0, normal)]
        if condition.slow_from is not None:
            more = 2 * (condition.slow_factor - 1) * self.delay_seconds
            found += [(span.at(condition.slow_from), normal + more), (span.at(condition.slow_until), normal)]
        if condition.outage_from is not None:
            begin, end = span.at(condition.outage_from), span.at(condition.outage_until)
            falls = max(begin, end - self.patience_seconds)
            found.append((begin, normal + min(self.patience_seconds, end - begin)))
            steps = np.arange(falls + STEP_SECONDS, end, STEP_SECONDS).tolist()
            found += [(at, normal + end - at) for at in steps] + [(end, normal)]
        return found

    def scenario(self, condition: Condition, span: Span, name: str) -> Scenario:
        """Link, churn, noise and windows under a condition."""
        delays, events = self.delays(condition, span), []
        if condition.dies_at is not None:
            events.append((span.at(condition.dies_at), f"node-{second_fastest(self.figures)}", "fail"))
        path = self.folder / f"link_{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([("t_seconds", "delay_seconds"), *delays])
        settings = self.master
        return Scenario(
            link=TraceLink(path=path) if len(delays) > 1 else ConstantLink(),
            churn=Churn(events=events),
            service=ServiceNoise(jitter=tuple(node.jitter for node in self.figures.nodes)),
            window=WindowRule(seconds=settings.window_seconds or None),
            backhaul_bits_per_second=self.figures.cloud.bits_per_second,
        )

    def decide(self, condition: Condition, span: Span) -> DormancyRule | Decide:
        """When the cloud sleeps under a condition. A probe has the size of a sample, as the master's have."""
        rule = replace(self.rule, probe_bytes=self.figures.cloud.sent_bytes)
        if condition.outage_from is None:
            return rule
        begin = span.at(condition.outage_from)
        return MasterView(
            rule=rule,
            begin_seconds=begin,
            known_seconds=begin + self.patience_seconds,
            end_seconds=span.at(condition.outage_until),
        )

    def run(
        self,
        arrivals: np.ndarray,
        scheduler: Scheduler,
        condition: Condition,
        span: Span,
        *,
        name: str,
        seed: int = 0,
    ) -> Outcome:
        """Simulates requests.

        Args:
            arrivals: in seconds [n].
            scheduler: which node runs which task.
            condition: what happens.
            span: which requests are compared.
            name: of the condition, for the file of its link.
            seed: of the nodes' jitter.
        """
        noise = np.random.default_rng([seed, 1]).standard_normal(len(arrivals))
        tasks = replace(Tasks.equal(len(arrivals), arrivals), noise=noise)
        found = simulate(
            self.costs,
            self.fleet,
            GivenTasks(tasks),
            scheduler,
            num_tasks=len(arrivals),
            scenario=self.scenario(condition, span, name),
            dormancy=self.decide(condition, span),
            seed=seed,
        )
        assert found.records is not None
        return outcome_of(found, found.records, span)


def outcome_of(found: SimulationResult, records: TaskRecords, span: Span) -> Outcome:
    """The figures that are compared, of a simulation."""
    counted = records[records.arrival_seconds >= span.warmup_seconds]
    answered = counted[counted.answered]
    median, high = percentiles(answered.delay_seconds)
    asleep = np.clip(
        found.asleep if found.asleep is not None else np.zeros((0, 2)), span.warmup_seconds, span.end_seconds
    )
    uploaded = float(records.upload_bytes.sum()) + found.totals.probe_bytes
    return Outcome(
        requests=len(counted),
        failed=len(counted) - len(answered),
        median_seconds=median,
        p95_seconds=high,
        uploaded_bytes=uploaded / max(len(records), 1),
        share_asleep=float((asleep[:, 1] - asleep[:, 0]).sum()) / span.seconds,
        by_node=shares([f"node-{node}" for node in answered.node.tolist()]),
        by_path=shares(["cloud" if path == CLOUD else "exit" for path in answered.path.tolist()]),
    )


def second_fastest(figures: Figures) -> int:
    """Index of the node that is killed: the second fastest, or the only one."""
    order = np.argsort([node.service_seconds for node in figures.nodes], kind="stable")
    return int(order[min(1, len(order) - 1)])
