"""What a plan looks for: the objective and what it may choose from, as one frozen dataclass that checks itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from cloudedge_pl.costs.input_codec import InputCodec
from cloudedge_pl.errors import lookup, require_fields, require_range
from cloudedge_pl.offloading.objectives import CRITERIA, OBJECTIVES


def excluded_end(split_point: int) -> str:
    """The message for a split point that is asked for and excluded at once."""
    return (
        f"offloading: split_point is {split_point}, an end, which exclude_ends=true leaves out; it must "
        "cut the network, or exclude_ends be false."
    )


@dataclass(frozen=True, kw_only=True)
class OffloadGoal:
    """The goal of a plan.

    Args:
        objective: a key of :data:`~cloudedge_pl.offloading.objectives.OBJECTIVES`.
        weights: for the objective "weighted": the price of one second of "delay", one joule of "energy" and one
            megabyte of "upload".
        exclude_ends: leave out split points 0 and N, so that edge and cloud both run a part.
        split_point: take this split point instead of the objective's best one, even if it breaks a limit; None lets
            the objective choose.
        memory_share: largest share of a node's memory that may be used, in (0, 1]; the paper's lambda_0.
        input_codec: the form in which nodes send pictures to the cloud at split point 0, where nothing runs at the
            edge: "raw" or "jpeg". The plan takes the bytes of a JPEG from the workload's ``picture_bytes``; training
            and ``cloudedge plan`` measure them on the data if it has none.
        jpeg_quality: quality of "jpeg", in [1, 100].
        jpeg_subsampling: how much of the colour "jpeg" keeps: "4:4:4", "4:2:2" or "4:2:0".

    Raises:
        ValueError: if a name is unknown or a value is outside its range.
    """

    objective: str = "deepest"
    weights: Mapping[str, float] = field(default_factory=lambda: {"delay": 1.0, "energy": 0.0, "upload": 0.0})
    exclude_ends: bool = False
    split_point: int | None = None
    memory_share: float = 0.8
    input_codec: str = "raw"
    jpeg_quality: int = 75
    jpeg_subsampling: str = "4:2:0"

    def __post_init__(self) -> None:
        lookup(OBJECTIVES, self.objective, "offloading objective")
        require_fields("offloading", self)
        require_range("offloading", 0, 1, open_low=True, memory_share=self.memory_share)
        if self.exclude_ends and self.split_point == 0:
            raise ValueError(excluded_end(0))
        object.__setattr__(self, "weights", dict(self.weights))
        for criterion, weight in self.weights.items():
            lookup(CRITERIA, criterion, "criterion in weights")
            named = {f"weights[{criterion!r}]": weight}
            require_range("offloading", 0, math.inf, open_low=False, open_high=True, whole=False, **named)
        if not any(self.weights.values()):
            raise ValueError(f"offloading: weights are {dict(self.weights)}; at least one must be above 0.")
        _ = self.picture  # checks its name, quality and subsampling

    @property
    def picture(self) -> InputCodec:
        """The form in which pictures are sent to the cloud."""
        return InputCodec(self.input_codec, quality=self.jpeg_quality, subsampling=self.jpeg_subsampling)
