"""Random and hand-made networks, fleets and workloads for the tests of costs and planning."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from cloudedge_pl.costs.codec import CodecConfig
from cloudedge_pl.costs.profile import CostProfile
from cloudedge_pl.fleet import Cloud, EdgeNode, Fleet, Link, Workload


def make_profile(
    seed: int = 0, num_segments: int = 5, input_shape: tuple[int, ...] = (3, 8, 8)
) -> CostProfile:
    """A network of random but plausible costs, in float32."""
    random = np.random.default_rng(seed)
    n = num_segments
    weights = random.integers(100, 200_000, n).astype(float)
    trainable = 4 * (weights + random.integers(0, 500, n))
    maps = 4.0 * random.integers(10, 50_000, n)
    shapes = [(input_shape,)]
    for _ in range(n - 1):
        tensors = int(random.integers(1, 3))
        shapes.append(tuple((int(random.integers(1, 64)), 4, 4) for _ in range(tensors)))
    shapes.append(((10,),))
    cut = [4.0 * sum(int(np.prod(shape)) for shape in tensors) for tensors in shapes]
    inner = np.r_[0, np.ones(n - 1), 0]
    return CostProfile(
        model=f"random-{seed}",
        input_shape=input_shape,
        names=("input", *(f"layer{k}" for k in range(1, n + 1))),
        segment_flops=np.where(random.random(n) < 0.1, 0.0, 10 ** random.uniform(5, 8.5, n)),
        segment_parameter_bytes=trainable + 4.0 * random.integers(0, 100, n),
        segment_trainable_bytes=trainable,
        segment_weights=weights,
        segment_map_bytes=maps,
        segment_peak_bytes=maps + 4.0 * random.integers(0, 10_000, n),
        segment_saved_bytes=maps * random.uniform(0.5, 2, n),
        segment_moved_bytes=trainable + 2 * maps,
        cut_bytes=np.array(cut),
        cut_shapes=tuple(shapes),
        exit_flops=inner * 10 ** random.uniform(4, 7, n + 1),
        exit_parameter_bytes=inner * 4 * random.integers(10, 100_000, n + 1),
        exit_activation_bytes=inner * 4 * random.integers(10, 10_000, n + 1),
    )


def make_node(name: str = "node", **changes: float) -> EdgeNode:
    """10 GFLOP/s reached, 1 GB, 10 GB/s, 100 Mbit/s, 2 W idle, 6 W busy."""
    values = {
        "flops_per_second": 20e9,
        "memory_bytes": 1e9,
        "memory_bandwidth_bytes_per_second": 10e9,
        "efficiency": 0.5,
        **changes,
    }
    return EdgeNode(name, **values)


LINK = Link(
    bandwidth_bits_per_second=50e6,
    propagation_seconds=0.01,
    variation=0.0,
    uplink_bits_per_second=(40e6, 55e6, 70e6),
)
"""A fast, constant link."""

UNCHANGED = CodecConfig("none")


def make_fleet(num_nodes: int = 3, **changes: float) -> Fleet:
    """Equal nodes on a fast, constant link."""
    return Fleet(tuple(make_node(f"node-{index}", **changes) for index in range(num_nodes)), link=LINK)


def make_workload(**changes: Any) -> Workload:
    """8 inference tasks per second, 1 second each at most; one copy of optimizer state."""
    values: dict[str, Any] = {
        "arrival_rate": 8.0,
        "max_delay_seconds": 1.0,
        "phase": "inference",
        "optimizer_slots": 1,
        **changes,
    }
    return Workload(**values)


def powers_of_ten(low: float, high: float) -> st.SearchStrategy[float]:
    """Spread evenly over the exponents; floats drawn directly would crowd at the ends."""
    return st.integers(0, 997).map(lambda step: float(10.0 ** (low + (high - low) * step / 997)))


@st.composite
def profiles(draw: st.DrawFn) -> CostProfile:
    return make_profile(draw(st.integers(0, 10_000)), draw(st.integers(1, 12)))


@st.composite
def nodes(draw: st.DrawFn, name: str, *, equal_to: EdgeNode | None = None) -> EdgeNode:
    idle = draw(st.floats(0, 3))
    return EdgeNode(
        name,
        flops_per_second=draw(powers_of_ten(9, 11)) if equal_to is None else equal_to.flops_per_second,
        memory_bytes=draw(powers_of_ten(6, 9)),
        memory_bandwidth_bytes_per_second=(
            draw(powers_of_ten(8.5, 10)) if equal_to is None else equal_to.memory_bandwidth_bytes_per_second
        ),
        efficiency=draw(st.floats(0.1, 1)) if equal_to is None else equal_to.efficiency,
        throughput_bits_per_second=draw(powers_of_ten(6, 8)),
        idle_watts=idle,
        busy_watts=idle + draw(st.floats(0, 6)),
        transmit_watts=draw(st.floats(0, 2)),
        max_energy_joules=draw(st.one_of(st.just(float("inf")), powers_of_ten(1, 4))),
    )


@st.composite
def fleets(draw: st.DrawFn, *, like: bool = False) -> Fleet:
    """One to four nodes; ``like`` makes them compute equally fast."""
    members: list[EdgeNode] = []
    for index in range(draw(st.integers(1, 4))):
        members.append(draw(nodes(f"node-{index}", equal_to=members[0] if like and members else None)))
    return Fleet(
        tuple(members),
        cloud=Cloud(
            "cloud",
            flops_per_second=draw(powers_of_ten(10, 13)),
            memory_bandwidth_bytes_per_second=draw(powers_of_ten(10, 12)),
            efficiency=draw(st.floats(0.1, 1)),
        ),
        link=Link(
            bandwidth_bits_per_second=draw(powers_of_ten(5.5, 8)),
            propagation_seconds=draw(st.floats(0, 0.1)),
            uplink_bits_per_second=tuple(draw(st.lists(powers_of_ten(5.5, 8), min_size=1, max_size=4))),
        ),
        master=draw(st.one_of(st.none(), nodes("boss"))),
    )


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    return Workload(
        arrival_rate=draw(powers_of_ten(-1, 1.5)),
        max_delay_seconds=draw(st.one_of(st.just(float("inf")), powers_of_ten(-1.5, 1))),
        window_seconds=draw(powers_of_ten(0, 2)),
        phase=draw(st.sampled_from(["inference", "training"])),
        samples_per_pass=draw(st.integers(1, 8)),
        optimizer_slots=draw(st.integers(0, 2)),
        input_bytes=draw(st.one_of(st.none(), powers_of_ten(1, 5))),
        picture_bytes=draw(st.one_of(st.none(), powers_of_ten(1, 5))),
    )
