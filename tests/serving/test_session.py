"""A part in onnxruntime: what it must take and give; and a computation that is made to take at least so long."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cloudedge_pl.errors import BundleError
from cloudedge_pl.serving import Manifest, TensorSpec, session
from cloudedge_pl.serving.session import OnnxPart, paced
from tests.serving.fleets import write_bundle

INPUTS = {"x": np.arange(6.0).reshape(3, 2)}


def test_a_sample_takes_at_least_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    clock = iter((10.0, 10.5, 20.0, 29.0))
    monkeypatch.setattr(session.time, "sleep", slept.append)
    monkeypatch.setattr(session.time, "perf_counter", lambda: next(clock))
    slow = paced(lambda inputs: {"y": 2 * inputs["x"]}, 2.0)
    for _ in range(2):
        assert np.array_equal(slow(INPUTS)["y"], 2 * INPUTS["x"])
    assert slept == [3 * 2.0 - 0.5, 0.0]  # the second took longer than that by itself


def test_without_a_time_nothing_is_changed() -> None:
    def run(inputs: object) -> dict[str, np.ndarray]:
        return {}

    assert paced(run, 0.0) is run
    for wrong in (-1.0, math.inf, 1e9):
        with pytest.raises(ValueError, match="least_seconds"):
            paced(run, wrong)


def described(manifest: Manifest, **changes: object) -> Manifest:
    """The bundle, with another description of what the edge part takes."""
    edge = manifest.parts["edge"]
    image = TensorSpec(**{"name": "image", "datatype": "FP32", "shape": edge.inputs[0].shape, **changes})
    parts = {**manifest.parts, "edge": replace(edge, inputs=(image,))}
    return replace(manifest, parts=parts, preprocessing=None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "picture"}, r"there is no 'picture', only \['image'\]"),
        ({"datatype": "FP64"}, r"'image' is tensor\(float\) .*, not FP64"),
        ({"shape": (-1, 3, 9, 9)}, r"not FP32 \[-1, 3, 9, 9\]"),
        ({"shape": (-1, 48)}, r"not FP32 \[-1, 48\]"),
    ],
)
def test_a_part_takes_what_the_manifest_says(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    manifest, _ = write_bundle(tmp_path)
    OnnxPart(described(manifest), "edge")
    with pytest.raises(BundleError, match=message):
        OnnxPart(described(manifest, **changes), "edge")


def test_a_part_may_give_more_and_take_no_more_than_the_manifest_says(tmp_path: Path) -> None:
    class Given:
        name, type, shape = "x", "tensor(float)", ["batch", 3]

    class Other(Given):
        name = "y"

    spec = TensorSpec(name="x", datatype="FP32", shape=(-1, 3))
    assert session._difference([Given, Other], [spec], every=False) is None
    assert session._difference([Given, Other], [spec], every=True) == "it needs ['y'] as well"


@pytest.mark.parametrize("providers", [[], ["NoProvider"]])
def test_providers_that_are_not_there_are_refused(tmp_path: Path, providers: list[str]) -> None:
    manifest, _ = write_bundle(tmp_path)
    with pytest.raises(ValueError, match="CPUExecutionProvider"):
        OnnxPart(manifest, "edge", providers=providers)
