"""Training survives an outage of the link and nodes that fail: no sample is lost, and resumption is exact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import cloudedge_pl as ce
from cloudedge_pl.lightning import pl
from cloudedge_pl.simulation.churn import Churn
from cloudedge_pl.simulation.link_laws import ConstantLink, LognormalLink
from cloudedge_pl.training.nodes.replicas import Replicas
from cloudedge_pl.training.nodes.replicated import ReplicatedEdge
from tests.training.helpers import (
    CLASSES,
    SGD,
    SmallNet,
    comparable,
    make_strategy,
    make_trainer,
    note_before_averages,
    parameters_of,
)

NUM_NODES, BATCH, STEPS = 3, 16, 20
# A batch gathers in 2 s, and all gradients of a step are back some 20 ms after it has opened. So step k, from 0, opens
# at 2 k seconds and a few ms for aggregations, and at 13 s nothing is on its way.
OUTAGE = (13.0, 23.0)
FAILS_SECONDS, FAILS_STEP = 12.005, 6  # cut tensors are on their way to the cloud
NAMES = [f"raspberry-pi-4-{node}" for node in range(NUM_NODES)]


class Watch(pl.Callback):
    """Of every step: the node of every sample, a weight on every node before it, and the aggregated one after it."""

    def __init__(self) -> None:
        self.nodes: list[np.ndarray] = []
        self.before: list[list[Tensor]] = []
        self.aggregated: list[Tensor] = []

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        edge = trainer.strategy.run.edge
        if isinstance(edge, ReplicatedEdge):
            self.before.append(first_weights(edge.replicas))

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        self.nodes.append(trainer.strategy.run.record.assignment.node)
        self.aggregated.append(pl_module.backbone.stem.weight.detach().clone())

    def tasks(self, start: int, end: int | None = None) -> np.ndarray:
        """Samples that each node did in some steps, int64 [num_nodes]."""
        return np.bincount(np.concatenate(self.nodes[start:end]), minlength=NUM_NODES)


def first_weights(replicas: Replicas) -> list[Tensor]:
    return [parameters[0].detach().clone() for parameters in replicas.parameters]


class Stop(pl.Callback):
    """Saves a checkpoint after a step, in the midst of an epoch, and ends the run."""

    def __init__(self, path: Path, step: int) -> None:
        self.path, self.step = path, step

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)
            trainer.should_stop = True


def fit(
    root: Path, *callbacks: pl.Callback, ckpt_path: Path | None = None, **options: Any
) -> tuple[ce.CloudEdgeStrategy, dict[str, Any]]:
    """Trains for four epochs of five steps; returns the strategy, and all that moves as it is in the end."""
    pl.seed_everything(7)
    torch.manual_seed(1)
    module = ce.CloudEdgeModule(
        SmallNet(norm=True, dropout=0.3), num_classes=CLASSES, learning_rate=0.05, **SGD
    )
    data = ce.SyntheticDataModule(
        num_classes=CLASSES, num_train=80, num_test=16, image_size=8, val_fraction=0.0, batch_size=BATCH
    )
    strategy = make_strategy(3, NUM_NODES, backbone="backbone", **options)
    trainer = make_trainer(root, strategy, callbacks=list(callbacks), max_epochs=4, limit_val_batches=0)
    trainer.fit(module, datamodule=data, ckpt_path=ckpt_path, weights_only=True)
    ending = {
        "weights": parameters_of(module),
        "nodes": strategy.run.aggregation.state_dict(),
        "simulator": strategy.simulator.state_dict(),
    }
    return strategy, ending


def opens_and_awake(strategy: ce.CloudEdgeStrategy) -> tuple[np.ndarray, np.ndarray]:
    """When each step opened, float64 [steps], and whether the cloud was awake in it, bool [steps]."""
    columns = strategy.simulator.history.columns()
    return np.append(0.0, columns["clock_seconds"][:-1]), columns["awake"] > 0


def require_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    torch.testing.assert_close(comparable(found), comparable(expected), rtol=0, atol=0, equal_nan=True)


# --- outages ---

LINKS = {
    "constant": ConstantLink(outages=[OUTAGE]),
    "lognormal": LognormalLink(variation=0.2, outages=[OUTAGE]),
}


def sleepy() -> ce.CloudDormancy:
    return ce.CloudDormancy(sleep_ratio=6, wake_ratio=4, warmup_windows=2, dwell_windows=1)


@pytest.mark.parametrize("link", LINKS)
def test_the_cloud_sleeps_through_an_outage_and_no_longer(tmp_path: Path, link: str) -> None:
    watch = Watch()
    strategy, ending = fit(tmp_path, sleepy(), watch, scenario=ce.Scenario(link=LINKS[link]))
    opens, awake = opens_and_awake(strategy)
    out = (opens >= OUTAGE[0]) & (opens < OUTAGE[1])
    assert out.sum() == 5
    np.testing.assert_array_equal(awake, ~out)
    assert watch.tasks(0).sum() == strategy.simulator.accounts.tasks.sum() == STEPS * BATCH
    assert np.isfinite(strategy.simulator.history.columns()["mean_delay_seconds"]).all()  # each was answered
    assert strategy.simulator.clock_seconds == pytest.approx(
        2 * STEPS, rel=0.01
    )  # nobody waited for the link
    assert all(value.isfinite().all() for value in ending["weights"].values())


@pytest.mark.parametrize("step", [9, 11])
def test_a_run_resumed_within_an_outage_equals_one_that_was_not_stopped(tmp_path: Path, step: int) -> None:
    scenario = ce.Scenario(link=LINKS["lognormal"])
    _, whole = fit(tmp_path, sleepy(), scenario=scenario)
    path = tmp_path / "stopped.ckpt"
    stopped, _ = fit(tmp_path, sleepy(), Stop(path, step), scenario=scenario)
    assert OUTAGE[0] < stopped.simulator.clock_seconds < OUTAGE[1]
    _, resumed = fit(tmp_path, sleepy(), ckpt_path=path, scenario=scenario)
    require_equal(resumed, whole)


def test_without_dormancy_a_step_waits_for_the_end_of_the_outage(tmp_path: Path) -> None:
    watch = Watch()
    strategy, _ = fit(tmp_path, watch, scenario=ce.Scenario(link=LINKS["constant"]))
    opens, awake = opens_and_awake(strategy)
    assert awake.all()
    assert opens[7] == pytest.approx(14.0, abs=0.01)
    assert opens[8] == pytest.approx(OUTAGE[1], abs=0.1)
    assert strategy.simulator.delays.quantile(1.0) == pytest.approx(OUTAGE[1] - 14.0, abs=0.1)
    assert watch.tasks(0).sum() == STEPS * BATCH


# --- nodes that fail ---

KINDS: dict[str, dict[str, Any]] = {
    "shared": {},
    "replicas": {"every_n_steps": 4},
    "shards": {"every_n_steps": 4, "shards": {"by": "iid"}},
}


def fit_with_churn(
    root: Path, *callbacks: pl.Callback, kind: str, events: Any, **options: Any
) -> tuple[ce.CloudEdgeStrategy, dict[str, Any]]:
    settings = dict(KINDS[kind])
    every = settings.pop("every_n_steps", None)
    aggregation = [] if every is None else [ce.WeightedAggregation(every_n_steps=every)]
    scenario = ce.Scenario(churn=Churn(events=events))
    return fit(root, *aggregation, *callbacks, scenario=scenario, **settings, **options)


FAILS = [(FAILS_SECONDS, NAMES[0], "fail")]


@pytest.mark.parametrize("kind", KINDS)
def test_the_others_do_the_samples_of_a_node_that_fails(tmp_path: Path, kind: str) -> None:
    watch = Watch()
    strategy, _ = fit_with_churn(tmp_path, watch, kind=kind, events=FAILS)
    assert watch.tasks(0, FAILS_STEP)[0] > 0
    assert watch.tasks(FAILS_STEP)[0] == 0
    assert watch.tasks(0).sum() == STEPS * BATCH
    lost = strategy.simulator.engine.arrays.nodes["lost_tasks"]
    assert lost[0] > 0  # it failed in mid-task, and others repeated what it had run
    np.testing.assert_array_equal(watch.tasks(0) + lost, strategy.simulator.accounts.tasks[:-1])
    assert strategy.run.aggregation.progress.failures == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_resumed_after_a_failure_equals_one_that_was_not_stopped(tmp_path: Path, kind: str) -> None:
    events = [*FAILS, (25.0, NAMES[0], "join")]
    _, whole = fit_with_churn(tmp_path, kind=kind, events=events)
    path = tmp_path / "stopped.ckpt"
    fit_with_churn(tmp_path, Stop(path, FAILS_STEP + 1), kind=kind, events=events)
    _, resumed = fit_with_churn(tmp_path, kind=kind, events=events, ckpt_path=path)
    require_equal(resumed, whole)


def test_a_node_that_fails_has_no_share_in_the_average(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replicas: list[list[Tensor]] = []
    note_before_averages(monkeypatch, lambda nodes: replicas.append(first_weights(nodes)))
    watch = Watch()
    fit_with_churn(tmp_path, watch, kind="replicas", events=FAILS)
    assert len(replicas) == STEPS // 4
    for at, weights in enumerate(replicas):
        shares = torch.from_numpy(watch.tasks(4 * at, 4 * at + 4)).double()
        if at == FAILS_STEP // 4:
            assert shares[0] > 0  # what it did before it failed
            shares[0] = 0
        mean = sum(u * w for u, w in zip(shares, weights, strict=True)) / shares.sum()
        torch.testing.assert_close(watch.aggregated[4 * at + 3], mean.float())


@pytest.mark.parametrize(("joins_seconds", "step"), [(13.0, 7), (20.5, 11)], ids=["interval", "later"])
def test_a_node_that_returns_starts_from_the_aggregated_weights(
    tmp_path: Path, joins_seconds: float, step: int
) -> None:
    """Whether it returns within the interval in which it failed or in a later one."""
    watch = Watch()
    events = [*FAILS, (joins_seconds, NAMES[0], "join")]
    fit_with_churn(tmp_path, watch, kind="replicas", events=events)
    assert watch.tasks(FAILS_STEP, step)[0] == 0
    assert watch.tasks(step, step + 1)[0] > 0
    returned, stayed = watch.before[step][:2]
    assert torch.equal(returned, watch.aggregated[step - 1])
    assert not torch.equal(stayed, watch.aggregated[step - 1])


def test_without_any_node_training_ends_with_one_clear_error(tmp_path: Path) -> None:
    events = [(FAILS_SECONDS, name, "fail") for name in NAMES]
    with pytest.raises(ValueError, match="16 of 16 samples of a step wait for a node, and none will join"):
        fit_with_churn(tmp_path, kind="shared", events=events)


def test_a_step_without_any_node_waits_for_the_first_that_joins(tmp_path: Path) -> None:
    watch = Watch()
    events = [*((FAILS_SECONDS, name, "fail") for name in NAMES), (60.0, NAMES[1], "join")]
    strategy, _ = fit_with_churn(tmp_path, watch, kind="replicas", events=events)
    np.testing.assert_array_equal(watch.tasks(FAILS_STEP), [0, (STEPS - FAILS_STEP) * BATCH, 0])
    assert opens_and_awake(strategy)[0][FAILS_STEP + 1] == pytest.approx(60.0, abs=0.1)


def test_a_node_that_is_away_takes_no_part_in_aggregations(tmp_path: Path) -> None:
    plain, _ = fit_with_churn(tmp_path, kind="replicas", events=())
    strategy, _ = fit_with_churn(tmp_path, kind="replicas", events=FAILS)
    found, usual = strategy.simulator.accounts, plain.simulator.accounts
    np.testing.assert_allclose(
        found.sync_bytes, usual.sync_bytes * [1 / 5, 1, 1, 1]
    )  # of five it saw the first
    assert found.sync_joules[0] < usual.sync_joules[0] / 4
    assert strategy.run.aggregation.aggregations == plain.run.aggregation.aggregations == 5
