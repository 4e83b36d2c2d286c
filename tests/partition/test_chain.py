"""A cut changes nothing: parts against the uncut network, bit for bit, and where cuts may lie."""

import copy
import pickle

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from cloudedge_pl.partition import build_backbone, trace
from tests.partition.nets import (
    NETS,
    NOT_REPEATABLE,
    Constants,
    FunctionalDropout,
    Program,
    Residual,
    SequenceFirst,
    TiedModule,
    TiedParameter,
    Tokens,
)

SAMPLE = torch.zeros(1, 3, 8, 8)
NAMED = {
    "resnet18": {},
    "resnet34": {},
    "resnet50": {},
    "vgg16": {},
    "mobilenet_v3_large": {},
    "mobilenet_v3_small": {},
    "efficientnet_b0": {},
    "convnext_tiny": {},
    "vit_b_16": {"image_size": 32},
}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def net_of(kind):
    torch.manual_seed(1)
    return kind()


def assert_cuts_change_nothing(backbone, chain, x, expected):
    for j in range(chain.num_segments + 1):
        live = chain.edge(j)(x.clone())
        assert tuple(t.shape[1:] for t in live if isinstance(t, torch.Tensor)) == chain.live_shapes(j)
        assert torch.equal(chain.cloud(j)(live), expected), f"split point {j}, {chain.names[j]}"


@pytest.mark.parametrize("granularity", ["layer", "block"])
@pytest.mark.parametrize("kind", NETS)
def test_edge_then_cloud_is_the_network_in_evaluation_mode(kind, granularity):
    net = net_of(kind).eval()
    chain = trace(net, SAMPLE, granularity=granularity)
    x = torch.randn(4, 3, 8, 8)
    with torch.no_grad():
        assert_cuts_change_nothing(net, chain, x, net(x.clone()))


@pytest.mark.parametrize("kind", [kind for kind in NETS if kind not in NOT_REPEATABLE])
def test_edge_then_cloud_is_the_network_in_training_mode_gradients_and_statistics_included(kind):
    x = torch.randn(4, 3, 8, 8)
    net = net_of(kind)
    expected = net(x.clone())
    expected.square().sum().backward()
    for j in range(trace(net_of(kind), SAMPLE).num_segments + 1):
        cut = net_of(kind)
        chain = trace(cut, SAMPLE)
        logits = chain.cloud(j)(chain.edge(j)(x.clone()))
        assert torch.equal(logits, expected)
        logits.square().sum().backward()
        for name, parameter in cut.named_parameters():
            torch.testing.assert_close(parameter.grad, net.get_parameter(name).grad, msg=f"{j}: {name}")
        for name, buffer in cut.named_buffers():
            assert torch.equal(buffer, net.get_buffer(name)), f"{j}: {name}"


STEPS = st.lists(
    st.tuples(st.sampled_from(Program.OPERATIONS), st.integers(0, 9), st.integers(0, 9)),
    min_size=1,
    max_size=9,
)


@settings(max_examples=60)
@given(steps=STEPS)
@example(steps=[("convolution", 0, 0), ("relu in place", 0, 0), ("convolution", 1, 0), ("add", 3, 2)])
@example(steps=[("relu", 0, 0), ("add in place", 0, 1), ("convolution", 1, 0), ("add in place", 2, 3)])
def test_any_network_of_branches_and_writes_in_place_may_be_cut_at_its_split_points(steps):
    torch.manual_seed(0)
    net = Program(steps).eval()
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        expected = net(x.clone())
        for granularity in ("layer", "block"):
            assert_cuts_change_nothing(net, trace(net, SAMPLE, granularity=granularity), x, expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMED)
def test_edge_then_cloud_is_the_backbone_at_every_split_point(name):
    backbone = build_backbone(name, num_classes=10, **NAMED[name]).eval()
    x = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        assert_cuts_change_nothing(backbone, trace(backbone, x), x, backbone(x))


