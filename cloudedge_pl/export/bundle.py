"""A bundle made of a trained network: its parts as files that were compared with it, and the manifest."""

from __future__ import annotations

import math
import platform
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from cloudedge_pl.costs import CodecConfig
from cloudedge_pl.dormancy import DormancyRule
from cloudedge_pl.errors import BundleError, lookup
from cloudedge_pl.export import torch_format
from cloudedge_pl.export.checking import TOLERANCE, Differences, compare
from cloudedge_pl.export.parts import CutNetwork, Part, Parts, require_cut
from cloudedge_pl.export.torch_format import Run
from cloudedge_pl.export.triton import write_repository
from cloudedge_pl.serving.manifest import (
    FORMATS,
    MANIFEST,
    OPTIONAL_PARTS,
    PARTS,
    ExitRule,
    Manifest,
    file_sha256,
)
from cloudedge_pl.serving.parts import PartSpec, TensorSpec
from cloudedge_pl.serving.preprocessing import Preprocessing
from cloudedge_pl.training.cut.early_exit import exit_threshold
from cloudedge_pl.training.strategies.hooks import RunHooks

PACKAGES = (
    "cloudedge_pl",
    "torch",
    "torchvision",
    "pytorch-lightning",
    "numpy",
    "onnx",
    "onnxscript",
    "onnxruntime",
)

DATATYPES: dict[torch.dtype, str] = {
    torch.bool: "BOOL",
    torch.uint8: "UINT8",
    torch.int8: "INT8",
    torch.int16: "INT16",
    torch.int32: "INT32",
    torch.int64: "INT64",
    torch.float16: "FP16",
    torch.bfloat16: "BF16",
    torch.float32: "FP32",
    torch.float64: "FP64",
}
"""Datatypes of the Open Inference Protocol by torch's dtypes."""


@dataclass(frozen=True)
class _Format:
    """How the files of a format are written and run, and how far they may be from the module."""

    write: Callable[[Part, ExportedProgram, Path], None]
    load: Callable[[Path, Part], Run]
    tolerance: float


@dataclass(frozen=True)
class Exported:
    """A bundle that was written.

    Args:
        manifest: of the bundle.
        differences: how far its files are from the module.
        weight_bytes: bytes of the weights of each part.
    """

    manifest: Manifest
    differences: Differences
    weight_bytes: Mapping[str, int]


def export_bundle(
    strategy: RunHooks,
    folder: str | Path,
    *,
    format: str = "onnx",
    whole: bool = False,
    model: str | None = None,
    class_names: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
    run: Mapping[str, Any] | None = None,
) -> Exported:
    """Exports edge part, exit head and cloud part of a trained network, and checks each against it.

    Every part is compared with the module at batches of 1, 2 and 7. Files of ONNX may differ from it by 1e-4 in
    float32, files of torch.export in no bit. Nothing is left in the folder if a part differs.

    Args:
        strategy: of a fit, validation or test that has ended; the network is on the CPU.
        folder: of the bundle; it is made, and an earlier bundle in it is replaced.
        format: "onnx", or "torch" for ``.pt2`` files.
        whole: whether to write the network uncut as well.
        model: name of the network; None takes the plan's.
        class_names: in the order of the logits; None numbers them.
        preprocessing: from a picture to the network's input.
        run: where the weights come from, for the manifest.

    Raises:
        StrategyError: if the network is not cut, or does not return logits.
        BundleError: if a part cannot be exported, or differs from the module.
        ValueError: if the format is unknown.
    """
    lookup(FORMATS, format, "format of a bundle")
    deployment = strategy.deployment
    require_cut(deployment.split_point, deployment.chain.num_segments)
    assert deployment.exit_head is not None
    network = CutNetwork(deployment.chain, deployment.split_point, deployment.exit_head, deployment.codec)
    classes = network.chain.output_shape[0]
    if class_names is not None and len(class_names) != classes:
        raise ValueError(
            f"class_names are {len(class_names)} and the logits {classes}; give a name for each."
        )
    return write_bundle(
        network,
        Path(folder),
        format=format,
        whole=whole,
        model=model or deployment.plan.profile.model,
        class_names=tuple(class_names or map(str, range(classes))),
        codec=deployment.plan.codec,
        exits=_exits(strategy),
        dormancy=_dormancy(strategy),
        preprocessing=preprocessing,
        run=dict(run or {}),
    )


