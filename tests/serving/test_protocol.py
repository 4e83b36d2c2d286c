"""Bodies of the Open Inference Protocol: what is written is read again; what is malformed is refused with a 400."""

from __future__ import annotations

import json
import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cloudedge_pl.serving.parts import DATATYPES, TensorSpec
from cloudedge_pl.serving.protocol import (
    Inference,
    ProtocolError,
    decode_answer,
    decode_request,
    encode_answer,
    encode_request,
)

X = TensorSpec(name="x", datatype="FP32", shape=(-1, 2))
Y = TensorSpec(name="y", datatype="INT8", shape=(-1,))
LOGITS = TensorSpec(name="logits", datatype="FP32", shape=(-1, 3))


@st.composite
def tensors(draw: st.DrawFn) -> tuple[list[TensorSpec], dict[str, np.ndarray]]:
    """Up to three tensors of one batch, of any datatypes and shapes."""
    batch = draw(st.integers(1, 4))
    specs, arrays = [], {}
    for name in draw(st.lists(st.text(max_size=5), min_size=1, max_size=3, unique=True)):
        datatype = draw(st.sampled_from(sorted(DATATYPES)))
        shape = tuple(draw(st.lists(st.integers(1, 3), max_size=3)))
        specs.append(TensorSpec(name=name, datatype=datatype, shape=(-1, *shape)))
        arrays[name] = draw(hnp.arrays(DATATYPES[datatype], (batch, *shape)))
    return specs, arrays


def same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@given(tensors())
def test_a_request_is_read_as_it_was_written(case: tuple[list[TensorSpec], dict[str, np.ndarray]]) -> None:
    specs, arrays = case
    body, length = encode_request(arrays, specs, parameters={"timeout": 2_000_000})
    found = decode_request(body, str(length), specs, [LOGITS])
    same(found.tensors, arrays)
    assert found.binary
    assert found.timeout_seconds == 2.0


@given(tensors(), st.booleans(), st.text(max_size=5))
@example(
    (
        [TensorSpec(name="x", datatype="UINT64", shape=(-1,))],
        {"x": np.array([0, 2**63, 2**64 - 1], dtype=np.uint64)},
    ),
    False,
    "",
)
def test_an_answer_is_read_as_it_was_written(
    case: tuple[list[TensorSpec], dict[str, np.ndarray]], binary: bool, identity: str
) -> None:
    specs, arrays = case
    body, length = encode_answer("m", arrays, specs, Inference(tensors={}, id=identity, binary=binary))
    assert (length is None) != binary
    same(decode_answer(body, None if length is None else str(length), specs).tensors, arrays)
    head = json.loads(body[:length])
    assert head["model_name"] == "m"
    assert head.get("id", "") == identity


def test_the_layout_is_that_of_the_specification() -> None:
    """Triton's extension_binary_data.md: the JSON object, then each tensor's values, little-endian, row by row."""
    head = {
        "inputs": [
            {"name": "x", "shape": [2, 2], "datatype": "FP32", "parameters": {"binary_data_size": 16}},
            {"name": "y", "shape": [2], "datatype": "INT8", "data": [3, -4]},
        ],
        "outputs": [{"name": "logits", "parameters": {"binary_data": True}}],
    }
    encoded = json.dumps(head, indent=2).encode()
    values = bytes.fromhex("0000803f 00000040 00004040 00008040")  # 1, 2, 3, 4
    found = decode_request(encoded + values, str(len(encoded)), [X, Y], [LOGITS])
    same(
        found.tensors,
        {"x": np.array([[1, 2], [3, 4]], np.float32), "y": np.array([3, -4], np.int8)},
    )
    assert found.wanted == {"logits": True}


@pytest.mark.parametrize("data", [[1, 2, 3, 4], [[1, 2], [3, 4]], [[1.0, 2.0], [3, 4]]])
def test_json_data_may_be_flat_or_nested(data: Any) -> None:
    body = json.dumps({"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": data}]})
    found = decode_request(body.encode(), None, [X], [LOGITS])
    np.testing.assert_array_equal(found.tensors["x"], np.array([[1, 2], [3, 4]], np.float32))
    assert found.timeout_seconds == math.inf


def good() -> dict[str, Any]:
    return {"inputs": [{"name": "y", "shape": [2], "datatype": "INT8", "data": [1, 2]}]}


def changed(key: str, value: Any) -> dict[str, Any]:
    request = good()
    if key in request["inputs"][0]:
        request["inputs"][0][key] = value
    else:
        request[key] = value
    return request


MALFORMED: dict[str, Any] = {
    "no object": [1],
    "no inputs": {},
    "inputs are no list": {"inputs": {"name": "y"}},
    "input is no object": {"inputs": [3]},
    "no tensor": {"inputs": []},
    "twice": {"inputs": good()["inputs"] * 2},
    "unknown": changed("name", "z"),
    "name is a number": changed("name", 3),
    "name is a list": changed("name", ["y"]),
    "other datatype": changed("datatype", "FP32"),
    "unknown datatype": changed("datatype", "FLOAT"),
    "datatype is a list": changed("datatype", []),
    "shape is text": changed("shape", "2"),
    "shape is too long": changed("shape", [2, 1]),
    "shape is negative": changed("shape", [-1]),
    "shape is a fraction": changed("shape", [2.0]),
    "shape is true": changed("shape", [True]),
    "shape is huge": changed("shape", [2**80]),
    "no samples": changed("shape", [0]),
    "too few values": changed("data", [1]),
    "too many values": changed("data", [1, 2, 3]),
    "values beyond the range": changed("data", [1, 128]),
    "values beyond 64 bits": changed("data", [1, 2**70]),
    "fractions": changed("data", [1.5, 2.0]),
    "text": changed("data", ["1", "2"]),
    "null": changed("data", [None, 1]),
    "ragged": changed("data", [[1], [1, 2]]),
    "data is no list": changed("data", 7),
    "data is an object": changed("data", {"a": 1}),
    "id is a number": changed("id", 3),
    "parameters are a list": changed("parameters", []),
    "binary_data_output is text": changed("parameters", {"binary_data_output": "yes"}),
    "unknown output": changed("outputs", [{"name": "class"}]),
    "output twice": changed("outputs", [{"name": "logits"}] * 2),
    "output's name is a list": changed("outputs", [{"name": []}]),
    "outputs are no list": changed("outputs", {"name": "logits"}),
    "binary_data is 1": changed("outputs", [{"name": "logits", "parameters": {"binary_data": 1}}]),
}


