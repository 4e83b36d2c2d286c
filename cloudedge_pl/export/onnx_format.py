"""Parts as ``.onnx`` files, written by PyTorch's exporter and run by onnxruntime."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor
from torch.export import ExportedProgram

from cloudedge_pl.errors import BundleError
from cloudedge_pl.export.parts import Part
from cloudedge_pl.export.torch_format import Run

OPSET = 18
MAX_BYTES = 2_000_000_000
"""A file of ONNX is a message of Protocol Buffers, which end at 2 GiB."""


def write(part: Part, program: ExportedProgram, path: Path) -> None:
    """Writes a part to a file.

    Raises:
        BundleError: if its weights are too large for one file, or it cannot be written as ONNX.
    """
    if part.weight_bytes > MAX_BYTES:
        raise BundleError(
            f"the part {part.name!r} holds {part.weight_bytes / 1e9:.1f} GB of weights, and a file of ONNX at most "
            f"{MAX_BYTES / 1e9:g} GB; give format=torch, or cut elsewhere."
        )
    if torch.bfloat16 in {each.dtype for each in (*part.example, *part.module(*part.example))}:
        raise BundleError(
            f"the part {part.name!r} takes or gives bfloat16, which onnxruntime does not pass to Python; train with "
            "codec=float16, or 32-bit weights if these are bfloat16, or give format=torch."
        )
    with _quiet():
        model = _converted(part, program)
    _tidy(model)
    written = model.SerializeToString(deterministic=True)
    onnx.checker.check_model(written)  # given a model, it would write all weights once more
    path.write_bytes(written)


def load(path: Path, part: Part) -> Run:
    """Opens a file of :func:`write` in onnxruntime, on the CPU.

    Raises:
        BundleError: if onnxruntime cannot run it.
    """
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes have no common base but this one
        kinds = ", ".join(sorted({str(each.dtype).removeprefix("torch.") for each in part.example}))
        raise BundleError(
            f"onnxruntime cannot run the part {part.name!r}, which takes {kinds}: {error}. Export the network in "
            "float32 (module.float()), or give format=torch."
        ) from error
    names = [each.name for each in session.get_inputs()]
    if names != list(part.inputs) or [each.name for each in session.get_outputs()] != list(part.outputs):
        raise BundleError(f"{path.name} takes {names}; it should take {list(part.inputs)}.")

    def run(inputs: Sequence[Tensor]) -> list[Tensor]:
        given = {name: each.contiguous().numpy() for name, each in zip(names, inputs, strict=True)}
        return [torch.from_numpy(np.asarray(each)) for each in session.run(None, given)]

    return run


def _converted(part: Part, program: ExportedProgram) -> Any:
    """The part as a model of ONNX, whose weights are in it."""
    names: dict[str, Any] = {"input_names": list(part.inputs), "output_names": list(part.outputs)}
    options = {"dynamo": True, "opset_version": OPSET, "optimize": True, "verbose": False} | names
    try:
        made = torch.onnx.export(program, (), external_data=False, **options)
    except torch.onnx.OnnxExporterError:
        # The exporter of PyTorch 2.6 does not know these operations in all their forms.
        simpler = program.run_decompositions(_SIMPLER)
        made = torch.onnx.export(simpler, (), external_data=False, **options)
    assert made is not None
    return made.model_proto


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    rows = x.reshape(-1, x.shape[-1])
    made = rows @ weight.t() if bias is None else torch.addmm(bias, rows, weight.t())
    return made.reshape(*x.shape[:-1], weight.shape[0])


def _batch_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    _momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    scale = torch.rsqrt(variance + eps)
    scale = scale if weight is None else scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    sides = (1, -1, *(1,) * (x.ndim - 2))
    return x * scale.reshape(sides) + shift.reshape(sides), mean.new_empty(0), mean.new_empty(0)


def _addcmul(x: Tensor, one: Tensor, other: Tensor, *, value: float = 1) -> Tensor:
    return x + value * one * other


_SIMPLER: dict[Any, Any] = {
    torch.ops.aten.addcmul.default: _addcmul,
    torch.ops.aten.linear.default: _linear,
    torch.ops.aten._native_batch_norm_legit_no_training.default: _batch_norm,
}


def _tidy(model: Any) -> None:
    """Names the batch, and drops what is of no use to a server: names of this machine's files, weights of nobody."""
    graph = model.graph
    del graph.value_info[:]
    for each in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        each.doc_string = ""
        if hasattr(each, "metadata_props"):
            del each.metadata_props[:]
    for each in (*graph.input, *graph.output):
        each.type.tensor_type.shape.dim[0].dim_param = "batch"
    read = {name for node in graph.node for name in node.input} | {each.name for each in graph.output}
    for at in reversed(range(len(graph.initializer))):
        if graph.initializer[at].name not in read:
            del graph.initializer[at]


_TALKATIVE = ("torch.onnx", "torch._subclasses.fake_tensor", "onnxscript", "onnx_ir")


@contextmanager
def _quiet() -> Iterator[None]:
    """Inside, the exporter says nothing of its own progress and of packages it would have liked."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)
