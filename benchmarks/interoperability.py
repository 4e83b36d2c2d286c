"""Servers and clients of the Open Inference Protocol that others wrote, against ours.

    python3.11 -m venv /tmp/others && /tmp/others/bin/pip install mlserver onnxruntime 'tritonclient[http]'
    python benchmarks/interoperability.py --bundle bundle --others /tmp/others/bin

1. `tritonclient[http]` asks our node, cloud and master, with binary tensors and with JSON.
2. Our master works with a node and a cloud that are MLServer over onnxruntime, and answers as the bundle's parts do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from cloudedge_pl.commands.up import START
from cloudedge_pl.serving import Manifest
from cloudedge_pl.serving.addresses import Addresses
from cloudedge_pl.serving.client import Access, ModelClient
from cloudedge_pl.serving.failures import CallError
from cloudedge_pl.serving.manifest import ExitRule
from cloudedge_pl.serving.master import Master
from cloudedge_pl.serving.session import OnnxPart

RUNTIME = '''
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class OnnxRuntime(MLModel):
    """Runs an ONNX file, whose outputs have the names of the metadata."""

    async def load(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(self.settings.parameters.uri, options)
        return True

    async def predict(self, payload):
        given = {each.name: NumpyCodec.decode_input(each) for each in payload.inputs}
        found = self._session.run([each.name for each in self.outputs], given)
        outputs = [NumpyCodec.encode_output(each.name, value) for each, value in zip(self.outputs, found)]
        return InferenceResponse(model_name=self.name, outputs=outputs)
'''
ASK = """
import sys, numpy as np, tritonclient, tritonclient.http as http
url, model, name, files = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
client = http.InferenceServerClient(url)
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(model)
metadata = client.get_model_metadata(model)
values = np.load(files[0])
asked = []
for tensor in metadata["inputs"]:
    value = values[tensor["name"]]
    asked.append((http.InferInput(tensor["name"], list(value.shape), tensor["datatype"]), value))
out = {}
for binary in (True, False):
    for tensor, value in asked:
        tensor.set_data_from_numpy(value, binary_data=binary)
    wanted = [http.InferRequestedOutput(each["name"], binary_data=binary) for each in metadata["outputs"]]
    answer = client.infer(model, [tensor for tensor, _ in asked], outputs=wanted)
    out |= {f"{each['name']}_{binary}": answer.as_numpy(each["name"]) for each in metadata["outputs"]}
np.savez(files[1], **out)
"""


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def process(arguments: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that ends with the block."""
    started = subprocess.Popen(arguments, text=True, **options)
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(15)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


@contextmanager
def ours(*arguments: str) -> Iterator[str]:
    """A server of cloudedge, and its URL."""
    with process([sys.executable, "-c", START, *arguments, "port=0"], stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        for line in started.stdout:
            if " is served at " in line:
                yield line.split()[-1]
                return
        raise RuntimeError(f"{arguments[0]} did not start")


@contextmanager
def mlserver(folder: Path, program: Path, manifest: Manifest, part: str) -> Iterator[str]:
    """MLServer with one part of the bundle, and its URL."""
    port, spec = free_port(), manifest.parts[part]
    home = folder / f"mlserver_{part}"
    home.mkdir()
    ports = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port()}
    settings = {"host": "127.0.0.1", "parallel_workers": 0, "debug": False, **ports}
    (home / "settings.json").write_text(json.dumps(settings))
    (home / "onnx_runtime.py").write_text(RUNTIME)
    tensors = {
        side: [{"name": each.name, "datatype": each.datatype, "shape": list(each.shape)} for each in listed]
        for side, listed in (("inputs", spec.inputs), ("outputs", spec.outputs))
    }
    model = {
        "name": part,
        "implementation": "onnx_runtime.OnnxRuntime",
        "parameters": {"uri": str(manifest.path(part).resolve())},
        **tensors,
    }
    (home / "model-settings.json").write_text(json.dumps(model))
    with (
        (home / "log").open("w") as log,
        process(
            [str(program), "start", "."],
            cwd=home,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": "."},
        ),
    ):
        yield f"http://127.0.0.1:{port}"


def chain(manifest: Manifest, images: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """What the bundle's parts give in a row, by part."""
    parts = {name: OnnxPart(manifest, name, threads=1) for name in ("edge", "exit", "cloud")}
    edge = parts["edge"]({"image": images})
    return {"edge": edge, "exit": parts["exit"](edge), "cloud": parts["cloud"](edge)}


def difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(np.float64) - other.astype(np.float64)).max(initial=0.0))


