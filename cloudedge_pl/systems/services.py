"""Who answers a task, cloud or exit head, where a system chooses anew for every task.

A choice takes the place of the dormancy rule: it sees the present delay to the cloud when a window opens, and each task
is a window of its own. The node computes its part of the network in either case, so only what follows is compared.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from cloudedge_pl.costs.energy import linear_compute_joules, radio_joules
from cloudedge_pl.costs.split import SplitCosts
from cloudedge_pl.costs.transmission import (
    cloud_rate_bits_per_second,
    master_rate_bits_per_second,
    sending_seconds,
)
from cloudedge_pl.dormancy import Decide, DormancyState
from cloudedge_pl.errors import require_fields, require_range, require_seed
from cloudedge_pl.fleet import Fleet


class Service(Protocol):
    """Chooses who answers."""

    def decide(self, costs: SplitCosts, fleet: Fleet, accuracy_gap: float) -> Decide:
        """Returns the choice for one system.

        Args:
            costs: of one task at the system's cut.
            fleet: nodes, master, cloud and link.
            accuracy_gap: by how much the cloud is more accurate than the exit head, in [-1, 1].
        """
        ...


@dataclass(frozen=True, kw_only=True)
class LeastCost:
    """Each task gets the service with the least weighted sum of delay and energy that is accurate enough for it.

    A share of the tasks is strict: it needs the accuracy of the cloud. The others may be answered by either.

    Args:
        delay_weight: of a second.
        energy_weight: of a joule of node and master.
        strict_share: of the tasks, in [0, 1].
        seed: of the draw of strict tasks.

    Raises:
        ValueError: if a value is outside its range.

    Source: MASM (Zhang et al. 2019), as Xu 2020, Sec. 1, describes it: "a multiple algorithm service model" with "an
    energy-delay optimization model"; deviates: the services are the exit head and the cloud behind one cut, and the
    needs are drawn, because the article gives neither; delays are those at the task's arrival, without the queues.
    """

    delay_weight: float = 1.0
    energy_weight: float = 1.0
    strict_share: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        require_fields("least cost", self)
        for name in ("delay_weight", "energy_weight"):
            weight: dict[str, Any] = {name: getattr(self, name)}
            require_range("least cost", 0, math.inf, open_high=True, **weight)
        require_range("least cost", 0, 1, strict_share=self.strict_share)
        require_seed("least cost", seed=self.seed)

    def decide(self, costs: SplitCosts, fleet: Fleet, accuracy_gap: float) -> Decide:
        """Returns the choice; a cloud that is not more accurate than the exit head is never needed."""
        to_exit, to_cloud = exit_cost(costs, fleet), cloud_joules(costs, fleet)
        exit_price = self.delay_weight * to_exit.seconds + self.energy_weight * to_exit.joules
        strict_share = self.strict_share if accuracy_gap > 0 else 0.0

        def choose(state: DormancyState, delay_seconds: float) -> DormancyState:
            seconds = delay_seconds + costs.cloud_seconds
            cheap = self.delay_weight * seconds + self.energy_weight * to_cloud <= exit_price
            strict = np.random.default_rng([self.seed, state.measurements]).random() < strict_share
            return replace(state, awake=bool(cheap or strict), measurements=state.measurements + 1)

        return choose


@dataclass(frozen=True, kw_only=True)
class WeightedTransmission:
    """Each task goes to the cloud while the longer transmission is worth the accuracy that it gains.

    Args:
        seconds_per_accuracy: seconds of transmission that an accuracy higher by 1 is worth; 1 is 10 ms a point.

    Raises:
        ValueError: if it is negative or not finite.

    Source: Huang et al. 2018, as Xu 2020, Sec. 1, describes it: scheduling "under cloud-edge architecture for reducing
    weighted transmission time, which considered learning accuracy"; deviates: the weight is a price of accuracy, and
    the order of transmissions is that of arrival, because the article describes neither.
    """

    seconds_per_accuracy: float = 1.0

    def __post_init__(self) -> None:
        require_fields("weighted transmission", self)
        price: dict[str, Any] = {"seconds_per_accuracy": self.seconds_per_accuracy}
        require_range("weighted transmission", 0, math.inf, open_high=True, **price)

    def decide(self, costs: SplitCosts, fleet: Fleet, accuracy_gap: float) -> Decide:
        """Returns the choice, which compares times of transmission only."""
        longest = exit_cost(costs, fleet).transfer_seconds + self.seconds_per_accuracy * accuracy_gap

        def choose(state: DormancyState, delay_seconds: float) -> DormancyState:
            awake = delay_seconds <= longest
            return replace(state, awake=awake, measurements=state.measurements + 1)

        return choose


@dataclass(frozen=True)
class ExitCost:
    """What it takes to let the exit head answer, mean over the nodes.

    Args:
        transfer_seconds: from node to master.
        seconds: the same, and the time of the exit head.
        joules: of the node's radio and the master, beyond idle power.
    """

    transfer_seconds: float
    seconds: float
    joules: float


def exit_cost(costs: SplitCosts, fleet: Fleet) -> ExitCost:
    """Returns what the exit head's answer takes, once the node is done."""
    sending = sending_seconds(costs.exit_upload_bytes, master_rate_bits_per_second(fleet))
    master = fleet.coordinator
    computing = linear_compute_joules(
        np.array(master.idle_watts), np.array(master.busy_watts), np.array(costs.exit_seconds)
    )
    radio = radio_joules(fleet.array("transmit_watts"), sending)
    transfer = float(sending.mean())
    return ExitCost(transfer, transfer + costs.exit_seconds, float(radio.mean() + computing))


def cloud_joules(costs: SplitCosts, fleet: Fleet) -> float:
    """Returns the joules of a node's radio for one upload at the link's own bandwidth, mean over the nodes."""
    sending = sending_seconds(costs.upload_bytes, cloud_rate_bits_per_second(fleet))
    return float(radio_joules(fleet.array("transmit_watts"), sending).mean())
