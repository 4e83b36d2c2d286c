"""Exported files compared with the module, part by part, on the same inputs.

A part is given what the module's own layers give, never what another file gives, so that a difference is its own. The
codec is compared apart: its input is what the edge file computed, because a value at the boundary between two levels
is rounded to the other one after the smallest difference, and that is no fault of the export.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cloudedge_pl.errors import BundleError
from cloudedge_pl.export.crossing import tensors_of
from cloudedge_pl.export.parts import CutNetwork, Parts, encoded
from cloudedge_pl.export.torch_format import Run
from cloudedge_pl.partition.wire import LevelEncoder, Wire

BATCHES = (1, 2, 7)
TOLERANCE = 1e-4
"""Largest difference in float32, of values up to 1; relative to the largest value where that is larger."""

MAX_SHARE = 0.001
"""Of the elements that a codec rounds, the share that may be rounded to the neighbouring value."""


@dataclass
class Differences:
    """How far exported files are from the module.

    Attributes:
        by_part: the largest difference of each part's outputs from the module's, on the same inputs.
        chained: of the logits from image to logits, edge file to cloud file. A codec rounds in between.
        rounded_otherwise: elements that the codec in the edge file sent as a neighbouring value.
        sent: elements that it sent.
    """

    by_part: dict[str, float] = field(default_factory=dict)
    chained: float = 0.0
    rounded_otherwise: int = 0
    sent: int = 0

    def note(self, part: str, difference: float) -> None:
        """Notes a difference of a part."""
        self.by_part[part] = max(self.by_part.get(part, 0.0), difference)


def compare(
    network: CutNetwork, parts: Parts, run: Mapping[str, Run], *, tolerance: float = TOLERANCE
) -> Differences:
    """Compares exported files with the module at every size of :data:`BATCHES`.

    Args:
        network: the module.
        parts: the parts that were exported.
        run: of each exported file.
        tolerance: see :data:`TOLERANCE`; 0 asks for the same bits.

    Raises:
        BundleError: if a file differs by more.
    """
    found = Differences()
    with network.evaluating():
        for number in BATCHES:
            _Comparison(network, parts, run, tolerance, found, number).all_parts()
    return found


class _Comparison:
    """The comparison on one batch."""

    def __init__(
        self,
        network: CutNetwork,
        parts: Parts,
        run: Mapping[str, Run],
        tolerance: float,
        found: Differences,
        number: int,
    ) -> None:
        self.network, self.parts, self.run = network, parts, run
        self.tolerance, self.found, self.number = tolerance, found, number

    def all_parts(self) -> None:
        """Compares every part, and the edge and cloud file in a row."""
        samples = self.network.samples(self.number)
        live = self.network.live(samples)
        tensors = tensors_of(live)
        edge = self._edge(samples, tensors)
        self._require("exit", self.run["exit"](tensors)[0], self.network.exit_logits(live))
        answer = self.network.cloud_logits(live)
        self._require("cloud", self.run["cloud"](self.parts.encoded(tensors))[0], answer)
        chained = self.run["cloud"](edge[: len(self.parts.cut_names)])[0]
        self.found.chained = max(self.found.chained, _difference(chained, answer)[0])
        if "whole" in self.run:
            self._require("whole", self.run["whole"]([samples])[0], self.network.whole_logits(samples))

    def _edge(self, samples: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Compares the edge file's tensors with the module's, and what it sends of them with what the codec does."""
        given = self.run["edge"]([samples])
        sent, raw = iter(given), iter(given[len(self.parts.cut_names) :])
        for wire, tensor in zip(self.parts.wires, tensors, strict=True):
            coded = list(itertools.islice(sent, len(wire.names(0))))
            own = coded[0] if wire.unchanged else next(raw)
            self._require("edge", own, tensor)
            if not wire.unchanged:
                self._require_code(wire, coded, own)
        return given

    def _require(self, part: str, got: Tensor, expected: Tensor) -> None:
        difference, largest = _difference(got, expected)
        self.found.note(part, difference)
        limit = self.tolerance * max(1.0, largest)
        if not difference <= limit:
            raise BundleError(
                f"the exported part {part!r} differs from the module by {difference:.3g} at batch {self.number}; at "
                f"most {limit:.3g} is allowed. Nothing was exported."
            )

    def _require_code(self, wire: Wire, sent: Sequence[Tensor], tensor: Tensor) -> None:
        """Compares what was sent of a tensor with its code: few elements may be rounded otherwise, by one level."""
        again = encoded([wire.encoder], [tensor])
        got, expected = wire.decoder(*sent), wire.decoder(*again)
        differs = ((got - expected).abs() > self.tolerance * expected.abs().clamp(min=1)).cpu()
        share, levels = float(differs.float().mean()), 0
        if isinstance(wire.encoder, LevelEncoder):
            levels = int((sent[0].int() - again[0].int()).abs().max())
        self.found.sent += differs.numel()
        self.found.rounded_otherwise += int(differs.sum())
        if levels > 1 or share > (MAX_SHARE if self.tolerance else 0):
            raise BundleError(
                f"the codec in the exported edge part sends {share:.2%} of the elements as another value at batch "
                f"{self.number}, by up to {levels} levels. Nothing was exported."
            )


def _difference(got: Tensor, expected: Tensor) -> tuple[float, float]:
    """The largest difference of two tensors, and the largest magnitude of the second; nan equals nan."""
    if got.shape != expected.shape or got.dtype != expected.dtype:
        raise BundleError(
            f"an exported part gives {got.dtype} {list(got.shape)}, and the module {expected.dtype} "
            f"{list(expected.shape)}. Nothing was exported."
        )
    one, two = got.double(), expected.double()
    same = (one == two) | (one.isnan() & two.isnan())
    apart = torch.where(same, 0.0, (one - two).abs())
    return float(apart.max()), float(two.abs().max())