def triton_asks(folder: Path, python: Path, bundle: str, manifest: Manifest, images: np.ndarray) -> None:
    """tritonclient against our node, cloud and master."""
    found = chain(manifest, images)
    with ExitStack() as stack:
        node = stack.enter_context(ours("node", f"bundle={bundle}", "threads=1"))
        cloud = stack.enter_context(ours("cloud", f"bundle={bundle}", "threads=1"))
        master = stack.enter_context(
            ours("serve", f"bundle={bundle}", f"nodes=[{node}]", f"cloud={cloud}", "dormancy=never")
        )
        for url, model, given, expected in (
            (node, "edge", {"image": images}, found["edge"]),
            (cloud, "cloud", found["edge"], found["cloud"]),
            (master, "network", {"image": images}, found["cloud"]),
        ):
            asked, answered = folder / "asked.npz", folder / "answered.npz"
            np.savez(asked, **given)
            address = url.removeprefix("http://")
            subprocess.run(
                [str(python), "-c", ASK, address, model, model, str(asked), str(answered)], check=True
            )
            with np.load(answered) as values:
                off = {
                    form: max(
                        difference(values[f"{name}_{binary}"], value) for name, value in expected.items()
                    )
                    for form, binary in (("binary", True), ("JSON", False))
                }
            print(
                f"tritonclient -> our {model:<8} batch {len(images)}: largest difference "
                + ", ".join(f"{value:.1e} in {form}" for form, value in off.items())
            )


async def master_asks(
    manifest: Manifest, addresses: Addresses, images: np.ndarray, calls: int
) -> tuple[np.ndarray, list[str], list[float]]:
    """Our master, with whatever servers: its logits, the paths, and the seconds of calls of one sample."""
    exits = ExitRule()  # everything goes to the cloud
    master = Master(manifest, addresses, OnnxPart(manifest, "exit", threads=1), exits=exits)
    try:
        await master.start(30.0)
        if not master.ready or not master.cloud.awake:
            raise RuntimeError("node or cloud did not join; see the warnings above.")
        answer = await master.infer({"image": images}, 10.0)
        taken = []
        for _ in range(calls):
            started = time.perf_counter()
            await master.infer({"image": images[:1]}, 10.0)
            taken.append(time.perf_counter() - started)
        names = master.served().parameters["paths"]
        return answer["logits"], [names[path] for path in answer["path"]], taken
    finally:
        await master.close()


async def wait_for(url: str, manifest: Manifest, part: str, seconds: float = 60.0) -> None:
    spec = manifest.parts[part]
    async with Access().session() as session:
        client = ModelClient(url, part, spec.inputs, spec.outputs, session)
        until = time.monotonic() + seconds
        while True:
            try:
                return await client.hello(2.0)
            except CallError:
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(0.3)


def others_serve(folder: Path, program: Path, manifest: Manifest, images: np.ndarray, calls: int) -> None:
    """Our master over MLServer."""
    expected = chain(manifest, images)["cloud"]["logits"]
    with (
        mlserver(folder, program, manifest, "edge") as node,
        mlserver(folder, program, manifest, "cloud") as cloud,
    ):
        try:
            asyncio.run(wait_for(node, manifest, "edge"))
            asyncio.run(wait_for(cloud, manifest, "cloud"))
            addresses = Addresses(nodes={"mlserver": node}, cloud=cloud)
            logits, paths, taken = asyncio.run(master_asks(manifest, addresses, images, calls))
        except Exception:
            for part in ("edge", "cloud"):
                print((folder / f"mlserver_{part}" / "log").read_text()[-2000:], file=sys.stderr)
            raise
    seconds = float(np.median(taken))
    print(
        f"our master -> MLServer, batch {len(images)}: paths {sorted(set(paths))}, largest difference "
        f"{difference(logits, expected):.1e}; one sample: {1e3 * seconds:.1f} ms, median of {calls} calls"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--bundle", required=True, help="folder that cloudedge export wrote")
    parser.add_argument(
        "--others", required=True, type=Path, help="bin of the environment with the others' packages"
    )
    parser.add_argument("--samples", type=int, default=5, help="of a request")
    parser.add_argument("--calls", type=int, default=50, help="of one sample, to take the time")
    chosen = parser.parse_args()
    manifest = Manifest.read(chosen.bundle)
    shape = (chosen.samples, *manifest.image.shape[1:])
    images = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        triton_asks(Path(folder), chosen.others / "python", chosen.bundle, manifest, images)
        others_serve(Path(folder), chosen.others / "mlserver", manifest, images, chosen.calls)


if __name__ == "__main__":
    main()
