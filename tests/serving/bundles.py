"""A small bundle whose parts are files of any content: enough for what reads a manifest and checks hashes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from cloudedge_pl.costs import CodecConfig
from cloudedge_pl.dormancy import DormancyRule
from cloudedge_pl.serving import ExitRule, Manifest, PartSpec, Preprocessing, TensorSpec
from cloudedge_pl.serving.manifest import file_sha256

IMAGE = TensorSpec(name="image", datatype="FP32", shape=(-1, 3, 8, 8))
CUT = (
    TensorSpec(name="cut_0", datatype="UINT8", shape=(-1, 4, 4, 4)),
    TensorSpec(name="cut_0_scale", datatype="FP32", shape=(-1, 1)),
)
EXIT = (TensorSpec(name="exit_0", datatype="FP32", shape=(-1, 4, 4, 4)),)
LOGITS = (TensorSpec(name="logits", datatype="FP32", shape=(-1, 3)),)


def part(folder: Path, name: str, inputs: Any, outputs: Any) -> PartSpec:
    path = folder / f"{name}.onnx"
    path.write_bytes(f"the {name} part".encode())
    return PartSpec(
        file=path.name,
        sha256=file_sha256(path),
        weights_sha256="0" * 64,
        inputs=inputs,
        outputs=outputs,
        largest_difference=1e-6,
    )


def write_bundle(folder: Path, **changes: Any) -> Manifest:
    """Writes a bundle to a folder and reads its manifest."""
    folder.mkdir(exist_ok=True)
    manifest = Manifest(
        format="onnx",
        model="small",
        num_classes=3,
        class_names=("a", "b", "c"),
        split_point=2,
        split_name="second",
        parts={
            "edge": part(folder, "edge", (IMAGE,), (*CUT, *EXIT)),
            "exit": part(folder, "exit", EXIT, LOGITS),
            "cloud": part(folder, "cloud", CUT, LOGITS),
        },
        codec=CodecConfig("int8"),
        exits=ExitRule(policy="confidence", threshold=0.9, guarantee="It holds."),
        dormancy=DormancyRule(mode="deadline"),
        preprocessing=Preprocessing(input_shape=(3, 8, 8), mean=(0.5,) * 3, std=(0.2,) * 3),
        sizes={"size": "batch"},
        run={"seed": 0},
        versions={"python": "3"},
    )
    replace(manifest, **changes).write(folder)
    return Manifest.read(folder)
