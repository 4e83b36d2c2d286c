"""Small networks, each with one thing that makes cutting it hard. Inputs are [B, 3, 8, 8], logits [B, 5]."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class Residual(nn.Module):
    """Two tensors cross inside the block; the shortcut has a convolution of its own."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.first = nn.Conv2d(4, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.second = nn.Conv2d(6, 6, 3, padding=1)
        self.shortcut = nn.Conv2d(4, 6, 1)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(6, 5)

    def forward(self, x):
        x = self.relu(self.stem(x))
        out = self.second(self.relu(self.norm(self.first(x))))
        out += self.shortcut(x)
        return self.head(self.relu(out).mean((2, 3)))


class ShapeInts(nn.Module):
    """Sizes that are read before the first layer are used behind the last convolution."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 2, 3, padding=1)
        self.head = nn.Linear(128, 5)

    def forward(self, x):
        batch, _, height, width = x.shape
        x = self.second(self.first(x).relu())
        return self.head(x.reshape(batch, 2 * height * width))


class TiedModule(nn.Module):
    """One layer runs at two depths: no cut between them."""

    def __init__(self):
        super().__init__()
        self.stem, self.shared = nn.Linear(192, 16), nn.Linear(16, 16)
        self.between, self.head = nn.Linear(16, 16), nn.Linear(16, 5)

    def forward(self, x):
        x = self.shared(self.stem(x.flatten(1)).relu()).relu()
        return self.head(self.shared(self.between(x).relu()))


class TiedParameter(nn.Module):
    """Two layers own one weight: no cut between them."""

    def __init__(self):
        super().__init__()
        self.stem, self.up, self.down = nn.Linear(192, 16), nn.Linear(16, 16), nn.Linear(16, 16)
        self.down.weight = self.up.weight
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        return self.head(self.down(self.up(self.stem(x.flatten(1))).relu()).relu())


class FunctionalDropout(nn.Module):
    """What runs depends on the mode."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(192, 64), nn.Linear(64, 32), nn.Linear(32, 5)

    def forward(self, x):
        x = functional.dropout(self.first(x.flatten(1)), 0.5, training=self.training)
        return self.head(functional.dropout(self.second(x).relu(), 0.5, training=self.training))


class Tokens(nn.Module):
    """A class token and positions that are bare parameters, then pre-norm attention."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 4, stride=4)
        self.token, self.position = nn.Parameter(torch.randn(1, 1, 8)), nn.Parameter(torch.randn(1, 5, 8))
        self.norm, self.mlp_norm = nn.LayerNorm(8), nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1) + self.position
        y = self.norm(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        x = x + self.mlp(self.mlp_norm(x))
        return self.head(x[:, 0])


class FunctionalWeights(nn.Module):
    """Layers as functions of parameters, one of which another makes."""

    def __init__(self):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(4, 3, 3, 3)), nn.Parameter(torch.randn(4))
        self.direction, self.length = nn.Parameter(torch.randn(5, 4)), nn.Parameter(torch.randn(5, 1))
        self.middle = nn.Conv2d(4, 4, 3)

    def forward(self, x):
        x = functional.conv2d(x, self.weight, self.bias, dilation=2).relu()
        x = self.middle(x).mean((2, 3))
        return functional.linear(x, functional.normalize(self.direction, dim=1) * self.length)


class WrittenInPlace(nn.Module):
    """A tensor is written over after a layer has read it, and another read after that."""

    def __init__(self):
        super().__init__()
        self.stem, self.first, self.second = (nn.Conv2d(c, 4, 3, padding=1) for c in (3, 4, 4))
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.stem(x)
        before = x * 2
        y = self.first(x)
        x.relu_()
        y = y + before
        z = self.second(y)
        z += x
        return self.head(torch.cat([z, x], dim=1).mean((2, 3)))


class Constants(nn.Module):
    """A tensor made in the forward pass, a plain attribute, a buffer, a scalar buffer and arguments with defaults."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 5)
        self.plain = torch.tensor([0.5, 1.0, 1.5, 2.0]).reshape(4, 1, 1)
        self.register_buffer("shift", torch.randn(4, 1, 1))
        self.register_buffer("scale", torch.tensor(3.0))
        self.norm = nn.BatchNorm2d(4, momentum=None)

    def forward(self, x, mask=None, repeat=1, *, factor=2.0):
        x = x - torch.tensor([0.1, 0.2, 0.3]).reshape(3, 1, 1)
        x = self.norm(self.first(x)) * self.plain + self.shift * self.scale
        if mask is not None:
            x = x * mask
        for _ in range(repeat):
            x = self.second(x).relu()
        return self.head((x + self.shift * factor).mean((2, 3)))


