"""Bytes that a task sends and receives, and the time that they take: terminal to node, node to cloud or master."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from cloudedge_pl.costs.codec import CodecConfig
from cloudedge_pl.costs.profile import CostProfile
from cloudedge_pl.errors import lookup, require_positive
from cloudedge_pl.fleet import Fleet, Workload


def input_bytes(profile: CostProfile, workload: Workload) -> float:
    """Bytes of one raw input: the workload's ``input_bytes``, or one byte per element."""
    return float(profile.input_elements if workload.input_bytes is None else workload.input_bytes)


def picture_bytes(profile: CostProfile, workload: Workload) -> float:
    """Bytes of one input as a node sends it to the cloud: the workload's ``picture_bytes``, or the raw input's."""
    return input_bytes(profile, workload) if workload.picture_bytes is None else float(workload.picture_bytes)


def upload_bytes(profile: CostProfile, workload: Workload, codec: CodecConfig | None = None) -> np.ndarray:
    """Bytes that one task sends to the cloud, for every split point [N + 1].

    These are all live tensors across the cut. At 0 it is the input, raw or compressed; at N nothing is sent, because
    the answer is already at the edge.

    Args:
        profile: of the network.
        workload: with the size of the input, raw and as it is sent.
        codec: form in which the cut tensors are sent; None takes the default, int8.

    Source: Xu 2020, Sec. 3.2 (the feature map Map_j); deviates: inside a residual block two tensors cross.
    """
    sizes = (codec or CodecConfig()).sent_bytes(profile)
    sizes[0], sizes[-1] = picture_bytes(profile, workload), 0.0
    return sizes


def download_bytes(profile: CostProfile, workload: Workload, codec: CodecConfig | None = None) -> np.ndarray:
    """Bytes that return from the cloud for one task [N + 1]: in training the gradient of what was sent.

    Nothing returns at 0, because inputs need no gradient, nor in inference, where the size of a class label is
    negligible. The arguments are those of :func:`upload_bytes`.
    """
    if workload.phase == "inference":
        return np.zeros(profile.num_segments + 1)
    sizes = (codec or CodecConfig()).gradient_bytes(profile)
    sizes[0] = sizes[-1] = 0.0
    return sizes


def exit_bytes(profile: CostProfile) -> np.ndarray:
    """Bytes of one task's cut tensors to the exit head on the master [N + 1]; 0 where there is no exit head.

    The gradient that returns has the same size. The master is close to the nodes, so the tensors are sent unchanged,
    whatever the codec to the cloud.
    """
    return np.where(profile.exit_parameter_bytes > 0, profile.cut_bytes, 0.0)


def cloud_rate_bits_per_second(fleet: Fleet) -> np.ndarray:
    """Rate between each node and the cloud [num_nodes]: the slower of the link and the node's own interface."""
    return np.minimum(fleet.link.bandwidth_bits_per_second, fleet.array("throughput_bits_per_second"))


def master_rate_bits_per_second(fleet: Fleet) -> np.ndarray:
    """Rate between each node and the master [num_nodes]: the slower of the two interfaces."""
    return np.minimum(fleet.coordinator.throughput_bits_per_second, fleet.array("throughput_bits_per_second"))


def sending_seconds(num_bytes: np.ndarray | float, bits_per_second: np.ndarray | float) -> np.ndarray:
    """Time during which a sender sends, without propagation; arguments broadcast."""
    return np.asarray(8 * num_bytes / bits_per_second)


def transfer_seconds(num_bytes: np.ndarray | float, fleet: Fleet) -> np.ndarray:
    """Seconds one way between each node and the cloud [num_nodes, ...]: sending time and propagation; 0 for no bytes.

    Source: Xu 2020, Sec. 3.2 (C_0 = min{W_H, L_i} T_ec); deviates: bits are divided by bit/s, and propagation counts.
    """
    sizes = np.asarray(num_bytes, dtype=np.float64)
    rate = cloud_rate_bits_per_second(fleet).reshape(-1, *[1] * sizes.ndim)
    return np.where(sizes > 0, sending_seconds(sizes, rate) + fleet.link.propagation_seconds, 0.0)