def write_bundle(
    network: CutNetwork,
    folder: Path,
    *,
    format: str,
    whole: bool = False,
    model: str,
    class_names: tuple[str, ...],
    codec: CodecConfig,
    exits: ExitRule,
    dormancy: DormancyRule,
    preprocessing: Preprocessing | None = None,
    run: Mapping[str, Any] | None = None,
) -> Exported:
    """Writes a bundle of a cut network; :func:`export_bundle` does it for a strategy.

    Raises:
        BundleError: if a part cannot be exported, or differs from the module.
    """
    exits.require_classes(len(class_names))
    require_bundle_or_nothing(folder)
    chosen, parts = _format(format), Parts(network, whole)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as unfinished:
        specs, differences = _written(network, parts, chosen, Path(unfinished), FORMATS[format])
        _replace(folder, Path(unfinished))
    manifest = Manifest(
        format=format,
        model=model,
        num_classes=len(class_names),
        class_names=class_names,
        split_point=network.split_point,
        split_name=network.chain.names[network.split_point],
        parts=specs,
        codec=codec,
        exits=exits,
        dormancy=dormancy,
        preprocessing=preprocessing,
        sizes=parts.crossing.sizes,
        run=run or {},
        versions=_versions(),
        folder=folder,
    )
    if format == "onnx":
        write_repository(manifest, folder)
    manifest.write(folder)  # last: without it the folder is no bundle
    return Exported(manifest, differences, {part.name: part.weight_bytes for part in parts.parts.values()})


def _format(name: str) -> _Format:
    if lookup(FORMATS, name, "format of a bundle") == FORMATS["torch"]:
        return _Format(torch_format.write, torch_format.load, tolerance=0.0)
    try:
        onnx_format = import_module("cloudedge_pl.export.onnx_format")
    except ModuleNotFoundError as error:
        raise BundleError(
            f"format=onnx needs the package {error.name!r}; install cloudedge_pl[export], or give format=torch."
        ) from error
    return _Format(onnx_format.write, onnx_format.load, tolerance=TOLERANCE)


def _written(
    network: CutNetwork, parts: Parts, chosen: _Format, folder: Path, ending: str
) -> tuple[dict[str, PartSpec], Differences]:
    """Writes the files of all parts and compares them with the module."""
    runs: dict[str, Run] = {}
    with network.evaluating():
        for name, part in parts.parts.items():
            chosen.write(part, torch_format.traced(part), folder / f"{name}{ending}")
            runs[name] = chosen.load(folder / f"{name}{ending}", part)
        differences = compare(network, parts, runs, tolerance=chosen.tolerance)
        specs = {
            name: _spec(part, folder / f"{name}{ending}", differences) for name, part in parts.parts.items()
        }
    return specs, differences


def require_bundle_or_nothing(folder: Path) -> None:
    """Raises BundleError if a folder holds something else than a bundle, which would be lost."""
    if folder.exists() and not folder.is_dir():
        raise BundleError(f"dir={folder} is a file; give a folder.")
    known = {
        MANIFEST,
        "triton",
        *(f"{part}{end}" for part in (*PARTS, *OPTIONAL_PARTS) for end in FORMATS.values()),
    }
    others = sorted({each.name for each in folder.iterdir()} - known) if folder.is_dir() else []
    if others:
        raise BundleError(
            f"dir={folder} holds {others[0]!r}, which is of no bundle; give a new folder, or an earlier bundle's."
        )


def _replace(folder: Path, by: Path) -> None:
    """Puts the files of another folder in the place of those of an earlier bundle, whose manifest goes first."""
    folder.mkdir(exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(folder / "triton", ignore_errors=True)
    for each in folder.iterdir():
        each.unlink()
    for each in by.iterdir():
        each.replace(folder / each.name)


def _spec(part: Part, path: Path, differences: Differences) -> PartSpec:
    outputs = part.module(*part.example)
    return PartSpec(
        file=path.name,
        sha256=file_sha256(path),
        weights_sha256=part.weights_sha256(),
        inputs=_tensors(part.inputs, part.example),
        outputs=_tensors(part.outputs, outputs),
        largest_difference=differences.by_part[part.name],
    )


def _tensors(names: Sequence[str], tensors: Sequence[torch.Tensor]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(name=name, datatype=DATATYPES[each.dtype], shape=(-1, *each.shape[1:]))
        for name, each in zip(names, tensors, strict=True)
    )


def _exits(strategy: RunHooks) -> ExitRule:
    """The exits of a run; without a threshold for these weights none exits."""
    settings, calibration = strategy.settings.exits, strategy.run.calibration
    threshold, guarantee = math.inf, None
    if settings.are_on:
        threshold = exit_threshold(settings, calibration)
        if settings.threshold is None and calibration is not None and settings.accept(calibration):
            guarantee = calibration.guarantee
    return ExitRule(
        policy=settings.chosen_policy,
        threshold=None if math.isinf(threshold) else threshold,
        audit_share=settings.audit_share,
        risk=settings.risk,
        max_risk=settings.max_risk,
        method=settings.method,
        delta=settings.delta,
        guarantee=guarantee,
    )


def _dormancy(strategy: RunHooks) -> DormancyRule:
    """The run's rule; a cloud that no callback puts to sleep stays awake."""
    rule = strategy.policies.dormancy
    if rule is None:
        return DormancyRule(mode="never")
    if not isinstance(rule, DormancyRule):
        raise BundleError(
            "the cloud sleeps by a function of the run's own, which a manifest cannot hold; export with a rule: "
            "CloudDormancy(mode='hysteresis')."
        )
    return rule


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
