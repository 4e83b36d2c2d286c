"""Bodies of the Open Inference Protocol (v2 over HTTP): tensors to bytes and back. It knows no network.

A body is a JSON object. With the binary tensor extension the tensors' values follow it, little-endian and row by row,
and the header ``Inference-Header-Content-Length`` says where the object ends. Arrays that are read from a body are
views of its bytes.

Source: kserve/open-inference-protocol, specification/protocol/inference_rest.md, and Triton's extension_binary_data.md;
deviates: the datatype BYTES is refused, because no part takes it; FP16 may come as JSON, too, and BF16 as its 16 bits.
What may be absent may also be null, as some clients and servers write it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cloudedge_pl.serving.parts import TensorSpec

HEADER_LENGTH = "Inference-Header-Content-Length"
"""HTTP header: bytes of the JSON object at the start of a body with binary tensors."""

MANIFEST_HEADER = "Cloudedge-Manifest"
"""HTTP header of an answer: the export that the model belongs to. It is ours; servers of others do not send it."""

TIMING_HEADER = "Server-Timing"
"""HTTP header of an answer: milliseconds from the end of the request's body to the answer (W3C Server Timing)."""

BINARY_EXTENSION = "binary_tensor_data"
"""Name of the extension in the metadata of a server."""

VERSION = "1"
"""The one version of a model."""

NUMBERS = {int, float, bool}
"""What JSON data may hold. NumPy would give each of several texts the room of the longest, whatever that takes."""


