"""MiniLM-L6 (Wang et al., arXiv:2002.10957) as a plain torch module with a classifier on top.

The encoder is BERT (Devlin et al., arXiv:1810.04805), 6 layers deep and 384 wide. Submodules bear
the names that BERT checkpoints use, so that the published weights load as they are.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn

WIDTH, HIDDEN, HEADS, DEPTH = 384, 1536, 12, 6
VOCABULARY, POSITIONS = 30_522, 512


class MiniLM(nn.Module):
    """Texts to the logits of `classes`."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.embeddings = Embeddings()
        self.encoder = Encoder()
        self.head = nn.Linear(WIDTH, classes)

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The mean of a text's token vectors, scaled to length 1.

        Args:
            input_ids: shape (n, tokens), int64.
            attention_mask: shape (n, tokens), int64; 1 for a token, 0 for padding.

        Returns:
            shape (n, WIDTH).
        """
        x = self.encoder(self.embeddings(input_ids), attention_mask)
        kept = attention_mask.unsqueeze(-1).to(x.dtype)
        mean: Tensor = (x * kept).sum(1) / kept.sum(1)
        unit: Tensor = mean / torch.linalg.vector_norm(mean, dim=1, keepdim=True)
        return unit

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Arguments as in `embed`; logits of shape (n, classes)."""
        logits: Tensor = self.head(self.embed(input_ids, attention_mask))
        return logits


class Embeddings(nn.Module):
    """Shape (n, tokens) to (n, tokens, WIDTH)."""

    def __init__(self) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(VOCABULARY, WIDTH)
        self.position_embeddings = nn.Embedding(POSITIONS, WIDTH)
        self.token_type_embeddings = nn.Embedding(2, WIDTH)
        self.LayerNorm = _norm()

    def forward(self, input_ids: Tensor) -> Tensor:
        tokens = input_ids.shape[1]
        where = self.position_embeddings.weight[:tokens] + self.token_type_embeddings.weight[0]
        x: Tensor = self.LayerNorm(self.word_embeddings(input_ids) + where)
        return x


class Encoder(nn.Module):
    """Shape (n, tokens, WIDTH) to the same, as do all modules below."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer() for _ in range(DEPTH))

    def forward(self, x: Tensor, attention_mask: Tensor) -> Tensor:
        for layer in self.layer:
            x = layer(x, attention_mask)
        return x


class Layer(nn.Module):
    """Self-attention, then a feed-forward net."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = Attention()
        self.intermediate = nn.Sequential(
            OrderedDict(dense=nn.Linear(WIDTH, HIDDEN), act=nn.GELU())
        )
        self.output = Residual(HIDDEN)

    def forward(self, x: Tensor, attention_mask: Tensor) -> Tensor:
        x = self.attention(x, attention_mask)
        y: Tensor = self.output(self.intermediate(x), x)
        return y


class Attention(nn.Module):
    """Self-attention, added to its input."""

    def __init__(self) -> None:
        super().__init__()
        self.self = SelfAttention()
        self.output = Residual(WIDTH)

    def forward(self, x: Tensor, attention_mask: Tensor) -> Tensor:
        y: Tensor = self.output(self.self(x, attention_mask), x)
        return y


class Residual(nn.Module):
    """A projection to WIDTH, added to `x` and normalized."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, WIDTH)
        self.LayerNorm = _norm()

    def forward(self, hidden: Tensor, x: Tensor) -> Tensor:
        y: Tensor = self.LayerNorm(x + self.dense(hidden))
        return y


class SelfAttention(nn.Module):
    """Every token looks at every token that is not padding."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(WIDTH, WIDTH)
        self.key = nn.Linear(WIDTH, WIDTH)
        self.value = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor, attention_mask: Tensor) -> Tensor:
        tokens, size = x.shape[1], WIDTH // HEADS
        query, key, value = (
            part(x).view(-1, tokens, HEADS, size).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose(2, 3) * size**-0.5
        padding = attention_mask[:, None, None, :] == 0
        shares = scores.masked_fill(padding, -1e4).softmax(-1)
        mixed: Tensor = shares @ value
        return mixed.transpose(1, 2).reshape(-1, tokens, WIDTH)


def _norm() -> nn.LayerNorm:
    return nn.LayerNorm(WIDTH, eps=1e-12)
