"""The setting of the paper's experiments: its network, its nodes, and how much is tried.

The paper gives no figures of its devices and its link; the presets here take their place.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from cloudedge_pl.costs.codec import CodecConfig
from cloudedge_pl.costs.formulas import CostFormulas
from cloudedge_pl.costs.input_codec import InputCodec
from cloudedge_pl.costs.profile import CostProfile
from cloudedge_pl.dormancy import DormancyRule
from cloudedge_pl.errors import lookup, require_range, require_seed
from cloudedge_pl.fleet import DEVICES, EdgeNode, Fleet, Link, Workload
from cloudedge_pl.offloading import OffloadGoal
from cloudedge_pl.paper.training_plan import TrainingPlan
from cloudedge_pl.scheduling import Scheduler, create_scheduler
from cloudedge_pl.simulation.scenario import Scenario


def paper_fleet() -> Fleet:
    """Returns ten Raspberry Pi 4 without limits of their own, a T4 as the cloud, and a link of 20 Mbit/s."""
    link = Link(
        bandwidth_bits_per_second=20e6,
        propagation_seconds=0.02,
        variation=0.3,
        uplink_bits_per_second=(40e6, 55e6, 70e6),
    )
    return Fleet.preset(
        "raspberry-pi-4", 10, link=link, speed_spread=0.0, memory_bytes=None, max_energy_joules=math.inf
    )


def paper_workload() -> Workload:
    """Returns 40 inference tasks a second, each of which may take a second."""
    return Workload(arrival_rate=40.0, max_delay_seconds=1.0, phase="inference", optimizer_slots=1)


@dataclass(frozen=True, eq=False, kw_only=True)
class PaperSetting:
    """What the parts of the reproduction are made with; ``conf/reproduce.yaml`` has a key for each.

    Args:
        profile: of the paper's network at its image size, 224 pixels.
        small_profile: of the same network at 32 pixels, the size of the data's pictures.
        folder: of the reproduction; a part that leaves files besides its tables has ``folder / name``.
        base_fleet: the nodes, cloud and link; :meth:`fleet` varies them.
        workload: arrival rate and limits; its phase is inference.
        num_classes: outputs of the network.
        formulas: by which costs are computed.
        codec: form in which cut tensors are sent; the paper sends them unchanged.
        goal: how the split point is chosen.
        scenario: how the link varies with time, and other conditions of simulations.
        dormancy: when the cloud sleeps.
        make_scheduler: returns a new scheduler.
        node_counts: numbers of nodes that the paper compares.
        image_size: height and width of ``profile``'s pictures in pixels.
        small_image_size: those of ``small_profile``.
        seeds: repetitions of what is drawn at random.
        num_tasks: tasks of each simulated system at each setting.
        schedule_sizes: numbers of tasks that are scheduled, ascending; the paper goes to 200.
        seed: of the first repetition.
        measure_picture: takes a form of pictures and their size in pixels, and returns their mean bytes; None if there
            are no pictures.
        training: what is trained, and for how long; None leaves the training out.

    Raises:
        ValueError: if a value is outside its range, or the phase is training.
    """

    profile: CostProfile
    small_profile: CostProfile
    folder: Path
    base_fleet: Fleet = field(default_factory=paper_fleet)
    workload: Workload = field(default_factory=paper_workload)
    num_classes: int = 10
    formulas: CostFormulas = field(default_factory=CostFormulas)
    codec: CodecConfig = field(default_factory=lambda: CodecConfig("none"))
    goal: OffloadGoal = field(default_factory=OffloadGoal)
    scenario: Scenario = field(default_factory=Scenario)
    dormancy: DormancyRule = field(default_factory=DormancyRule)
    make_scheduler: Callable[[], Scheduler] = lambda: create_scheduler("atsa")
    node_counts: tuple[int, ...] = (10, 20, 30)
    image_size: int = 224
    small_image_size: int = 32
    seeds: int = 20
    num_tasks: int = 3000
    schedule_sizes: tuple[int, ...] = (10, 25, 50, 100, 150, 200)
    seed: int = 0
    measure_picture: Callable[[InputCodec, int], float] | None = None
    training: TrainingPlan | None = None

    def __post_init__(self) -> None:
        if self.workload.phase != "inference":
            raise ValueError(
                f"the paper's systems are compared in inference, and workload.phase is {self.workload.phase!r}; give "
                "workload=paper."
            )
        for name in ("node_counts", "schedule_sizes"):
            values = tuple(getattr(self, name))
            object.__setattr__(self, name, values)
            if not values or list(values) != sorted(set(values)):
                raise ValueError(f"{name} is {list(values)}; give at least one number, in ascending order.")
            for value in values:
                require_range("", 1, math.inf, whole=True, **{name: value})
        for name in ("num_classes", "image_size", "small_image_size", "seeds", "num_tasks"):
            require_range("", 1, math.inf, whole=True, **{name: getattr(self, name)})
        require_seed("", seed=self.seed)

    @property
    def schedule_tasks(self) -> int:
        """The largest number of tasks that are scheduled."""
        return self.schedule_sizes[-1]

    def fleet(
        self,
        *,
        num_nodes: int | None = None,
        device: str | None = None,
        bandwidth_bits_per_second: float | None = None,
        variation: float | None = None,
        memory_bytes: float | None = None,
    ) -> Fleet:
        """Returns the fleet with some of its figures changed; None keeps what it has.

        Args:
            num_nodes: the nodes are repeated, or the first ones are taken.
            device: a key of :data:`~cloudedge_pl.fleet.DEVICES`; all nodes are of this kind, with its own memory.
            bandwidth_bits_per_second: of the link from edge to cloud.
            variation: of the link; 0 makes it constant.
            memory_bytes: of every node.

        Raises:
            ValueError: if the device is unknown or a value is outside its range.
        """
        base = self.base_fleet
        count = base.num_nodes if num_nodes is None else num_nodes
        require_range("fleet", 1, 100_000, whole=True, num_nodes=count)
        kinds: tuple[EdgeNode, ...] = base.nodes
        if device is not None:
            budget = base.nodes[0].max_energy_joules
            kinds = (replace(lookup(DEVICES, device, "device preset"), max_energy_joules=budget),)
        nodes = [kinds[index % len(kinds)] for index in range(count)]
        if memory_bytes is not None:
            nodes = [replace(node, memory_bytes=memory_bytes) for node in nodes]
        named = [replace(node, name=f"{kind_of(node.name)}-{index}") for index, node in enumerate(nodes)]
        link = base.link
        if bandwidth_bits_per_second is not None:
            link = replace(link, bandwidth_bits_per_second=bandwidth_bits_per_second)
        if variation is not None:
            link = replace(link, variation=variation)
        return Fleet(tuple(named), cloud=base.cloud, link=link)


def kind_of(name: str) -> str:
    """Returns a node's name without its number: ``jetson-nano`` of ``jetson-nano-7``."""
    kind, _, number = name.rpartition("-")
    return kind if kind and number.isdigit() and name not in DEVICES else name
