"""The network of a coder as few bytes: its weights are whole numbers of 8 bits, and are stored as that."""

import hashlib
import json
import struct
import zlib
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mezzotint.networks.causal import PLACES, Causal, CausalConfig
from mezzotint.networks.grid import BIAS_UNIT, FINEST, UNIT, GridLinear, fixed, power_of_two
from mezzotint.networks.hyperprior import GAIN_PARTS, Decoder, HyperpriorConfig
from mezzotint.ops.tables import LOGIT_PARTS, SCALE_PARTS
from mezzotint.types import DataSpec

HYPERPRIOR = "hyperprior"
"""In the head of a lossy codec's decoding half."""
LARGEST = 1 << 26
"""Bytes that a packed network may unpack to: more than the widest codec has."""


def packed(network: Causal | Decoder) -> bytes:
    """Shape and weights; equal networks are equal bytes, and a network that was unpacked packs to what it was."""
    head = json.dumps({"channels": network.channels, **_told(network)}, sort_keys=True).encode()
    body = _beside(network) + b"".join(_linear_bytes(linear) for linear in _linears(network))
    coder = zlib.compressobj(9, strategy=zlib.Z_HUFFMAN_ONLY)  # weights do not repeat, they are only unequally frequent
    return struct.pack("<HI", len(head), len(body)) + head + coder.compress(body) + coder.flush()


def digest(data: bytes) -> str:
    """Hex SHA-256 of a packed network: what an archive names its model by."""
    return hashlib.sha256(data).hexdigest()


def unpacked(data: bytes) -> Causal | Decoder:
    """The inverse of `packed`; raises ValueError for bytes that are none of it."""
    try:
        head, body = struct.unpack_from("<HI", data)
        network = _unfilled(json.loads(data[6 : 6 + head]), body)
        unpacking = zlib.decompressobj()
        raw = unpacking.decompress(data[6 + head :], LARGEST)
        if len(raw) != body or not unpacking.eof:
            raise ValueError("a packed network has another length")
        _fill(network, raw)
    except (struct.error, zlib.error, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"not a packed network: {error}") from None
    return fixed(network) if isinstance(network, Decoder) else network.eval().requires_grad_(False)


def _told(network: Causal | Decoder) -> dict[str, object]:
    """What a network is built by."""
    if isinstance(network, Causal):
        return asdict(network.config)
    return {"kind": HYPERPRIOR, **asdict(network.config.decoding())}


def _unfilled(told: dict[str, Any], body: int) -> Causal | Decoder:
    """The network that a head tells of, if its numbers take so many bytes; a head may say anything."""
    fields = {k: v for k, v in told.items() if k not in ("channels", "kind")}
    channels = _channels(told)
    if told.get("kind") == HYPERPRIOR:
        config = HyperpriorConfig(**fields)
        with torch.device("meta"):
            size = _size_of_decoder(Decoder(config, channels))
        if body > LARGEST or body != size:
            raise ValueError("a packed network has another length")
        return Decoder(config, channels)
    fields["widths"] = tuple(fields["widths"])
    causal = CausalConfig(**fields)
    if body > LARGEST or body != _size(causal, channels):
        raise ValueError("a packed network has another length")
    return Causal(causal, channels)


def _channels(told: dict[str, object]) -> int:
    if told["channels"] not in (1, 3):
        raise ValueError("a network is for 1 or 3 channels")
    return DataSpec(3 if told["channels"] == 3 else 1, 1, 1).channels


def _size(config: CausalConfig, channels: int) -> int:
    """Bytes of the numbers of such a network: known before it is built, since a head may say anything."""
    places = PLACES if config.places else 1
    return 2 * places * config.widths[0] + sum(rows * (inputs + 3) for inputs, rows in config.linear_sizes(channels))


def _size_of_decoder(decoder: Decoder) -> int:
    of_numbers = sum(2 * numbers.numel() for numbers, _ in _numbers(decoder))
    return of_numbers + sum(linear.weight.numel() + 3 * len(linear.weight) for linear in _linears(decoder))


def _beside(network: Causal | Decoder) -> bytes:
    """What is learned beside the linear layers."""
    if isinstance(network, Causal):
        layers = network.layers()
        return b"".join(_whole(t * UNIT, np.int8) for t in (layers.across, layers.down))
    return b"".join(
        _whole((numbers * unit).round().clamp(-(1 << 15), (1 << 15) - 1), np.dtype("<i2"))
        for numbers, unit in _numbers(network)
    )


def _numbers(decoder: Decoder) -> tuple[tuple[nn.Parameter, int], ...]:
    """What a decoder knows beside its layers, and the unit that it is used in."""
    return (
        (decoder.gains, GAIN_PARTS),
        (decoder.hyper_gains, GAIN_PARTS),
        (decoder.prior_mean, UNIT),
        (decoder.prior_octave, 2 * SCALE_PARTS),
        (decoder.prior_logit, 4 * LOGIT_PARTS),
    )


def _linears(network: nn.Module) -> list[GridLinear]:
    return [module for _, module in sorted(network.named_modules()) if isinstance(module, GridLinear)]


def _linear_bytes(linear: GridLinear) -> bytes:
    settled, exponents = linear.settled(), linear.exponents()
    weight = settled.weight.detach() * power_of_two(exponents)
    bias = settled.bias.detach() * BIAS_UNIT
    return _whole(exponents, np.uint8) + _whole(weight, np.int8) + _whole(bias, np.dtype("<i2"))


def _whole(values: Tensor, kind: type[np.generic] | np.dtype[np.generic]) -> bytes:
    return values.detach().cpu().numpy().astype(kind).tobytes()


def _fill(network: Causal | Decoder, raw: bytes) -> None:
    """Set the weights from their whole numbers."""
    at = 0

    def take(shape: tuple[int, ...], kind: str) -> Tensor:
        nonlocal at
        count = int(np.prod(shape))
        found = np.frombuffer(raw, kind, count, at).reshape(shape)
        at += found.nbytes
        return torch.from_numpy(found.astype(np.float32))

    def set_to(parameter: nn.Parameter, values: Tensor) -> None:
        with torch.no_grad():
            parameter.copy_(values)

    if isinstance(network, Causal):
        for table in (network.across, network.down):
            set_to(table, take(tuple(table.shape), "i1") / UNIT)
    else:
        for numbers, unit in _numbers(network):
            set_to(numbers, take(tuple(numbers.shape), "<i2") / unit)
    for linear in _linears(network):
        rows = linear.weight.shape[0]
        exponents = take((rows, 1), "u1").int()
        if exponents.max() > FINEST:
            raise ValueError("its weights are finer than any are")
        set_to(linear.weight, take(tuple(linear.weight.shape), "i1") / power_of_two(exponents))
        set_to(linear.bias, take((rows,), "<i2") / BIAS_UNIT)
    if at != len(raw):
        raise ValueError("a packed network has another length")