class ProtocolError(ValueError):
    """A request or an answer that breaks the protocol, or does not fit the model.

    Args:
        message: the value, the limit and the fix.
        status: the HTTP status of the answer.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, eq=False, kw_only=True)
class Inference:
    """A request, or an answer, as arrays.

    Args:
        tensors: the inputs of a request, or the outputs of an answer, by name.
        id: the request's own, returned with the answer; "" for none.
        parameters: of the request or answer.
        wanted: names of the outputs to return, and whether each is to be binary; None returns all.
        binary: whether outputs are binary where ``wanted`` does not say.
    """

    tensors: dict[str, np.ndarray]
    id: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    wanted: Mapping[str, bool] | None = None
    binary: bool = False

    @property
    def timeout_seconds(self) -> float:
        """The time that the client gives, from the parameter ``timeout`` in microseconds; infinite without one."""
        given = self.parameters.get("timeout", 0)
        if not _is_size(given):
            raise ProtocolError(
                f"the parameter timeout is {given!r}; it must be microseconds, a whole number."
            )
        return given / 1e6 if given else math.inf


def encode_request(
    tensors: Mapping[str, np.ndarray],
    inputs: Sequence[TensorSpec],
    *,
    parameters: Mapping[str, Any] | None = None,
    binary: bool = True,
) -> tuple[bytes, int | None]:
    """Writes a request, with binary tensors and asking for all outputs in binary, or as a JSON object alone.

    Args:
        tensors: the inputs by name; those of other names are not sent.
        inputs: what the model takes.
        parameters: of the request.
        binary: whether the server knows the binary tensor extension.

    Returns:
        The body, and the length of its JSON object for :data:`HEADER_LENGTH` if it is binary, else None.
    """
    listed, chunks = _described(tensors, inputs, dict.fromkeys(tensors, binary))
    form = {"binary_data_output": True} if binary else {}
    body, length = _joined({"parameters": {**form, **(parameters or {})}, "inputs": listed}, chunks)
    return body, length if binary else None


def encode_answer(
    model: str,
    tensors: Mapping[str, np.ndarray],
    outputs: Sequence[TensorSpec],
    asked: Inference,
) -> tuple[bytes, int | None]:
    """Writes the answer to a request, in the form that it asks for.

    Args:
        model: name of the model.
        tensors: its outputs by name.
        outputs: what the model returns.
        asked: the request.

    Returns:
        The body, and the length of its JSON object if tensors follow it, else None.
    """
    wanted = asked.wanted
    if wanted is None:
        wanted = dict.fromkeys(tensors, asked.binary)
    else:
        outputs = [spec for spec in outputs if spec.name in wanted]
    listed, chunks = _described(tensors, outputs, wanted)
    head: dict[str, Any] = {"model_name": model, "model_version": VERSION, "outputs": listed}
    if asked.id:
        head["id"] = asked.id
    body, length = _joined(head, chunks)
    return body, length if chunks else None


def decode_request(
    body: bytes, header_length: str | None, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> Inference:
    """Reads a request to a model, and checks it against the model's inputs and outputs.

    Args:
        body: of the HTTP request.
        header_length: value of :data:`HEADER_LENGTH`; None if it is absent.
        inputs: what the model takes.
        outputs: what it returns.

    Raises:
        ProtocolError: if the body is malformed, or does not fit the model.
    """
    head, binary = _head(body, header_length)
    tensors = _tensors(head.get("inputs"), binary, inputs, "input")
    parameters = _mapping(head.get("parameters"), "parameters", optional=True)
    default = _flag(parameters.get("binary_data_output", False), "binary_data_output")
    wanted = _wanted(head["outputs"], default, outputs) if head.get("outputs") else None
    identity = "" if head.get("id") is None else head["id"]
    if not isinstance(identity, str):
        raise ProtocolError(f"id is {identity!r}; it must be text.")
    return Inference(tensors=tensors, id=identity, parameters=parameters, wanted=wanted, binary=default)


def decode_answer(
    body: bytes, header_length: str | None, outputs: Sequence[TensorSpec], batch: int | None = None
) -> Inference:
    """Reads the answer of a model, and checks it against what the model is to return.

    Args:
        body: of the HTTP response.
        header_length: value of :data:`HEADER_LENGTH`; None if it is absent.
        outputs: what the model returns.
        batch: number of samples that must be answered; None accepts any.

    Raises:
        ProtocolError: if the body is malformed, or has not these outputs.
    """
    head, binary = _head(body, header_length)
    tensors = _tensors(head.get("outputs"), binary, outputs, "output")
    if batch is not None and (found := len(next(iter(tensors.values())))) != batch:
        raise ProtocolError(f"the answer is about {found} samples; {batch} were asked for.")
    return Inference(tensors=tensors)


def _described(
    tensors: Mapping[str, np.ndarray], specs: Sequence[TensorSpec], binary: Mapping[str, bool]
) -> tuple[list[dict[str, Any]], list[memoryview]]:
    """The tensors as the protocol describes them, and the bytes of those that are binary."""
    listed, chunks = [], []
    for spec in specs:
        array = tensors[spec.name]
        entry: dict[str, Any] = {
            "name": spec.name,
            "shape": list(array.shape),
            "datatype": spec.datatype,
        }
        if binary[spec.name]:
            entry["parameters"] = {"binary_data_size": array.nbytes}
            if array.nbytes:
                chunks.append(memoryview(np.ascontiguousarray(array)).cast("B"))
        else:
            entry["data"] = array.ravel().tolist()
        listed.append(entry)
    return listed, chunks


def _joined(head: Mapping[str, Any], chunks: Sequence[memoryview]) -> tuple[bytes, int]:
    encoded = json.dumps(head, separators=(",", ":")).encode()
    return b"".join((encoded, *chunks)), len(encoded)


def _head(body: bytes, header_length: str | None) -> tuple[dict[str, Any], memoryview]:
    """The JSON object at the start of a body, and the bytes after it."""
    length = len(body)
    if header_length is not None:
        if not (header_length.isascii() and header_length.isdigit() and len(header_length) < 16):
            raise ProtocolError(f"{HEADER_LENGTH} is {header_length[:32]!r}; it must be a number of bytes.")
        length = int(header_length)
        if length > len(body):
            raise ProtocolError(f"{HEADER_LENGTH} is {length}, but the body has only {len(body)} bytes.")
    try:
        head = json.loads(body[:length])
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"the body's first {length} bytes are no JSON object: {error}.") from error
    return _mapping(head, "the body"), memoryview(body)[length:]


def _mapping(value: Any, what: str, *, optional: bool = False) -> dict[str, Any]:
    if value is None and optional:
        return {}
    if not isinstance(value, dict):
        raise ProtocolError(f"{what} must be a JSON object; it is {type(value).__name__}.")
    return value


def _flag(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise ProtocolError(f"{name} is {value!r}; it must be true or false.")
    return value


def _tensors(
    listed: Any, binary: memoryview, specs: Sequence[TensorSpec], kind: str
) -> dict[str, np.ndarray]:
    """Reads the tensors of a list, which must be those of ``specs``; binary ones take their bytes in order."""
    if not isinstance(listed, list):
        raise ProtocolError(f"the {kind}s must be a list of tensors.")
    known, tensors = {spec.name: spec for spec in specs}, dict[str, np.ndarray]()
    for each in listed:
        entry = _mapping(each, f"each {kind}")
        name = entry.get("name")
        spec = known.pop(name, None) if isinstance(name, str) else None
        if spec is None:
            raise ProtocolError(
                f"{kind} {name!r} is unknown, or there twice; the model has {', '.join(each.name for each in specs)}."
            )
        tensors[spec.name], binary = _tensor(f"{kind} {name!r}", entry, binary, spec)
    if known:
        raise ProtocolError(f"{kind} {min(known)!r} is missing.")
    if len(binary):
        raise ProtocolError(f"{len(binary)} bytes at the end of the body belong to no tensor.")
    sizes = {name: len(array) for name, array in tensors.items()}
    if len(set(sizes.values())) != 1 or 0 in sizes.values():
        raise ProtocolError(f"the {kind}s must have one number of samples, at least 1; they have {sizes}.")
    return tensors


def _tensor(
    owner: str, entry: dict[str, Any], binary: memoryview, spec: TensorSpec
) -> tuple[np.ndarray, memoryview]:
    """Reads one tensor, and returns it with the bytes that are left."""
    datatype, shape = entry.get("datatype"), entry.get("shape")
    if datatype != spec.datatype:
        raise ProtocolError(f"{owner}: datatype is {datatype!r}; the model has {spec.datatype}.")
    if not isinstance(shape, list) or not all(map(_is_size, shape)) or not _fits(shape, spec):
        raise ProtocolError(f"{owner}: shape is {shape!r:.100}; the model has {list(spec.shape)}.")
    parameters = _mapping(entry.get("parameters"), f"{owner}: parameters", optional=True)
    size, needed = parameters.get("binary_data_size"), math.prod(shape) * spec.dtype.itemsize
    if size is None:
        return _from_json(owner, entry.get("data"), shape, spec), binary
    if entry.get("data") is not None:
        raise ProtocolError(f"{owner} has both data and binary_data_size; give one of them.")
    if not _is_size(size) or size != needed or size > len(binary):
        raise ProtocolError(
            f"{owner}: binary_data_size is {size!r:.100}; {datatype} {shape} is {needed} bytes, and {len(binary)} are "
            "left in the body."
        )
    values = np.frombuffer(binary[:size], spec.dtype)
    if spec.datatype == "BOOL" and size and values.view(np.uint8).max() > 1:
        raise ProtocolError(f"{owner}: a BOOL is neither 0 nor 1.")
    return values.reshape(shape), binary[size:]


def _fits(shape: Sequence[int], spec: TensorSpec) -> bool:
    return len(shape) == len(spec.shape) and tuple(shape[1:]) == spec.shape[1:]


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**48


def _from_json(owner: str, data: Any, shape: Sequence[int], spec: TensorSpec) -> np.ndarray:
    """Reads values that are given as a list, flat or nested."""
    if not isinstance(data, list):
        raise ProtocolError(f"{owner} has neither a list of data nor binary_data_size.")
    try:
        values = np.array(data, dtype=object).ravel()
        if set(map(type, values)) <= NUMBERS:
            values = np.array(values.tolist())
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ProtocolError(f"{owner}: its data are no numbers in rows of equal length: {error}.") from error
    if spec.dtype == np.uint64 and values.dtype.kind == "f":
        values = _whole(data, values)
    given, kind = values.dtype.kind, spec.dtype.kind
    if values.size != math.prod(shape) or not (given == kind or (given in "iu" and kind in "iuf")):
        raise ProtocolError(
            f"{owner}: its data are {values.size} values of {values.dtype}; {spec.datatype} {list(shape)} is "
            f"{math.prod(shape)}."
        )
    with np.errstate(over="ignore"):  # a number beyond the range of a float becomes infinite
        array = values.astype(spec.dtype)
    if kind in "iu" and (array != values).any():
        raise ProtocolError(f"{owner}: a value is beyond the range of {spec.datatype}.")
    return array.reshape(shape)


def _whole(data: list[Any], values: np.ndarray) -> np.ndarray:
    """Returns numbers as uint64 if all are; numpy makes floats of a list that has both 0 and 2**63."""
    exact = np.array(data, dtype=object)
    if all(isinstance(each, int) and 0 <= each < 2**64 for each in exact.flat):
        return exact.astype(np.uint64)
    return values


def _wanted(listed: Any, default: bool, outputs: Sequence[TensorSpec]) -> dict[str, bool]:
    """The outputs that a request names, and whether each is to be binary."""
    if not isinstance(listed, list):
        raise ProtocolError("outputs must be a list.")
    known, wanted = {spec.name for spec in outputs}, dict[str, bool]()
    for each in listed:
        entry = _mapping(each, "each of outputs")
        name = entry.get("name")
        if not isinstance(name, str) or name not in known or name in wanted:
            raise ProtocolError(
                f"output {name!r} is unknown or there twice; the model has {', '.join(sorted(known))}."
            )
        parameters = _mapping(entry.get("parameters"), f"output {name!r}: parameters", optional=True)
        wanted[name] = _flag(parameters.get("binary_data", default), "binary_data")
    return wanted
