"""Text classifiers as others write them, and sequences that tell their classes by a token."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tests.training.helpers import CLASSES

WORDS, LENGTH = 40, 10


class LstmClassifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 8)
        self.lstm = nn.LSTM(8, 12, num_layers=2, batch_first=True, bidirectional=True)
        self.hidden = nn.Linear(24, 16)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        outputs, (last, _) = self.lstm(self.embedding(tokens))
        return self.head(torch.relu(self.hidden(outputs.mean(1) + torch.cat((last[-2], last[-1]), dim=1))))


class TransformerClassifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 8)
        self.position = nn.Parameter(torch.randn(1, LENGTH, 8) * 0.1)
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(8), enable_nested_tensor=False)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.encoder(self.embedding(tokens) + self.position).mean(1))


def texts(num: int = 48) -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, CLASSES, (num,), generator=generator)
    tokens = torch.randint(CLASSES, WORDS, (num, LENGTH), generator=generator, dtype=torch.int32)
    tokens[:, ::2] = labels[:, None].to(torch.int32)
    return TensorDataset(tokens, labels)


def text_loader() -> DataLoader:
    return DataLoader(texts(), batch_size=16)
