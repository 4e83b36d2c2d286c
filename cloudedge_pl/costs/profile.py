"""Costs of a network along its chain of split points, as plain numbers: the input of the planner.

A profile has N segments (segment k lies between split points k - 1 and k) and N + 1 split points: 0 is all in the
cloud, N all at the edge. Arrays over segments have length N, arrays over split points N + 1. All values are for one
sample.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np


@dataclass(frozen=True)
class CostProfile:
    """Costs per segment and per split point, for one sample.

    Args:
        model: name of the network.
        input_shape: of one sample, without the batch dimension.
        names: [N + 1], "input" and then the last weighted layer of each segment.
        segment_flops: [N], FLOP of the forward pass (a multiply-add is 2), as torch's FlopCounterMode counts them.
        segment_parameter_bytes: [N], all parameters and buffers, in bytes of their dtype.
        segment_trainable_bytes: [N], parameters only; these get gradients and optimizer state.
        segment_weights: [N], weights of convolutions and linear layers, in elements (the paper's Par_i).
        segment_map_bytes: [N], sum of the output feature maps of weighted layers (the paper's Map_i).
        segment_peak_bytes: [N], maximum bytes of live tensors at any moment of the segment's forward pass.
        segment_saved_bytes: [N], bytes that autograd keeps for the backward pass.
        segment_moved_bytes: [N], bytes that the segment's operations read and write, including parameters.
        cut_bytes: [N + 1], bytes of all live tensors across the split point; at 0 the float input, at N the logits.
        cut_shapes: [N + 1], shapes of these tensors, without the batch dimension.
        exit_flops: [N + 1], FLOP of the exit head at the split point; 0 at 0 and N, which have no exit head.
        exit_parameter_bytes: [N + 1], of the exit head.
        exit_activation_bytes: [N + 1], of the exit head's feature maps.

    Raises:
        ValueError: if there is no segment, a shape is wrong, or a value is negative or not finite.
    """

    model: str
    input_shape: tuple[int, ...]
    names: tuple[str, ...]
    segment_flops: np.ndarray
    segment_parameter_bytes: np.ndarray
    segment_trainable_bytes: np.ndarray
    segment_weights: np.ndarray
    segment_map_bytes: np.ndarray
    segment_peak_bytes: np.ndarray
    segment_saved_bytes: np.ndarray
    segment_moved_bytes: np.ndarray
    cut_bytes: np.ndarray
    cut_shapes: tuple[tuple[tuple[int, ...], ...], ...]
    exit_flops: np.ndarray = field(default_factory=lambda: np.zeros(0))
    exit_parameter_bytes: np.ndarray = field(default_factory=lambda: np.zeros(0))
    exit_activation_bytes: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        points = len(self.names)
        if points < 2:
            raise ValueError(
                f"profile of {self.model!r}: it has no segment; a network needs a weighted layer."
            )
        for column in fields(self):
            if column.name.startswith(("segment_", "cut_bytes", "exit_")):
                values = np.array(getattr(self, column.name), dtype=np.float64)
                if column.name.startswith("exit_") and values.size == 0:
                    values = np.zeros(points)
                expected = points - 1 if column.name.startswith("segment_") else points
                if values.shape != (expected,):
                    raise ValueError(
                        f"profile of {self.model!r}: {column.name} has shape {values.shape}; expected ({expected},)."
                    )
                if not np.all(np.isfinite(values)) or np.any(values < 0):
                    raise ValueError(
                        f"profile of {self.model!r}: {column.name} holds a negative or non-finite value."
                    )
                values.setflags(write=False)
                object.__setattr__(self, column.name, values)
        if len(self.cut_shapes) != points:
            raise ValueError(
                f"profile of {self.model!r}: {len(self.cut_shapes)} cut shapes for {points} split points."
            )

    @property
    def num_segments(self) -> int:
        """Number of segments N; split points run from 0 to N."""
        return len(self.names) - 1

    @property
    def input_elements(self) -> int:
        """Number of elements of one sample."""
        return int(np.prod(self.input_shape))

    def cumulative(self, column: str) -> np.ndarray:
        """Sums a ``segment_`` column over the segments at the edge, for every split point [N + 1]."""
        return np.concatenate(([0.0], np.cumsum(getattr(self, column))))

    @property
    def flops(self) -> np.ndarray:
        """FLOP of the edge part at every split point [N + 1]; the paper's Zt^j."""
        return self.cumulative("segment_flops")

    def check_split_point(self, split_point: int) -> int:
        """Returns ``split_point``.

        Raises:
            ValueError: if it is not one of 0..N.
        """
        if not 0 <= split_point <= self.num_segments:
            raise ValueError(
                f"split point {split_point} is outside 0..{self.num_segments}, the split points of {self.model!r} "
                f"(0 = all in the cloud, {self.num_segments} = all at the edge)."
            )
        return split_point
