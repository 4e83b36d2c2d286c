"""Time and memory of a training step under CloudEdgeStrategy: python benchmarks/train_step.py [--json]

ResNet-34 under a real Trainer, joint loss and routing included, is compared with (a) a plain PyTorch step of the same
model and batch, and (b), at intervals longer than 1, ``naive``: deep copies of the edge part, each with its own
SGD(foreach=True), averaged at the same interval. All three run in turn in one process: a step of the strategy, a
plain step, a naive step. Everything is channels_last, SGD has momentum 0.9 and weight decay 1e-4, and the nodes'
speeds spread by 40%. ``seconds`` is the mean step of an interval, the aggregation included, as a median over the
intervals.

Peak memory is measured in a separate process for each of the three; ``--no-memory`` leaves it out.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytorch_lightning as pl
import torch
from setting import WORKLOAD, print_json, roomy_fleet, setting
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision.models import resnet34

import cloudedge_pl as ce
from cloudedge_pl.partition import ExitHead

BATCH_OF_SIZE = {32: 128, 64: 32}
SPLITS = {"layer1": "layer1.", "layer2": "layer2.", "layer3": "layer3.", "avgpool": "layer4."}
EXIT_HEAD = ce.ExitHeadConfig(num_layers=1, pool=4)
SGD = {"lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4}
MEMORY_LIMIT = 14e9
"""A case with more bytes of weights, momentum and gradients than this is left out."""


def batch_of(size: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(BATCH_OF_SIZE[size], 3, size, size, generator=generator)
    y = torch.randint(0, 10, (len(x),), generator=generator)
    return x.contiguous(memory_format=torch.channels_last), y


def make_net() -> nn.Module:
    torch.manual_seed(0)
    return resnet34(num_classes=10).to(memory_format=torch.channels_last)


def split_point_of(name: str) -> int:
    """The last split point in a stage of ResNet-34."""
    chain = ce.trace(make_net(), torch.zeros(1, 3, 64, 64))
    return max(at for at, layer in enumerate(chain.names) if layer.startswith(SPLITS[name]))


class Plain:
    """Plain PyTorch training steps."""

    def __init__(self, batch: tuple[Tensor, Tensor]) -> None:
        self.net, self.batch = make_net().train(), batch
        self.optimizer = torch.optim.SGD(self.net.parameters(), **SGD)

    def step(self) -> None:
        x, y = self.batch
        self.optimizer.zero_grad()
        functional.cross_entropy(self.net(x), y).backward()
        self.optimizer.step()


class Naive:
    """The obvious implementation: deep copies of the edge part, each with its own optimizer; the same joint loss."""

    def __init__(self, batch: tuple[Tensor, Tensor], case: dict[str, Any]) -> None:
        split_point, nodes, interval = split_point_of(case["split"]), case["nodes"], case["interval"]
        self.batch, self.interval, self.steps = batch, interval, 0
        self.tasks = [0] * nodes
        net = make_net().train()
        self.chain = ce.trace(net, torch.zeros(1, 3, 64, 64))
        self.cloud, self.split_point = self.chain.cloud(split_point), split_point
        self.edge_loss_weight = case["edge_loss_weight"]
        x = batch[0][:1]
        shapes = ce.trace(net, torch.zeros_like(x)).live_shapes(split_point)
        self.head = ExitHead(shapes, 10, EXIT_HEAD).to(memory_format=torch.channels_last)
        shared = [*self.chain.cloud_parameters(split_point).values(), *self.head.parameters()]
        self.optimizer = torch.optim.SGD(shared, **SGD)
        edge, trained = nn.Module(), self.chain.edge_parameters(split_point)
        for name, child in net.named_children():
            at_edge = any(key.startswith(f"{name}.") for key in trained)
            if at_edge or not list(child.parameters()):
                edge.add_module(name, child)
        self.nodes = [copy.deepcopy(edge) for _ in range(nodes)]
        self.names = list(self.chain.edge_parameters(split_point))
        self.optimizers = [
            torch.optim.SGD([node.get_parameter(n) for n in self.names], **SGD, foreach=True)
            for node in self.nodes
        ]

    def _edge(self, node: nn.Module, x: Tensor) -> Any:
        return self.chain._part(0, self.split_point)(node, x)

    def step(self, counts: list[int]) -> None:
        """Trains one step; ``counts`` are the samples of each node."""
        x, y = self.batch
        self.steps += 1
        for optimizer in (self.optimizer, *self.optimizers):
            optimizer.zero_grad()
        parts = [
            self._edge(node, part)
            for node, part in zip(self.nodes, x.split(counts), strict=True)
            if len(part)
        ]
        sent = [
            torch.cat([p.detach() for p in values]).requires_grad_() for values in zip(*parts, strict=True)
        ]
        loss = functional.cross_entropy(self.cloud(tuple(sent)), y)
        if self.edge_loss_weight:
            loss = loss + self.edge_loss_weight * functional.cross_entropy(self.head(tuple(sent)), y)
        loss.backward()
        self.optimizer.step()
        gradients = [tensor.grad.split([c for c in counts if c]) for tensor in sent]
        for index, count in enumerate(c for c in counts if c):
            scaled = [g[index] * (len(x) / count) for g in gradients]
            torch.autograd.backward(list(parts[index]), scaled)
        for optimizer, count in zip(self.optimizers, counts, strict=True):
            if count:
                optimizer.step()
        self.tasks = [done + count for done, count in zip(self.tasks, counts, strict=True)]
        if self.steps % self.interval == 0:
            self._average()

    @torch.no_grad()
    def _average(self) -> None:
        share = [done / sum(self.tasks) for done in self.tasks]
        self.tasks = [0] * len(share)
        for name in self.names:
            values = [node.get_parameter(name) for node in self.nodes]
            states = [o.state[v] for o, v in zip(self.optimizers, values, strict=True) if v in o.state]
            for column in (values, [state["momentum_buffer"] for state in states]):
                mean = sum(s * value for s, value in zip(share, column, strict=False))
                for value in column:
                    value.copy_(mean)


class Module(pl.LightningModule):
    """An ordinary module; the strategy cuts its ``net``."""

    def __init__(self) -> None:
        super().__init__()
        self.net = make_net()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        return functional.cross_entropy(self.net(x), y)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), **SGD)


class InTurn(pl.Callback):
    """Times every step of the trainer, and after each of them a step of the others."""

    def __init__(self, others: dict[str, Callable[[list[int]], None]]) -> None:
        self.others = others
        self.seconds: dict[str, list[float]] = {name: [] for name in ("ours", *others)}
        self._start = 0.0

    def on_train_batch_start(self, *_: Any) -> None:
        self._start = time.perf_counter()

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        self.seconds["ours"].append(time.perf_counter() - self._start)
        counts = trainer.strategy.record.assignment.tasks_per_node.tolist()
        for name, step in self.others.items():
            start = time.perf_counter()
            step(counts)
            self.seconds[name].append(time.perf_counter() - start)


def train(case: dict[str, Any], steps: int, callback: pl.Callback | None, **options: Any) -> None:
    """Trains under the strategy for a number of steps on one batch; ``options`` are the Trainer's."""
    batch = batch_of(case["size"])
    strategy = ce.CloudEdgeStrategy(
        fleet=roomy_fleet("jetson-orin-nano", case["nodes"], speed_spread=0.4),
        workload=WORKLOAD,
        exit_head=EXIT_HEAD,
        codec="none",
        backbone="net",
        offloading={"split_point": split_point_of(case["split"])},
        batch_norm=case["batch_norm"],
        edge_loss_weight=case["edge_loss_weight"],
    )
    # Before the timer, so that an aggregation is part of its step.
    callbacks = [ce.WeightedAggregation(every_n_steps=case["interval"]), *([callback] if callback else [])]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = pl.Trainer(
            strategy=strategy,
            callbacks=callbacks,
            max_steps=steps,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
            **options,
        )
        trainer.fit(Module(), DataLoader([batch] * steps, batch_size=None))


