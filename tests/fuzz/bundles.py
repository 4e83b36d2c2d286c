"""Bundles that are damaged, edited by hand or made with bad intent: what is done to a good one, and the answer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.serving.fleets import write_bundle

Manifest = dict[str, Any]
LARGE_BYTES = 2**24 + 1


def put(*path: str | int, to: Any) -> Callable[[Manifest], None]:
    """Sets a value of the manifest."""

    def edit(content: Any) -> None:
        for key in path[:-1]:
            content = content[key]
        content[path[-1]] = to

    return edit


def drop(*path: str | int) -> Callable[[Manifest], None]:
    """Removes a key of the manifest."""

    def edit(content: Any) -> None:
        for key in path[:-1]:
            content = content[key]
        del content[path[-1]]

    return edit


EDITED: dict[str, tuple[Callable[[Manifest], None], str]] = {
    "no_version": (drop("manifest_version"), "no manifest_version"),
    "version": (put("manifest_version", to=2), "manifest_version 2"),
    "version_bool": (put("manifest_version", to=True), "manifest_version True"),
    "version_list": (put("manifest_version", to=[1]), r"manifest_version \[1\]"),
    "no_id": (drop("id"), "its id is None"),
    "id": (put("id", to="0" * 64), "its id is 000000000000"),
    "id_number": (put("id", to=3), "its id is 3"),
    "format": (put("format", to="tflite"), "unknown format of a bundle 'tflite'"),
    "format_number": (put("format", to=3), "format is 3"),
    "format_torch": (put("format", to="torch"), "format 'torch'"),
    "model": (put("model", to=None), "model is None"),
    "num_classes": (put("num_classes", to=6), "5 class_names for num_classes 6"),
    "num_classes_text": (put("num_classes", to="5"), "num_classes is '5'"),
    "num_classes_huge": (put("num_classes", to=10**12), "class_names for num_classes"),
    "class_names_text": (put("class_names", to="abcde"), "class_names is 'abcde'"),
    "class_names_number": (put("class_names", to=5), "class_names is 5"),
    "class_names_mixed": (put("class_names", to=["a", "b", "c", "d", 5]), "class_names is"),
    "class_names_null": (put("class_names", to=None), "class_names is None"),
    "no_class_names": (drop("class_names"), r"'class_names' is missing\. Export"),
    "split_point": (put("split_point", to=2), "its id is"),
    "split_point_float": (put("split_point", to=1.0), "split_point is 1.0"),
    "split_name": (put("split_name", to=[]), "split_name is"),
    "no_parts": (drop("parts"), "'parts' is missing"),
    "parts_empty": (put("parts", to={}), "the part 'edge' is missing"),
    "parts_list": (put("parts", to=[]), "parts is"),
    "parts_text": (put("parts", to="edge"), "parts is 'edge'"),
    "no_edge": (drop("parts", "edge"), "the part 'edge' is missing"),
    "no_cloud": (drop("parts", "cloud"), "the part 'cloud' is missing"),
    "another_part": (lambda content: content["parts"].update(middle=content["parts"]["edge"]), "'middle'"),
    "part_text": (put("parts", "edge", to="edge.onnx"), "'edge.onnx'|edge"),
    "part_null": (put("parts", "edge", to=None), "edge"),
    "part_key": (put("parts", "edge", "size", to=3), "'size'"),
    "part_no_file": (drop("parts", "edge", "file"), "file"),
    "part_file": (put("parts", "edge", "file", to=3), "file is 3"),
    "part_above": (put("parts", "edge", "file", to="../edge.onnx"), "file is '../edge.onnx'"),
    "part_root": (put("parts", "edge", "file", to="/etc/passwd"), "file is '/etc/passwd'"),
    "part_absent": (put("parts", "edge", "file", to="absent.onnx"), "has no absent.onnx"),
    "part_other": (put("parts", "edge", "file", to="cloud.onnx"), "not the part 'edge' of this export"),
    "part_hash": (put("parts", "edge", "sha256", to="0" * 64), "its id is"),
    "part_hash_number": (put("parts", "edge", "sha256", to=7), "sha256 is 7"),
    "part_difference": (put("parts", "edge", "largest_difference", to="small"), "largest_difference is"),
    "inputs_empty": (put("parts", "edge", "inputs", to=[]), "needs one or more"),
    "inputs_number": (put("parts", "edge", "inputs", to=3), "the list of tensors is 3"),
    "inputs_text": (put("parts", "edge", "inputs", to=["image"]), "image"),
    "inputs_name": (put("parts", "edge", "inputs", 0, "name", to="picture"), "edge.onnx.* 'picture'|picture"),
    "inputs_type": (put("parts", "edge", "inputs", 0, "datatype", to="FP99"), "unknown datatype 'FP99'"),
    "inputs_other_type": (put("parts", "edge", "inputs", 0, "datatype", to="FP64"), "FP64"),
    "inputs_shape": (put("parts", "edge", "inputs", 0, "shape", to=[-1, 3, 9, 9]), "9, 9"),
    "inputs_shape_number": (put("parts", "edge", "inputs", 0, "shape", to=3), "shape is 3"),
    "inputs_shape_text": (put("parts", "edge", "inputs", 0, "shape", to=["x"]), "shape is"),
    "inputs_shape_zero": (put("parts", "edge", "inputs", 0, "shape", to=[-1, 0]), r"\[-1, 0\]"),
    "inputs_shape_huge": (put("parts", "edge", "inputs", 0, "shape", to=[-1, 3, 10**9, 10**9]), "1000000000"),
    "inputs_twice": (
        lambda content: content["parts"]["edge"]["inputs"].append(content["parts"]["edge"]["inputs"][0]),
        "different names",
    ),
    "outputs": (put("parts", "edge", "outputs", 0, "shape", to=[-1, 7]), r"takes .* and the edge part gives"),
    "codec": (put("codec", "name", to="zip"), "unknown codec 'zip'"),
    "codec_other": (put("codec", "name", to="float16"), "its id is"),
    "codec_text": (put("codec", to="none"), "codec is 'none'"),
    "codec_key": (put("codec", "level", to=3), "'level'"),
    "codec_ratio": (put("codec", "ratio", to=2), "ratio is 2"),
    "exits": (put("exits", to=[]), r"exits is \[\]"),
    "exits_key": (put("exits", "patience", to=3), "'patience'"),
    "exits_policy": (put("exits", "policy", to="foo"), "exit policy 'foo'"),
    "exits_threshold": (put("exits", "threshold", to=1.5), "threshold is 1.5"),
    "exits_threshold_text": (put("exits", "threshold", to="high"), "threshold is 'high'"),
    "exits_audit": (put("exits", "audit_share", to=-1), "audit_share is -1"),
    "no_exits": (drop("exits"), "'exits' is missing"),
    "dormancy": (put("dormancy", "mode", to="nap"), "'nap'"),
    "dormancy_key": (put("dormancy", "naps", to=3), "'naps'"),
    "dormancy_smoothing": (put("dormancy", "smoothing", to=0), "smoothing is 0"),
    "dormancy_windows": (put("dormancy", "dwell_windows", to=1.5), "dwell_windows is 1.5"),
    "preprocessing_text": (put("preprocessing", to="none"), "preprocessing is 'none'"),
    "preprocessing_key": (put("preprocessing", "gamma", to=[2]), "'gamma'"),
    "preprocessing_shape": (put("preprocessing", "input_shape", to=[3, 8, 8]), r"input_shape is \[3, 8, 8\]"),
    "preprocessing_sides": (put("preprocessing", "input_shape", to=[3, 4]), r"input_shape is \[3, 4\]"),
    "preprocessing_std": (put("preprocessing", "std", to=[0, 1, 1]), "std is 0"),
    "preprocessing_mean": (put("preprocessing", "mean", to=[0.5]), "need one value for each"),
    "preprocessing_mean_text": (put("preprocessing", "mean", to="abc"), "mean is"),
    "sizes": (put("sizes", to=[]), "sizes is"),
    "key": (put("licence", to="MIT"), "'licence'"),
}
"""What somebody did to the manifest's JSON, and what the answer names."""

