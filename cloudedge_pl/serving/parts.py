"""What an exported part takes and gives: tensors of named datatypes, the batch as their first dimension."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cloudedge_pl.errors import lookup, require_fields
from cloudedge_pl.settings import as_settings

DATATYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BF16": np.dtype(np.uint16),
}
"""Datatypes by their names in the Open Inference Protocol. NumPy knows no BF16: its arrays hold the 16 bits."""


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """A tensor that a part takes or gives.

    Args:
        name: of the input or output.
        datatype: a key of :data:`DATATYPES`.
        shape: the batch first, as -1; all other dimensions are fixed.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        require_fields("tensor", self)
        lookup(DATATYPES, self.datatype, "datatype")
        if not self.shape or self.shape[0] != -1 or any(side < 1 for side in self.shape[1:]):
            raise ValueError(
                f"tensor {self.name!r} has the shape {list(self.shape)}; it must be -1, the batch, and then fixed "
                "sides of at least 1."
            )

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of its arrays."""
        return DATATYPES[self.datatype]

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def require(self, array: np.ndarray) -> None:
        """Checks the dtype and shape of an array [B, ...].

        Raises:
            ValueError: naming the tensor, what it is and what it must be.
        """
        if array.dtype != self.dtype or array.ndim != len(self.shape) or array.shape[1:] != self.shape[1:]:
            raise ValueError(
                f"tensor {self.name!r} is {array.dtype} {list(array.shape)}; it must be {self.datatype} "
                f"({self.dtype}) {list(self.shape)}."
            )


def tensor_specs(listed: Any) -> tuple[TensorSpec, ...]:
    """Tensors as JSON lists them, in a manifest or in the metadata of a server.

    Raises:
        ValueError: if it is no list of tensors.
    """
    if not isinstance(listed, (list, tuple)):
        raise ValueError(f"the list of tensors is {listed!r}; it must be a list.")
    return tuple(as_settings(TensorSpec, of_json(each), "a tensor") for each in listed)


def of_json(values: Any) -> Any:
    """A mapping from JSON with tuples in place of lists, as frozen dataclasses hold them; anything else as it is."""
    if not isinstance(values, Mapping):
        return values
    return {key: tuple(each) if isinstance(each, list) else each for key, each in values.items()}


def zeros(specs: Iterable[TensorSpec], samples: int) -> dict[str, np.ndarray]:
    """So many samples of zeros [samples, ...], by name of the tensor."""
    return {spec.name: np.zeros((samples, *spec.shape[1:]), spec.dtype) for spec in specs}


@dataclass(frozen=True, kw_only=True)
class PartSpec:
    """One exported part.

    Args:
        file: its name in the bundle.
        sha256: of the file.
        weights_sha256: of the weights in it, by the names that they have in the network; the same in every format.
        inputs: in the order in which the part takes them.
        outputs: in the order in which it gives them.
        largest_difference: between an output of the part and the module's, when it was exported.
    """

    file: str
    sha256: str
    weights_sha256: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    largest_difference: float

    def __post_init__(self) -> None:
        require_fields("part", self)
        if self.file != Path(self.file).name or not self.file:
            raise ValueError(f"part: file is {self.file!r}; it must be the name of a file in the bundle.")
        for tensors in (self.inputs, self.outputs):
            names = [tensor.name for tensor in tensors]
            if not names or len(set(names)) < len(names):
                raise ValueError(
                    f"part {self.file}: it has the tensors {names}; it needs one or more, of different names."
                )
