"""An exported part that computes: an onnxruntime session, and the queue before it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import onnxruntime

from cloudedge_pl.errors import BundleError, lookup, require_range
from cloudedge_pl.serving.failures import Overloaded, ServingError, TooLate
from cloudedge_pl.serving.manifest import Manifest
from cloudedge_pl.serving.model_server import ServedModel
from cloudedge_pl.serving.parts import DATATYPES, TensorSpec

PROVIDERS = ("CPUExecutionProvider",)
"""What computes, in order of preference, unless the user says otherwise."""

TYPES = {
    f"tensor({name})": datatype
    for name, datatype in (
        *((str(dtype), name) for name, dtype in DATATYPES.items() if name != "BF16"),
        ("float", "FP32"),
        ("double", "FP64"),
        ("bfloat16", "BF16"),
    )
}
"""Datatypes by their names in onnxruntime."""

LONGEST_SECONDS = 3600.0
"""That a sample may be made to take."""

Run = Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]
"""Takes inputs by name, returns outputs by name; may block."""


class OnnxPart:
    """A part of a bundle on this machine.

    Its threads do not spin while they wait, because other processes may need the processor.

    Args:
        manifest: of the bundle, with its folder.
        part: name of the part, whose file and hash are checked.
        threads: of one computation; None lets onnxruntime take all cores.
        providers: onnxruntime's execution providers, in order of preference.

    Raises:
        BundleError: if the file is missing, of another export, no ONNX, does not load, or takes and gives other tensors
            than the manifest says.
        ValueError: if ``threads`` is out of range, or a provider is not there.
    """

    def __init__(
        self,
        manifest: Manifest,
        part: str,
        *,
        threads: int | None = None,
        providers: Sequence[str] = PROVIDERS,
    ) -> None:
        check_session(threads, providers)
        require_onnx(manifest)
        manifest.check_hashes(part)
        self.spec = manifest.parts[part]
        self._outputs = [tensor.name for tensor in self.spec.outputs]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                manifest.path(part), options, providers=list(providers)
            )
        except Exception as error:  # onnxruntime's own classes have no common base but this one
            raise BundleError(f"{manifest.path(part)} cannot be loaded by onnxruntime: {error}") from error
        for kind, found, specs in (
            ("takes", self._session.get_inputs(), self.spec.inputs),
            ("gives", self._session.get_outputs(), self.spec.outputs),
        ):
            if wrong := _difference(found, specs, every=kind == "takes"):
                raise BundleError(
                    f"{manifest.path(part)} {kind} other tensors than the manifest says: {wrong}. Export the bundle "
                    "again."
                )

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Computes the outputs, by name, of inputs by name [B, ...]; inputs of other names are left out."""
        given = {tensor.name: inputs[tensor.name] for tensor in self.spec.inputs}
        found: list[Any] = self._session.run(self._outputs, given)
        return dict(zip(self._outputs, found, strict=True))


def require_onnx(manifest: Manifest) -> None:
    """Checks that servers can run a bundle.

    Raises:
        BundleError: if it is of another format.
    """
    if manifest.format != "onnx":
        raise BundleError(
            f"the bundle {manifest.folder} is of the format {manifest.format!r}, which needs torch; servers run "
            "ONNX. Export it with format=onnx."
        )


def check_session(threads: int | None, providers: Sequence[str] = PROVIDERS) -> None:
    """Checks what a user says about how a part computes.

    Raises:
        ValueError: if ``threads`` is out of range, or a provider is not there.
    """
    if threads is not None:
        require_range("session", 1, 1024, whole=True, threads=threads)
    there = onnxruntime.get_available_providers()
    if not providers:
        raise ValueError(f"session: providers is empty; give at least one of: {', '.join(there)}.")
    for name in providers:
        lookup(there, name, "one of the providers of this onnxruntime,")


def _difference(found: Sequence[Any], specs: Sequence[TensorSpec], *, every: bool) -> str | None:
    """How a model's tensors differ from those that are expected; None if they do not.

    Args:
        found: onnxruntime's description of them.
        specs: what is expected.
        every: whether there may be no others.
    """
    known = {each.name: each for each in found}
    for spec in specs:
        if spec.name not in known:
            return f"there is no {spec.name!r}, only {sorted(known)}"
        node = known.pop(spec.name)
        fits = len(node.shape) == len(spec.shape) and all(
            not isinstance(side, int) or side == expected
            for side, expected in zip(node.shape[1:], spec.shape[1:], strict=True)
        )
        if TYPES.get(node.type) != spec.datatype or not fits:
            return f"{spec.name!r} is {node.type} {node.shape}, not {spec.datatype} {list(spec.shape)}"
    return f"it needs {sorted(known)} as well" if known and every else None


def paced(run: Run, least_seconds: float) -> Run:
    """Makes a computation take at least so long for each sample: a fast machine stands in for a slow one.

    Args:
        run: computes.
        least_seconds: of a sample; a batch of n takes n times as long. The processor is free meanwhile.

    Raises:
        ValueError: if the time is negative, or longer than an hour.
    """
    require_range("session", 0, LONGEST_SECONDS, least_seconds=least_seconds)
    if least_seconds == 0:
        return run

    def compute(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        started = time.perf_counter()
        found = run(inputs)
        samples = len(next(iter(inputs.values())))
        time.sleep(max(samples * least_seconds - (time.perf_counter() - started), 0.0))
        return found

    return compute


class Queue:
    """Requests to something that computes one at a time, in a thread of its own; a full queue refuses more.

    Args:
        run: computes.
        max_waiting: requests in the queue, including the one that is computed.
    """

    def __init__(self, run: Run, *, max_waiting: int = 32) -> None:
        require_range("queue", 1, 1_000_000, whole=True, max_waiting=max_waiting)
        self._run, self.max_waiting, self.waiting = run, max_waiting, 0
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="part")

    async def infer(self, inputs: dict[str, np.ndarray], timeout_seconds: float) -> dict[str, np.ndarray]:
        """Computes a request when it is its turn.

        Raises:
            Overloaded: if the queue is full.
            TooLate: if the time is over before it is done.
            ServingError: if the computation fails.
        """
        if self.waiting >= self.max_waiting:
            raise Overloaded(f"{self.waiting} requests wait already, the most is max_waiting.", 1.0)
        self.waiting += 1
        loop = asyncio.get_running_loop()
        future = self._pool.submit(self._run, inputs)
        # A request whose client is gone keeps its place for as long as it is being computed.
        future.add_done_callback(lambda done: self._leave(loop))
        try:
            async with asyncio.timeout(min(timeout_seconds, 1e6)):
                return await asyncio.wrap_future(future)
        except TimeoutError as error:
            raise TooLate("the time that the request gives is over.") from error
        except (RuntimeError, ValueError) as error:
            raise ServingError(f"the computation failed: {error}") from error

    def _leave(self, loop: asyncio.AbstractEventLoop) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._left)

    def _left(self) -> None:
        self.waiting -= 1

    def close(self) -> None:
        """Ends the threads when they have finished."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def served_part(manifest: Manifest, part: str, queue: Queue) -> ServedModel:
    """A part of a bundle as a model of a server, under the part's name."""
    spec = manifest.parts[part]
    return ServedModel(
        name=part,
        inputs=spec.inputs,
        outputs=spec.outputs,
        infer=queue.infer,
        manifest_id=manifest.id,
        parameters={"model": manifest.model, "split_point": manifest.split_point},
    )
