"""The cloud part as a model repository of NVIDIA Triton.

Its files are ``triton/cloud/config.pbtxt`` and ``triton/cloud/1/model.onnx``. The first is text of Triton's protocol
buffer ``ModelConfig``. Start a server with ``tritonserver --model-repository=BUNDLE/triton``.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from cloudedge_pl.serving import Manifest, TensorSpec

MAX_BATCH = 64
QUEUE_DELAY_MICROSECONDS = 500
"""How long Triton waits for more requests before it runs a batch that is not full."""


def write_repository(manifest: Manifest, folder: Path) -> Path:
    """Writes the repository of a bundle in ONNX to ``folder/triton``, and returns its path.

    The model is another name of the bundle's file where the file system allows that, and else a copy.
    """
    model = folder / "triton" / "cloud" / "1" / "model.onnx"
    shutil.rmtree(folder / "triton", ignore_errors=True)
    model.parent.mkdir(parents=True)
    source = folder / manifest.parts["cloud"].file
    try:
        os.link(source, model)
    except OSError:
        shutil.copyfile(source, model)
    (model.parent.parent / "config.pbtxt").write_text(model_config(manifest), encoding="utf-8")
    return folder / "triton"


def model_config(manifest: Manifest) -> str:
    """The configuration of the cloud part, with dynamic batching."""
    cloud = manifest.parts["cloud"]
    lines = [
        'name: "cloud"',
        'backend: "onnxruntime"',
        f"max_batch_size: {MAX_BATCH}",
        *_tensors("input", cloud.inputs),
        *_tensors("output", cloud.outputs),
        f"dynamic_batching {{ max_queue_delay_microseconds: {QUEUE_DELAY_MICROSECONDS} }}",
        f'parameters {{ key: "cloudedge_manifest" value {{ string_value: "{manifest.id}" }} }}',
    ]
    return "\n".join(lines) + "\n"


def _tensors(kind: str, tensors: tuple[TensorSpec, ...]) -> list[str]:
    return [f"{kind} {{ {_fields(tensor)} }}" for tensor in tensors]


def _fields(tensor: TensorSpec) -> str:
    """The fields of a tensor, without the batch; Triton wants one dimension at least, and reshapes it away."""
    sides = tensor.shape[1:]
    dims = f"dims: [ {', '.join(map(str, sides or (1,)))} ]"
    reshape = "" if sides else " reshape { shape: [ ] }"
    return f'name: "{tensor.name}" data_type: TYPE_{tensor.datatype} {dims}{reshape}'
