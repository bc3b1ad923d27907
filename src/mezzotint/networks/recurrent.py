"""Recurrent convolutional networks that look at frames and say the next ones, one after the other."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from mezzotint.networks.parts import Conv2d, Fold, widened
from mezzotint.ops.recurrence import LstmSequence, Remember
from mezzotint.types import Clips, DataSpec

Maps = Float[Tensor, "n _ _ _"]
Films = Float[Tensor, "t n _ _ _"]
"""Feature maps of a few steps; time comes first, so that a step lies in one piece."""
State = tuple[Tensor, ...]


@dataclass(frozen=True, kw_only=True)
class RecurrentConfig:
    """Which cell, how many of them one above the other and how wide."""

    cell: Literal["convlstm", "convgru", "predrnn"] = "convlstm"
    width: int = 64
    layers: int = 3
    kernel: int = 3
    """Side of the kernels, odd: a layer sees half of it (in patches) in each direction at every step."""
    patch: int = 4
    """Side of the squares of pixels that become channels at the door (space to depth)."""

    def __post_init__(self) -> None:
        """Raise ValueError for sizes of which no network can be made."""
        if min(self.width, self.layers, self.patch) < 1 or self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError("width, layers and patch must be at least 1 and kernel odd")

    def build(self, spec: DataSpec, extra: int = 0) -> "Recurrent":
        """The network for frames of `spec`, told `extra` numbers beside each."""
        return Recurrent(self, spec, extra)


class ConvLstm(nn.Module):
    """Gates by convolutions of input and output instead of products (Shi et al. 2015, eq. 3, without peepholes)."""

    def __init__(self, inputs: int, width: int, kernel: int) -> None:
        super().__init__()
        self.width = width
        self.look = Conv2d(inputs, 4 * width, kernel, padding=kernel // 2)
        self.recall = Conv2d(width, 4 * width, kernel, padding=kernel // 2, bias=False)
        _remember_at_first(self.look, slice(width, 2 * width))

    def begin(self, like: Maps) -> State:
        """Empty output and memory."""
        return _empty(like, self.width), _empty(like, self.width)

    def forward(self, x: Films, state: State) -> tuple[Films, State]:
        """Outputs of all steps and the state after them: inputs are looked at all at once."""
        seen = _at_once(self.look, x)
        h, c = state[0].to(seen.dtype), widened(state[1])
        outputs, c = LstmSequence.apply(seen, self.recall.weight.to(seen.dtype), h, c)  # pyright: ignore[reportGeneralTypeIssues]
        return outputs, (outputs[-1], c)


class ConvGru(nn.Module):
    """A gated recurrent unit by convolutions (Ballas et al. 2016), the reset after the convolution as torch's GRU."""

    def __init__(self, inputs: int, width: int, kernel: int) -> None:
        super().__init__()
        self.width = width
        self.look = Conv2d(inputs, 3 * width, kernel, padding=kernel // 2)
        self.recall = Conv2d(width, 3 * width, kernel, padding=kernel // 2, bias=False)

    def begin(self, like: Maps) -> State:
        """An empty output."""
        return (_empty(like, self.width),)

    def forward(self, x: Films, state: State) -> tuple[Films, State]:
        """Outputs of all steps and the state after them."""
        seen = _at_once(self.look, x)
        h, outputs = state[0].to(seen.dtype), list[Tensor]()
        for now in seen:
            recalled = self.recall(h)
            reset, update = torch.sigmoid(now[:, : 2 * self.width] + recalled[:, : 2 * self.width]).chunk(2, 1)
            candidate = torch.addcmul(now[:, 2 * self.width :], reset, recalled[:, 2 * self.width :]).tanh()
            h = torch.lerp(candidate, h, update)
            outputs.append(h)
        return torch.stack(outputs), (h,)


class SpatioTemporalLstm(nn.Module):
    """PredRNN's cell (Wang et al. 2017, equation 5): beside its memory a second one that wanders through the layers."""

    def __init__(self, inputs: int, width: int, kernel: int) -> None:
        super().__init__()
        self.width, margin = width, kernel // 2
        self.look = Conv2d(inputs, 7 * width, kernel, padding=margin)
        self.recall = Conv2d(width, 4 * width, kernel, padding=margin, bias=False)
        self.wander = Conv2d(width, 3 * width, kernel, padding=margin, bias=False)
        self.open = Conv2d(2 * width, width, kernel, padding=margin, bias=False)
        self.merge = Conv2d(2 * width, width, 1, bias=False)
        _remember_at_first(self.look, slice(width, 2 * width))
        _remember_at_first(self.look, slice(4 * width, 5 * width))

    def begin(self, like: Maps) -> State:
        """Empty output and memory."""
        return _empty(like, self.width), _empty(like, self.width)

    def step(self, seen: Maps, state: State, wandering: Maps) -> tuple[State, Maps]:
        """One step from `look` of the input: output and memory, and the wandering memory for the layer above."""
        w, (h, c) = self.width, state
        # Split at once: the derivative of each slice would be a map of all channels, mostly zeros.
        for_memory, for_wandering, for_door = seen.split([3 * w, 3 * w, w], 1)
        recalled, recalled_for_door = self.recall(h).split([3 * w, w], 1)
        c = Remember.apply(for_memory + recalled, c)
        wandering = Remember.apply(for_wandering + self.wander(wandering), wandering)  # pyright: ignore[reportAssignmentType]
        both = torch.cat([c.to(seen.dtype), wandering.to(seen.dtype)], 1)  # pyright: ignore[reportAttributeAccessIssue]
        opened = torch.sigmoid(for_door + recalled_for_door + self.open(both))
        return (opened * self.merge(both).tanh(), c), wandering  # pyright: ignore[reportReturnType]


class Stack(nn.Module):
    """Layers of ConvLSTM or ConvGRU: each goes through all steps before the next one looks at its outputs at once."""

    def __init__(self, cell: type[ConvLstm] | type[ConvGru], inputs: int, width: int, layers: int, kernel: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(cell(inputs if i == 0 else width, width, kernel) for i in range(layers))

    def begin(self, like: Maps) -> State:
        """The empty states of all layers in one tuple."""
        return tuple(part for layer in self.layers for part in layer.begin(like))  # pyright: ignore[reportCallIssue]

    def forward(self, x: Films, state: State) -> tuple[Films, State]:
        """Outputs of the top layer at all steps, and the state after them."""
        each, after = len(state) // len(self.layers), list[Tensor]()
        for i, layer in enumerate(self.layers):
            x, own = layer(x, state[i * each : (i + 1) * each])
            after += own
        return x, tuple(after)


class ZigZag(nn.Module):
    """Layers of PredRNN: what the top one passes on at a step, the bottom one takes up at the next."""

    def __init__(self, inputs: int, width: int, layers: int, kernel: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            SpatioTemporalLstm(inputs if i == 0 else width, width, kernel) for i in range(layers)
        )

    def begin(self, like: Maps) -> State:
        """The empty states of all layers, and behind them the wandering memory."""
        states = [part for layer in self.layers for part in layer.begin(like)]  # pyright: ignore[reportCallIssue]
        return (*states, torch.zeros_like(states[0]))

    def forward(self, x: Films, state: State) -> tuple[Films, State]:
        """Outputs of the top layer at all steps, and the state after them."""
        first, *others = self.layers
        seen = _at_once(first.look, x)  # pyright: ignore[reportArgumentType]
        now = [widened(part) for part in state]
        outputs: list[Tensor] = []
        for look in seen:
            now[:2], now[-1] = first.step(look, tuple(now[:2]), now[-1])  # pyright: ignore[reportCallIssue]
            for i, layer in enumerate(others, 1):
                own = slice(2 * i, 2 * i + 2)
                now[own], now[-1] = layer.step(layer.look(now[2 * i - 2]), tuple(now[own]), now[-1])  # pyright: ignore[reportCallIssue]
            outputs.append(now[-3])
        return torch.stack(outputs), tuple(now)


class Recurrent(nn.Module):
    """Fold → layers of cells → 1×1 convolution → unfold; what it says is what it sees next.

    ```text
    frame 1   frame 2        frame n    said n+1     said n+2
       │         │              │      ┌───┘  │     ┌───┘ │
      fold     fold    …      fold     │     cells ─┘    cells
       │         │              │      │      ↑           ↑
     cells  →  cells   →  … → cells ───┘ ─────┘ ──────────┘
    ```
    """

    def __init__(self, config: RecurrentConfig, spec: DataSpec, extra: int = 0) -> None:
        super().__init__()
        self.config, folded = config, spec.channels * config.patch**2
        self.fold = Fold(config.patch, config.patch)
        size = folded + extra, config.width, config.layers, config.kernel
        if config.cell == "predrnn":
            self.cells = ZigZag(*size)
        else:
            self.cells = Stack(ConvLstm if config.cell == "convlstm" else ConvGru, *size)
        self.leave = Conv2d(config.width, folded, 1)

    def forward(
        self, frames: Clips, horizon: int, truth: Clips | None = None, fed: Bool[Tensor, "n steps"] | None = None
    ) -> Clips:
        """What it says of the frames 2 to t + horizon: n × (t - 1 + horizon) × c × h × w.

        From the frame t + 1 on it sees what it has said itself, but for the frames of `truth` (those that follow,
        n × (horizon - 1 or more)) of which `fed` is true (Bengio et al. 2015, scheduled sampling).
        """
        seen = self.folded(frames)
        told = None if truth is None else self.folded(truth)
        said, state = self.advance(seen, self.cells.begin(seen[0]))
        all_said = [said]
        for k in range(horizon - 1):
            seen = all_said[-1][-1:]
            if told is not None and fed is not None:
                seen = torch.where(fed[:, k, None, None, None], told[k : k + 1].to(seen.dtype), seen)
            said, state = self.advance(seen, state)
            all_said.append(said)
        return self.unfolded(torch.cat(all_said), frames)

    def advance(self, folded: Films, state: State) -> tuple[Films, State]:
        """What is said after each of these folded frames, folded; and the state."""
        outputs, state = self.cells(folded, state)
        return _at_once(self.leave, outputs), state

    def folded(self, frames: Clips) -> Films:
        """Time first, squares of pixels as channels, channels last in memory."""
        t, n = frames.shape[1], frames.shape[0]
        folded = self.fold(frames.transpose(0, 1).flatten(0, 1)).contiguous(memory_format=torch.channels_last)
        return folded.unflatten(0, (t, n))

    def unfolded(self, films: Films, like: Clips) -> Clips:
        """The inverse, cut to the sides of `like`; in float32 at least."""
        height, width = like.shape[3:]
        frames = F.pixel_shuffle(films.flatten(0, 1), self.config.patch)[:, :, :height, :width]
        return frames.unflatten(0, films.shape[:2]).transpose(0, 1).to(torch.promote_types(films.dtype, torch.float32))


def _at_once(layer: nn.Module, films: Films) -> Films:
    """A layer of single maps, at all steps in one pass."""
    return layer(films.flatten(0, 1)).unflatten(0, films.shape[:2])


def _empty(like: Maps, width: int) -> Maps:
    n, _, h, w = like.shape
    return like.new_zeros(n, h, w, width).permute(0, 3, 1, 2)


def _remember_at_first(layer: nn.Conv2d, gate: slice) -> None:
    """A forget gate that begins open (Jozefowicz et al. 2015, section 2.2)."""
    assert layer.bias is not None
    with torch.no_grad():
        layer.bias[gate] = 1.0
