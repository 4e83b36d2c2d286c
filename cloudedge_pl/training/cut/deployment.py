"""A backbone planned and cut for a fleet; it is kept between ``fit``, ``test`` and ``predict``."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from cloudedge_pl.costs import CodecConfig, CostFormulas, split_costs
from cloudedge_pl.dormancy import Decide, DormancyRule
from cloudedge_pl.errors import CheckpointError
from cloudedge_pl.fleet import Fleet, Phase, Workload
from cloudedge_pl.lightning import pl
from cloudedge_pl.offloading import OffloadGoal, OffloadPlan, plan_offloading
from cloudedge_pl.partition import ExitHead, ExitHeadConfig, SplitChain, profile, trace
from cloudedge_pl.partition.codecs import Codec, build_codec
from cloudedge_pl.scheduling import Scheduler
from cloudedge_pl.simulation import Scenario, Simulator


@dataclass(frozen=True)
class Deployment:
    """A cut backbone.

    Args:
        chain: the backbone's split points.
        plan: the planner's choice and its reasons.
        exit_head: the early exit on the master; None at split points 0 and N, which need none.
        codec: encodes the cut tensors; None sends them unchanged, as at split points 0 and N.
        fleet: the nodes, master, cloud and link that it runs on.
        workload: arrival rate and limits.
    """

    chain: SplitChain
    plan: OffloadPlan
    exit_head: ExitHead | None
    codec: Codec | None
    fleet: Fleet
    workload: Workload

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The modules that are trained beside the backbone, by name."""
        named = {"exit_head": self.exit_head, "codec": self.codec}
        return {name: module for name, module in named.items() if module is not None}

    @property
    def split_point(self) -> int:
        """The split point at which the backbone is cut."""
        return self.plan.split_point

    def simulator(
        self,
        phase: Phase,
        scheduler: Scheduler,
        scenario: Scenario,
        dormancy: DormancyRule | Decide | None,
        seed: int,
        *,
        split_point: int | None = None,
        exits: bool = False,
    ) -> Simulator:
        """Returns a new simulator of this deployment, or of another split point, with its own copy of the scheduler."""
        workload = replace(self.workload, phase=phase)
        at = self.split_point if split_point is None else split_point
        plan = self.plan
        costs = split_costs(plan.profile, self.fleet, workload, at, plan.formulas, plan.codec)
        own = copy.deepcopy(scheduler)
        return Simulator(
            costs, self.fleet, workload, own, scenario=scenario, dormancy=dormancy, exits=exits, seed=seed
        )

    def edge_parameter_bytes(self) -> float:
        """Bytes of the weights that every node holds and an aggregation exchanges."""
        return float(self.plan.profile.cumulative("segment_trainable_bytes")[self.split_point])

    def identity(self) -> dict[str, Any]:
        """The values that a checkpoint of this deployment must have."""
        codec = self.plan.codec
        return {
            "backbone": list(self.chain.names),
            "split_point": self.split_point,
            "codec": [codec.name, codec.ratio],
        }

    def check_identity(self, identity: Mapping[str, Any]) -> None:
        """Raises CheckpointError if a checkpoint is of another backbone, split point or codec."""
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
    """Inside, a backbone that is a LightningModule has no trainer, so that copies of it copy the network only."""
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
        backbone: any traceable network; it is not changed.
        example_input: [1, ...] in the shape of a sample.
        fleet: the nodes, master, cloud and link to run on.
        workload: arrival rate and limits.
        granularity: "layer" or "block".
        split_modules: see :func:`~cloudedge_pl.partition.trace`.
        goal: what the plan looks for.
        formulas: how costs are computed.
        codec: the form in which the cut tensors are sent to the cloud.
        exit_head: the size of the exit head.
        seed: seed of the first weights of exit head and codec; global random states do not change.
        name: name of the model in tables and figures; None takes the backbone's class.
    """
    with _apart_from_trainer(backbone):
        chain = trace(backbone, example_input, granularity=granularity, split_modules=split_modules)
    costs = profile(chain, example_input, exit_head=exit_head, name=name)
    plan = plan_offloading(costs, fleet, workload, goal=goal, formulas=formulas, codec=codec)
    head = link_codec = None
    if 0 < plan.split_point < chain.num_segments:
        shapes = chain.live_shapes(plan.split_point)
        dtypes = [each.dtype for each in chain.live_tensors(plan.split_point) if each.dtype.is_floating_point]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            head = ExitHead(shapes, chain.output_shape, exit_head)
            head.to(next(iter(dtypes), torch.get_default_dtype()))
            link_codec = build_codec(codec, shapes)
    return Deployment(chain, plan, head, link_codec, fleet, workload)
