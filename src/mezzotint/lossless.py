"""Pictures to streams of bytes and back to the bit, by a network that predicts each pixel from those before it.

A picture is cut into tiles of at most 512 × 512. The pixels of a tile with equal x + 4·y are a *wave*: the network
sees of each only what lies in earlier waves, so a wave is predicted at once, and those of many tiles together. A tile
has a lane of the coder for every 4096 pixels or part of them; row y is coded in lane y mod lanes. Order within a lane:
by wave, then by channel, then from the top down. Which tiles are coded together, and in how many threads, changes no
byte.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mezzotint.networks.causal import LEFT, RIGHT, SLOPE, TOP, Causal, Layers, Places, Seen
from mezzotint.ops import rans, tables
from mezzotint.ops.rans import Integers

TILE = 512
"""Longest side of a tile: what bounds the memory."""
LANE = 4096
"""Pixels for which a tile has another lane."""
BATCH = 1 << 20
"""Pixels that are coded together, at least a tile."""
CHUNK = 1 << 13
"""Pixels that the network predicts at once where all are known."""

Pixels = NDArray[np.uint8]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Tile:
    """A part of a picture: where it begins and its size."""

    picture: int
    top: int
    left: int
    height: int
    width: int

    @property
    def lanes(self) -> int:
        """Streams of the coder that it takes."""
        return -(-self.height * self.width // LANE)


def tiles_of(height: int, width: int, picture: int = 0) -> list[Tile]:
    """The tiles of a picture, row by row."""
    return [
        Tile(picture, top, left, min(TILE, height - top), min(TILE, width - left))
        for top in range(0, height, TILE)
        for left in range(0, width, TILE)
    ]


def lanes_of(height: int, width: int) -> int:
    """Streams that a picture takes."""
    return sum(tile.lanes for tile in tiles_of(height, width))


def encode(network: Causal, pictures: Sequence[Pixels]) -> list[list[bytes]]:
    """The streams of each picture h × w × c; c is the network's."""
    done = _by_batches(network, pictures, _encode_batch)
    return [[stream for tile in tiles for stream in tile] for tiles in _regrouped(done, len(pictures))]


def decode(
    network: Causal, shapes: Sequence[tuple[int, int]], streams: Sequence[Sequence[bytes]]
) -> list[Pixels | None]:
    """Pictures of (height, width) from their streams; None for those whose streams are not whole."""
    blank = [np.zeros((h, w, network.channels), np.uint8) for h, w in shapes]
    owed = [iter(own) for own in streams]
    given: dict[Tile, list[bytes]] = {}
    for picture, (h, w) in enumerate(shapes):
        for tile in tiles_of(h, w, picture):
            given[tile] = list(islice(owed[picture], tile.lanes))

    def work(network: Causal, layers: Layers, tiles: list[Tile], parts: list[Pixels]) -> list[bool]:
        return _decode_batch(network, layers, tiles, parts, [given[tile] for tile in tiles])

    done = _by_batches(network, blank, work)
    return [pixels if all(whole) else None for pixels, whole in zip(blank, _regrouped(done, len(blank)), strict=True)]


def bits(network: Causal, pictures: Sequence[Pixels]) -> NDArray[np.float64]:
    """What each picture takes by the coder's tables, before its streams are rounded up to bytes."""
    done = _by_batches(network, pictures, _count_batch)
    return np.array([sum(tiles) for tiles in _regrouped(done, len(pictures))])


@dataclass(frozen=True)
class _Order:
    """The pixels of a batch of tiles in the order of their coding; arrays of n int32."""

    cells: NDArray[np.int32]
    x: NDArray[np.int32]
    y: NDArray[np.int32]
    width: NDArray[np.int32]
    height: NDArray[np.int32]
    tiles: NDArray[np.int32]
    lanes: NDArray[np.int64]
    waves: list[int]
    """Where each wave begins, and n."""
    rounds: list[list[int]]
    """Of each wave, where its rounds begin, and its end."""
    stride: int
    size: int
    """Cells of the canvas."""
    origins: list[int]
    """Cell of each tile's first pixel."""

    def places(self, first: int, last: int) -> Places:
        """Pixels first … last - 1, for the network."""
        cut = (torch.from_numpy(a[first:last]).long() for a in (self.cells, self.x, self.y, self.width, self.height))
        return Places(*cut, stride=self.stride)