RAW: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "cannot be read"),
    "text": (b"a bundle", "cannot be read"),
    "binary": (bytes(range(256)), "cannot be read"),
    "wide": ('{"manifest_version": 1}'.encode("utf-16"), "cannot be read"),
    "list": (b"[1]", "no manifest_version"),
    "number": (b"3", "no manifest_version"),
    "null": (b"null", "no manifest_version"),
    "nan": (b"NaN", "no manifest_version"),
    "object": (b"{}", "no manifest_version"),
    "bare": (b'{"manifest_version": 1}', "is missing"),
    "deep": (b"[" * 100_000, "cannot be read"),
    "deep_object": (b'{"a":' * 100_000, "cannot be read"),
    "long_number": (b'{"manifest_version": ' + b"1" * 10_000 + b"}", "cannot be read"),
}
"""Files of the name manifest.json that are none."""

BUNDLES = [
    *((name, answer) for name, (_, answer) in EDITED.items()),
    *((name, answer) for name, (_, answer) in RAW.items()),
    ("huge", "16777217 bytes"),
    ("cut", "cannot be read"),
    ("folder", "cannot be read"),
    ("other_edge", "not the part 'edge' of this export"),
    ("cut_edge", "not the part 'edge' of this export"),
    ("empty_edge", "not the part 'edge' of this export"),
    ("absent_edge", "has no edge.onnx"),
    ("folder_edge", "has no edge.onnx"),
    ("swapped", "not the part 'edge' of this export"),
    ("no_onnx", "cannot be loaded by onnxruntime"),
]
"""Name of the folder below ``bundles``, and what the answer names."""