class SequenceFirst(nn.Module):
    """Between its two ends the batch is not the first dimension: no cut there."""

    def __init__(self):
        super().__init__()
        self.stem, self.recurrent, self.second = nn.Linear(8, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        self.head = nn.Linear(6, 5)

    def forward(self, x):
        x = self.stem(x.flatten(1, 2)).transpose(0, 1)
        x = self.recurrent(x).relu()
        x = self.second(x).relu().transpose(0, 1).mean(1)
        return self.head(x)


class TransposedAndGrouped(nn.Module):
    """Strided, dilated, grouped, depthwise and transposed convolutions."""

    def __init__(self):
        super().__init__()
        self.strided = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.dilated = nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        self.grouped = nn.Conv2d(8, 12, 3, padding=1, groups=4)
        self.depthwise = nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.transposed = nn.ConvTranspose2d(12, 6, 2, stride=2)
        self.head = nn.Linear(6 * 64, 5)

    def forward(self, x):
        x = self.grouped(self.dilated(self.strided(x)).relu())
        return self.head(self.transposed(self.depthwise(x)).flatten(1))


class Reparametrised(nn.Module):
    """Weights that other parameters make whenever they are read."""

    def __init__(self):
        super().__init__()
        self.first = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))
        self.second = nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 3))
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        return self.head(self.second(self.first(x).relu()).mean((2, 3)))


NETS = [
    Residual,
    ShapeInts,
    TiedModule,
    TiedParameter,
    FunctionalDropout,
    Tokens,
    FunctionalWeights,
    WrittenInPlace,
    Constants,
    SequenceFirst,
    TransposedAndGrouped,
    Reparametrised,
]
# The one draws random numbers in training mode, the other writes over what its own gradient needs.
NOT_REPEATABLE = {FunctionalDropout, WrittenInPlace}


class Program(nn.Module):
    """A network from a list of steps ``(operation, operand, operand)`` on the tensors that are there so far."""

    OPERATIONS = (
        "convolution",
        "shared",
        "norm",
        "relu",
        "relu in place",
        "add",
        "add in place",
        "scale",
        "pool",
    )

    def __init__(self, steps: Sequence[tuple[str, int, int]]):
        super().__init__()
        self.steps = list(steps)
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.layers = nn.ModuleList(
            nn.BatchNorm2d(4) if step[0] == "norm" else nn.Conv2d(4, 4, 3, padding=1) for step in steps
        )
        self.shared = nn.Conv2d(4, 4, 1)
        self.factor = nn.Parameter(torch.randn(4, 1, 1))
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        there = [self.stem(x)]
        for (operation, one, two), layer in zip(self.steps, self.layers, strict=True):
            a, b = there[one % len(there)], there[two % len(there)]
            if operation in ("convolution", "norm"):
                there.append(layer(a))
            elif operation == "shared":
                there.append(self.shared(a))
            elif operation == "relu":
                there.append(a.relu())
            elif operation == "relu in place":
                there.append(a.relu_())
            elif operation == "add":
                there.append(a + b)
            elif operation == "add in place":
                there.append(a.add_(b))
            elif operation == "scale":
                there.append(a * self.factor)
            else:
                there.append(functional.avg_pool2d(a, 3, 1, 1))
        return self.head(there[-1].mean((2, 3)))
