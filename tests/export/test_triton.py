"""The model repository for Triton says what the cloud part takes and gives."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from cloudedge_pl.export.triton import model_config, write_repository
from cloudedge_pl.serving import TensorSpec
from tests.serving.bundles import write_bundle


def parsed(text: str) -> list[tuple[str, Any]]:
    """The fields of a message in the text format of Protocol Buffers, as far as a configuration needs it."""
    tokens = re.findall(r'"[^"]*"|[{}\[\],:]|[\w.-]+', text)
    fields, rest = message(tokens)
    assert not rest
    return fields


def message(tokens: list[str]) -> tuple[list[tuple[str, Any]], list[str]]:
    fields = []
    while tokens and tokens[0] != "}":
        name, tokens = tokens[0], tokens[1:]
        assert re.fullmatch(r"[a-z_]+", name)
        if tokens[0] == ":":
            tokens = tokens[1:]
        value: Any
        if tokens[0] == "{":
            value, tokens = message(tokens[1:])
            tokens = tokens[1:]
        elif tokens[0] == "[":
            end = tokens.index("]")
            value, tokens = [int(each) for each in tokens[1:end] if each != ","], tokens[end + 1 :]
        else:
            value, tokens = tokens[0].strip('"'), tokens[1:]
        fields.append((name, value))
    return fields, tokens


def test_the_repository_holds_the_model_and_what_it_takes(tmp_path: Path) -> None:
    manifest = write_bundle(tmp_path)
    folder = write_repository(manifest, tmp_path)
    model = folder / "cloud" / "1" / "model.onnx"
    assert model.read_bytes() == (tmp_path / "cloud.onnx").read_bytes()
    found = parsed((folder / "cloud" / "config.pbtxt").read_text())
    inputs = [dict(value) for name, value in found if name == "input"]
    assert inputs == [
        {"name": "cut_0", "data_type": "TYPE_UINT8", "dims": [4, 4, 4]},
        {"name": "cut_0_scale", "data_type": "TYPE_FP32", "dims": [1]},
    ]
    rest = dict(found)
    assert dict(rest["output"]) == {"name": "logits", "data_type": "TYPE_FP32", "dims": [3]}
    assert int(rest["max_batch_size"]) > 1
    assert dict(rest["dynamic_batching"]).keys() == {"max_queue_delay_microseconds"}
    assert dict(dict(rest["parameters"])["value"]) == {"string_value": manifest.id}
    assert write_repository(manifest, tmp_path) == folder  # again, over the first


def test_tritons_own_definition_reads_it(tmp_path: Path) -> None:
    config = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    text_format = pytest.importorskip("google.protobuf.text_format")
    manifest = write_bundle(tmp_path)
    read = text_format.Parse(model_config(manifest), config.ModelConfig())
    assert [(each.name, list(each.dims)) for each in read.input] == [
        ("cut_0", [4, 4, 4]),
        ("cut_0_scale", [1]),
    ]
    assert config.DataType.Name(read.output[0].data_type) == "TYPE_FP32"


def test_a_number_a_sample_is_reshaped(tmp_path: Path) -> None:
    from cloudedge_pl.export.triton import _fields

    found = dict(parsed(_fields(TensorSpec(name="cut_0", datatype="INT64", shape=(-1,)))))
    assert (found["dims"], dict(found["reshape"])) == ([1], {"shape": []})
