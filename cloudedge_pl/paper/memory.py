"""Figure 5: the memory of the edge part over the split points of the paper's network, and what it grows by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from cloudedge_pl.costs.memory import edge_memory_bytes
from cloudedge_pl.costs.profile import CostProfile
from cloudedge_pl.costs.units import format_bytes, format_percent
from cloudedge_pl.fleet import Workload
from cloudedge_pl.paper.part import PartResult, Report, Table
from cloudedge_pl.paper.positions import PLAN_COMMAND
from cloudedge_pl.paper.setting import PaperSetting
from cloudedge_pl.paper.stages import fully_connected, stage_of, stages
from cloudedge_pl.paper.trials import Outcome, along
from cloudedge_pl.paper.verdict import Trial, Verdict, judge
from cloudedge_pl.partition import build_backbone, profile

LAST_SHARE = 0.2
"""The last positions, of which the paper says that memory grows steeply there: this share of all."""

STEEP = 2.0
"""Growth counts as steep where it is at least this many times as much a position as before."""

SAMPLES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CLASSES = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
NETWORKS = ("alexnet", "vgg16", "resnet18", "resnet50", "mobilenet_v2")
"""What Figure 5's claims are tried with, besides the paper's network."""


def measure_fig5(setting: PaperSetting, report: Report) -> PartResult:
    """Counts the memory of the edge part at every split point, by the paper's formula and in use.

    Args:
        setting: of the paper.
        report: is told of the progress.
    """
    network, training = setting.profile, replace(setting.workload, phase="training")
    memory = {
        "paper": edge_memory_bytes(network, setting.workload, "paper"),
        "inference": edge_memory_bytes(network, setting.workload, "inference"),
        "training": edge_memory_bytes(network, training, "training"),
    }
    report.step("memory of other networks", 0, 1)
    networks = {network.model: network, **{name: _published(name) for name in NETWORKS}}
    table = Table(
        title=f"Memory of the edge part of {network.model} on a node",
        columns={
            "position": range(network.num_segments + 1),
            "layer": network.names,
            "stage": [stage_of(name) for name in network.names],
            "weights_bytes": (memory["paper"] - network.cumulative("segment_map_bytes")).tolist(),
            "feature_maps_bytes": network.cumulative("segment_map_bytes").tolist(),
            **{f"{name}_bytes": values.tolist() for name, values in memory.items()},
        },
    )
    return PartResult(
        verdicts=_verdicts(setting, memory, networks),
        tables={"memory": table, "stages": _stage_table(network), "networks": _network_table(networks)},
        notes=(
            "The paper adds up the weights and all feature maps. Inference frees a map after its last use; training "
            "keeps gradients, optimizer state and what the backward pass needs.",
            f"Steep means at least {STEEP:g} times as much a position in the last {format_percent(LAST_SHARE)} of the "
            "positions as before.",
        ),
        commands=(f"{PLAN_COMMAND} formulas.memory=paper",),
    )


def steepness(memory: np.ndarray) -> float:
    """Returns how many times as much memory a position adds in the last fifth of the positions as before.

    Args:
        memory: [N + 1], at every split point.
    """
    growth = np.diff(memory)
    last = last_positions(len(growth))
    if last == len(growth):
        return 1.0
    return float(growth[-last:].mean() / growth[:-last].mean())


def last_positions(num_segments: int) -> int:
    """Returns how many positions count as the last ones."""
    return max(1, round(LAST_SHARE * num_segments))


def connected_share(network: CostProfile) -> float:
    """Returns the share that fully connected layers have of the growth over the last positions, as the paper counts."""
    growth = _growth(network)
    last = last_positions(network.num_segments)
    return float(growth[-last:][fully_connected(network)[-last:]].sum() / growth[-last:].sum())


def _growth(network: CostProfile) -> np.ndarray:
    return np.diff(edge_memory_bytes(network, Workload(phase="inference"), "paper"))


def with_classes(network: CostProfile, num_classes: int) -> CostProfile:
    """Returns a network whose last, fully connected layer has another number of outputs.

    Only what the paper's formula counts changes: weights and feature maps.
    """
    classes = network.cut_shapes[-1][0][-1]
    weights, maps = network.segment_weights.copy(), network.segment_map_bytes.copy()
    weights[-1] *= num_classes / classes
    maps[-1] *= num_classes / classes
    return replace(network, segment_weights=weights, segment_map_bytes=maps)


def _published(name: str) -> CostProfile:
    """The costs of a network as published: 1000 classes, 224 pixels. Nothing is computed or allocated."""
    with torch.device("meta"):
        return profile(build_backbone(name), torch.zeros(1, 3, 224, 224), name=name)


def _verdicts(
    setting: PaperSetting, memory: Mapping[str, np.ndarray], networks: Mapping[str, CostProfile]
) -> tuple[Verdict, ...]:
    network = setting.profile
    growth, last = _growth(network), last_positions(network.num_segments)
    connected = fully_connected(network)
    steep, share = steepness(memory["paper"]), connected_share(network)
    weights = network.segment_weights
    final, largest = growth[-1] / memory["paper"][-1], growth.max() / memory["paper"][-1]
    stage = max(stages(network.names), key=lambda each: weights[each[1] - 1 : each[2]].sum())
    in_stage = weights[stage[1] - 1 : stage[2]].sum() / weights.sum()
    in_connected = weights[connected].sum() / weights.sum()
    before = memory["paper"][-1 - last]
    classes = {
        "number of classes": along("number of classes", CLASSES, _with_classes(network), digits=7, whole=True)
    }
    return (
        judge(
            "Memory grows slowly with the position, then steeply in the last positions.",
            f"It reaches {format_bytes(before)} at position {network.num_segments - last} and "
            f"{format_bytes(memory['paper'][-1])} at the end: {steep:.1f} times as much a position as before.",
            {"growth in the last positions over growth before": steep},
            at_setting=steep >= STEEP,
            axes={**_sample_axes(setting), **_size_axis(setting)},
        ),
        judge(
            "The final position adds the most memory.",
            f"It adds {format_percent(final, 2)} of the whole; the position that adds the most is "
            f"{int(growth.argmax()) + 1}, with {format_percent(largest, 2)}.",
            {"share added by the final position": final, "largest share added by a position": largest},
            at_setting=bool(growth.argmax() == len(growth) - 1),
            axes={
                "number of classes": along(
                    "number of classes", CLASSES, _final_is_largest(network), digits=7, whole=True
                )
            },
        ),
        judge(
            "Memory grows at the end because the last layers are fully connected.",
            f"Fully connected layers make {format_percent(share, 2)} of the growth over the last {last} positions and "
            f"hold {format_percent(in_connected, 2)} of the weights; {stage[0]} holds {format_percent(in_stage, 2)}.",
            {
                "share of fully connected layers in the last growth": share,
                "share of fully connected layers in the weights": in_connected,
                f"share of {stage[0]} in the weights": in_stage,
            },
            at_setting=share > 0.5,
            axes={
                **classes,
                "network": along(
                    "network", tuple(networks), lambda name: _half(connected_share(networks[name]))
                ),
            },
        ),
    )


def _half(share: float) -> Outcome:
    return share > 0.5, share


def _with_classes(network: CostProfile) -> Callable[[int], Outcome]:
    return lambda classes: _half(connected_share(with_classes(network, classes)))


def _final_is_largest(network: CostProfile) -> Callable[[int], Outcome]:
    def attempt(classes: int) -> Outcome:
        growth = _growth(with_classes(network, classes))
        return bool(growth.argmax() == len(growth) - 1), float(growth[-1] / growth.max())

    return attempt


def _sample_axes(setting: PaperSetting) -> dict[str, tuple[Trial, ...]]:
    """Steepness by the number of samples that a node runs at once: feature maps are largest in the first layers."""
    axes = {}
    for formula, phase in (("paper", "inference"), ("inference", "inference"), ("training", "training")):

        def attempt(samples: int, formula: Any = formula, phase: Any = phase) -> Outcome:
            workload = replace(setting.workload, phase=phase, samples_per_pass=samples)
            value = steepness(edge_memory_bytes(setting.profile, workload, formula))
            return value >= STEEP, value

        axis = f"samples at once, {'by the formula of the paper' if formula == 'paper' else formula}"
        axes[axis] = along(axis, SAMPLES, attempt, whole=True)
    return axes


def _size_axis(setting: PaperSetting) -> dict[str, tuple[Trial, ...]]:
    networks = {
        f"{setting.small_image_size} pixels": setting.small_profile,
        f"{setting.image_size} pixels": setting.profile,
    }

    def attempt(size: str) -> Outcome:
        value = steepness(edge_memory_bytes(networks[size], setting.workload, "paper"))
        return value >= STEEP, value

    return {"picture size": along("picture size", tuple(networks), attempt)}


def _stage_table(network: CostProfile) -> Table:
    found = stages(network.names)
    weights, maps = network.segment_weights, network.segment_map_bytes
    return Table(
        title="What the stages of the network hold",
        columns={
            "stage": [name for name, _, _ in found],
            "first_position": [first for _, first, _ in found],
            "last_position": [last for _, _, last in found],
            "weights_share": [weights[first - 1 : last].sum() / weights.sum() for _, first, last in found],
            "feature_maps_share": [maps[first - 1 : last].sum() / maps.sum() for _, first, last in found],
        },
    )


def _network_table(networks: Mapping[str, CostProfile]) -> Table:
    return Table(
        title="Fully connected layers of the network and of published ones (224 pixels, 1000 classes)",
        columns={
            "network": list(networks),
            "positions": [each.num_segments for each in networks.values()],
            "fully_connected_weights_share": [
                each.segment_weights[fully_connected(each)].sum() / each.segment_weights.sum()
                for each in networks.values()
            ],
            "fully_connected_last_growth_share": [connected_share(each) for each in networks.values()],
        },
    )
