"""A whole ``Trainer.fit`` under CloudEdgeStrategy compared with a plain one: python benchmarks/fit.py [--json]

Both fits use the same ResNet-34, data, optimizer and CSV logger. The strategy adds tracing, planning, routing, the exit
head, aggregation, dormancy and the accounts of every step. They run in turn, ``--repeats`` times. The figures are
medians over the fits, and a row's ratio is its seconds over those of the plain fit. ``digits`` needs no files;
``--image-folder ROOT`` adds a folder of images (``train/<class>/``, ``test/<class>/``), such as a subset of CIFAR-10.

``--flower`` compares images/s in federated learning with Flower, if ``flwr[simulation]`` is installed: ten clients own
IID shards of the digits, train the whole network in batches of 13, and average their weights after every local epoch.
Start-up and the first round do not count.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger
from setting import WORKLOAD, print_json, roomy_fleet, setting, timed

import cloudedge_pl as ce

CLIENTS, LOCAL_BATCH = 10, 13
OPTIONS = {"workload": WORKLOAD, "exit_head": ce.ExitHeadConfig(num_layers=1, pool=4), "codec": "none"}


def make_module() -> ce.CloudEdgeModule:
    pl.seed_everything(0, verbose=False)
    module = ce.CloudEdgeModule(
        "resnet34", num_classes=10, optimizer="sgd", learning_rate=0.05, weight_decay=1e-4
    )
    return module.to(memory_format=torch.channels_last)  # in the plain fit as well


def make_data(root: str | None, **options: Any) -> Any:
    sizes = {"batch_size": 128, "eval_batch_size": None, **options}
    return ce.DigitsDataModule(**sizes) if root is None else ce.ImageFolderDataModule(root, **sizes)


class Clock(pl.Callback):
    """Records when epochs end."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_epoch_end(self, *_: Any) -> None:
        self.ends.append(time.perf_counter())


