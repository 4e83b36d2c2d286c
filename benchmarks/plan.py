"""The time of tracing and planning for each backbone: python benchmarks/plan.py [--json] [MODEL ...]

The time of planning is the median of 50 calls of ``plan_offloading`` on ten like nodes. Tracing and profiling run
once, on images of 224 pixels unless ``--size`` gives another size. With ``--json``, rows include the machine and the
versions.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

import torch
from setting import print_json, roomy_fleet, setting, timed

from cloudedge_pl.costs import CodecConfig
from cloudedge_pl.fleet import Workload
from cloudedge_pl.offloading import plan_offloading
from cloudedge_pl.partition import build_backbone, profile, trace

MODELS = (
    "resnet18",
    "resnet34",
    "resnet50",
    "vgg16",
    "mobilenet_v3_large",
    "efficientnet_b0",
    "convnext_tiny",
    "vit_b_16",
    "densenet121",
    "regnet_y_400mf",
    "shufflenet_v2_x1_0",
    "swin_t",
)


def benchmark(name: str, size: int, granularity: str, repeats: int = 50) -> dict[str, Any]:
    """Traces, profiles and plans one backbone."""
    backbone = build_backbone(name, num_classes=1000)
    example = torch.zeros(1, 3, size, size)
    chain, trace_seconds = timed(lambda: trace(backbone, example, granularity=granularity))
    costs, profile_seconds = timed(lambda: profile(chain, example, name=name))
    fleet = roomy_fleet("raspberry-pi-4", 10)
    workload = Workload(arrival_rate=0.1, max_delay_seconds=60.0, phase="inference")
    codec = CodecConfig("none")
    plans = [timed(lambda: plan_offloading(costs, fleet, workload, codec=codec)) for _ in range(repeats)]
    return {
        "model": name,
        "split_points": costs.num_segments + 1,
        "gflops": float(costs.flops[-1] / 1e9),
        "trace_seconds": trace_seconds,
        "profile_seconds": profile_seconds,
        "plan_seconds": statistics.median(seconds for _, seconds in plans),
        "plan_seconds_worst": max(seconds for _, seconds in plans),
        "chosen": plans[0][0].split_point,
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=MODELS, metavar="MODEL", help="torchvision backbones")
    parser.add_argument("--size", type=int, default=224, help="height and width of an image")
    parser.add_argument("--granularity", choices=["layer", "block"], default="layer")
    parser.add_argument("--json", action="store_true", help="print a JSON object for each model, one a line")
    options = parser.parse_args(arguments)
    shared = {
        **setting("plan", "torch", "torchvision", "numpy"),
        "size": options.size,
        "granularity": options.granularity,
    }
    for name in options.models:
        result = benchmark(name, options.size, options.granularity)
        if options.json:
            print_json({**shared, **result})
        else:
            print(
                f"{name:<22} {result['split_points']:4d} split points   trace {result['trace_seconds']:6.2f} s   "
                f"profile {result['profile_seconds']:5.2f} s   plan {1e3 * result['plan_seconds']:6.2f} ms"
            )


if __name__ == "__main__":
    main()