def paper_transfer_seconds(profile: CostProfile, fleet: Fleet) -> np.ndarray:
    """The paper's T_ec [num_nodes, N + 1]: elements of the last feature map over bit/s, as if elements were bits.

    Source: Xu 2020, Sec. 3.2, as printed: no propagation, one tensor, and no gradient that returns.
    """
    element_bytes = profile.cut_bytes[0] / profile.input_elements
    elements = np.concatenate((profile.cut_bytes[:1], profile.segment_map_bytes)) / element_bytes
    return elements / cloud_rate_bits_per_second(fleet)[:, None]


def log_kernel_inverse_rate(rates: Sequence[float]) -> float:
    """E[1/v] in s/bit, the density of log v estimated from observed rates with a Gaussian kernel.

    With v = exp(u) and u a mixture of normals around log v_i of bandwidth h = sigma (4 / (3 l))^0.2, the expectation
    has a closed form: mean(1 / v_i) exp(h^2 / 2). One rate, or equal rates, give 1 / v.

    Args:
        rates: observed rates in bit/s, all positive.

    Raises:
        ValueError: if there is no rate, or one that is not positive.

    Source: Xu 2020, Sec. 3.2; deviates: the density is estimated on log v, as E[1/v] under a Gaussian density of v,
    which reaches below zero, diverges.
    """
    observed = _checked(rates)
    bandwidth = _silverman(np.log(observed))
    return float(np.mean(1 / observed) * np.exp(bandwidth**2 / 2))


def paper_inverse_rate(rates: Sequence[float]) -> float:
    """The paper's integral of p(v) / v in s/bit, with its kernel exp(-u^2) over sigma-scaled rates as printed.

    The integral starts at the slowest observed rate, because it diverges below. The kernel integrates to sqrt(pi), so
    the result is not an expectation. If all rates are equal there is no density, and the result is 1 / v.

    Source: Xu 2020, Sec. 3.2, as printed except for the truncation.
    """
    observed = _checked(rates)
    bandwidth = _silverman(observed)
    if bandwidth <= 1e-12 * observed.max():
        return float(1 / observed.mean())
    grid = np.linspace(observed.min(), observed.max() + 8 * bandwidth, 4001)
    density = np.exp(-(((grid[:, None] - observed) / bandwidth) ** 2)).sum(axis=1) / (
        bandwidth * len(observed)
    )
    values = density / grid
    return float(np.sum(np.diff(grid) * (values[1:] + values[:-1]) / 2))


INVERSE_RATES: dict[str, Callable[[Sequence[float]], float]] = {
    "log_kernel": log_kernel_inverse_rate,
    "paper": paper_inverse_rate,
}
"""Estimates of E[1/v], in s/bit, from observed rates in bit/s."""


def terminal_seconds(num_bytes: float, rates: Sequence[float], estimate: str = "log_kernel") -> float:
    """Seconds from a terminal to its node; the paper's T_te = D E[1/v].

    Args:
        num_bytes: of one raw input.
        rates: observed rates from terminal to edge, in bit/s.
        estimate: a key of :data:`INVERSE_RATES`.

    Source: Xu 2020, Sec. 3.2; deviates: there is no sum over the nodes, because each task uses one node.
    """
    return 8 * num_bytes * lookup(INVERSE_RATES, estimate, "uplink estimate")(rates)


def _checked(rates: Sequence[float]) -> np.ndarray:
    if len(rates) == 0:
        raise ValueError("uplink rates are empty; give at least one observed rate in bit/s.")
    for row, rate in enumerate(rates):
        require_positive("uplink rates", False, **{f"rate[{row}]": rate})
    return np.asarray(rates, dtype=np.float64)


def _silverman(samples: np.ndarray) -> float:
    """Bandwidth sigma (4 / (3 l))^0.2 of a Gaussian kernel, for l samples; 0 for one sample."""
    if len(samples) < 2:
        return 0.0
    return float(np.std(samples, ddof=1) * (4 / (3 * len(samples))) ** 0.2)
