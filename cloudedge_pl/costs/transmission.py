"""How long data travels: from a terminal to its node, and between a node and the cloud."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from cloudedge_pl.costs.profile import CostProfile
from cloudedge_pl.errors import lookup, require_positive, require_range
from cloudedge_pl.fleet import Fleet, Workload


def input_bytes(profile: CostProfile, workload: Workload) -> float:
    """Bytes of one raw input: the workload's, or one byte for every element."""
    return float(profile.input_elements if workload.input_bytes is None else workload.input_bytes)


def upload_bytes(
    profile: CostProfile, workload: Workload, codec: str = "none", codec_ratio: float = 0.25
) -> np.ndarray:
    """Bytes that one task sends to the cloud, for every split point [N + 1].

    All live tensors across the cut; the raw input at 0; nothing at N, where the answer is at the edge already.

    Args:
        profile: of the network.
        workload: with the size of the raw input.
        codec: what the cut tensors are sent as, a key of :data:`CODECS`.
        codec_ratio: share that "bottleneck" and "top_k" keep, in (0, 1]; the others do not look at it.

    Raises:
        ValueError: on an unknown codec, or a ratio outside (0, 1].

    Source: Xu 2020, Sec. 3.2 (the feature map Map_j); deviates: inside a residual block two tensors cross.
    """
    sizes = lookup(CODECS, codec, "codec")(profile, codec_ratio)
    sizes[0], sizes[-1] = input_bytes(profile, workload), 0.0
    return sizes


def download_bytes(
    profile: CostProfile, workload: Workload, codec: str = "none", codec_ratio: float = 0.25
) -> np.ndarray:
    """Bytes that come back from the cloud for one task [N + 1]: in training the gradient of what was sent.

    The gradient comes back in the codec's own form and size. Of "top_k" only the values come back: the node knows
    which it has sent. Nothing at 0, as inputs need no gradient, and nothing in inference, where a class label is
    negligible. Arguments and errors are those of :func:`upload_bytes`.
    """
    if workload.phase == "inference":
        return np.zeros(profile.num_segments + 1)
    sizes = lookup(_GRADIENTS, codec, "codec")(profile, codec_ratio)
    sizes[0] = sizes[-1] = 0.0
    return sizes


def kept_count(ratio: float, count: int) -> int:
    """How many of ``count`` channels or elements a codec keeps: max(1, round(ratio count)).

    Raises:
        ValueError: on a ratio outside (0, 1].
    """
    require_range("codec", 0, 1, open_low=True, codec_ratio=ratio)
    return max(1, round(ratio * count))


def channel_axis(shape: Sequence[int]) -> int:
    """Which dimension of a cut tensor's shape, without the batch dimension, holds the channels.

    The last one of tokens [L, C] and of maps [H, W, C] with H = W other than C; else the first.
    """
    if len(shape) == 2 or (len(shape) == 3 and shape[0] == shape[1] != shape[2]):
        return len(shape) - 1
    return 0


def _sum_tensors(profile: CostProfile, tensor_bytes: Callable[[tuple[int, ...], float], float]) -> np.ndarray:
    """Sums, at every split point [N + 1], bytes of each tensor by its shape and the network's bytes an element."""
    sums = np.zeros(len(profile.cut_shapes))
    for at, shapes in enumerate(profile.cut_shapes):
        elements = sum(math.prod(shape) for shape in shapes)
        element_bytes = float(profile.cut_bytes[at]) / max(elements, 1)
        sums[at] = sum(tensor_bytes(shape, element_bytes) for shape in shapes)
    return sums


def _cast(element_bytes: int, tensor_bytes: int = 0) -> Callable[[CostProfile, float], np.ndarray]:
    return lambda profile, _: _sum_tensors(
        profile, lambda shape, _: element_bytes * math.prod(shape) + tensor_bytes
    )


