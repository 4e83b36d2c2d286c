"""Backbones that cannot be followed: the reason, the place and the fix, at once."""

import threading

import pytest
import torch
from torch import nn

from cloudedge_pl.errors import UntraceableBackboneError
from cloudedge_pl.partition import build_backbone, trace

SAMPLE = torch.zeros(1, 3, 8, 8)


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

    def forward(self, x):
        return self.head(self.stem(x).mean((2, 3)))


class Branching(Backbone):
    def forward(self, x):
        if x.sum() > 0:
            x = x * 2
        return super().forward(x)


class Looping(Backbone):
    def forward(self, x):
        for row in x:
            self.stem(row)
        return super().forward(x)


class TwoInputs(Backbone):
    def forward(self, x, mask):
        return super().forward(x * mask)


class NoInput(Backbone):
    def forward(self):
        return super().forward(torch.zeros(1, 3, 8, 8))


class UsesAll(Backbone):
    def forward(self, x, *others):
        return super().forward(x + sum(others))


class Drawing(Backbone):
    def forward(self, x):
        return super().forward(x + torch.rand(1))


class Dictionary(Backbone):
    def forward(self, x):
        return {"logits": super().forward(x)}


class Pair(Backbone):
    def forward(self, x):
        return super().forward(x).max(dim=1)


class Scores(Backbone):
    def forward(self, x):
        return super().forward(x)[:, 0]


class NoWeights(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


class IgnoresItsInput(Backbone):
    def forward(self, x):
        return self.head.weight


class Auxiliary(Backbone):
    def forward(self, x):
        logits = super().forward(x)
        return (logits, logits) if self.training else logits


class OtherDepthInTraining(Backbone):
    def __init__(self):
        super().__init__()
        self.extra = nn.Linear(5, 5)

    def forward(self, x):
        x = super().forward(x)
        return self.extra(x) if self.training else x


class Locked(Backbone):
    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()


class Lazy(Backbone):
    def __init__(self):
        super().__init__()
        self.head = nn.LazyLinear(5)


@pytest.mark.parametrize(
    ("kind", "reason", "fix"),
    [
        (Branching, r"control flow \(.*test_graph.py:\d+: if x.sum\(\) > 0:\)", "module of its own"),
        (Looping, r"(?s)cannot be traced.*for row in x", "without children"),
        (TwoInputs, "needs mask besides the samples", "Give the others defaults"),
        (NoInput, "names no argument", "takes the samples as its first argument"),
        (UsesAll, r"cannot be traced.*(sum\(others\)|in forward)", "without children"),
        (Drawing, "draws random numbers", "Put the draw into a module"),
        (Dictionary, "returns a dict in evaluation mode", "wrap it in a module that returns the logits"),
        (Pair, "returns a max in evaluation mode", "wrap it"),
        (Scores, r"returns a tensor of shape \(1,\)", r"logits \[B, num_classes\]"),
        (NoWeights, "no weighted layer", "needs a convolution"),
        (IgnoresItsInput, "does not depend on the samples", "a backbone classifies them"),
        (Auxiliary, "returns a tuple in training mode", "without auxiliary outputs"),
        (
            OtherDepthInTraining,
            r"training mode \(3 segments\) than in evaluation mode \(2\)",
            "without children",
        ),
        (Locked, "cannot be copied", "keep locks"),
        (Lazy, "'weight' of a LazyLinear has no shape yet", "run the backbone once"),
    ],
)
def test_reason_and_fix_are_named(kind, reason, fix):
    with pytest.raises(UntraceableBackboneError, match=f"{kind.__name__}") as raised:
        trace(kind(), SAMPLE)
    assert raised.match(reason)
    assert raised.match(fix)


@pytest.mark.parametrize("compiled", [torch.compile, torch.jit.script])
@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*")
def test_a_compiled_backbone_is_refused(compiled):
    with pytest.raises(UntraceableBackboneError, match="is compiled; cut the module that it was made from"):
        trace(compiled(nn.Sequential(nn.Flatten(), nn.Linear(192, 5))), SAMPLE)


def test_auxiliary_heads_of_torchvision_are_named():
    import torchvision

    with pytest.raises(
        UntraceableBackboneError, match=r"GoogLeNetOutputs in training mode.*aux_logits=False"
    ):
        trace(torchvision.models.googlenet(init_weights=False), torch.zeros(1, 3, 64, 64))


@pytest.mark.parametrize(
    ("example_input", "reason"),
    [
        (
            torch.zeros(1, 1, 8, 8),
            r"does not run on an input of shape \(1, 1, 8, 8\), torch.float32: .*channel",
        ),
        (torch.zeros(1, 3, 2, 2), r"does not run on an input of shape \(1, 3, 2, 2\)"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.float64), r"does not run on .* torch.float64"),
        (torch.zeros(3), r"the example input is \(3,\); give one sample with its batch dimension"),
        (torch.zeros(0, 3, 8, 8), r"the example input is \(0, 3, 8, 8\)"),
        ([1, 2], "the example input is list"),
    ],
)
def test_an_example_input_that_does_not_fit_is_named(example_input, reason):
    with pytest.raises(UntraceableBackboneError, match=reason):
        trace(Backbone(), example_input)


def test_an_unknown_granularity_lists_those_there_are():
    with pytest.raises(ValueError, match=r"unknown granularity 'layers'.*'layer'.*block, layer"):
        trace(Backbone(), SAMPLE, granularity="layers")


def test_a_failed_trace_leaves_torch_as_it_was():
    call, attribute = nn.Module.__call__, nn.Module.__getattr__
    with pytest.raises(UntraceableBackboneError):
        trace(Branching(), SAMPLE)
    assert (nn.Module.__call__, nn.Module.__getattr__) == (call, attribute)


def test_a_large_batch_as_example_is_taken_as_one_sample():
    assert trace(Backbone(), SAMPLE.repeat(7, 1, 1, 1)).live_shapes(0) == ((3, 8, 8),)


def test_build_backbone_names_the_backbones_there_are():
    with pytest.raises(ValueError, match=r"unknown backbone 'resnet43'. Did you mean 'resnet34'\?.*vit_b_16"):
        build_backbone("resnet43")
    with pytest.raises(ValueError, match="num_classes is 0"):
        build_backbone("resnet18", num_classes=0)
    assert build_backbone("mobilenet_v3_small", num_classes=3)(torch.zeros(2, 3, 32, 32)).shape == (2, 3)


def test_vision_transformers_take_small_pictures_in_small_patches():
    backbone = build_backbone("vit_b_16", num_classes=4, image_size=32, patch_size=8, num_layers=1)
    assert backbone(torch.zeros(1, 3, 32, 32)).shape == (1, 4)
    names = {name for name, _ in backbone.named_parameters()}
    assert names < {name for name, _ in build_backbone("vit_b_16", image_size=32).named_parameters()}
