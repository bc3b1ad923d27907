"""A causal transformer over the symbols of a code map: how probable a map is, and new maps symbol by symbol."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from mezzotint.networks.parts import zeroed
from mezzotint.types import Labels


@dataclass(frozen=True, kw_only=True)
class CodePriorConfig:
    """Size of the transformer (Vaswani et al. 2017; layer norms before, as Radford et al. 2019)."""

    width: int = 128
    layers: int = 4
    heads: int = 4
    dropout: float = 0.0
    """Share of the numbers between layers that is left out while training."""

    def __post_init__(self) -> None:
        """Raise ValueError for sizes of which no network can be made."""
        if min(self.width, self.layers, self.heads) < 1 or self.width % self.heads or not 0 <= self.dropout < 1:
            raise ValueError("width must be a multiple of heads, layers at least 1, dropout from 0 to below 1")

    def build(self, symbols: int, length: int, classes: int) -> "CodePrior":
        """For `length` symbols out of `symbols` each, told one of `classes` classes (0: none)."""
        return CodePrior(self, symbols, length, classes)


class CodePrior(nn.Module):
    """Symbols in reading order, each expected from those before it and the class, which stands at the beginning."""

    def __init__(self, config: CodePriorConfig, symbols: int, length: int, classes: int) -> None:
        super().__init__()
        self.symbols, self.length, self.classes, self.heads = symbols, length, classes, config.heads
        self.begin = nn.Embedding(max(1, classes), config.width)
        self.symbol = nn.Embedding(symbols, config.width)
        self.place = nn.Parameter(0.02 * torch.randn(length, config.width))
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))
        self.norm, self.head = nn.LayerNorm(config.width), zeroed(nn.Linear(config.width, symbols))
        for embedding in (self.begin, self.symbol):
            nn.init.normal_(embedding.weight, 0, 0.02)

    def forward(self, symbols: Int[Tensor, "n length"], labels: Labels | None = None) -> Float[Tensor, "n length s"]:
        """Logits of each symbol from those before it."""
        x = torch.cat([self._first(len(symbols), labels)[:, None], self.symbol(symbols[:, :-1])], 1) + self.place
        mask = torch.ones(self.length, self.length, dtype=torch.bool, device=x.device).triu(1)
        for layer in self.layers:
            x = layer(x, mask)
        return self.head(self.norm(x))

    def draw(self, uniforms: Float[Tensor, "n length"], labels: Labels | None = None) -> Int[Tensor, "n length"]:
        """A map of symbols for each row of uniform numbers in [0, 1), one for each symbol."""
        drawn: list[Tensor] = []
        x = self._first(len(uniforms), labels)[:, None]
        # All the room is taken at once: tensors that grow by a position a step would leave holes in memory.
        size = x.shape[2] // self.heads
        pasts = [x.new_zeros(2, len(x), self.heads, self.length, size) for _ in self.layers]
        for i in range(self.length):
            x = x + self.place[i]
            for layer, past in zip(self.layers, pasts, strict=True):
                x = layer(x, None, past, i)
            reached = self.head(self.norm(x))[:, 0].double().softmax(1).cumsum(1)
            chosen = (reached < uniforms[:, i, None]).sum(1).clamp(max=self.symbols - 1)
            drawn.append(chosen)
            x = self.symbol(chosen)[:, None]
        return torch.stack(drawn, 1)

    def _first(self, count: int, labels: Labels | None) -> Float[Tensor, "n width"]:
        if not self.classes:
            labels = torch.zeros(count, dtype=torch.int64, device=self.place.device)
        assert labels is not None, "a conditional prior needs labels"
        return self.begin(labels)


class _Layer(nn.Module):
    """Attention to what came before, then two dense layers, each beside the identity."""

    def __init__(self, config: CodePriorConfig) -> None:
        super().__init__()
        width = config.width
        self.heads, self.dropout = config.heads, nn.Dropout(config.dropout)
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ask, self.tell = nn.Linear(width, 3 * width), zeroed(nn.Linear(width, width))
        self.widen, self.narrow = nn.Linear(width, 4 * width), zeroed(nn.Linear(4 * width, width))

    def forward(self, x: Tensor, mask: Tensor | None, past: Tensor | None = None, at: int = 0) -> Tensor:
        """N × length × width; all positions at once by a mask, or the one `at` a place beside its `past`.

        The past holds keys and values of the positions so far, 2 × n × heads × room × size, and takes in those of x.
        """
        x = x + self.dropout(self.tell(self._attended(self.ask(self.first_norm(x)), mask, past, at)))
        return x + self.dropout(self.narrow(F.gelu(self.widen(self.second_norm(x)))))

    def _attended(self, asked: Tensor, mask: Tensor | None, past: Tensor | None, at: int) -> Tensor:
        n, length, width = asked.shape
        size = width // 3 // self.heads
        query, key, value = asked.view(n, length, 3, self.heads, size).permute(2, 0, 3, 1, 4)
        if past is not None:
            past[0, :, :, at], past[1, :, :, at] = key[:, :, 0], value[:, :, 0]
            key, value = past[:, :, :, : at + 1]
        scores = query * size**-0.5 @ key.transpose(2, 3)
        if mask is not None:
            scores = scores.masked_fill(mask, -torch.inf)
        told = torch.softmax(scores, 3).to(value.dtype) @ value
        return told.transpose(1, 2).reshape(n, length, width // 3)
