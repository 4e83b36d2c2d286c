"""From a traced backbone to the plain numbers that the planner works with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.utils.flop_counter import FlopCounterMode

from cloudedge_pl.costs.profile import CostProfile
from cloudedge_pl.partition.chain import SplitChain, trace
from cloudedge_pl.partition.exit_head import ExitHead, ExitHeadConfig
from cloudedge_pl.partition.traced_pass import TracedPass

DEFAULT_EXIT_HEAD = ExitHeadConfig()


def profile(
    backbone: nn.Module | SplitChain,
    example_input: Tensor,
    *,
    granularity: str = "layer",
    exit_head: ExitHeadConfig | None = DEFAULT_EXIT_HEAD,
    num_classes: int | None = None,
    name: str | None = None,
) -> CostProfile:
    """Counts what a backbone costs in each segment and at each split point, for one sample, without computing anything.

    FLOP are counted as by torch's FlopCounterMode: convolutions, linear layers and matrix products, attention
    included. Normalisations, activations and pooling have zero FLOP; they cost moved bytes. Bytes are in the dtypes of
    the backbone and of the example input.

    Args:
        backbone: a classifier, or its chain of split points if it has been traced already.
        example_input: [1, ...] in the shape and dtype of a sample.
        granularity: "layer" or "block" split points; a given chain keeps its own.
        exit_head: size of the exit head; None profiles without one.
        num_classes: number of the exit head's logits; None takes the shape that the backbone returns.
        name: the model's name in tables; None takes the backbone's class.

    Raises:
        UntraceableBackboneError: if the backbone cannot be traced.

    Source: Xu 2020, Sec. 3.1; deviates: FLOP are twice the paper's MAC, bytes include biases, normalisations
    and buffers, and every live tensor crosses a split point.
    """
    chain = (
        backbone
        if isinstance(backbone, SplitChain)
        else trace(backbone, example_input, granularity=granularity)
    )
    points = range(chain.num_segments + 1)
    exits = _exit_costs(chain, (num_classes,) if num_classes else chain.output_shape, exit_head)
    return CostProfile(
        model=name or type(chain.backbone).__name__,
        input_shape=chain.live_shapes(0)[0],
        names=chain.names,
        **_segment_costs(chain),
        cut_bytes=np.array([chain.live_bytes(j) for j in points]),
        cut_shapes=tuple(chain.live_shapes(j) for j in points),
        exit_flops=exits[:, 0],
        exit_parameter_bytes=exits[:, 1],
        exit_activation_bytes=exits[:, 2],
    )


def _segment_costs(chain: SplitChain) -> dict[str, np.ndarray]:
    """What every segment costs: the fields ``segment_*`` of the profile, each [N]."""
    counted, kept = chain.passes[False], chain.passes[True]
    parameter_bytes = _bytes(chain.backbone.named_parameters())
    buffer_bytes = _bytes(chain.backbone.named_buffers())
    trainable = _state_per_segment(chain.parameter_segments, parameter_bytes, chain.num_segments)
    buffers = _state_per_segment(chain.buffer_segments, buffer_bytes, chain.num_segments)
    weighted = counted.levels.weighted

    def map_bytes(node: fx.Node) -> int:
        return sum(output.bytes for output in counted.facts[node].outputs) if node in weighted else 0

    return {
        "segment_flops": _per_segment(counted, lambda node: counted.facts[node].flops),
        "segment_parameter_bytes": trainable + buffers,
        "segment_trainable_bytes": trainable,
        "segment_weights": _per_segment(counted, lambda node: weighted.get(node, 0)),
        "segment_map_bytes": _per_segment(counted, map_bytes),
        "segment_peak_bytes": _peaks(counted),
        "segment_saved_bytes": _per_segment(kept, lambda node: kept.facts[node].saved_bytes),
        "segment_moved_bytes": _per_segment(counted, lambda node: counted.facts[node].moved_bytes),
    }


def _per_segment(traced: TracedPass, cost: Callable[[fx.Node], float]) -> np.ndarray:
    """Sums a cost of nodes over every segment: [N]."""
    sums = np.zeros(len(traced.split_levels) - 1)
    for node, level in traced.levels.of.items():
        if node.op != "placeholder":
            sums[traced.segment(level) - 1] += cost(node)
    return sums


def _peaks(traced: TracedPass) -> np.ndarray:
    """Largest number of bytes of live tensors at any moment of each segment [N]; a tensor dies after its last use.

    Temporary tensors of a layer count; memory that a kernel allocates inside itself does not.
    """
    order = [node for node in traced.graph.nodes if node in traced.levels.of]
    order.sort(key=lambda node: traced.levels.of[node])  # stable: as the parts run
    size = {
        output.storage: output.storage_bytes
        for node in order
        if node.op != "get_attr"
        for output in traced.facts[node].outputs
    }
    last_use: dict[int, int] = {}
    for moment, node in enumerate(order):
        for storage in traced.facts[node].reads | {output.storage for output in traced.facts[node].outputs}:
            last_use[storage] = moment
    for output in traced.facts[traced.levels.result].outputs:
        last_use[output.storage] = len(order)
    peaks = np.zeros(len(traced.split_levels) - 1)
    live: dict[int, int] = {}
    for moment, node in enumerate(order):
        segment = traced.segment(traced.levels.of[node]) - 1
        inside = sum(live.values()) + traced.facts[node].allocated_bytes
        live.update((o.storage, size[o.storage]) for o in traced.facts[node].outputs if o.storage in size)
        peaks[segment] = max(peaks[segment], inside, sum(live.values()))
        live = {storage: held for storage, held in live.items() if last_use[storage] > moment}
    return peaks


def _state_per_segment(
    segments: Mapping[str, int], sizes: Mapping[str, int], num_segments: int
) -> np.ndarray:
    """Sums the bytes of parameters or buffers over the segments that use them: [N]."""
    sums = np.zeros(num_segments)
    for name, segment in segments.items():
        sums[segment - 1] += sizes[name]
    return sums


def _bytes(named: Iterable[tuple[str, Tensor]]) -> dict[str, int]:
    return {name: tensor.numel() * tensor.element_size() for name, tensor in named}


def _exit_costs(
    chain: SplitChain, output_shape: tuple[int, ...], config: ExitHeadConfig | None
) -> np.ndarray:
    """The exit head's FLOP, bytes of its state, and bytes of its feature maps at every split point: [N + 1, 3]."""
    costs = np.zeros((chain.num_segments + 1, 3))
    if config is None:
        return costs
    known: dict[tuple[tuple[tuple[int, ...], torch.dtype], ...], tuple[float, float, float]] = {}
    dtype = chain.live_tensors(chain.num_segments)[0].dtype
    for j in range(1, chain.num_segments):
        live = tuple((tensor.shape, tensor.dtype) for tensor in chain.live_tensors(j))
        if live not in known:
            with torch.device("meta"):
                head = ExitHead(chain.live_shapes(j), output_shape, config).to(dtype).eval()
                known[live] = _exit_cost(head, [torch.empty(shape, dtype=kind) for shape, kind in live])
        costs[j] = known[live]
    return costs


def _exit_cost(head: ExitHead, live: list[Tensor]) -> tuple[float, float, float]:
    map_bytes = 0

    def count(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        nonlocal map_bytes
        map_bytes += output.numel() * output.element_size()

    for layer in head.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(count)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        head(live)
    state = sum(tensor.numel() * tensor.element_size() for tensor in (*head.parameters(), *head.buffers()))
    return float(counter.get_total_flops()), float(state), float(map_bytes)
