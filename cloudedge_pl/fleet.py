"""Edge nodes, cloud, link, fleet and workload, as frozen dataclasses that check themselves.

Rates are per second, sizes in bytes and energies in joules.
Source of the model: Xu 2020, Sec. 2.2 (the resource pool V, F, E, P, L) and Sec. 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Literal

import numpy as np

from cloudedge_pl import presets
from cloudedge_pl.errors import lookup, require_fields, require_positive, require_range, require_types

Phase = Literal["inference", "training"]

MIXED_DEVICES = ("raspberry-pi-4", "raspberry-pi-3b-plus", "raspberry-pi-zero-2w", "jetson-nano")
"""The devices of the default fleet, in turn."""

MAX_NODES = 100_000
"""A larger number of nodes is taken for a mistake and refused before any memory is allocated."""


@dataclass(frozen=True)
class EdgeNode:
    """One edge node.

    Args:
        name: a unique name.
        flops_per_second: peak speed in FLOP/s (a multiply-add is 2 FLOP); the paper's F_v.
        memory_bytes: memory that the task may use, before the 80% threshold of constraint C1; the paper's P_v.
        memory_bandwidth_bytes_per_second: between memory and processor, for the roofline.
        efficiency: share of the peak speed that a network reaches, in (0, 1]; 0.2 to 0.4 is usual.
        throughput_bits_per_second: of the network interface; the paper's L_v.
        idle_watts: power while switched on.
        busy_watts: power under full load, including idle power.
        transmit_watts: additional power of the radio while it sends.
        max_energy_joules: energy budget for one window of the workload; the paper's E_v.

    Raises:
        ValueError: if a value is outside its range.
    """

    name: str
    _: KW_ONLY
    flops_per_second: float
    memory_bytes: float
    memory_bandwidth_bytes_per_second: float
    efficiency: float = 0.3
    throughput_bits_per_second: float = 100e6
    idle_watts: float = 2.0
    busy_watts: float = 6.0
    transmit_watts: float = 0.5
    max_energy_joules: float = math.inf

    def __post_init__(self) -> None:
        owner = f"edge node {self.name!r}"
        require_fields(owner, self)
        require_positive(
            owner,
            flops_per_second=self.flops_per_second,
            memory_bytes=self.memory_bytes,
            memory_bandwidth_bytes_per_second=self.memory_bandwidth_bytes_per_second,
            throughput_bits_per_second=self.throughput_bits_per_second,
        )
        require_positive(owner, allow_infinite=True, max_energy_joules=self.max_energy_joules)
        require_range(owner, 0, 1, open_low=True, efficiency=self.efficiency)
        _require_powers(owner, self.idle_watts, self.busy_watts, self.transmit_watts)

    @property
    def effective_flops_per_second(self) -> float:
        """Speed in FLOP/s that a network reaches: peak times efficiency."""
        return self.flops_per_second * self.efficiency


def _require_powers(owner: str, idle: float, busy: float, transmit: float) -> None:
    require_range(owner, 0, math.inf, open_high=True, idle_watts=idle, transmit_watts=transmit)
    require_range(owner, idle, math.inf, open_high=True, busy_watts=busy)


@dataclass(frozen=True)
class Cloud:
    """The cloud.

    Args:
        name: of the machine.
        flops_per_second: peak speed in FLOP/s; the paper's F_c.
        memory_bandwidth_bytes_per_second: between memory and processor, for the roofline.
        efficiency: share of the peak speed that a network reaches, in (0, 1].

    Raises:
        ValueError: if a value is outside its range.
    """

    name: str = "cloud"
    _: KW_ONLY
    flops_per_second: float = 8.1e12
    memory_bandwidth_bytes_per_second: float = 320e9
    efficiency: float = 0.3

    def __post_init__(self) -> None:
        owner = f"cloud {self.name!r}"
        require_fields(owner, self)
        require_positive(
            owner,
            flops_per_second=self.flops_per_second,
            memory_bandwidth_bytes_per_second=self.memory_bandwidth_bytes_per_second,
        )
        require_range(owner, 0, 1, open_low=True, efficiency=self.efficiency)

    @property
    def effective_flops_per_second(self) -> float:
        """Speed in FLOP/s that a network reaches: peak times efficiency."""
        return self.flops_per_second * self.efficiency


@dataclass(frozen=True, kw_only=True)
class Link:
    """The connection from the edge to the cloud, and from the terminals to the edge.

    The delay to the cloud varies: in each window it is multiplied by ``exp(variation * z)``, where z is a standard
    normal autoregressive series with the given ``correlation`` between neighbouring windows.

    Args:
        bandwidth_bits_per_second: edge to cloud; the paper's W_H.
        propagation_seconds: one way, edge to cloud.
        variation: standard deviation of the logarithm of the delay factor; 0 makes the link constant.
        correlation: of that logarithm between neighbouring windows, in [0, 1).
        uplink_bits_per_second: observed rates from terminal to edge (the paper's V_s), at least one. Their distribution
            gives the terminal's transmission time.

    Raises:
        ValueError: if a value is outside its range, or no rate is given.
    """

    bandwidth_bits_per_second: float = 1e6
    propagation_seconds: float = 0.05
    variation: float = 0.5
    correlation: float = 0.8
    uplink_bits_per_second: tuple[float, ...] = (20e6, 30e6, 40e6, 54e6)

    def __post_init__(self) -> None:
        require_fields("link", self)
        object.__setattr__(self, "uplink_bits_per_second", tuple(self.uplink_bits_per_second))
        require_positive("link", bandwidth_bits_per_second=self.bandwidth_bits_per_second)
        require_range("link", 0, math.inf, open_high=True, propagation_seconds=self.propagation_seconds)
        require_range("link", 0, math.inf, open_high=True, variation=self.variation)
        require_range("link", 0, 1, open_high=True, correlation=self.correlation)
        if not self.uplink_bits_per_second:
            raise ValueError(
                "link: uplink_bits_per_second is empty; give at least one observed rate in bit/s."
            )
        for row, rate in enumerate(self.uplink_bits_per_second):
            require_positive(f"link: uplink_bits_per_second[{row}]", rate=rate)


@dataclass(frozen=True, kw_only=True)
class Workload:
    """The tasks that a fleet runs, and their limits.

    Args:
        arrival_rate: tasks per second over the whole fleet; the paper's a_k.
        max_delay_seconds: limit on the total delay of one task; the paper's T_max.
        window_seconds: length of the window to which a node's energy budget applies.
        phase: "inference" is the forward pass only. "training" adds the backward pass (twice the FLOP of the forward
            pass), a returned gradient as large as the cut tensors, and memory for gradients, optimizer state and saved
            activations.
        samples_per_pass: number of samples that a node runs at once; it scales the memory of activations.
        optimizer_slots: optimizer state per parameter, in copies of it (1 for SGD with momentum, 2 for Adam).
        input_bytes: size of one task's raw input as a terminal sends it. None takes one byte per input element, as in
            an 8-bit image.
        picture_bytes: size of one task's input as a node sends it on to the cloud, where nothing runs at the edge. None
            takes ``input_bytes``, or what is measured on the data if the goal sends pictures as JPEG.

    Raises:
        ValueError: if a value is outside its range.
    """

    arrival_rate: float = 20.0
    max_delay_seconds: float = 0.3
    window_seconds: float = 60.0
    phase: Phase = "training"
    samples_per_pass: int = 1
    optimizer_slots: int = 2
    input_bytes: float | None = None
    picture_bytes: float | None = None

    def __post_init__(self) -> None:
        require_fields("workload", self)
        require_positive("workload", arrival_rate=self.arrival_rate, window_seconds=self.window_seconds)
        require_positive("workload", allow_infinite=True, max_delay_seconds=self.max_delay_seconds)
        require_range("workload", 1, math.inf, samples_per_pass=self.samples_per_pass)
        require_range("workload", 0, math.inf, optimizer_slots=self.optimizer_slots)
        if self.input_bytes is not None:
            require_positive("workload", input_bytes=self.input_bytes)
        if self.picture_bytes is not None:
            require_positive("workload", picture_bytes=self.picture_bytes)


@dataclass(frozen=True)
class Fleet:
    """Edge nodes, the master that coordinates them, the cloud and the link.

    Args:
        nodes: the nodes V that run tasks; at least one, with unique names.
        cloud: the cloud.
        link: the link.
        master: the machine v0, which holds the exit head and runs no tasks. None takes a copy of the node with the most
            memory.

    Raises:
        ValueError: if there is no node, or a name is not unique.
    """

    nodes: tuple[EdgeNode, ...]
    _: KW_ONLY
    cloud: Cloud = Cloud()
    link: Link = Link()
    master: EdgeNode | None = None

    def __post_init__(self) -> None:
        require_fields("fleet", self)
        object.__setattr__(self, "nodes", tuple(self.nodes))
        if not self.nodes:
            raise ValueError("fleet: it has no node; give at least one EdgeNode (num_nodes >= 1).")
        names = [node.name for node in self.nodes]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"fleet: node names must be unique; given more than once: {', '.join(twice)}.")
        if self.master is None:
            largest = max(self.nodes, key=lambda node: node.memory_bytes)
            object.__setattr__(self, "master", replace(largest, name="master", max_energy_joules=math.inf))

    @property
    def num_nodes(self) -> int:
        """Number of nodes that run tasks, without the master."""
        return len(self.nodes)

    @property
    def coordinator(self) -> EdgeNode:
        """The master, given or derived."""
        assert self.master is not None, "set on construction"
        return self.master

    def array(self, field: str, *, with_master: bool = False) -> np.ndarray:
        """Returns one field of every node as float64 [num_nodes], e.g. ``fleet.array("memory_bytes")``.

        Args:
            field: an attribute of :class:`EdgeNode`.
            with_master: append the master's value, [num_nodes + 1].
        """
        machines = (*self.nodes, self.coordinator) if with_master else self.nodes
        return np.array([getattr(machine, field) for machine in machines], dtype=np.float64)

    @classmethod
    def preset(
        cls,
        device: str | Sequence[str] = MIXED_DEVICES,
        num_nodes: int = 10,
        *,
        cloud: str | Cloud = "t4",
        link: Link | None = None,
        speed_spread: float = 0.2,
        memory_bytes: float | None = 12e6,
        max_energy_joules: float = 180.0,
        seed: int = 0,
    ) -> Fleet:
        """Makes a fleet of ``num_nodes`` nodes of one device, or of several devices in turn.

        The defaults are those of ``cloudedge train``: ten nodes of four kinds on a slow link, each of which may use
        12 MB of memory and 180 J in a window.

        Args:
            device: a name of :data:`DEVICES`, or several names that are used in turn.
            num_nodes: in [1, 100,000].
            cloud: a name of :data:`CLOUDS`, or a Cloud.
            link: None takes the defaults of :class:`Link`.
            speed_spread: in [0, 1). Each node's speed is multiplied by a factor drawn from
                Uniform(1 - speed_spread, 1 + speed_spread), because boards differ in clock, cooling and load.
            memory_bytes: memory that the task may use on every node; None takes the device's own.
            max_energy_joules: energy budget of every node for one window.
            seed: of the factors.

        Raises:
            ValueError: if a name is unknown, there is no node, or the spread is outside [0, 1).
        """
        given = {"device": device, "num_nodes": num_nodes, "cloud": cloud, "link": link, "seed": seed}
        numbers = {"speed_spread": speed_spread, "max_energy_joules": max_energy_joules}
        require_types("fleet", Fleet.preset, {**given, **numbers, "memory_bytes": memory_bytes})
        require_range("fleet", 1, MAX_NODES, num_nodes=num_nodes)
        require_range("fleet", 0, 1, open_high=True, speed_spread=speed_spread)
        names = [device] if isinstance(device, str) else list(device)
        if not names:
            raise ValueError(f"fleet: no device given; name at least one of: {', '.join(sorted(DEVICES))}.")
        models = [lookup(DEVICES, name, "device preset") for name in names]
        factors = np.random.default_rng(seed).uniform(1 - speed_spread, 1 + speed_spread, num_nodes)
        nodes = []
        for index, factor in enumerate(factors):
            model = models[index % len(models)]
            nodes.append(
                replace(
                    model,
                    name=f"{model.name}-{index}",
                    flops_per_second=model.flops_per_second * float(factor),
                    memory_bytes=model.memory_bytes if memory_bytes is None else memory_bytes,
                    max_energy_joules=max_energy_joules,
                )
            )
        chosen = lookup(CLOUDS, cloud, "cloud preset") if isinstance(cloud, str) else cloud
        return cls(nodes=tuple(nodes), cloud=chosen, link=link or Link())


DEVICES: dict[str, EdgeNode] = {name: EdgeNode(name, **figures) for name, figures in presets.DEVICES.items()}
"""Edge devices by name; :mod:`cloudedge_pl.presets` gives the source of each figure."""

CLOUDS: dict[str, Cloud] = {name: Cloud(name, **figures) for name, figures in presets.CLOUDS.items()}
"""Clouds by name."""
