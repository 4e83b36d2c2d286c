"""A small bundle of ONNX parts, written by hand, and the same network in NumPy; servers of it in this process."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cloudedge_pl.costs.codec import CodecConfig
from cloudedge_pl.dormancy import DormancyRule
from cloudedge_pl.serving import ExitRule, Manifest, PartSpec, Preprocessing, TensorSpec
from cloudedge_pl.serving.addresses import Addresses
from cloudedge_pl.serving.listening import listening
from cloudedge_pl.serving.master import Master
from cloudedge_pl.serving.master_settings import MasterSettings
from cloudedge_pl.serving.model_server import ModelServer
from cloudedge_pl.serving.session import OnnxPart, Queue, served_part
from cloudedge_pl.serving.settings import ServerSettings

SHAPE, WIDTH, CLASSES = (3, 4, 4), 6, 5
TYPES = {"FP32": TensorProto.FLOAT}


class Network:
    """image -> relu(x A) = cut; exit head: cut B; cloud: relu(cut C) D."""

    def __init__(self, seed: int = 0) -> None:
        draw = np.random.default_rng(seed).standard_normal
        self.a, self.b, self.c, self.d = (
            draw(shape).astype(np.float32)
            for shape in ((int(np.prod(SHAPE)), WIDTH), (WIDTH, CLASSES), (WIDTH, 8), (8, CLASSES))
        )

    def cut(self, images: np.ndarray) -> np.ndarray:
        return np.maximum(images.reshape(len(images), -1) @ self.a, 0)

    def exit(self, images: np.ndarray) -> np.ndarray:
        return self.cut(images) @ self.b

    def cloud(self, images: np.ndarray) -> np.ndarray:
        return np.maximum(self.cut(images) @ self.c, 0) @ self.d


def spec(name: str, *shape: int) -> TensorSpec:
    return TensorSpec(name=name, datatype="FP32", shape=(-1, *shape))


def write_part(
    folder: Path, name: str, inputs: list[TensorSpec], outputs: list[TensorSpec], weights: list[np.ndarray]
) -> PartSpec:
    """Writes a chain of products with ReLU between them."""
    nodes, values = [helper.make_node("Flatten", [inputs[0].name], ["x0"])], []
    for at, weight in enumerate(weights):
        values.append(numpy_helper.from_array(weight, f"w{at}"))
        nodes.append(helper.make_node("MatMul", [f"x{at}", f"w{at}"], [f"y{at}"]))
        nodes.append(helper.make_node("Relu", [f"y{at}"], [f"x{at + 1}"]))
    if name == "edge":
        nodes[-1].output[0] = outputs[0].name
    else:
        nodes.pop()
        nodes[-1].output[0] = outputs[0].name
    ends = [
        [
            helper.make_tensor_value_info(each.name, TYPES[each.datatype], ["batch", *each.shape[1:]])
            for each in side
        ]
        for side in (inputs, outputs)
    ]
    graph = helper.make_graph(nodes, name, *ends, values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / f"{name}.onnx"
    onnx.save(model, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return PartSpec(
        file=path.name,
        sha256=digest,
        weights_sha256=digest,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        largest_difference=0.0,
    )


def write_bundle(
    folder: Path, *, seed: int = 0, exits: ExitRule | None = None, net: Network | None = None
) -> tuple[Manifest, Network]:
    """Writes a bundle to a folder; another seed is another export."""
    folder.mkdir(parents=True, exist_ok=True)
    net = net or Network(seed)
    image, cut, logits = spec("image", *SHAPE), spec("cut_0", WIDTH), spec("logits", CLASSES)
    manifest = Manifest(
        format="onnx",
        model="tiny",
        num_classes=CLASSES,
        class_names=tuple("abcde"),
        split_point=1,
        split_name="first",
        parts={
            "edge": write_part(folder, "edge", [image], [cut], [net.a]),
            "exit": write_part(folder, "exit", [cut], [logits], [net.b]),
            "cloud": write_part(folder, "cloud", [cut], [logits], [net.c, net.d]),
        },
        codec=CodecConfig(),
        exits=exits or ExitRule(),
        dormancy=DormancyRule(),
        preprocessing=Preprocessing(input_shape=SHAPE, mean=(0.5,) * 3, std=(0.5,) * 3),
    )
    manifest.write(folder)
    return Manifest.read(folder), net


def images(number: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((number, *SHAPE)).astype(np.float32)


def steady(**options: Any) -> MasterSettings:
    """Settings of a master that takes no pause of this machine for a failure of a node or of the cloud."""
    calm = {"patience_seconds": 60.0, "deadline_seconds": 120.0, "least_delay_seconds": 10.0}
    return MasterSettings(**{**calm, **options})


def local(**options: Any) -> ServerSettings:
    return ServerSettings(**{"port": 0, "drain_seconds": 1.0, **options})


@asynccontextmanager
async def part_server(manifest: Manifest, part: str, **options: Any) -> AsyncIterator[str]:
    """A server of a part, in this process."""
    queue = Queue(OnnxPart(manifest, part, threads=1))
    try:
        async with listening(ModelServer(served_part(manifest, part, queue), local(**options))) as url:
            yield url
    finally:
        queue.close()


@asynccontextmanager
async def mastered(
    manifest: Manifest,
    nodes: dict[str, str],
    cloud: str | None,
    *,
    server: ServerSettings | None = None,
    **options: Any,
) -> AsyncIterator[tuple[Master, str]]:
    """A master of nodes and cloud at these addresses, and its own address."""
    addresses, head = Addresses(nodes=nodes, cloud=cloud), OnnxPart(manifest, "exit", threads=1)
    master = Master(manifest, addresses, head, **{"settings": steady(), **options})
    try:
        await master.start()
        front = ModelServer(master.served(), server or local(), master.metrics)
        async with listening(front) as url:
            yield master, url
    finally:
        await master.close()


@asynccontextmanager
async def whole(
    manifest: Manifest, *, num_nodes: int = 2, **options: Any
) -> AsyncIterator[tuple[Master, str]]:
    """Nodes, cloud and master, all in this process."""
    async with AsyncExitStack() as stack:
        nodes = {
            f"node-{index}": await stack.enter_async_context(part_server(manifest, "edge"))
            for index in range(num_nodes)
        }
        cloud = await stack.enter_async_context(part_server(manifest, "cloud"))
        yield await stack.enter_async_context(mastered(manifest, nodes, cloud, **options))


def run(work: Coroutine[Any, Any, Any], seconds: float = 240.0) -> Any:
    """Runs a test's coroutine, which may not hang."""
    return asyncio.run(asyncio.wait_for(work, seconds))
