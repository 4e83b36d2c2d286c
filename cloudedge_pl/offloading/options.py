"""How a plan is made: the objective and the variants of its formulas, as one frozen, self-checking dataclass."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cloudedge_pl.costs.memory import MEMORY_MODES
from cloudedge_pl.costs.transmission import CODECS, INVERSE_RATES
from cloudedge_pl.errors import lookup, require_fields, require_positive, require_range
from cloudedge_pl.offloading.objectives import CRITERIA, OBJECTIVES

WAITING = ("md1", "mm1", "mmc", "pooled", "paper")
SHARES = ("speed", "equal")
DELAYS = ("task", "paper")
ENERGY = ("linear", "omega")
STATIC_ENERGY = ("powered", "occupied", "paper")


@dataclass(frozen=True)
class OffloadOptions:
    """What to look for, and by which formulas.

    Args:
        objective: a key of :data:`~cloudedge_pl.offloading.objectives.OBJECTIVES`.
        weights: of the objective "weighted": the price of one second of "delay", one joule of "energy" and one
            megabyte of "upload".
        exclude_ends: leave out split points 0 and N, so that edge and cloud both have a part.
        memory: "inference", "training", the "paper"'s form, or "auto": as the workload's phase.
        memory_share: of a node's memory that may be used at most, in (0, 1]; the paper's lambda_0.
        waiting: queue before a node that draws its tasks at random: "md1" (a task always takes the same time), "mm1";
            one queue before all nodes, as under a scheduler that sees them: "pooled" (M/D/c, approximate), "mmc"
            (M/M/c, like nodes only); or the "paper"'s printed form. See docs/windows.md.
        shares: of the arrivals that each node gets: "speed" keeps all nodes equally busy, as a scheduler that
            balances load does; "equal" gives every node as many.
        roofline: bound the speed of each segment by memory bandwidth, too; False counts FLOP alone, as the paper.
        uplink: how E[1/v] from terminal to edge is estimated: "log_kernel", or the "paper"'s form.
        codec: what the cut tensors are sent as, a key of :data:`~cloudedge_pl.costs.transmission.CODECS`: "none" (as
            they are), "float32", "float16", "bfloat16", "int8", a learned "bottleneck" of their channels, or the
            "top_k" largest of their elements. Bytes are counted; the codec's own FLOP and weights are not, at neither
            end, and whether the accuracy bears it is not looked at.
        codec_ratio: share of the channels that "bottleneck" keeps, or of the elements that "top_k" keeps, in (0, 1];
            the other codecs do not look at it.
        delay: "task": all that a task waits for; or the "paper"'s printed C2, which leaves out the cloud and sends the
            last feature map's elements as if they were bits.
        energy: of computing: "linear", (busy - idle power) times busy time, or "omega", omega Z F.
        omega: in J s / FLOP^2, for energy "omega"; None takes for each node the value at which full speed draws its
            busy power.
        static_energy: idle power counts for the whole window ("powered": a node is switched on while it has nothing
            to do, too), while a task waits, runs and is sent ("occupied"), or while it runs (the "paper"'s form).
    """

    objective: str = "deepest"
    weights: Mapping[str, float] = field(default_factory=lambda: {"delay": 1.0})
    exclude_ends: bool = False
    memory: str = "auto"
    memory_share: float = 0.8
    waiting: str = "md1"
    shares: str = "speed"
    roofline: bool = True
    uplink: str = "log_kernel"
    codec: str = "none"
    codec_ratio: float = 0.25
    delay: str = "task"
    energy: str = "linear"
    omega: float | None = None
    static_energy: str = "powered"

    def __post_init__(self) -> None:
        lookup(OBJECTIVES, self.objective, "offloading objective")
        lookup(MEMORY_MODES, self.memory, "memory mode")
        lookup(INVERSE_RATES, self.uplink, "uplink estimate")
        lookup(CODECS, self.codec, "codec")
        _one_of(DELAYS, self.delay, "delay model")
        _one_of(WAITING, self.waiting, "waiting model")
        _one_of(SHARES, self.shares, "way to share arrivals")
        _one_of(ENERGY, self.energy, "energy model")
        _one_of(STATIC_ENERGY, self.static_energy, "static energy model")
        require_fields("offloading", self)
        require_range(
            "offloading", 0, 1, open_low=True, memory_share=self.memory_share, codec_ratio=self.codec_ratio
        )
        if self.omega is not None:
            require_positive("offloading", omega=self.omega)
        object.__setattr__(self, "weights", dict(self.weights))
        for criterion, weight in self.weights.items():
            lookup(CRITERIA, criterion, "criterion in weights")
            require_range(
                "offloading",
                0,
                math.inf,
                open_high=True,
                open_low=False,
                whole=False,
                **{f"weights[{criterion!r}]": weight},
            )
        if not any(self.weights.values()):
            raise ValueError(f"offloading: weights are {dict(self.weights)}; at least one must be above 0.")

    @classmethod
    def paper(cls, **keywords: Any) -> OffloadOptions:
        """Every formula as the paper prints it; ``keywords`` are fields that differ from that."""
        printed = {
            "memory": "paper",
            "waiting": "paper",
            "shares": "equal",
            "roofline": False,
            "uplink": "paper",
            "delay": "paper",
            "energy": "omega",
            "static_energy": "paper",
        }
        return cls(**{**printed, **keywords})


def _one_of(names: tuple[str, ...], name: str, kind: str) -> None:
    lookup({known: known for known in names}, name, kind)