def test_parts_between_any_two_split_points_chain_up():
    net = net_of(Tokens).eval()
    chain = trace(net, SAMPLE)
    x = torch.randn(2, 3, 8, 8)
    live = (x,)
    for j in range(chain.num_segments):
        live = chain.between(j, j + 1)(live)
    assert torch.equal(live[0], net(x))
    with pytest.raises(ValueError, match="split point 3 comes after 1"):
        chain.between(3, 1)


def test_a_residual_network_is_cut_by_depth_and_its_shortcut_shares_a_level():
    chain = trace(Residual(), SAMPLE)
    assert chain.names == ("input", "stem", "first", "second", "head")
    assert chain.live_shapes(0) == ((3, 8, 8),)
    assert chain.live_shapes(1) == ((4, 8, 8),)
    assert chain.live_shapes(2) == ((6, 8, 8), (6, 8, 8))
    assert chain.live_shapes(3) == ((6,),)
    assert chain.live_shapes(4) == ((5,),)
    assert chain.live_bytes(2) == 2 * 6 * 8 * 8 * 4
    assert set(chain.edge_parameters(2)) == {
        f"{layer}.{kind}" for layer in ("stem", "first", "shortcut", "norm") for kind in ("weight", "bias")
    }
    assert set(chain.edge_buffers(2)) == {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked"}
    assert trace(Residual(), SAMPLE, granularity="block").names == ("input", "stem", "second", "head")


def test_what_opens_the_next_block_of_a_transformer_stays_behind_the_cut():
    chain = trace(Tokens(), SAMPLE, granularity="block")
    assert chain.names == ("input", "embed", "attention", "mlp.2", "head")
    assert [chain.live_shapes(j) for j in range(5)] == [
        ((3, 8, 8),),
        ((4, 8),),
        ((5, 8),),
        ((8,),),
        ((5,),),
    ]


def test_no_cut_parts_a_tied_parameter_or_moves_the_batch_from_the_first_dimension():
    assert trace(TiedModule(), SAMPLE).names == ("input", "stem", "shared", "head")
    assert trace(TiedParameter(), SAMPLE).names == ("input", "stem", "down", "head")
    assert trace(SequenceFirst(), SAMPLE).names == ("input", "stem", "second", "head")


@pytest.mark.parametrize("kind", NETS)
def test_every_parameter_and_buffer_is_on_one_side(kind):
    net = kind()
    chain = trace(net, SAMPLE)
    for j in range(chain.num_segments + 1):
        edge, cloud = chain.edge_parameters(j), chain.cloud_parameters(j)
        assert {**edge, **cloud} == dict(net.named_parameters())
        assert not set(edge) & set(cloud)
        edge_buffers, cloud_buffers = chain.edge_buffers(j), chain.cloud_buffers(j)
        assert set(edge_buffers) | set(cloud_buffers) == {name for name, _ in net.named_buffers()}
        assert not set(edge_buffers) & set(cloud_buffers)
    assert not chain.edge_parameters(0)
    assert not chain.cloud_parameters(chain.num_segments)


def test_tracing_leaves_the_backbone_and_the_random_state_as_they_are():
    net = net_of(Constants)
    net.first.eval()
    before, modes = copy.deepcopy(net.state_dict()), [module.training for module in net.modules()]
    attributes, random_state = {name: set(vars(m)) for name, m in net.named_modules()}, torch.get_rng_state()
    chain = trace(net, SAMPLE)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert [module.training for module in net.modules()] == modes
    assert {name: set(vars(m)) for name, m in net.named_modules()} == attributes
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert net.plain.device.type == "cpu"
    chain.cloud(1)(chain.edge(1)(SAMPLE))
    assert {name: set(vars(m)) for name, m in net.named_modules()} == attributes


def test_names_stay_the_backbones_own_and_checkpoints_go_both_ways():
    plain, cut = build_backbone("resnet18", num_classes=7), build_backbone("resnet18", num_classes=7)
    x = torch.randn(2, 3, 32, 32)
    chain = trace(cut, x[:1])
    chain.cloud(5)(chain.edge(5)(x)).sum().backward()
    plain.load_state_dict(cut.state_dict(), strict=True)
    plain.eval(), cut.eval()
    assert torch.equal(plain(x), chain.cloud(5)(chain.edge(5)(x)))
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.mul_(1.01)
    cut.load_state_dict(plain.state_dict(), strict=True)
    assert torch.equal(plain(x), chain.cloud(5)(chain.edge(5)(x)))


def test_parts_run_the_weights_that_the_backbone_has_now():
    net = net_of(Constants).eval()
    chain = trace(net, SAMPLE)
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    net.double()
    net.first.weight = nn.Parameter(torch.randn_like(net.first.weight))
    net.shift = torch.randn_like(net.shift)
    net.plain = net.plain.double() * 2
    assert torch.equal(chain.cloud(1)(chain.edge(1)(x)), net(x))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))])
