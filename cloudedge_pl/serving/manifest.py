"""``manifest.json`` of a bundle: what the exported parts of a network take and give, and by which hashes they belong.

A bundle is a folder that holds the three parts of a cut network and this file. The parts:

- ``edge``: ``image`` -> what crosses the cut, in the form in which it is sent;
- ``exit``: what crosses the cut, as the exit head on the master takes it -> ``logits``;
- ``cloud``: what crosses the cut, as it is sent -> ``logits``.

A part of the name ``whole`` may be there as well: the network uncut, ``image`` -> ``logits``. Every tensor has the
batch as its first dimension, of any size, and the bundle needs no other files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from cloudedge_pl.costs.codec import CodecConfig
from cloudedge_pl.dormancy import DormancyRule
from cloudedge_pl.errors import BundleError, lookup, require_fields, require_range, require_types
from cloudedge_pl.exits import EXIT_POLICIES
from cloudedge_pl.files import json_values, written_whole
from cloudedge_pl.serving.parts import PartSpec, TensorSpec, of_json, tensor_specs
from cloudedge_pl.serving.preprocessing import Preprocessing
from cloudedge_pl.settings import as_settings

MANIFEST = "manifest.json"
MANIFEST_VERSION = 1
LARGEST_BYTES = 2**24
"""A larger file is no manifest: one with a million class names has less."""

PARTS = ("edge", "exit", "cloud")
"""The parts that every bundle has."""

OPTIONAL_PARTS = ("whole",)
FORMATS = {"onnx": ".onnx", "torch": ".pt2"}
"""Formats of the parts' files, and their endings."""


