"""A causal transformer over tokens (Vaswani et al. 2017; pre-norm as in GPT-2)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgdb_engine.config.records import TransformerModel
from sgdb_engine.errors import DataError
from sgdb_engine.workload.datasets.examples import Facts
from sgdb_engine.workload.models.heads import Heads

EMBEDDING_STD = 0.02
"""GPT-2's. PyTorch's own 1 would make the first loss of a tied model many times ln(vocabulary)."""


class Attention(nn.Module):
    """Multi-head attention of each token to itself and those before it: (N, T, width) → (N, T, width)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, t, width = x.shape
        heads = self.qkv(x).view(n, t, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = heads.unbind(0)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=True)
        output: Tensor = self.out(mixed.transpose(1, 2).reshape(n, t, width))
        return output


class Mlp(nn.Module):
    """Each token by itself: (…, width) → (…, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, 4 * width)
        self.activation = nn.GELU()
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.down(self.activation(self.up(x)))
        return output


class Block(nn.Module):
    """Attention, then the MLP, each on normalised input and added to it: (N, T, width) → (N, T, width)."""

    def __init__(self, section: TransformerModel) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(section.width)
        self.attention = Attention(section.width, section.heads, section.dropout)
        self.mlp_norm = nn.LayerNorm(section.width)
        self.mlp = Mlp(section.width)
        self.dropout = nn.Dropout(section.dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.attention_norm(x)))
        output: Tensor = x + self.dropout(self.mlp(self.mlp_norm(x)))
        return output


class Transformer(nn.Module):
    """Tokens (N, T) int64 → scores of the next token (N, T, vocabulary); T at most `context`."""

    def __init__(self, section: TransformerModel, vocabulary: int, context: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, section.width)
        self.position = nn.Embedding(context, section.width)
        self.dropout = nn.Dropout(section.dropout)
        self.blocks = nn.ModuleList(Block(section) for _ in range(section.layers))
        self.norm = nn.LayerNorm(section.width)
        self.head = nn.Linear(section.width, vocabulary, bias=False)
        for embedding in (self.embedding, self.position):
            nn.init.normal_(embedding.weight, std=EMBEDDING_STD)
        if section.tied:
            self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.dropout(self.embedding(tokens) + self.position(places))
        for block in self.blocks:
            x = block(x)
        output: Tensor = self.head(self.norm(x))
        return output


def build_transformer(section: TransformerModel, facts: Facts, heads: Heads) -> nn.Module:
    """Raises DataError for what are no sequences of tokens with a target at each place."""
    shapes = {target.shape for target in facts.targets.values()}
    if facts.kind != "tokens" or len(heads) > 1 or shapes != {facts.x_shape}:
        raise DataError(
            'model.name = "transformer": predicts the next token at each place; these data are '
            f"{facts.kind} with x {facts.x_shape} and targets {', '.join(map(str, shapes))} an example"
        )
    return Transformer(section, max(facts.vocabulary or 1, *heads.values()), facts.x_shape[0])