def test_a_traced_backbone_can_still_be_copied(copied):
    net = net_of(Residual).eval()
    chain = trace(net, SAMPLE)
    chain.edge(2)(SAMPLE)
    assert torch.equal(copied(net)(SAMPLE), net(SAMPLE))


class Words(nn.Module):
    """Embedded words through a recurrent layer and a transformer layer."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 8)
        self.recurrent = nn.LSTM(8, 6, batch_first=True)
        self.transformer = nn.TransformerEncoderLayer(6, 2, 12, batch_first=True)
        self.head = nn.Linear(6, 5)

    def forward(self, words):
        return self.head(self.transformer(self.recurrent(self.embedding(words))[0])[:, -1])


def test_backbones_of_words_are_cut_too():
    net, words = Words().eval(), torch.randint(0, 50, (2, 7))
    chain = trace(net, words[:1])
    assert chain.names == ("input", "embedding", "recurrent", "transformer", "head")
    assert chain.live_bytes(0) == 7 * 8
    assert_cuts_change_nothing(net, chain, words, net(words))


def test_functional_dropout_follows_the_backbones_mode():
    net = net_of(FunctionalDropout)
    chain = trace(net, SAMPLE)
    x = torch.randn(4, 3, 8, 8)
    torch.manual_seed(3)
    dropped = net(x)
    for j in range(chain.num_segments + 1):  # a chain without branches keeps the order of the draws
        torch.manual_seed(3)
        assert torch.equal(chain.cloud(j)(chain.edge(j)(x)), dropped)
    net.eval()
    assert torch.equal(chain.cloud(1)(chain.edge(1)(x)), net(x))
    assert not torch.equal(net(x), dropped)


def test_modes_that_differ_among_modules_whose_forward_depends_on_them_are_refused():
    net = nn.Sequential(FunctionalDropout(), nn.ReLU(), nn.Linear(5, 5))
    chain = trace(net, SAMPLE)
    net.eval()
    net[0].train()
    torch.manual_seed(0)
    expected = net(SAMPLE + 1)
    torch.manual_seed(0)
    assert torch.equal(chain.cloud(1)(chain.edge(1)(SAMPLE + 1)), expected)
    both = nn.Sequential(FunctionalDropout(), nn.Unflatten(1, (5, 1, 1)), nn.Upsample((3, 8)), nn.Flatten())
    both = nn.Sequential(both, nn.Linear(120, 192), FunctionalDropout())
    chain = trace(both, SAMPLE)
    both[2].eval()
    with pytest.raises(ValueError, match=r"'0\.0', '2'.* differ between the modes"):
        chain.edge(1)(SAMPLE)


def test_a_split_point_outside_the_chain_is_named_with_its_range():
    chain = trace(Residual(), SAMPLE)
    for use in (chain.edge, chain.cloud, chain.live_shapes, chain.edge_parameters):
        with pytest.raises(ValueError, match=r"split point 5 is outside 0\.\.4.*Residual"):
            use(5)
    with pytest.raises(ValueError, match="-1 is outside"):
        chain.edge(-1)
