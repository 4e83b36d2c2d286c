"""The manifest: what is written is read, and nothing else passes for it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudedge_pl.costs import CodecConfig
from cloudedge_pl.errors import BundleError
from cloudedge_pl.serving import ExitRule, Manifest, TensorSpec
from cloudedge_pl.serving.parts import DATATYPES
from tests.serving.bundles import CUT, EXIT, IMAGE, LOGITS, write_bundle


def edited(folder: Path, change: Any) -> None:
    """Changes the content of a written manifest, as a user or a bad disk would."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    first = write_bundle(tmp_path)
    again = Manifest.read(tmp_path)
    assert again == first
    assert (again.image, again.cut, again.exit_inputs) == (IMAGE, CUT, EXIT)
    assert again.path("cloud") == tmp_path / "cloud.onnx"
    again.check_hashes()


def test_the_file_holds_what_the_protocol_calls_its_own(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    content = json.loads((tmp_path / "manifest.json").read_text())
    assert content["manifest_version"] == 1
    assert content["parts"]["cloud"]["inputs"][0] == {
        "name": "cut_0",
        "datatype": "UINT8",
        "shape": [-1, 4, 4, 4],
    }
    assert content["codec"] == {"name": "int8", "ratio": 0.25}
    assert content["exits"]["threshold"] == 0.9
    assert content["dormancy"]["mode"] == "deadline"
    assert "folder" not in content


def test_the_id_is_of_the_parts_hashes_the_cut_and_the_codec(tmp_path: Path) -> None:
    manifest = write_bundle(tmp_path)
    hashes = [hashlib.sha256(f"the {name} part".encode()).hexdigest() for name in ("edge", "exit", "cloud")]
    expected = hashlib.sha256(json.dumps([hashes, 2, ["int8", None]]).encode()).hexdigest()
    assert manifest.id == expected
    others = [
        replace(manifest, split_point=3),
        replace(manifest, codec=CodecConfig("float16")),
        replace(manifest, parts=manifest.parts | {"exit": replace(manifest.parts["exit"], sha256="f" * 64)}),
    ]
    assert len({manifest.id, *(other.id for other in others)}) == 4
    assert replace(manifest, exits=ExitRule(), codec=CodecConfig("int8", ratio=0.5)).id == manifest.id


def test_a_part_of_another_export_is_refused_by_its_hash(tmp_path: Path) -> None:
    manifest = write_bundle(tmp_path)
    (tmp_path / "exit.onnx").write_bytes(b"the exit part of another export")
    manifest.check_hashes("edge", "cloud")
    with pytest.raises(BundleError, match=r"exit\.onnx is not the part 'exit' of this export"):
        manifest.check_hashes()
    (tmp_path / "cloud.onnx").unlink()
    with pytest.raises(BundleError, match=r"has no cloud\.onnx"):
        manifest.check_hashes("cloud")


def drop_codec(content: dict[str, Any]) -> None:
    del content["codec"]


def add_key(content: dict[str, Any]) -> None:
    content["codec"]["level"] = 3


def leave_the_bundle(content: dict[str, Any]) -> None:
    content["parts"]["edge"]["file"] = "../edge.onnx"


def take_what_no_edge_gives(content: dict[str, Any]) -> None:
    content["parts"]["cloud"]["inputs"][0]["shape"] = [-1, 4, 4, 5]


def fix_the_batch(content: dict[str, Any]) -> None:
    content["parts"]["exit"]["inputs"][0]["shape"] = [1, 4, 4, 4]


def invent_a_datatype(content: dict[str, Any]) -> None:
    content["parts"]["exit"]["inputs"][0]["datatype"] = "FLOAT"


def cut_elsewhere(content: dict[str, Any]) -> None:
    content["split_point"] = 7


def lose_a_part(content: dict[str, Any]) -> None:
    del content["parts"]["exit"]


def a_later_version(content: dict[str, Any]) -> None:
    content["manifest_version"] = 2


def put(key: str, value: Any) -> Any:
    return lambda content: content.update({key: value})


def picture_of_another_size(content: dict[str, Any]) -> None:
    content["preprocessing"]["input_shape"] = [3, 9, 9]


def list_no_tensors(content: dict[str, Any]) -> None:
    content["parts"]["edge"]["inputs"] = 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_codec, "'codec' is missing"),
        (add_key, "level"),
        (leave_the_bundle, r"\.\./edge\.onnx"),
        (take_what_no_edge_gives, "the part 'cloud' takes"),
        (fix_the_batch, "must be -1, the batch"),
        (invent_a_datatype, "unknown datatype 'FLOAT'"),
        (cut_elsewhere, "its id is"),
        (lose_a_part, "'exit' is missing"),
        (a_later_version, "manifest_version 2"),
        (put("manifest_version", True), "manifest_version True"),
        (put("class_names", "abc"), "class_names is 'abc'"),
        (put("parts", []), r"parts is \[\]"),
        (put("codec", "none"), "codec is 'none'"),
        (put("sizes", []), r"sizes is \[\]"),
        (put("preprocessing", {"mean": 3}), "mean is 3|missing"),
        (put("parts", {"edge": "edge.onnx"}), "the part 'edge' is 'edge.onnx'; it must be a mapping"),
        (picture_of_another_size, r"input_shape is \[3, 9, 9\], and the edge part takes \[3, 8, 8\]"),
        (list_no_tensors, "the part 'edge': the list of tensors is 3"),
    ],
)
def test_a_damaged_manifest_says_what_is_wrong(tmp_path: Path, change: Any, message: str) -> None:
    write_bundle(tmp_path)
    edited(tmp_path, change)
    with pytest.raises(BundleError, match=message) as caught:
        Manifest.read(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"manifest_version": 1}', "\x00\xff", "[" * 100_000],
    ids=lambda text: text[:9],
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text, encoding="latin-1")
    with pytest.raises(BundleError):
        Manifest.read(tmp_path)


def test_a_manifest_without_end_is_not_read(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    with (tmp_path / "manifest.json").open("ab") as file:
        file.truncate(2**24 + 1)
    with pytest.raises(BundleError, match="16777217 bytes"):
        Manifest.read(tmp_path)


def test_a_folder_without_manifest_says_how_to_make_one(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(BundleError, match="cloudedge export"):
            Manifest.read(folder)


@given(
    st.sampled_from(sorted(DATATYPES)),
    st.lists(st.integers(1, 5), max_size=3).map(tuple),
    st.integers(0, 4),
)
def test_an_array_of_the_tensor_passes_and_no_other(
    datatype: str, shape: tuple[int, ...], batch: int
) -> None:
    spec = TensorSpec(name="cut_0", datatype=datatype, shape=(-1, *shape))
    array = np.zeros((batch, *shape), DATATYPES[datatype])
    spec.require(array)
    assert array.nbytes == batch * spec.sample_bytes
    for wrong in (array.astype(np.complex64), array[..., None], np.zeros((batch, *shape, 2), array.dtype)):
        with pytest.raises(ValueError, match="cut_0"):
            spec.require(wrong)


def test_logits_are_as_many_as_the_classes(tmp_path: Path) -> None:
    manifest = write_bundle(tmp_path)
    with pytest.raises(ValueError, match="class_names"):
        replace(manifest, class_names=("a", "b"))
    with pytest.raises(ValueError, match="logits of the shape"):
        replace(manifest, class_names=tuple("abcd"), num_classes=4)
    whole = replace(manifest.parts["exit"], file="whole.onnx", inputs=(IMAGE,), outputs=LOGITS)
    assert replace(manifest, parts={**manifest.parts, "whole": whole}).id == manifest.id
