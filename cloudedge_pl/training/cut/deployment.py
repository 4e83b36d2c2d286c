"""A backbone planned and cut for a fleet: what the strategy keeps between ``fit``, ``test`` and ``predict``."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from cloudedge_pl.costs import CodecConfig, CostFormulas, split_costs
from cloudedge_pl.errors import CheckpointError
from cloudedge_pl.fleet import Fleet, Phase, Workload
from cloudedge_pl.lightning import pl
from cloudedge_pl.offloading import OffloadGoal, OffloadPlan, plan_offloading
from cloudedge_pl.partition import ExitHead, ExitHeadConfig, SplitChain, profile, trace
from cloudedge_pl.partition.codecs import Codec, build_codec
from cloudedge_pl.scheduling import Scheduler
from cloudedge_pl.simulation import Simulator
from cloudedge_pl.simulation.simulator import Decide


@dataclass(frozen=True)
class Deployment:
    """A cut backbone.

    Args:
        chain: the backbone's split points.
        plan: the planner's choice and its reasons.
        exit_head: the simplified cloud model on the master; None at split points 0 and N, which need none.
        codec: what the cut tensors are sent as; None sends them as they are, as split points 0 and N do.
        fleet: what it runs on.
        workload: what is asked of it.
    """

    chain: SplitChain
    plan: OffloadPlan
    exit_head: ExitHead | None
    codec: Codec | None
    fleet: Fleet
    workload: Workload

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What is trained beside the backbone, by name."""
        named = {"exit_head": self.exit_head, "codec": self.codec}
        return {name: module for name, module in named.items() if module is not None}

    @property
    def split_point(self) -> int:
        """Where the backbone is cut."""
        return self.plan.split_point

    def simulator(
        self,
        phase: Phase,
        scheduler: Scheduler,
        decide: Decide | None,
        seed: int,
        split_point: int | None = None,
    ) -> Simulator:
        """A fresh simulator of this deployment, or of another split point; it gets a scheduler of its own."""
        workload = replace(self.workload, phase=phase)
        at = self.split_point if split_point is None else split_point
        plan = self.plan
        costs = split_costs(plan.profile, self.fleet, workload, at, plan.formulas, plan.codec)
        return Simulator(costs, self.fleet, workload, copy.deepcopy(scheduler), decide=decide, seed=seed)

    def edge_parameter_bytes(self) -> float:
        """Bytes of weights that every node holds, and that an aggregation exchanges."""
        return float(self.plan.profile.cumulative("segment_trainable_bytes")[self.split_point])

    def identity(self) -> dict[str, Any]:
        """What a checkpoint must agree with to belong to this deployment."""
        codec = self.plan.codec
        return {
            "backbone": list(self.chain.names),
            "split_point": self.split_point,
            "codec": [codec.name, codec.ratio],
        }

    def check_identity(self, identity: Mapping[str, Any]) -> None:
        """Raises CheckpointError where a checkpoint is of another backbone or split point."""
        ours, theirs = list(self.chain.names), list(identity["backbone"])
        if ours != theirs:
            raise CheckpointError(
                f"the checkpoint is of another backbone: its {len(theirs) - 1} segments end in {theirs[-1]!r}, this "
                f"one's {len(ours) - 1} in {ours[-1]!r}, and their names differ. Use the model and granularity that it "
                "was trained with."
            )
        if identity["split_point"] != self.split_point:
            raise CheckpointError(
                f"the checkpoint was cut at split point {identity['split_point']} "
                f"({theirs[identity['split_point']]}), this plan chose {self.split_point} ({ours[self.split_point]}). "
                f"Fix it with offloading.split_point={identity['split_point']} "
                f"(CloudEdgeStrategy(offloading={{'split_point': {identity['split_point']}}}))."
            )
        name, kept = identity["codec"]
        saved, planned = CodecConfig(name, ratio=kept), self.plan.codec
        if not saved.encodes_like(planned):
            ratio = f" codec.ratio={saved.ratio}" if saved.uses_ratio else ""
            raise CheckpointError(
                f"the checkpoint sent its cut tensors as {saved.name!r} (ratio {saved.ratio}), this plan as "
                f"{planned.name!r} (ratio {planned.ratio}). Fix it with codec={saved.name}{ratio} "
                f"(CloudEdgeStrategy(codec=CodecConfig({saved.name!r}, ratio={saved.ratio})))."
            )


@contextmanager
def _apart_from_trainer(backbone: nn.Module) -> Iterator[None]:
    """Inside, a backbone that is a LightningModule knows no trainer: a copy of it is a copy of the network alone."""
    attached = [
        (vars(each), name, vars(each)[name])
        for each in backbone.modules()
        if isinstance(each, pl.LightningModule)
        for name in ("_trainer", "_fabric")
    ]
    for attributes, name, _ in attached:
        attributes[name] = None
    try:
        yield
    finally:
        for attributes, name, value in attached:
            attributes[name] = value


def deploy(
    backbone: nn.Module,
    example_input: Tensor,
    fleet: Fleet,
    workload: Workload,
    *,
    granularity: str,
    goal: OffloadGoal,
    formulas: CostFormulas,
    codec: CodecConfig,
    exit_head: ExitHeadConfig,
    seed: int,
    split_modules: Sequence[str] | None = None,
    name: str | None = None,
) -> Deployment:
    """Traces, profiles, plans and cuts a backbone.

    Args:
        backbone: any traceable network; it is left as it is.
        example_input: [1, ...] in the shape of a sample.
        fleet: what it shall run on.
        workload: what is asked of it.
        granularity: "layer" or "block".
        split_modules: see :func:`~cloudedge_pl.partition.trace`.
        goal: what the plan looks for.
        formulas: by which costs are computed.
        codec: form in which the cut tensors are sent to the cloud.
        exit_head: of the simplified cloud model.
        seed: of the first weights of exit head and codec; global random states do not move.
        name: of the model in tables and figures; None takes the backbone's class.
    """
    with _apart_from_trainer(backbone):
        chain = trace(backbone, example_input, granularity=granularity, split_modules=split_modules)
    costs = profile(chain, example_input, exit_head=exit_head, name=name)
    plan = plan_offloading(costs, fleet, workload, goal=goal, formulas=formulas, codec=codec)
    head = link_codec = None
    if 0 < plan.split_point < chain.num_segments:
        shapes = chain.live_shapes(plan.split_point)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            head = ExitHead(shapes, chain.output_shape, exit_head)
            link_codec = build_codec(codec, shapes)
    return Deployment(chain, plan, head, link_codec, fleet, workload)