def write_bundles(folder: Path) -> None:
    """Writes a good bundle, ``bundle``, and below ``bundles`` what became of it."""
    write_bundle(folder / "bundle")
    good = (folder / "bundle" / "manifest.json").read_bytes()
    made = folder / "bundles"
    for name, _ in BUNDLES:
        shutil.copytree(folder / "bundle", made / name)
    for name, (edit, _) in EDITED.items():
        content = json.loads(good)
        edit(content)
        (made / name / "manifest.json").write_text(json.dumps(content))
    for name, (raw, _) in RAW.items():
        (made / name / "manifest.json").write_bytes(raw)
    (made / "cut" / "manifest.json").write_bytes(good[: len(good) // 2])
    with (made / "huge" / "manifest.json").open("ab") as file:
        file.truncate(LARGE_BYTES)
    (made / "folder" / "manifest.json").unlink()
    (made / "folder" / "manifest.json").mkdir()
    _write_parts(folder / "other", made)


def _write_parts(other: Path, made: Path) -> None:
    """Damages files of the edge part."""
    write_bundle(other, seed=1)
    shutil.copy(other / "edge.onnx", made / "other_edge" / "edge.onnx")
    edge = (made / "cut_edge" / "edge.onnx").read_bytes()
    (made / "cut_edge" / "edge.onnx").write_bytes(edge[:-9])
    (made / "empty_edge" / "edge.onnx").write_bytes(b"")
    (made / "absent_edge" / "edge.onnx").unlink()
    (made / "folder_edge" / "edge.onnx").unlink()
    (made / "folder_edge" / "edge.onnx").mkdir()
    shutil.copy(made / "swapped" / "cloud.onnx", made / "swapped" / "edge.onnx")
    _serve_text_as_a_part(made / "no_onnx")


def _serve_text_as_a_part(folder: Path) -> None:
    """A bundle whose hashes are right, and whose edge part is text."""
    from dataclasses import replace

    from cloudedge_pl.serving import Manifest as Read
    from cloudedge_pl.serving.manifest import file_sha256

    (folder / "edge.onnx").write_text("no network")
    manifest = Read.read(folder)
    edge = replace(manifest.parts["edge"], sha256=file_sha256(folder / "edge.onnx"))
    replace(manifest, parts={**manifest.parts, "edge": edge}).write(folder)
