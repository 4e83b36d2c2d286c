"""Which variant of each cost formula is used, as one frozen dataclass that checks itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from cloudedge_pl.errors import require_fields, require_positive

MemoryFormula = Literal["auto", "paper", "inference", "training"]
WaitingFormula = Literal["md1", "mm1", "mmc", "pooled", "paper"]
SharesFormula = Literal["speed", "equal"]
UplinkFormula = Literal["log_kernel", "paper"]
DelayFormula = Literal["task", "paper"]
EnergyFormula = Literal["linear", "omega"]
StaticEnergyFormula = Literal["powered", "occupied", "paper"]


@dataclass(frozen=True, kw_only=True)
class CostFormulas:
    """The formulas by which memory, delay and energy are computed.

    Args:
        memory: memory of the edge part: "inference", "training", the form that the "paper" prints, or "auto", which
            follows the workload's phase.
        waiting: mean wait before a task runs. With a queue at every node and tasks sent to nodes at random: "md1"
            (constant service time) or "mm1". With one queue for all nodes, as under a scheduler that sees them all:
            "pooled" (M/D/c, approximate) or "mmc" (M/M/c, for nodes of equal speed). "paper" is the printed form. See
            docs/windows.md.
        shares: how arrivals are divided among the nodes. "speed" keeps all nodes equally busy, as a scheduler that
            balances load does; "equal" gives every node the same number.
        roofline: whether memory bandwidth limits the speed of each segment too. False counts FLOP only, as the paper
            does.
        uplink: estimate of E[1/v] from terminal to edge: "log_kernel", or the form that the "paper" prints.
        delay: "task" counts everything that a task waits for. "paper" is the printed constraint C2, which leaves out
            the cloud's computing and sends the elements of the last feature map as if they were bits.
        energy: energy of computing: "linear", (busy - idle power) times busy time, or "omega", omega Z F.
        omega: in J s / FLOP^2, for energy "omega". None takes for each node the value at which it draws its busy power
            at full speed.
        static_energy: time during which idle power counts: the whole window ("powered", since an idle node stays
            switched on), waiting, running and sending ("occupied"), or running only ("paper").

    Raises:
        ValueError: if a name is unknown or ``omega`` is not positive.
    """

    memory: MemoryFormula = "auto"
    waiting: WaitingFormula = "md1"
    shares: SharesFormula = "speed"
    roofline: bool = True
    uplink: UplinkFormula = "log_kernel"
    delay: DelayFormula = "task"
    energy: EnergyFormula = "linear"
    omega: float | None = None
    static_energy: StaticEnergyFormula = "powered"

    def __post_init__(self) -> None:
        require_fields("formulas", self)
        if self.omega is not None:
            require_positive("formulas", omega=self.omega)

    @classmethod
    def paper(cls, **keywords: Any) -> CostFormulas:
        """Every formula as the paper prints it.

        Args:
            **keywords: fields that differ from the paper's.
        """
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