@dataclass(frozen=True, kw_only=True)
class ExitRule:
    """Which samples the exit head answers while the cloud is awake, and what is promised of that.

    Args:
        policy: a key of :data:`~cloudedge_pl.exits.EXIT_POLICIES`; "none" lets no sample exit.
        threshold: samples of a score above it exit, in [0, 1]; None lets none exit.
        audit_share: share of these that go to the cloud anyway, so that the risk is measured, in [0, 1].
        risk: a key of :data:`~cloudedge_pl.exits.RISKS`: what is counted as lost.
        max_risk: the limit that was asked for.
        method: by which the threshold was chosen, "ucb" or "crc".
        delta: probability with which "ucb" may fail.
        guarantee: what a calibration promises, in a sentence; None if the threshold was given or there is none.
    """

    policy: str = "none"
    threshold: float | None = None
    audit_share: float = 0.01
    risk: str = "disagreement"
    max_risk: float = 0.02
    method: str = "ucb"
    delta: float = 0.05
    guarantee: str | None = None

    def __post_init__(self) -> None:
        require_fields("exits", self)
        lookup(EXIT_POLICIES, self.policy, "exit policy")
        require_range("exits", 0, 1, audit_share=self.audit_share)
        if self.threshold is not None:
            require_range("exits", 0, 1, threshold=self.threshold)

    @property
    def are_on(self) -> bool:
        """Whether a sample may exit at all."""
        return self.policy != "none" and self.threshold is not None

    def require_classes(self, number: int) -> None:
        """Raises ValueError if samples may exit that have one class only, of which any network is sure."""
        if self.are_on and number < 2:
            raise ValueError(
                f"exits: num_classes is {number}; which samples exit is decided by the logits of two classes or more. "
                "Give no threshold."
            )


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a bundle holds.

    Args:
        format: a key of :data:`FORMATS`.
        model: name of the network.
        num_classes: length of the logits.
        class_names: in the order of the logits.
        split_point: where the network is cut.
        split_name: the last layer of the edge part.
        parts: by name: those of :data:`PARTS`, and perhaps some of :data:`OPTIONAL_PARTS`.
        codec: the form in which the cut tensors are sent to the cloud.
        exits: which samples the exit head answers while the cloud is awake.
        dormancy: the rule by which the cloud sleeps.
        preprocessing: from a picture to ``image``; None if the run's data are no pictures.
        sizes: whole numbers that cross the cut and are not sent, because both sides know them: a number, or a
            multiple of the batch such as "batch" or "2 * batch".
        run: where the bundle comes from: seed, checkpoint.
        versions: of the packages that exported it.
        folder: of the bundle; None before it is written or read.

    Raises:
        ValueError: if the values do not fit together.
    """

    format: str
    model: str
    num_classes: int
    class_names: tuple[str, ...]
    split_point: int
    split_name: str
    parts: Mapping[str, PartSpec]
    codec: CodecConfig
    exits: ExitRule
    dormancy: DormancyRule
    preprocessing: Preprocessing | None = None
    sizes: Mapping[str, int | str] = field(default_factory=dict)
    run: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        require_fields("manifest", self)
        lookup(FORMATS, self.format, "format of a bundle")
        if missing := [name for name in PARTS if name not in self.parts]:
            raise ValueError(
                f"manifest: the part {missing[0]!r} is missing; a bundle has {', '.join(PARTS)}."
            )
        for name in self.parts:
            lookup((*PARTS, *OPTIONAL_PARTS), name, "part of a bundle")
        if len(self.class_names) != self.num_classes:
            raise ValueError(
                f"manifest: {len(self.class_names)} class_names for num_classes {self.num_classes}; give one each."
            )
        self.exits.require_classes(self.num_classes)
        self._require_parts_that_fit()
        pictures, sides = self.preprocessing, self.image.shape[1:]
        if pictures is not None and tuple(pictures.input_shape) != sides:
            raise ValueError(
                f"manifest: preprocessing.input_shape is {list(pictures.input_shape)}, and the edge part takes "
                f"{list(sides)}; they must be the same."
            )

    def _require_parts_that_fit(self) -> None:
        given = {tensor.name: tensor for tensor in self.parts["edge"].outputs}
        for name in ("exit", "cloud"):
            for tensor in self.parts[name].inputs:
                if given.get(tensor.name) != tensor:
                    raise ValueError(
                        f"manifest: the part {name!r} takes {tensor}, and the edge part gives "
                        f"{given.get(tensor.name, 'no such tensor')}."
                    )
        for name, part in self.parts.items():
            if name != "edge" and [tensor.shape for tensor in part.outputs] != [(-1, self.num_classes)]:
                raise ValueError(
                    f"manifest: the part {name!r} gives {[list(each.shape) for each in part.outputs]}; it must be "
                    f"logits of the shape {[-1, self.num_classes]}."
                )

    @property
    def id(self) -> str:
        """SHA-256 of the parts' hashes, the split point and the codec: two processes with one id fit together."""
        codec = [self.codec.name, self.codec.ratio if self.codec.uses_ratio else None]
        hashes = [self.parts[name].sha256 for name in PARTS]
        return hashlib.sha256(json.dumps([hashes, self.split_point, codec]).encode()).hexdigest()

    @property
    def image(self) -> TensorSpec:
        """The input of the edge part."""
        return self.parts["edge"].inputs[0]

    @property
    def cut(self) -> tuple[TensorSpec, ...]:
        """The tensors that are sent to the cloud."""
        return self.parts["cloud"].inputs

    @property
    def exit_inputs(self) -> tuple[TensorSpec, ...]:
        """The tensors that the exit head takes: those of :attr:`cut`, or the same values before the codec."""
        return self.parts["exit"].inputs

    def path(self, part: str) -> Path:
        """Where the file of a part lies."""
        spec = lookup(self.parts, part, "part of the bundle")
        if self.folder is None:
            raise ValueError("the manifest is of no folder; read it with Manifest.read(folder).")
        return self.folder / spec.file

    def check_hashes(self, *parts: str) -> None:
        """Checks that the files of parts are those that were exported together.

        Args:
            parts: names; none checks all parts. A machine may hold only the parts that it runs.

        Raises:
            BundleError: if a file is missing, or is not the one of this export.
        """
        for name in parts or self.parts:
            path = self.path(name)
            if not path.is_file():
                raise BundleError(
                    f"the bundle {self.folder} has no {path.name}, its part {name!r}; export it again, or copy the "
                    "file from where it was exported."
                )
            if (found := file_sha256(path)) != self.parts[name].sha256:
                raise BundleError(
                    f"{path} is not the part {name!r} of this export: its hash is {found[:12]}…, that in {MANIFEST} "
                    f"{self.parts[name].sha256[:12]}…. It is damaged or of another export; copy the whole bundle again."
                )

    def to_dict(self) -> dict[str, Any]:
        """The content of the file."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "folder"}
        for name in ("codec", "exits", "dormancy", "preprocessing"):
            values[name] = None if values[name] is None else asdict(values[name])
        values["parts"] = {name: asdict(part) for name, part in self.parts.items()}
        return json_values({"manifest_version": MANIFEST_VERSION, "id": self.id} | values)

    def write(self, folder: str | Path) -> Path:
        """Writes ``manifest.json`` to a folder, completely or not at all, and returns its path."""
        path = Path(folder) / MANIFEST
        with written_whole(path) as part:
            part.write_text(json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n", encoding="utf-8")
        return path

    @classmethod
    def read(cls, folder: str | Path) -> Manifest:
        """Reads the manifest of a bundle; the parts' files are not looked at (see :meth:`check_hashes`).

        Raises:
            BundleError: if there is none, or it is damaged or of another version.
        """
        path = Path(folder) / MANIFEST
        try:
            if (size := path.stat().st_size) > LARGEST_BYTES:
                raise ValueError(f"it has {size} bytes, and a manifest at most {LARGEST_BYTES}")
            content = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise BundleError(
                f"{folder} is no bundle: it has no {MANIFEST}. Make one: cloudedge export ckpt=PATH dir={folder}"
            ) from None
        except (OSError, ValueError, RecursionError) as error:
            raise BundleError(f"{path} cannot be read ({error}); export the bundle again.") from error
        return _manifest(path, content)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(path: Path, content: Any) -> Manifest:
    """The manifest that a file holds; its id must be that of its content."""
    if not isinstance(content, dict) or "manifest_version" not in content:
        raise BundleError(f"{path} is no manifest of a bundle: it has no manifest_version.")
    version, said = content.pop("manifest_version"), content.pop("id", None)
    if version != MANIFEST_VERSION or isinstance(version, bool):
        raise BundleError(
            f"{path} is of manifest_version {version!r}, and this version of cloudedge_pl reads {MANIFEST_VERSION}; "
            "export the bundle again, or serve it with the version that wrote it."
        )
    try:
        manifest = Manifest(**_values(content), folder=path.parent)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise BundleError(f"{path} is damaged: {reason.rstrip('.')}. Export the bundle again.") from error
    if said != manifest.id:
        raise BundleError(
            f"{path} is damaged: its id is {str(said)[:12]}…, and that of its parts, cut and codec "
            f"{manifest.id[:12]}…. Export the bundle again."
        )
    return manifest


def _values(content: dict[str, Any]) -> dict[str, Any]:
    """The fields of a manifest, made of what JSON holds of them."""
    for each in fields(Manifest):
        if each.default is each.default_factory is MISSING and each.name not in content:
            raise KeyError(each.name)
    require_types("manifest", _json_types, content)
    pictures = content.get("preprocessing")
    made = {
        "parts": {name: _part(name, values) for name, values in content["parts"].items()},
        "codec": as_settings(CodecConfig, content["codec"], "codec"),
        "exits": as_settings(ExitRule, content["exits"], "exits"),
        "dormancy": as_settings(DormancyRule, content["dormancy"], "dormancy"),
        "preprocessing": None if pictures is None else Preprocessing.of(pictures),
    }
    return of_json(content) | made


def _json_types(
    class_names: list[str],
    parts: Mapping[str, Any],
    codec: Mapping[str, Any],
    exits: Mapping[str, Any],
    dormancy: Mapping[str, Any],
    preprocessing: Mapping[str, Any] | None,
    sizes: Mapping[str, Any],
    run: Mapping[str, Any],
    versions: Mapping[str, Any],
) -> None:
    """The types of what is not a plain value in the file, as a signature."""


def _part(name: str, values: Any) -> PartSpec:
    if not isinstance(values, Mapping):
        raise ValueError(f"the part {name!r} is {values!r}; it must be a mapping.")
    try:
        tensors = {side: tensor_specs(values[side]) for side in ("inputs", "outputs")}
    except ValueError as error:
        raise ValueError(f"the part {name!r}: {error}") from error
    return as_settings(PartSpec, {**values, **tensors}, f"the part {name!r}")