def replica_bytes(case: dict[str, Any]) -> float:
    chain = ce.trace(make_net(), torch.zeros(1, 3, 64, 64))
    return float(sum(4 * p.numel() for p in chain.edge_parameters(split_point_of(case["split"])).values()))


def measure(case: dict[str, Any], intervals: int, with_naive: bool) -> dict[str, Any]:
    """Times a case; the first interval is a warm-up."""
    batch, interval = batch_of(case["size"]), case["interval"]
    plain = Plain(batch)
    others: dict[str, Callable[[list[int]], None]] = {"plain": lambda _: plain.step()}
    if with_naive:
        naive = Naive(batch, case)
        others["naive"] = naive.step
    clock = InTurn(others)
    warm = max(interval, 3)
    train(case, warm + interval * intervals, clock)

    def seconds(name: str) -> float:
        taken = clock.seconds[name][warm:]
        means = [statistics.mean(taken[i : i + interval]) for i in range(0, len(taken), interval)]
        return statistics.median(means)

    row = {**case, "seconds": seconds("ours"), "plain_seconds": seconds("plain")}
    row["ratio"] = row["seconds"] / row["plain_seconds"]
    if with_naive:
        row["naive_seconds"] = seconds("naive")
        row["naive_ratio"] = row["naive_seconds"] / row["plain_seconds"]
        row["ratio_to_naive"] = row["seconds"] / row["naive_seconds"]
    return row


