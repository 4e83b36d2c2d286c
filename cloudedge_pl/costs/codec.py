"""The form in which cut tensors are sent to the cloud, and how many bytes each form takes.

A codec changes the plan (bytes) and the training (values). :class:`CodecConfig` names it for both; this module counts
its bytes, and :func:`cloudedge_pl.partition.codecs.build_codec` builds the module that changes the values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass

import numpy as np

from cloudedge_pl.costs.profile import CostProfile
from cloudedge_pl.errors import lookup, require_fields, require_range

Shape = tuple[int, ...]


@dataclass(frozen=True)
class CodecConfig:
    """The form in which cut tensors are sent.

    The codec's bytes are counted. Its own FLOP and weights are not, at either end, and neither is its effect on the
    accuracy.

    Args:
        name: a key of :data:`CODECS`: "none" (unchanged), "float32", "float16", "bfloat16", "int8", "bottleneck" (a
            learned reduction of the channels) or "top_k" (the elements of largest magnitude).
        ratio: share of the channels that "bottleneck" keeps, or of the elements that "top_k" keeps, in (0, 1]. The
            other codecs ignore it.

    Raises:
        ValueError: if the name is unknown or the ratio is outside (0, 1].
    """

    name: str = "int8"
    _: KW_ONLY
    ratio: float = 0.25

    def __post_init__(self) -> None:
        lookup(CODECS, self.name, "codec")
        require_fields("codec", self)
        require_range("codec", 0, 1, open_low=True, ratio=self.ratio)

    @property
    def uses_ratio(self) -> bool:
        """Whether the ratio has an effect."""
        return self.name in USE_RATIO

    def encodes_like(self, other: CodecConfig) -> bool:
        """Whether both send the same values; a ratio without effect may differ."""
        return self.name == other.name and (self.ratio == other.ratio or not self.uses_ratio)

    def sent_bytes(self, profile: CostProfile) -> np.ndarray:
        """Bytes of one sample's cut tensors at every split point [N + 1]."""
        return CODECS[self.name](profile, self.ratio)

    def gradient_bytes(self, profile: CostProfile) -> np.ndarray:
        """Bytes of the gradient of what was sent [N + 1].

        The gradient takes the same form and size as the tensors. For "top_k" only the values return, because the node
        knows which elements it sent.
        """
        return _GRADIENTS[self.name](profile, self.ratio)


def kept_count(ratio: float, count: int) -> int:
    """Number of channels or elements that a codec keeps out of ``count``: max(1, round(ratio count)).

    Raises:
        ValueError: if the ratio is outside (0, 1].
    """
    require_range("codec", 0, 1, open_low=True, ratio=ratio)
    return max(1, round(ratio * count))


def channel_axis(shape: Sequence[int]) -> int:
    """Index of the channel dimension in the shape of a cut tensor, without the batch dimension.

    It is the last dimension of tokens [L, C] and of maps [H, W, C] with H = W and a different C, else the first.
    """
    if len(shape) == 2 or (len(shape) == 3 and shape[0] == shape[1] != shape[2]):
        return len(shape) - 1
    return 0


def _sum_tensors(profile: CostProfile, tensor_bytes: Callable[[Shape, float], float]) -> np.ndarray:
    """Sums the bytes of the cut tensors at every split point [N + 1].

    Args:
        profile: of the network.
        tensor_bytes: bytes of one tensor, from its shape and the network's bytes per element.
    """
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
    def tensor_bytes(shape: Shape, element_bytes: float) -> float:
        channels = shape[channel_axis(shape)] if shape else 1
        return element_bytes * (math.prod(shape) // channels) * kept_count(ratio, channels)

    return _sum_tensors(profile, tensor_bytes)


def _top_k_values(profile: CostProfile, ratio: float) -> np.ndarray:
    return _sum_tensors(
        profile, lambda shape, element_bytes: element_bytes * kept_count(ratio, math.prod(shape))
    )


def _top_k_places(profile: CostProfile, ratio: float) -> np.ndarray:
    """Both ends know the shape and k, and so which of the two forms is smaller."""

    def tensor_bytes(shape: Shape, _: float) -> float:
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
"""Bytes of the tensors across every split point [N + 1], by codec, from a profile and the ratio.

- "none": the tensors unchanged, in the network's dtype.
- "float32", "float16", "bfloat16": a cast.
- "int8": one byte per element, and 8 bytes for the scale and zero of each tensor.
- "bottleneck": :func:`kept_count` of each tensor's channels, in the network's dtype.
- "top_k": :func:`kept_count` of each tensor's elements, in the network's dtype, and their places: 4 bytes each, or one
  bit for every element of the tensor if that is smaller.

Every tensor counts as floating point, with the mean number of bytes per element at its split point.
"""

USE_RATIO = frozenset({"bottleneck", "top_k"})
"""The codecs for which the ratio has an effect."""

_GRADIENTS = {**CODECS, "top_k": _top_k_values}
