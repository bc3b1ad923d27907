"""Residual networks: basic and bottleneck (He et al. 2015), pre-activated (He et al. 2016), wide (Zagoruyko 2016)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor, nn

from mezzotint.networks.parts import Conv2d
from mezzotint.networks.recognizer import DropPath, MapNorm, Recognizer, depths, he_weights, map_norm, reduction
from mezzotint.types import DataSpec


@dataclass(frozen=True, kw_only=True)
class ResnetConfig:
    """Published ones: ResNet-18 is the default, ResNet-34 has blocks 3,4,6,3, ResNet-50 these as bottlenecks.

    Wide ResNet-d-k is pre-activated with stem 16, width 16·k and three stages of (d - 4) / 6 blocks.
    """

    block: Literal["basic", "bottleneck"] = "basic"
    """Two 3×3 convolutions; or 1×1, 3×3 and 1×1 with four times as many channels outside as within."""
    preactivated: bool = False
    """Norm and ReLU before each convolution instead of after it: the shortcut stays free of both."""
    blocks: tuple[int, ...] = (2, 2, 2, 2)
    stem: int = 64
    """Channels of the stem."""
    width: int = 64
    """Channels of the first stage; each later stage has twice as many, on half the side."""
    norm: MapNorm = "batch"
    reduction: int | None = None
    """By what the stem divides the sides: 1, 2 or 4; by the size of the pictures where it is not given."""
    inner_dropout: float = 0.0
    """Dropout between the two convolutions of a basic block (Zagoruyko & Komodakis 2016, section 2.4)."""
    drop_path: float = 0.0
    """Stochastic depth: how often the last block is left out while training."""
    dropout: float = 0.0
    """Share of the features that is left out while training."""

    def build(self, spec: DataSpec) -> Recognizer:
        """The network for pictures and classes of `spec`."""
        make = _Preactivated if self.preactivated else _Postactivated
        stages: list[nn.Module] = []
        inputs, inner = self.stem, self.width
        for stage, rates in enumerate(depths(self.blocks, self.drop_path)):
            blocks: list[nn.Module] = []
            for i, rate in enumerate(rates):
                stride = 2 if stage and i == 0 else 1
                blocks.append(make(self, inputs, inner, stride, rate))
                inputs = inner * _EXPANSION[self.block]
            stages.append(nn.Sequential(*blocks))
            inner *= 2
        last = _ready(self, inputs) if self.preactivated else nn.Identity()
        network = Recognizer(spec, _stem(self, spec), stages, last, inputs, self.dropout)
        he_weights(network)
        return network

    @property
    def stage_widths(self) -> tuple[int, ...]:
        """Channels of each of the `stage_maps`."""
        return tuple(self.width * 2**stage * _EXPANSION[self.block] for stage in range(len(self.blocks)))

    def cell(self, spec: DataSpec) -> int:
        """Side in pixels of a place in the first stage."""
        return reduction(spec, self.reduction)

    def settled(self, spec: DataSpec) -> "ResnetConfig":
        """The same for pictures of any size as for those of `spec`."""
        return replace(self, reduction=self.cell(spec))


_EXPANSION = {"basic": 1, "bottleneck": 4}


def stem_layers(spec: DataSpec, channels: int, by: int, norm: Callable[[int], nn.Module] | None) -> list[nn.Module]:
    """3×3 pixels for small pictures; 7×7 with a stride, and a pool, for large ones (He et al. 2015, table 1)."""
    kernel = 7 if by == 4 else 3
    convolution = Conv2d(spec.channels, channels, kernel, 1 if by == 1 else 2, kernel // 2, bias=False)
    after = [norm(channels), nn.ReLU(inplace=True)] if norm else []
    return [convolution, *after, *([nn.MaxPool2d(3, 2, 1)] if by == 4 else [])]


def _stem(config: ResnetConfig, spec: DataSpec) -> nn.Module:
    def norm(channels: int) -> nn.Module:
        return map_norm(config.norm, channels)

    by = reduction(spec, config.reduction)
    return nn.Sequential(*stem_layers(spec, config.stem, by, None if config.preactivated else norm))


def _ready(config: ResnetConfig, channels: int) -> nn.Sequential:
    return nn.Sequential(map_norm(config.norm, channels), nn.ReLU(inplace=True))


def _convolutions(config: ResnetConfig, inputs: int, inner: int, stride: int) -> list[nn.Conv2d]:
    """Of a block; a bottleneck halves the side in its 3×3 convolution (as is customary since the paper)."""
    if config.block == "basic":
        return [_three(inputs, inner, stride), _three(inner, inner, 1)]
    outputs = inner * _EXPANSION["bottleneck"]
    return [_one(inputs, inner, 1), _three(inner, inner, stride), _one(inner, outputs, 1)]


def _three(inputs: int, outputs: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)


def _one(inputs: int, outputs: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1, stride, bias=False)


class _Postactivated(nn.Module):
    """relu(x + branch(x)); the branch's last norm begins at zero (Goyal et al. 2017, section 5.1)."""

    def __init__(self, config: ResnetConfig, inputs: int, inner: int, stride: int, rate: float) -> None:
        super().__init__()
        convolutions = _convolutions(config, inputs, inner, stride)
        outputs = convolutions[-1].out_channels
        layers: list[nn.Module] = []
        for i, convolution in enumerate(convolutions):
            layers += [convolution, map_norm(config.norm, convolution.out_channels)]
            if i < len(convolutions) - 1:
                layers.append(nn.ReLU(inplace=True))
                if i == 0 and config.inner_dropout:
                    layers.append(nn.Dropout(config.inner_dropout))
        gain = layers[-1].weight
        assert isinstance(gain, Tensor)
        nn.init.zeros_(gain)
        self.branch = nn.Sequential(*layers)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(_one(inputs, outputs, stride), map_norm(config.norm, outputs))
        self.drop, self.relu = DropPath(rate), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """N c h w to n c' h' w'."""
        return self.relu(self.shortcut(x) + self.drop(self.branch(x)))


class _Preactivated(nn.Module):
    """X + branch(relu(norm(x))); where the shape changes, the shortcut begins after the norm too."""

    def __init__(self, config: ResnetConfig, inputs: int, inner: int, stride: int, rate: float) -> None:
        super().__init__()
        first, *others = _convolutions(config, inputs, inner, stride)
        layers: list[nn.Module] = [first]
        for i, convolution in enumerate(others):
            layers.append(_ready(config, convolution.in_channels))
            if i == 0 and config.inner_dropout:
                layers.append(nn.Dropout(config.inner_dropout))
            layers.append(convolution)
        self.ready, self.branch = _ready(config, inputs), nn.Sequential(*layers)
        outputs = others[-1].out_channels
        self.shortcut = _one(inputs, outputs, stride) if stride > 1 or inputs != outputs else None
        self.drop = DropPath(rate)

    def forward(self, x: Tensor) -> Tensor:
        """N c h w to n c' h' w'."""
        y = self.ready(x)
        return (x if self.shortcut is None else self.shortcut(y)) + self.drop(self.branch(y))