def peak(way: str, case: dict[str, Any]) -> int:
    """Peak resident bytes of a process that trains with one of the implementations."""
    command = [sys.executable, __file__, "--child", way, "--case", json.dumps(case)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.splitlines()[-1])


def child(way: str, case: dict[str, Any]) -> None:
    batch, steps = batch_of(case["size"]), case["interval"] + 2
    if way == "ours":
        train(case, steps, None)
    elif way == "plain":
        plain = Plain(batch)
        for _ in range(steps):
            plain.step()
    else:
        naive = Naive(batch, case)
        counts = [len(part) for part in torch.arange(len(batch[1])).tensor_split(case["nodes"])]
        for _ in range(steps):
            naive.step(counts)
    print(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def cases(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for size in options.sizes:
        for interval in options.intervals:
            for batch_norm in options.batch_norms if interval == 1 else ["local"]:
                for split in options.splits:
                    for nodes in options.nodes:
                        yield {
                            "size": size,
                            "batch": BATCH_OF_SIZE[size],
                            "nodes": nodes,
                            "split": split,
                            "interval": interval,
                            "batch_norm": batch_norm,
                            "edge_loss_weight": options.edge_loss_weight,
                        }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sizes", nargs="+", type=int, choices=list(BATCH_OF_SIZE), default=list(BATCH_OF_SIZE)
    )
    parser.add_argument("--splits", nargs="+", choices=list(SPLITS), default=list(SPLITS))
    parser.add_argument("--nodes", nargs="+", type=int, default=[1, 10, 30, 100])
    parser.add_argument("--intervals", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--batch-norms", nargs="+", default=["shared", "local"], help="at interval 1")
    parser.add_argument("--edge-loss-weight", type=float, default=0.3, help="0 trains without the exit head")
    parser.add_argument(
        "--repeats", type=int, default=9, help="steps at interval 1; a third of it in longer intervals"
    )
    parser.add_argument(
        "--memory",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="measure peak memory, in separate processes",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object for each row, one a line")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    if options.child:
        child(options.child, options.case)
        return
    shared = {
        **setting("train_step", "torch", "torchvision", "pytorch-lightning"),
        "threads": torch.get_num_threads(),
    }
    for case in cases(options):
        weights = replica_bytes(case) * case["nodes"]
        if case["interval"] > 1 and 2 * weights > MEMORY_LIMIT:
            print(f"left out, {2 * weights / 1e9:.0f} GB of weights and momentum: {case}", file=sys.stderr)
            continue
        with_naive = case["interval"] > 1 and 5 * weights < MEMORY_LIMIT
        row = measure(
            case, options.repeats if case["interval"] == 1 else max(options.repeats // 3, 1), with_naive
        )
        if options.memory:
            row["peak_rss_bytes"], row["plain_peak_rss_bytes"] = peak("ours", case), peak("plain", case)
            if case["interval"] > 1 and 3 * weights < MEMORY_LIMIT:
                row["naive_peak_rss_bytes"] = peak("naive", case)
        if options.json:
            print_json({**shared, **row})
        else:
            keys = ("size", "nodes", "split", "interval", "batch_norm", "seconds", "ratio", "naive_ratio")
            print("  ".join(f"{key} {_short(row[key])}" for key in keys if key in row), flush=True)


def _short(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
