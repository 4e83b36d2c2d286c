"""Bundles: their files answer as the network does, and hold what they should and nothing else."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from cloudedge_pl.errors import BundleError
from cloudedge_pl.export.bundle import Exported
from cloudedge_pl.export.checking import compare
from cloudedge_pl.export.parts import CutNetwork, Parts
from cloudedge_pl.serving import Manifest
from tests.export.helpers import bundle, cut
from tests.partition import nets

Made = tuple[CutNetwork, Exported, Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The network, its bundle in ONNX, with the network uncut, and where it is."""
    folder = tmp_path_factory.mktemp("bundles") / "onnx"
    network = cut(nets.Residual(), 2, "int8")
    return network, bundle(network, folder, "int8", whole=True), folder


def answer(manifest: Manifest, part: str, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Runs a part by what the manifest says of it, and by nothing else."""
    session = onnxruntime.InferenceSession(manifest.path(part))
    spec = manifest.parts[part]
    for tensor in spec.inputs:
        tensor.require(given[tensor.name])
    outputs = session.run(
        [each.name for each in spec.outputs], {each.name: given[each.name] for each in spec.inputs}
    )
    for tensor, array in zip(spec.outputs, outputs, strict=True):
        tensor.require(array)
    return dict(zip([each.name for each in spec.outputs], outputs, strict=True))


@pytest.mark.parametrize("number", [1, 3, 16])
def test_who_knows_the_manifest_alone_gets_the_networks_answers(made: Made, number: int) -> None:
    network, _, folder = made
    manifest = Manifest.read(folder)
    manifest.check_hashes()
    samples = network.samples(number)
    with network.evaluating():
        live = network.live(samples)
        exit_logits, cloud_logits = network.exit_logits(live), network.cloud_logits(live)
        whole = network.whole_logits(samples)
    crossed = answer(manifest, "edge", {"image": samples.numpy()})
    np.testing.assert_allclose(answer(manifest, "exit", crossed)["logits"], exit_logits, atol=1e-4)
    np.testing.assert_allclose(
        answer(manifest, "whole", {"image": samples.numpy()})["logits"], whole, atol=1e-4
    )
    # a value at a boundary may be rounded to the next level, and there are 255 of them
    np.testing.assert_allclose(answer(manifest, "cloud", crossed)["logits"], cloud_logits, atol=2e-3)


def test_the_manifest_says_what_crosses(made: Made) -> None:
    manifest = made[1].manifest
    assert [tensor.name for tensor in manifest.cut] == [
        "cut_0",
        "cut_0_zero",
        "cut_0_scale",
        "cut_1",
        "cut_1_zero",
        "cut_1_scale",
    ]
    assert [tensor.datatype for tensor in manifest.cut] == ["UINT8", "FP32", "FP32"] * 2
    assert [tensor.name for tensor in manifest.exit_inputs] == ["exit_0", "exit_1"]
    assert sum(tensor.sample_bytes for tensor in manifest.cut) == sum(
        np.prod(shape) + 8 for shape in made[0].chain.live_shapes(2)
    )
    assert (manifest.split_point, manifest.split_name) == (2, made[0].chain.names[2])
    assert manifest.versions["torch"] == torch.__version__.partition("+")[0]


def test_each_file_holds_only_its_own_weights(made: Made) -> None:
    _, exported, folder = made
    held = {}
    for name in ("edge", "exit", "cloud", "whole"):
        model = onnx.load(folder / f"{name}.onnx")
        held[name] = sum(
            4 * int(np.prod(each.dims)) for each in model.graph.initializer if each.data_type == 1
        )
        read = {each for node in model.graph.node for each in node.input}
        assert {each.name for each in model.graph.initializer} <= read
        assert held[name] <= exported.weight_bytes[name]
        assert (folder / f"{name}.onnx").stat().st_size < held[name] + 12_000
    assert held["edge"] + held["cloud"] <= held["whole"] + 64  # constants of the codec
    assert not list(folder.glob("*.data"))


def test_the_files_name_nothing_of_this_machine(made: Made) -> None:
    for path in (path for path in made[2].rglob("*") if path.is_file()):
        content = path.read_bytes()
        assert b"site-packages" not in content, path.name
        assert str(Path(__file__).parents[2]).encode() not in content, path.name


def test_the_same_network_is_the_same_bundle(made: Made, tmp_path: Path) -> None:
    again = bundle(made[0], tmp_path / "again", "int8", whole=True)
    assert again.manifest.id == made[1].manifest.id


def test_a_part_of_another_export_is_refused(made: Made, tmp_path: Path) -> None:
    mixed = tmp_path / "mixed"
    bundle(cut(nets.Residual(), 2, "int8", seed=1), mixed, "int8")
    shutil.copy(made[2] / "cloud.onnx", mixed / "cloud.onnx")
    manifest = Manifest.read(mixed)
    manifest.check_hashes("edge", "exit")
    with pytest.raises(BundleError, match="not the part 'cloud' of this export"):
        manifest.check_hashes()
    assert manifest.id != made[1].manifest.id


@pytest.mark.parametrize("codec", ["none", "float32", "float16", "bottleneck", "top_k"])
def test_every_codec_has_its_encoder_at_the_edge_and_its_decoder_in_the_cloud(
    codec: str, tmp_path: Path
) -> None:
    network = cut(nets.Residual(), 2, codec)
    exported = bundle(network, tmp_path / "onnx", codec)
    assert max(exported.differences.by_part.values()) <= 1e-4
    samples = network.samples(5)
    with network.evaluating():
        expected = network.cloud_logits(network.live(samples))
    crossed = answer(exported.manifest, "edge", {"image": samples.numpy()})
    np.testing.assert_allclose(answer(exported.manifest, "cloud", crossed)["logits"], expected, atol=2e-3)
    same = codec in ("none", "float32")
    assert [each.name for each in exported.manifest.exit_inputs] == [
        f"{'cut' if same else 'exit'}_{at}" for at in (0, 1)
    ]


def test_bfloat16_is_for_torch_alone(tmp_path: Path) -> None:
    network = cut(nets.Residual(), 2, "bfloat16")
    with pytest.raises(BundleError, match=r"bfloat16.*codec=float16.*format=torch"):
        bundle(network, tmp_path / "onnx", "bfloat16")
    exported = bundle(network, tmp_path / "torch", "bfloat16", format="torch")
    assert [each.datatype for each in exported.manifest.cut] == ["BF16", "BF16"]


@pytest.mark.parametrize("codec", ["none", "int8", "top_k", "bottleneck"])
def test_files_of_torch_are_equal_to_the_last_bit(codec: str, tmp_path: Path) -> None:
    network = cut(nets.Residual(), 2, codec)
    exported = bundle(network, tmp_path, codec, format="torch", whole=True)
    assert set(exported.differences.by_part.values()) == {0.0}
    assert exported.differences.chained == 0
    loaded = {name: torch.export.load(exported.manifest.path(name)) for name in exported.manifest.parts}
    held = {
        name: sum(each.nbytes for each in program.state_dict.values()) for name, program in loaded.items()
    }
    assert held == dict(exported.weight_bytes)
    samples = network.samples(3)
    with network.evaluating():
        assert torch.equal(loaded["whole"].module()(samples)[0], network.whole_logits(samples))
    assert not (tmp_path / "triton").exists()


@pytest.mark.parametrize(
    ("kind", "split_point"),
    [
        (nets.ShapeInts, 1),
        (nets.Tokens, 1),
        (nets.Constants, 1),
        (nets.FunctionalWeights, 1),
        (nets.Reparametrised, 1),
    ],
    ids=lambda each: getattr(each, "__name__", str(each)),
)
@pytest.mark.parametrize("format", ["onnx", "torch"])
def test_hard_networks_are_exported(kind: type, split_point: int, format: str, tmp_path: Path) -> None:
    exported = bundle(cut(kind(), split_point), tmp_path, format=format)
    assert max(exported.differences.by_part.values()) <= (1e-4 if format == "onnx" else 0)


def test_a_file_that_answers_otherwise_is_refused(made: Made) -> None:
    network = made[0]
    parts = Parts(network)
    runs = {name: (lambda given, part=part: list(part.module(*given))) for name, part in parts.parts.items()}
    assert compare(network, parts, runs, tolerance=0.0).chained == 0

    def slightly_off(given: list[torch.Tensor]) -> list[torch.Tensor]:
        return [parts.parts["exit"].module(*given)[0] + 2e-4]

    with pytest.raises(BundleError, match=r"part 'exit' differs from the module by 0\.0002"):
        compare(network, parts, runs | {"exit": slightly_off})

    def other_levels(given: list[torch.Tensor]) -> list[torch.Tensor]:
        levels, *rest = parts.parts["edge"].module(*given)
        return [torch.where(levels > 100, levels - 1, levels), *rest]

    with pytest.raises(BundleError, match=r"codec .* sends \d+.*by up to 1 levels"):
        compare(network, parts, runs | {"edge": other_levels})


def test_an_earlier_bundle_is_replaced_and_nothing_else(made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    bundle(made[0], folder, "int8", whole=True)
    later = bundle(made[0], folder, "int8", format="torch")
    assert sorted(each.name for each in folder.iterdir()) == [
        "cloud.pt2",
        "edge.pt2",
        "exit.pt2",
        "manifest.json",
    ]
    assert Manifest.read(folder) == later.manifest
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years of work")
    with pytest.raises(BundleError, match=r"thesis\.tex"):
        bundle(made[0], tmp_path / "home", "int8")
    with pytest.raises(BundleError, match="is a file"):
        bundle(made[0], tmp_path / "home" / "thesis.tex", "int8")
    assert (tmp_path / "home" / "thesis.tex").read_text() == "years of work"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["bundle", "home"]


def test_a_bundle_that_fails_leaves_the_earlier_one(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bundle(made[0], tmp_path / "bundle", "int8")
    other = cut(nets.Residual(), 2, "int8", seed=1)
    monkeypatch.setattr(CutNetwork, "exit_logits", lambda self, live: self.exit_head(live) + 1)
    with pytest.raises(BundleError, match="Nothing was exported"):
        bundle(other, tmp_path / "bundle", "int8")
    assert Manifest.read(tmp_path / "bundle").id == first.manifest.id
    assert [each.name for each in tmp_path.iterdir()] == ["bundle"]


def test_an_unknown_format_lists_those_there_are(made: Made, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown format of a bundle 'foo'.*onnx, torch"):
        bundle(made[0], tmp_path / "bundle", "int8", format="foo")
    with pytest.raises(ValueError, match="onnx, torch"):
        replace(made[1].manifest, format="foo")
