"""The network of a lossless coder as few bytes: its weights are whole numbers of 8 bits, and are stored as that."""

import hashlib
import json
import struct
import zlib
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor, nn

from mezzotint.networks.causal import PLACES, Causal, CausalConfig
from mezzotint.networks.grid import BIAS_UNIT, FINEST, UNIT, GridLinear, power_of_two
from mezzotint.types import DataSpec

LARGEST = 1 << 24
"""Bytes that a packed network may unpack to."""


def packed(network: Causal) -> bytes:
    """Shape and weights; equal networks are equal bytes, and a network that was unpacked packs to what it was."""
    head = json.dumps({"channels": network.channels, **asdict(network.config)}, sort_keys=True).encode()
    layers = network.layers()
    places = b"".join(_whole(t * UNIT, np.int8) for t in (layers.across, layers.down))
    body = places + b"".join(_linear_bytes(linear) for linear in _linears(network))
    coder = zlib.compressobj(9, strategy=zlib.Z_HUFFMAN_ONLY)  # weights do not repeat, they are only unequally frequent
    return struct.pack("<HI", len(head), len(body)) + head + coder.compress(body) + coder.flush()


def digest(data: bytes) -> str:
    """Hex SHA-256 of a packed network: what an archive names its model by."""
    return hashlib.sha256(data).hexdigest()


def unpacked(data: bytes) -> Causal:
    """The inverse of `packed`; raises ValueError for bytes that are none of it."""
    try:
        head, body = struct.unpack_from("<HI", data)
        told = json.loads(data[6 : 6 + head])
        told["widths"] = tuple(told["widths"])
        config, channels = CausalConfig(**{k: v for k, v in told.items() if k != "channels"}), _channels(told)
        if body > LARGEST or body != _size(config, channels):
            raise ValueError("a packed network has another length")
        network = Causal(config, channels)
        unpacking = zlib.decompressobj()
        raw = unpacking.decompress(data[6 + head :], LARGEST)
        if len(raw) != body or not unpacking.eof:
            raise ValueError("a packed network has another length")
        _fill(network, raw)
    except (struct.error, zlib.error, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"not a packed network: {error}") from None
    return network.eval().requires_grad_(False)


def _channels(told: dict[str, object]) -> int:
    if told["channels"] not in (1, 3):
        raise ValueError("a network is for 1 or 3 channels")
    return DataSpec(3 if told["channels"] == 3 else 1, 1, 1).channels


def _size(config: CausalConfig, channels: int) -> int:
    """Bytes of the numbers of such a network: known before it is built, since a head may say anything."""
    places = PLACES if config.places else 1
    return 2 * places * config.widths[0] + sum(rows * (inputs + 3) for inputs, rows in config.linear_sizes(channels))


def _linears(network: Causal) -> list[GridLinear]:
    return [module for _, module in sorted(network.named_modules()) if isinstance(module, GridLinear)]


def _linear_bytes(linear: GridLinear) -> bytes:
    settled, exponents = linear.settled(), linear.exponents()
    weight = settled.weight.detach() * power_of_two(exponents)
    bias = settled.bias.detach() * BIAS_UNIT
    return _whole(exponents, np.uint8) + _whole(weight, np.int8) + _whole(bias, np.dtype("<i2"))


def _whole(values: Tensor, kind: type[np.generic] | np.dtype[np.generic]) -> bytes:
    return values.detach().cpu().numpy().astype(kind).tobytes()


def _fill(network: Causal, raw: bytes) -> None:
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

    for table in (network.across, network.down):
        set_to(table, take(tuple(table.shape), "i1") / UNIT)
    for linear in _linears(network):
        rows = linear.weight.shape[0]
        exponents = take((rows, 1), "u1").int()
        if exponents.max() > FINEST:
            raise ValueError("its weights are finer than any are")
        set_to(linear.weight, take(tuple(linear.weight.shape), "i1") / power_of_two(exponents))
        set_to(linear.bias, take((rows,), "<i2") / BIAS_UNIT)
    if at != len(raw):
        raise ValueError("a packed network has another length")