def test_what_may_be_absent_may_be_null() -> None:
    """MLServer's own types, for one, write every field that is not set."""
    request = good() | {"id": None, "parameters": None, "outputs": [{"name": "logits", "parameters": None}]}
    request["inputs"][0]["parameters"] = None
    found = decode_request(json.dumps(request).encode(), None, [Y], [LOGITS])
    assert found.tensors["y"].tolist() == [1, 2]
    assert (found.id, found.wanted) == ("", {"logits": False})
    found = decode_request(*binary_request(2, b"\x01\x02", data=None), [Y], [LOGITS])
    assert found.tensors["y"].tolist() == [1, 2]


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_request_is_refused(name: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_request(json.dumps(MALFORMED[name]).encode(), None, [Y], [LOGITS])
    assert caught.value.status == 400


def binary_request(size: Any, values: bytes, **entry: Any) -> tuple[bytes, str]:
    tensor = {
        "name": "y",
        "shape": [2],
        "datatype": "INT8",
        "parameters": {"binary_data_size": size},
        **entry,
    }
    head = json.dumps({"inputs": [tensor]}).encode()
    return head + values, str(len(head))


@pytest.mark.parametrize(
    ("size", "values", "entry"),
    [
        (1, b"1", {}),
        (3, b"123", {}),
        (2, b"1", {}),
        (2, b"123", {}),
        (-2, b"12", {}),
        (2.0, b"12", {}),
        ("2", b"12", {}),
        (2**62, b"12", {"shape": [2**62]}),
        (2, b"12", {"data": [1, 2]}),
    ],
)
def test_binary_values_must_be_as_long_as_their_shape_says(
    size: Any, values: bytes, entry: dict[str, Any]
) -> None:
    with pytest.raises(ProtocolError):
        decode_request(*binary_request(size, values, **entry), [Y], [LOGITS])


@pytest.mark.parametrize("length", ["", "-1", "99999", "x", "1e1", "٣", "9" * 40])
def test_the_length_of_the_head_must_be_a_number_within_the_body(length: str) -> None:
    with pytest.raises(ProtocolError):
        decode_request(binary_request(2, b"12")[0], length, [Y], [LOGITS])


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a": ' * 100_000, b"nul"])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_request(body, None, [Y], [LOGITS])


@given(st.binary(max_size=200), st.one_of(st.none(), st.integers(0, 220).map(str)))
def test_no_bytes_cause_another_error(body: bytes, length: str | None) -> None:
    try:
        decode_request(body, length, [Y], [LOGITS])
    except ProtocolError:
        pass
    else:
        raise AssertionError("random bytes are no request")


@given(st.data())
def test_a_body_with_a_flaw_is_read_or_refused(data: st.DataObject) -> None:
    body, length = encode_request({"x": np.ones((2, 2), np.float32)}, [X])
    at = data.draw(st.integers(0, len(body) - 1))
    flawed = body[:at] + bytes([data.draw(st.integers(0, 255))]) + body[at + 1 :]
    try:
        found = decode_request(flawed, str(length), [X], [LOGITS])
    except ProtocolError:
        return
    assert found.tensors["x"].shape == (2, 2)


def test_an_answer_about_another_number_of_samples_is_refused() -> None:
    body, length = encode_answer("m", {"y": np.ones(3, np.int8)}, [Y], Inference(tensors={}, binary=True))
    assert len(decode_answer(body, str(length), [Y], 3).tensors["y"]) == 3
    with pytest.raises(ProtocolError, match="about 3 samples; 2"):
        decode_answer(body, str(length), [Y], 2)


def test_arrays_of_a_binary_body_are_views_of_it() -> None:
    body, length = encode_request({"x": np.ones((2, 2), np.float32)}, [X])
    assert decode_request(body, str(length), [X], [LOGITS]).tensors["x"].base is not None


@pytest.mark.parametrize("timeout", [-1, 1.5, "1", True])
def test_the_timeout_is_a_whole_number_of_microseconds(timeout: Any) -> None:
    with pytest.raises(ProtocolError, match="microseconds"):
        Inference(tensors={}, parameters={"timeout": timeout}).timeout_seconds  # noqa: B018  # a property that checks


def test_texts_in_place_of_numbers_take_no_memory() -> None:
    """An array of texts would take the longest one's memory for each: 160 MB here, any amount in a larger body."""
    data = ["x" * 20_000, *[""] * 2_001]
    body = json.dumps(
        {"inputs": [{"name": "x", "shape": [1_001, 2], "datatype": "FP32", "data": data}]}
    ).encode()
    tracemalloc.start()
    with pytest.raises(ProtocolError, match="values of object"):
        decode_request(body, None, [X], [LOGITS])
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10 * len(body)