def _bottleneck(profile: CostProfile, ratio: float) -> np.ndarray:
    def tensor_bytes(shape: tuple[int, ...], element_bytes: float) -> float:
        channels = shape[channel_axis(shape)] if shape else 1
        return element_bytes * (math.prod(shape) // channels) * kept_count(ratio, channels)

    return _sum_tensors(profile, tensor_bytes)


def _top_k_values(profile: CostProfile, ratio: float) -> np.ndarray:
    return _sum_tensors(
        profile, lambda shape, element_bytes: element_bytes * kept_count(ratio, math.prod(shape))
    )


def _top_k_places(profile: CostProfile, ratio: float) -> np.ndarray:
    """Both ends know the shape and k, and with them which of the two forms is the smaller."""

    def tensor_bytes(shape: tuple[int, ...], _: float) -> float:
        elements = math.prod(shape)
        return min(4 * kept_count(ratio, elements), math.ceil(elements / 8))

    return _sum_tensors(profile, tensor_bytes)


CODECS: dict[str, Callable[[CostProfile, float], np.ndarray]] = {
    "none": lambda profile, _: profile.cut_bytes.copy(),
    "float32": _cast(4),
    "float16": _cast(2),
    "bfloat16": _cast(2),
    "int8": _cast(1, tensor_bytes=8),
    "bottleneck": _bottleneck,
    "top_k": lambda profile, ratio: _top_k_values(profile, ratio) + _top_k_places(profile, ratio),
}
"""Bytes of the tensors across every split point [N + 1], by what they are sent as, from a profile and the ratio.

- "none": as they are, in the network's dtype.
- "float32", "float16", "bfloat16": cast.
- "int8": one byte an element, and 8 bytes for scale and zero of each tensor.
- "bottleneck": :func:`kept_count` of each tensor's channels, in the network's dtype.
- "top_k": :func:`kept_count` of each tensor's elements, in the network's dtype, and their places: 4 bytes each, or one
  bit for every element of the tensor where that is smaller.

Every tensor counts as floating, with the mean bytes of an element at its split point. The codecs themselves are
:func:`cloudedge_pl.partition.codecs.build_codec`'s.
"""

_GRADIENTS = {**CODECS, "top_k": _top_k_values}


def cloud_rate_bits_per_second(fleet: Fleet) -> np.ndarray:
    """Rate between each node and the cloud [num_nodes]: the slower of the link and the node's own interface."""
    return np.minimum(fleet.link.bandwidth_bits_per_second, fleet.array("throughput_bits_per_second"))


def exit_bytes(profile: CostProfile) -> np.ndarray:
    """Bytes of one task's cut tensors to the exit head on the master [N + 1]; its gradient has as many; 0 without one.

    The master is near: the tensors go as they are, whatever the codec to the cloud.
    """
    return np.where(profile.exit_parameter_bytes > 0, profile.cut_bytes, 0.0)


def master_rate_bits_per_second(fleet: Fleet) -> np.ndarray:
    """Rate between each node and the master [num_nodes]: the slower of both interfaces."""
    return np.minimum(fleet.coordinator.throughput_bits_per_second, fleet.array("throughput_bits_per_second"))


def transfer_seconds(num_bytes: np.ndarray, fleet: Fleet) -> np.ndarray:
    """Seconds one way between each node and the cloud [num_nodes, ...]: sending time and propagation; none for nothing.

    Source: Xu 2020, Sec. 3.2 (C_0 = min{W_H, L_i} T_ec); deviates: bits are divided by bit/s, and propagation counts.
    """
    sizes = np.asarray(num_bytes, dtype=np.float64)
    rate = cloud_rate_bits_per_second(fleet).reshape(-1, *[1] * sizes.ndim)
    return np.where(sizes > 0, 8 * sizes / rate + fleet.link.propagation_seconds, 0.0)


def paper_transfer_seconds(profile: CostProfile, fleet: Fleet) -> np.ndarray:
    """The paper's T_ec, elements of the last feature map over bit/s as if they were bits [num_nodes, N + 1].

    Source: Xu 2020, Sec. 3.2, as printed: nothing for propagation, one tensor, and no gradient that comes back.
    """
    element_bytes = profile.cut_bytes[0] / profile.input_elements
    elements = np.concatenate((profile.cut_bytes[:1], profile.segment_map_bytes)) / element_bytes
    return elements / cloud_rate_bits_per_second(fleet)[:, None]


def log_kernel_inverse_rate(rates: Sequence[float]) -> float:
    """E[1/v] in s/bit, the density of log v estimated from observed rates with a Gaussian kernel.

    With v = exp(u) and u a mixture of normals around log v_i of bandwidth h = sigma (4 / (3 l))^0.2, the expectation
    has a closed form: mean(1 / v_i) exp(h^2 / 2). One rate, or equal ones, give 1 / v.

    Args:
        rates: observed, in bit/s, all positive.

    Raises:
        ValueError: on no rate, or one that is not positive.

    Source: Xu 2020, Sec. 3.2; deviates: the density is estimated on log v, as E[1/v] under a Gaussian density of v,
    which reaches below zero, diverges.
    """
    observed = _checked(rates)
    bandwidth = _silverman(np.log(observed))
    return float(np.mean(1 / observed) * np.exp(bandwidth**2 / 2))


def paper_inverse_rate(rates: Sequence[float]) -> float:
    """The paper's integral of p(v) / v in s/bit, its kernel exp(-u^2) over sigma-scaled rates as printed.

    The integral starts at the slowest observed rate, below which it diverges. The kernel integrates to sqrt(pi), so
    the result is no expectation. Without spread there is no density, and the result is 1 / v.

    Source: Xu 2020, Sec. 3.2, as printed but for the truncation.
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
"""Ways to estimate E[1/v], in s/bit, from observed rates in bit/s."""


def terminal_seconds(num_bytes: float, rates: Sequence[float], estimate: str = "log_kernel") -> float:
    """Seconds from a terminal to its node, the paper's T_te = D E[1/v].

    Args:
        num_bytes: of one raw input.
        rates: observed from terminal to edge, in bit/s.
        estimate: a key of :data:`INVERSE_RATES`.

    Source: Xu 2020, Sec. 3.2; deviates: no sum over the nodes, as each task uses one.
    """
    return 8 * num_bytes * lookup(INVERSE_RATES, estimate, "uplink estimate")(rates)


def _checked(rates: Sequence[float]) -> np.ndarray:
    if len(rates) == 0:
        raise ValueError("uplink rates are empty; give at least one observed rate in bit/s.")
    for row, rate in enumerate(rates):
        require_positive("uplink rates", False, **{f"rate[{row}]": rate})
    return np.asarray(rates, dtype=np.float64)


def _silverman(samples: np.ndarray) -> float:
    """Bandwidth sigma (4 / (3 l))^0.2 of a Gaussian kernel for l samples; 0 for one sample."""
    if len(samples) < 2:
        return 0.0
    return float(np.std(samples, ddof=1) * (4 / (3 * len(samples))) ** 0.2)