def _order(tiles: Sequence[Tile]) -> _Order:
    stride = max(tile.width for tile in tiles) + LEFT + RIGHT
    heights = np.array([tile.height + TOP for tile in tiles])
    origins = (np.cumsum(heights) - heights + TOP) * stride + LEFT
    first_lane = np.cumsum([0, *(tile.lanes for tile in tiles)])
    columns: list[list[NDArray[np.int32]]] = []
    known: dict[tuple[int, int], tuple[NDArray[np.int32], ...]] = {}
    for number, tile in enumerate(tiles):
        shape = tile.height, tile.width
        if shape not in known:
            known[shape] = _waves(tile)
        x, y, key, lane = known[shape]
        same = np.ones_like(x)
        cells = origins[number] + y * stride + x
        own = (key, cells, x, y, same * tile.width, same * tile.height, same * number, lane + first_lane[number])
        columns.append([column.astype(np.int32) for column in own])
    key, cells, x, y, width, height, numbers, lanes = (np.concatenate(c) for c in zip(*columns, strict=True))
    sorting = np.argsort(key, kind="stable")
    key, cells, x, y, width, height, numbers, lanes = (
        c[sorting] for c in (key, cells, x, y, width, height, numbers, lanes)
    )
    turns = np.flatnonzero(np.diff(key, prepend=-1))
    begins = turns[np.flatnonzero(np.diff(key[turns] // TILE, prepend=-1))]
    waves = [*begins.tolist(), len(key)]
    cuts = np.split(turns, np.searchsorted(turns, waves[1:-1]))
    rounds = [[*own.tolist(), end] for own, end in zip(cuts, waves[1:], strict=True)]
    size = int(heights.sum()) * stride + RIGHT
    return _Order(
        cells, x, y, width, height, numbers, lanes.astype(np.int64), waves, rounds, stride, size, origins.tolist()
    )


def _waves(tile: Tile) -> tuple[NDArray[np.int32], ...]:
    """X, y, key of the round (wave · 512 + round within it) and lane of each pixel of a tile."""
    y, x = (a.ravel().astype(np.int32) for a in np.mgrid[: tile.height, : tile.width])
    wave = x + SLOPE * y
    highest = np.maximum(0, -((tile.width - 1 - wave) // SLOPE))
    return x, y, wave * TILE + (y - highest) // tile.lanes, y % tile.lanes


def _canvas(order: _Order, parts: Sequence[Pixels]) -> Tensor:
    """Levels of the tiles, with empty cells around them."""
    canvas = np.zeros((order.size, parts[0].shape[2]), np.float32)
    for origin, part in zip(order.origins, parts, strict=True):
        height, width, channels = part.shape
        canvas[origin : origin + height * order.stride].reshape(height, -1, channels)[:, :width] = part
    return torch.from_numpy(canvas)


def _mixture(network: Causal, layers: Layers, seen: Seen, before: Tensor) -> tables.Mixture:
    """The network's words as integers, k × n."""
    spoken = network.speak(layers, seen, before)
    parts = (spoken.mean, tables.LEVEL_PARTS), (spoken.octave, tables.SCALE_PARTS), (spoken.logit, tables.LOGIT_PARTS)
    return tables.mixture(*(np.ascontiguousarray((said * unit).T.to(torch.int32).numpy()) for said, unit in parts))


def _intervals(network: Causal, layers: Layers, order: _Order, canvas: Tensor) -> tuple[Integers, Integers]:
    """Low ends and frequencies of all numbers, c × n."""
    shape = network.channels, len(order.cells)
    low, frequency = np.empty(shape, np.int64), np.empty(shape, np.int64)
    for first in range(0, shape[1], CHUNK):
        cut = slice(first, first + CHUNK)
        at = order.places(first, first + CHUNK)
        seen, values = network.look(layers, canvas, at), canvas[at.cells]
        for c in range(network.channels):
            mixed = _mixture(network, layers, seen, values[:, :c])
            low[c, cut], frequency[c, cut] = tables.interval(mixed, values[:, c].long().numpy())
    return low, frequency


def _encode_batch(network: Causal, layers: Layers, tiles: list[Tile], parts: list[Pixels]) -> list[list[bytes]]:
    order = _order(tiles)
    low, frequency = _intervals(network, layers, order, _canvas(order, parts))
    rounds = [
        rans.Round(order.lanes[a:b], low[c, a:b], frequency[c, a:b])
        for cuts in order.rounds
        for c in range(network.channels)
        for a, b in pairwise(cuts)
    ]
    streams = iter(rans.encode(rounds, sum(tile.lanes for tile in tiles)))
    return [[next(streams) for _ in range(tile.lanes)] for tile in tiles]


def _decode_batch(
    network: Causal, layers: Layers, tiles: list[Tile], parts: list[Pixels], streams: list[list[bytes]]
) -> list[bool]:
    """Fill the parts; whether the streams of each were whole."""
    order = _order(tiles)
    canvas = _canvas(order, parts)
    padded = [own + [b""] * (tile.lanes - len(own)) for own, tile in zip(streams, tiles, strict=True)]
    decoder = rans.Decoder([stream for own in padded for stream in own])
    for (first, last), cuts in zip(pairwise(order.waves), order.rounds, strict=True):
        at = order.places(first, last)
        seen = network.look(layers, canvas, at)
        values = np.empty((last - first, network.channels), np.int64)
        for c in range(network.channels):
            mixed = _mixture(network, layers, seen, torch.from_numpy(values[:, :c]).float())
            for a, b in pairwise(cuts):
                lanes = order.lanes[a:b]
                own = slice(a - first, b - first)
                values[own, c], low, frequency = tables.find(mixed[own], decoder.slots(lanes))
                decoder.advance(lanes, low, frequency)
        canvas[at.cells] = torch.from_numpy(values).float()
    flat = canvas.byte().numpy()
    for origin, part in zip(order.origins, parts, strict=True):
        height, width, channels = part.shape
        part[:] = flat[origin : origin + height * order.stride].reshape(height, -1, channels)[:, :width]
    whole = iter(decoder.whole().tolist())
    return [
        all(list(islice(whole, tile.lanes))) and len(own) == tile.lanes
        for tile, own in zip(tiles, streams, strict=True)
    ]


def _count_batch(network: Causal, layers: Layers, tiles: list[Tile], parts: list[Pixels]) -> list[float]:
    order = _order(tiles)
    _, frequency = _intervals(network, layers, order, _canvas(order, parts))
    taken = (rans.PRECISION - np.log2(frequency)).sum(0)
    return np.bincount(order.tiles, taken, len(tiles)).tolist()


def _by_batches(
    network: Causal,
    pictures: Sequence[Pixels],
    work: Callable[[Causal, Layers, list[Tile], list[Pixels]], list[Result]],
) -> list[tuple[Tile, Result]]:
    """What `work` makes of each tile; batches of tiles of like size, in as many threads as torch has."""
    tiles = [tile for i, pixels in enumerate(pictures) for tile in tiles_of(pixels.shape[0], pixels.shape[1], i)]
    tiles.sort(key=lambda tile: (tile.width + SLOPE * tile.height, tile.width, tile.picture))
    with single_threads() as threads, torch.no_grad():
        layers = network.layers()

        def run(batch: list[Tile]) -> list[tuple[Tile, Result]]:
            parts = [pictures[t.picture][t.top : t.top + t.height, t.left : t.left + t.width] for t in batch]
            with torch.no_grad():
                return list(zip(batch, work(network, layers, batch, parts), strict=True))

        with ThreadPoolExecutor(threads) as pool:
            return [done for batch in pool.map(run, _batches(tiles, threads)) for done in batch]


def _batches(tiles: Sequence[Tile], threads: int) -> Iterator[list[Tile]]:
    total = sum(tile.height * tile.width for tile in tiles)
    bound = min(BATCH, -(-total // threads))
    batch, size = list[Tile](), 0
    for tile in tiles:
        if batch and size + tile.height * tile.width > bound:
            yield batch
            batch, size = [], 0
        batch.append(tile)
        size += tile.height * tile.width
    if batch:
        yield batch


def _regrouped(done: Sequence[tuple[Tile, Result]], count: int) -> list[list[Result]]:
    """Results of the tiles of each picture, in the order of the tiles."""
    found: list[list[tuple[Tile, Result]]] = [[] for _ in range(count)]
    for tile, result in done:
        found[tile.picture].append((tile, result))
    return [[result for _, result in sorted(own, key=lambda pair: (pair[0].top, pair[0].left))] for own in found]


@contextmanager
def single_threads() -> Iterator[int]:
    """Torch with one thread each in as many threads of ours as it had: waves are too small to share one out."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)