def fit(strategy: Any, data: Any, epochs: int, callbacks: list[pl.Callback]) -> None:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = pl.Trainer(
            strategy=strategy,
            callbacks=callbacks,
            max_epochs=epochs,
            accelerator="cpu",
            logger=CSVLogger(folder),
            log_every_n_steps=1,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        trainer.fit(make_module(), datamodule=data)


def plain(root: str | None, epochs: int) -> None:
    fit("auto", make_data(root), epochs, [])


def ours(root: str | None, epochs: int) -> None:
    callbacks = [ce.WeightedAggregation(), ce.CloudDormancy(), ce.CostLogger()]
    fleet = roomy_fleet("raspberry-pi-4", 10, speed_spread=0.4)
    fit(ce.CloudEdgeStrategy(fleet=fleet, **OPTIONS), make_data(root), epochs, callbacks)


def compare(name: str, root: str | None, epochs: int, repeats: int) -> list[dict[str, Any]]:
    ways: dict[str, Callable[[str | None, int], None]] = {"plain": plain, "cloudedge": ours}
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, run in ways.items():
            taken[way].append(timed(lambda run=run: run(root, epochs))[1])
    data = make_data(root)
    images = epochs * len(data.train_dataloader()) * data.batch_size
    seconds = {way: statistics.median(times) for way, times in taken.items()}
    return [
        {
            "data": name,
            "way": way,
            "epochs": epochs,
            "fits": repeats,
            "seconds": value,
            "images_per_second": images / value,
            "ratio": value / seconds["plain"],
        }
        for way, value in seconds.items()
    ]


def federated_ours(rounds: int) -> float:
    """Images/s if every node trains the whole network on its own shard."""
    data = make_data(None, batch_size=CLIENTS * LOCAL_BATCH)
    strategy = ce.CloudEdgeStrategy(
        fleet=roomy_fleet("jetson-orin-nano", CLIENTS),
        **OPTIONS,
        offloading={
            "split_point": -1 + len(ce.trace(make_module().backbone, torch.zeros(1, 3, 32, 32)).names)
        },
        shards={"by": "iid"},
    )
    clock = Clock()
    data.val_fraction = 0.0
    fit(strategy, data, rounds + 1, [ce.WeightedAggregation(every_n_epochs=1), clock])
    images = len(data.train_dataloader()) * data.batch_size
    return images / statistics.median(b - a for a, b in itertools.pairwise(clock.ends))


def federated_flower(rounds: int) -> float:
    """The same with Flower's simulation engine."""
    from flwr.simulation import run_simulation

    moments: list[tuple[float, int]] = []
    resources = {"client_resources": {"num_cpus": 1, "num_gpus": 0.0}}
    run_simulation(flower_server(rounds + 1, moments), flower_client(), CLIENTS, backend_config=resources)
    rates = [images / (end - start) for (start, _), (end, images) in itertools.pairwise(moments)]
    return statistics.median(rates)


def arrays(net: torch.nn.Module) -> list[np.ndarray]:
    return [value.detach().cpu().numpy() for value in net.state_dict().values()]


def flower_client() -> Any:
    """Flower's app of the clients: one epoch of the whole network on the client's shard in every round."""
    from flwr.client import ClientApp, NumPyClient
    from flwr.common import Context

    class Client(NumPyClient):
        def __init__(self, number: int) -> None:
            torch.set_num_threads(1)
            self.net = make_module().backbone
            labels = make_data(None, val_fraction=0.0).splits.train.labels
            rows = torch.arange(len(labels))[number::CLIENTS]
            whole = make_data(None, val_fraction=0.0, batch_size=len(labels)).train_dataloader()
            images, labels = next(iter(whole))
            self.x, self.y = images[rows], labels[rows]

        def fit(self, parameters: list[np.ndarray], config: Any) -> Any:
            names = self.net.state_dict().keys()
            self.net.load_state_dict({n: torch.tensor(v) for n, v in zip(names, parameters, strict=True)})
            optimizer = torch.optim.SGD(self.net.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
            self.net.train()
            count = len(self.y) // LOCAL_BATCH * LOCAL_BATCH
            for rows in torch.randperm(len(self.y))[:count].split(LOCAL_BATCH):
                x = self.x[rows].contiguous(memory_format=torch.channels_last)
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(self.net(x), self.y[rows]).backward()
                optimizer.step()
            return arrays(self.net), count, {}

    def client(context: Context) -> Any:
        return Client(int(context.node_config["partition-id"])).to_client()

    return ClientApp(client_fn=client)


def flower_server(rounds: int, moments: list[tuple[float, int]]) -> Any:
    """Flower's app of the server, which averages weights and appends (time, images trained) to ``moments``."""
    from flwr.common import Context, ndarrays_to_parameters
    from flwr.server import ServerApp, ServerAppComponents, ServerConfig
    from flwr.server.strategy import FedAvg

    class Timed(FedAvg):
        def aggregate_fit(self, server_round: int, results: Any, failures: Any) -> Any:
            if failures:
                raise RuntimeError(f"flower: {len(failures)} clients failed: {failures[0]}")
            answer = super().aggregate_fit(server_round, results, failures)
            moments.append((time.perf_counter(), sum(result.num_examples for _, result in results)))
            return answer

    def server(context: Context) -> ServerAppComponents:
        first = ndarrays_to_parameters(arrays(make_module().backbone))
        strategy = Timed(
            fraction_evaluate=0.0,
            min_fit_clients=CLIENTS,
            min_available_clients=CLIENTS,
            initial_parameters=first,
        )
        return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=rounds))

    return ServerApp(server_fn=server)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--image-folder", metavar="ROOT", help="also fit on a folder of images")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--flower", action="store_true", help="compare with Flower's simulation instead")
    parser.add_argument("--json", action="store_true", help="print a JSON object for each row, one a line")
    options = parser.parse_args(arguments)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    rows: list[dict[str, Any]] = []
    if options.flower:
        for way, run in (("cloudedge", federated_ours), ("flower", federated_flower)):
            rows.append({"data": "digits", "way": way, "images_per_second": run(options.repeats)})
    else:
        rows += compare("digits", None, options.epochs, options.repeats)
        if options.image_folder:
            rows += compare("image_folder", options.image_folder, options.epochs, options.repeats)
    shared = {**setting("fit", "torch", "pytorch-lightning", "flwr"), "threads": torch.get_num_threads()}
    for row in rows:
        if options.json:
            print_json({**shared, **row})
        else:
            print(
                "  ".join(
                    f"{key} {value:.3f}" if isinstance(value, float) else f"{key} {value}"
                    for key, value in row.items()
                )
            )


if __name__ == "__main__":
    main()
