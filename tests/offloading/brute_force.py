"""The planner once more, in plain Python from the formulas, one split point and one node at a time.

Nothing here is taken from the package but the dataclasses that hold the inputs.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import Any

from cloudedge_pl.costs.profile import CostProfile
from cloudedge_pl.fleet import Fleet, Workload


@dataclass
class Point:
    """One split point: what it costs, and value and limit of everything that must hold."""

    memory: float
    delay: float
    energy: float
    upload: float
    checks: list[tuple[float, float]]

    @property
    def feasible(self) -> bool:
        return all(value <= limit for value, limit in self.checks)

    @property
    def near_a_limit(self) -> bool:
        """Whether rounding could decide."""
        return any(
            math.isfinite(limit) and math.isclose(value, limit, rel_tol=1e-6) for value, limit in self.checks
        )


def erlang_c(servers: int, load: float) -> float:
    """By its definition."""
    top = load**servers / math.factorial(servers) * servers / (servers - load)
    return top / (sum(load**k / math.factorial(k) for k in range(servers)) + top)


def evaluate(profile: CostProfile, fleet: Fleet, workload: Workload, j: int, choice: dict[str, Any]) -> Point:
    """Costs of split point ``j``; ``choice`` holds the planner's keywords, all of them."""
    training = workload.phase == "training"
    passes = 3 if training else 1
    last = len(profile.names) - 1
    nodes = fleet.nodes

    # Memory.
    mode = choice["memory"] if choice["memory"] != "auto" else workload.phase
    state = sum(profile.segment_parameter_bytes[:j])
    trainable = sum(profile.segment_trainable_bytes[:j])
    batch = workload.samples_per_pass
    head, head_maps = profile.exit_parameter_bytes[j], profile.exit_activation_bytes[j]
    if mode == "paper":
        memory = 4 * sum(profile.segment_weights[:j]) + batch * sum(profile.segment_map_bytes[:j])
        master = state + head + batch * head_maps
    elif mode == "inference":
        memory = state + batch * max(profile.segment_peak_bytes[:j], default=0)
        master = state + head + batch * head_maps
    else:
        memory = state + trainable + workload.optimizer_slots * trainable
        memory += batch * sum(profile.segment_saved_bytes[:j])
        master = state + (2 + workload.optimizer_slots) * head + batch * head_maps

    # Execution, and the nodes' shares of the arrivals.
    def seconds(flops: float, moved: float, machine: Any) -> float:
        compute = flops / (machine.flops_per_second * machine.efficiency)
        return (
            max(compute, moved / machine.memory_bandwidth_bytes_per_second) if choice["roofline"] else compute
        )

    segments = list(zip(profile.segment_flops, profile.segment_moved_bytes, strict=True))
    execution = [passes * sum(seconds(*segment, node) for segment in segments[:j]) for node in nodes]
    cloud = passes * sum(seconds(*segment, fleet.cloud) for segment in segments[j:])
    if choice["shares"] == "equal":
        share = [1 / len(nodes)] * len(nodes)
    else:
        speeds = [n.flops_per_second * n.efficiency for n in nodes]
        rates = [1 / time for time in execution] if max(execution) > 0 else speeds
        share = [rate / sum(rates) for rate in rates]

    # Bytes.
    def coded(shapes: Any, back: bool = False) -> float:
        elements = sum(math.prod(shape) for shape in shapes)
        kept = [max(1, round(choice["codec_ratio"] * math.prod(shape))) for shape in shapes]
        channels = [max(1, round(choice["codec_ratio"] * shape[0])) for shape in shapes]
        places = [
            min(4 * k, (math.prod(shape) + 7) // 8) * (not back)
            for k, shape in zip(kept, shapes, strict=True)
        ]
        return {
            "none": 4.0 * elements,
            "float32": 4.0 * elements,
            "float16": 2.0 * elements,
            "bfloat16": 2.0 * elements,
            "int8": elements + 8.0 * len(shapes),
            "bottleneck": 4.0
            * sum(kept * math.prod(shape[1:]) for kept, shape in zip(channels, shapes, strict=True)),
            "top_k": 4.0 * sum(kept) + sum(places),
        }[choice["codec"]]

    raw = workload.input_bytes if workload.input_bytes is not None else math.prod(profile.input_shape)
    picture = workload.picture_bytes if workload.picture_bytes is not None else raw
    upload = picture if j == 0 else 0.0 if j == last else coded(profile.cut_shapes[j])
    download = coded(profile.cut_shapes[j], back=True) if training and 0 < j < last else 0.0

    # Delay of a task at each node.
    observed = fleet.link.uplink_bits_per_second
    spread = statistics.stdev([math.log(v) for v in observed]) if len(observed) > 1 else 0.0
    bandwidth = spread * (4 / (3 * len(observed))) ** 0.2
    uplink = 8 * raw * statistics.fmean(1 / v for v in observed) * math.exp(bandwidth**2 / 2)
    delays, energies, loads = [], [], []
    for node, part, time in zip(nodes, share, execution, strict=True):
        rate = part * workload.arrival_rate
        load = rate * time
        loads.append(load)
        if load >= 1:
            wait = math.inf
        elif choice["waiting"] == "mmc":
            offered = workload.arrival_rate * time
            wait = (
                erlang_c(len(nodes), offered) / (len(nodes) / time - workload.arrival_rate) if time else 0.0
            )
        else:
            service = 1 / time if time else math.inf
            wait = rate / (service * (service - rate)) if time else 0.0
            if choice["waiting"] == "md1":
                wait /= 2
            if choice["waiting"] == "paper":
                work = passes * sum(profile.segment_flops[:j])
                speed = work / time if time else math.inf
                wait = rate * work / (speed * (speed - rate * work)) if work else wait
        speed_up = min(fleet.link.bandwidth_bits_per_second, node.throughput_bits_per_second)
        sending = 8 * upload / speed_up
        ways = (upload > 0) + (download > 0)
        transfer = sending + 8 * download / speed_up + ways * fleet.link.propagation_seconds
        delays.append(uplink + wait + time + transfer + cloud)

        # Energy of the node in a window.
        tasks = rate * workload.window_seconds
        if choice["energy"] == "linear":
            compute = (node.busy_watts - node.idle_watts) * time
        else:
            speed = node.flops_per_second * node.efficiency
            omega = choice["omega"] or (node.busy_watts - node.idle_watts) / speed**2
            compute = omega * passes * sum(profile.segment_flops[:j]) * speed
        if choice["static_energy"] == "powered":
            idle = node.idle_watts * workload.window_seconds
        elif choice["static_energy"] == "occupied":
            idle = node.idle_watts * tasks * (wait + time + sending) if node.idle_watts else 0.0
        else:
            idle = node.idle_watts * tasks * time
        to_master = 0.0
        if training and head:  # the exit head learns from the cut tensors as they are
            slower = min(fleet.coordinator.throughput_bits_per_second, node.throughput_bits_per_second)
            to_master = 8 * 4.0 * sum(math.prod(shape) for shape in profile.cut_shapes[j]) / slower
        energies.append(idle + tasks * (compute + node.transmit_watts * (sending + to_master)))

    share_of_memory = choice["memory_share"]
    checks = [(memory, share_of_memory * min(n.memory_bytes for n in nodes))]
    checks.append((master, share_of_memory * fleet.coordinator.memory_bytes))
    checks.append((math.inf if max(loads) >= 1 else max(loads), 1.0))
    checks.append((max(delays), workload.max_delay_seconds))
    if max(loads) < 1:
        checks += [(energy, node.max_energy_joules) for energy, node in zip(energies, nodes, strict=True)]
    tasks = workload.arrival_rate * workload.window_seconds
    return Point(memory, max(delays), sum(energies) / tasks, upload, checks)


def choose(points: list[Point], objective: str, weights: dict[str, float]) -> int | None:
    """The best feasible split point, the deepest of equals."""
    feasible = [j for j, point in enumerate(points) if point.feasible]
    if objective == "cloud_only":
        feasible = [j for j in feasible if j == 0]
    if objective == "edge_only":
        feasible = [j for j in feasible if j == len(points) - 1]

    def score(j: int) -> float:
        point = points[j]
        if objective == "weighted":
            return (
                weights.get("delay", 0) * point.delay
                + weights.get("energy", 0) * point.energy
                + weights.get("upload", 0) * point.upload / 1e6
            )
        return {"min_delay": point.delay, "min_energy": point.energy, "min_upload": point.upload}.get(
            objective, -j
        )

    return min(feasible, key=lambda j: (score(j), -j), default=None)
