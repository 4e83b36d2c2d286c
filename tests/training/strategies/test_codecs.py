"""Training on cut tensors that are sent in another form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import cloudedge_pl as ce
from cloudedge_pl.costs.transmission import upload_bytes
from cloudedge_pl.errors import CheckpointError
from cloudedge_pl.lightning import pl
from tests.training.helpers import (
    EXIT_HEAD,
    WORKLOAD,
    OtherModule,
    SmallNet,
    loader,
    make_fleet,
    make_trainer,
    parameters_of,
)

CODECS = ("float16", "bfloat16", "int8", "bottleneck", "top_k")


def make_strategy(codec: str, split_point: int = 2, **options: Any) -> ce.CloudEdgeStrategy:
    return ce.CloudEdgeStrategy(
        fleet=make_fleet(3),
        backbone="net",
        offloading={"split_point": split_point},
        codec=ce.CodecConfig(codec, ratio=0.5),
        workload=WORKLOAD,
        exit_head=EXIT_HEAD,
        **options,
    )


def fit(root: Path, strategy: Any, **options: Any) -> tuple[OtherModule, pl.Trainer]:
    pl.seed_everything(0)
    torch.manual_seed(1)
    module = OtherModule(SmallNet(norm=True))
    trainer = make_trainer(root, strategy, max_epochs=8, **options)
    trainer.fit(module, loader(), loader(seed=1))
    return module, trainer


@pytest.mark.parametrize("codec", CODECS)
def test_trains_answers_and_accounts_through_the_codec(tmp_path: Path, codec: str) -> None:
    strategy = make_strategy(codec)
    module, trainer = fit(tmp_path, strategy)
    assert np.mean(module.losses[-3:]) < 0.8 * np.mean(module.losses[:3])
    assert strategy.deployment is not None
    accounts = strategy.simulator.accounts
    uploaded = float(accounts.upload_bytes.sum() / accounts.tasks.sum())
    planned = upload_bytes(strategy.plan.profile, strategy.settings.workload, strategy.settings.codec)[2]
    assert uploaded == pytest.approx(planned)
    assert uploaded < 2 * 8 * 4 * 4 * 4, "two maps of 8 x 4 x 4 floats uncompressed"
    batch = next(iter(loader(seed=1)))[0]
    (first, *_) = trainer.predict(module, loader(seed=1))
    module.eval()
    chain, sent = strategy.deployment.chain, strategy.deployment.codec
    assert sent is not None
    with torch.no_grad():
        expected = chain.cloud(2)(sent(chain.edge(2)(batch)))
        plain = chain.cloud(2)(chain.edge(2)(batch))
    torch.testing.assert_close(first, expected)
    assert not torch.equal(first, plain)


def test_the_gradient_reaches_the_edge_as_through_the_codec(tmp_path: Path) -> None:
    """One step of plain SGD, split by hand, with a top-k mask on what is sent."""
    torch.manual_seed(1)
    net = SmallNet()
    by_hand = SmallNet()
    by_hand.load_state_dict(net.state_dict())
    strategy = make_strategy("top_k", split_point=1, edge_loss_weight=0)
    module = OtherModule(net, lr=0.1, momentum=0.0, weight_decay=0.0)
    data = loader(num=16)
    make_trainer(tmp_path, strategy, max_epochs=1).fit(module, data)
    x, y = next(iter(data))
    chain = ce.trace(by_hand, x[:1])
    sent = chain.edge(1)(x)[0]
    flat = sent.detach().flatten(1).abs()
    kept = torch.zeros_like(flat).scatter_(1, flat.argsort(1, descending=True)[:, : flat.shape[1] // 2], 1.0)
    logits = chain.cloud(1)((sent * kept.view_as(sent),))
    torch.nn.functional.cross_entropy(logits, y).backward()
    for name, parameter in by_hand.named_parameters():
        torch.testing.assert_close(
            net.get_parameter(name).detach(), (parameter - 0.1 * parameter.grad).detach()
        )


def test_a_learned_codec_trains_and_travels_in_the_checkpoint(tmp_path: Path) -> None:
    strategy = make_strategy("bottleneck")
    module, trainer = fit(tmp_path, strategy)
    codec = strategy.deployment.codec
    trained = parameters_of(codec)
    own = {id(p) for group in trainer.optimizers[0].param_groups for p in group["params"]}
    assert {id(p) for p in codec.parameters()} <= own
    assert all(p in trainer.optimizers[0].state for p in codec.parameters())
    path = tmp_path / "run.ckpt"
    trainer.save_checkpoint(path)
    again = make_strategy("bottleneck")
    make_trainer(tmp_path, again).test(
        module, loader(seed=1), ckpt_path=path, verbose=False, weights_only=True
    )
    for name, value in parameters_of(again.deployment.codec).items():
        assert torch.equal(value, trained[name])
    other = make_strategy("int8")
    with pytest.raises(CheckpointError, match=r"codec=bottleneck codec.ratio=0.5"):
        make_trainer(tmp_path, other).test(module, loader(seed=1), ckpt_path=path, weights_only=True)


def test_codecs_go_with_nodes_that_train_weights_of_their_own(tmp_path: Path) -> None:
    strategy = make_strategy("bottleneck")
    module, _ = fit(tmp_path, strategy, callbacks=[ce.WeightedAggregation(every_n_steps=2)])
    assert np.mean(module.losses[-3:]) < 0.8 * np.mean(module.losses[:3])
