"""Parts as ``.pt2`` files of torch.export."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from cloudedge_pl.export.parts import Part

Run = Callable[[Sequence[Tensor]], list[Tensor]]
"""Runs an exported file: its inputs in their order -> its outputs in theirs."""

MAX_BATCH = 1 << 20
"""PyTorch 2.6 needs a limit to see that a slice over the batch takes all of it."""


def traced(part: Part) -> ExportedProgram:
    """Traces a part with a batch of any size."""
    batch = torch.export.Dim("batch", max=MAX_BATCH)
    by_input = tuple({0: batch} for _ in part.example)
    shapes: Any = by_input if len(part.inputs) == 1 and part.name in ("edge", "whole") else (by_input,)
    with torch.no_grad():
        program = torch.export.export(part.module, part.example, dynamic_shapes=shapes, strict=False)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # names the files of this machine
    return program


def write(part: Part, program: ExportedProgram, path: Path) -> None:
    """Writes a part to a file."""
    torch.export.save(program, path)


def load(path: Path, part: Part) -> Run:
    """Loads a file of :func:`write`."""
    module = torch.export.load(path).module()

    def run(inputs: Sequence[Tensor]) -> list[Tensor]:
        with torch.no_grad():
            return list(module(*inputs))

    return run
