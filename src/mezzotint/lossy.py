"""Pictures to fewer bytes than they take exactly, by a network with a hyperprior, and back: the same on any machine.

A picture's hyper-latents are coded first, channel by channel, then its latents in the same order: those whose scale
is the smallest there is are zero and not coded. Number i of either lies in lane i mod lanes of the coder. What lies
beyond a table is coded as its end, and by how much it is beyond is told apart. Large pictures go through the networks
in tiles that overlap by as far as a pixel is seen, so that tiles, like batches and threads, change no bit.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mezzotint.data.decode import MAX_PIXELS
from mezzotint.lossless import Pixels, single_threads
from mezzotint.networks.hyperprior import CELL, HYPER, QUALITIES, Decoder, Hyperprior, Prior, Told
from mezzotint.ops import rans, tables
from mezzotint.ops.rans import Integers

LANE = 8192
"""Latents for which a picture has another lane."""
TILE = 512
"""Pixels of a tile's side, less its overlap: what bounds the memory."""
MIDDLE = 128
"""Where zero lies in a table."""
FARTHEST = 1 << 15
"""Latents are not larger than this."""

MOST_LATENTS = 1 << 28
"""Latents of one picture that are believed, those included by which it is padded."""

Whole = NDArray[np.int32]
Scales = NDArray[np.int16]
"""Rows of tables."""


@dataclass(frozen=True)
class Latents:
    """A picture as whole numbers, each c × h × w."""

    hyper: Whole
    main: Whole
    """Times gain and less their means."""
    scale: Scales
    """Row of the table of each of `main`; row 0 means that it is zero."""


@dataclass(frozen=True)
class Shrunk:
    """A picture in few bytes, and what comes back of it."""

    streams: list[bytes]
    beyond: bytes
    """By how much some latents are beyond the tables (LEB128); mostly nothing."""
    pixels: Pixels
    """h × w × c, as they will be decoded."""
    bits: float
    """What the tables say that it takes, before streams are rounded up to bytes."""


def grid_of(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of latents."""
    return -(-height // CELL), -(-width // CELL)


def takes(channels: int, height: int, width: int) -> bool:
    """Whether a picture, its sides padded to whole hyper-latents, is of a size that is coded, with so many latents."""
    cells = math.prod(-(-side // HYPER) * HYPER for side in grid_of(height, width))
    return cells * CELL**2 <= MAX_PIXELS and cells * channels <= MOST_LATENTS


def lanes_of(channels: int, height: int, width: int) -> int:
    """Streams that a picture takes whose latents have so many channels."""
    return -(-channels * math.prod(grid_of(height, width)) // LANE)


def shrink(network: Hyperprior, pictures: Sequence[Pixels], quality: int) -> list[Shrunk]:
    """Each picture h × w × c at a quality of 1 … 100; c is the network's, which `grid.fixed` gave."""
    if not pictures:
        return []
    rows = rows_of(network.decoder, quality)
    found = _mapped(lambda pixels: _analyzed(network, pixels, quality), pictures)
    streams = _encoded(rows, [latents for latents, _ in found])
    return [
        Shrunk(own, _beyond(latents.main), pixels, _bits(rows, latents))
        for own, (latents, pixels) in zip(streams, found, strict=True)
    ]


def restore(
    decoder: Decoder,
    shapes: Sequence[tuple[int, int]],
    streams: Sequence[Sequence[bytes]],
    beyond: Sequence[bytes],
    quality: int,
) -> list[Pixels | None]:
    """Pictures of (height, width) from their streams; None for those whose streams are not whole."""
    if not shapes:
        return []
    rows = rows_of(decoder, quality)
    lanes = [lanes_of(decoder.config.latents, *shape) for shape in shapes]
    padded = [[*own, *[b""] * count][:count] for own, count in zip(streams, lanes, strict=True)]
    coder = rans.Decoder([stream for own in padded for stream in own])
    hyper = _decoded(coder, rows, lanes, [_hyper_rows(decoder, shape) for shape in shapes])
    told = _mapped(lambda pair: _told(decoder, pair[0], pair[1], quality), list(zip(hyper, shapes, strict=True)))
    main = _decoded(coder, rows, lanes, [_scale_rows(each) for each in told])
    ends = np.cumsum([0, *lanes])
    whole = [
        bool(coder.whole()[a:b].all()) and len(own) == b - a
        for own, (a, b) in zip(streams, pairwise(ends), strict=True)
    ]
    fine = [
        complete and _move_beyond(values, extra) for values, extra, complete in zip(main, beyond, whole, strict=True)
    ]

    def pixels(i: int) -> Pixels | None:
        return _pixels(decoder, main[i], told[i], shapes[i], quality) if fine[i] else None

    return _mapped(pixels, range(len(shapes)))


def rows_of(decoder: Decoder, quality: int) -> tables.Rows:
    """Tables of all scales of a latent, then of each channel of hyper-latents."""
    if not 1 <= quality <= QUALITIES:
        raise ValueError(f"a quality lies between 1 and {QUALITIES}")
    low, high = (tables.SCALE_PARTS * end for end in tables.SCALE_OCTAVES)
    scales = np.arange(low, high + 1, dtype=np.int32)[None]
    zero = np.zeros_like(scales)
    of_scales = tables.mixture(zero + MIDDLE * tables.LEVEL_PARTS, scales, zero)
    with torch.no_grad():
        prior: Prior = decoder.prior_at(torch.tensor([quality]))
    units = tables.LEVEL_PARTS, tables.SCALE_PARTS, tables.LOGIT_PARTS
    parts = zip((prior.mean + MIDDLE, prior.octave, prior.logit), units, strict=True)
    of_hyper = tables.mixture(*(np.ascontiguousarray((said[0] * n).T.to(torch.int32).numpy()) for said, n in parts))
    return tables.Rows.of(of_scales).joined(tables.Rows.of(of_hyper))


SCALES = (tables.SCALE_OCTAVES[1] - tables.SCALE_OCTAVES[0]) * tables.SCALE_PARTS + 1
"""Rows of the scales."""


# The networks.


def _analyzed(network: Hyperprior, pixels: Pixels, quality: int) -> tuple[Latents, Pixels]:
    """The whole numbers of a picture, and the picture that they give."""
    at, decoder = torch.tensor([quality]), network.decoder
    blocks = network.config.blocks
    levels = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]
    latents = _in_tiles(partial(network.latents, quality=at), levels, TILE, 24 + 16 * blocks, down=CELL)
    hyper = _in_tiles(partial(network.hyper_latents, quality=at), latents, TILE // CELL, HYPER, down=HYPER)
    hyper = torch.round(hyper * decoder.hyper_gains_at(at).gain).clamp(-MIDDLE, MIDDLE - 1)
    whole = hyper[0].numpy().astype(np.int32)
    told = _told(decoder, whole, pixels.shape[:2], quality)
    scale = _scale_rows(told)
    main = torch.round(latents * decoder.gains_at(at).gain - told.mean).clamp(-FARTHEST, FARTHEST)
    values = np.where(scale > 0, main[0].numpy().astype(np.int32), np.int32(0))
    return Latents(whole, values, scale), _pixels(decoder, values, told, pixels.shape[:2], quality)


def _told(decoder: Decoder, hyper: Whole, shape: Sequence[int], quality: int) -> Told:
    """Mean and scale of each latent of a picture of this (height, width)."""
    at = torch.tensor([quality])
    given = torch.from_numpy(hyper.astype(np.float32))[None]

    def both(x: Tensor) -> Tensor:
        told = decoder.told(x, at)
        return torch.cat([told.mean, told.octave], 1)

    rows, columns = grid_of(shape[0], shape[1])
    mean, octave = _in_tiles(both, given, TILE // CELL // HYPER, 2, up=HYPER)[:, :, :rows, :columns].chunk(2, 1)
    return Told(mean, octave)


def _pixels(decoder: Decoder, main: Whole, told: Told, shape: Sequence[int], quality: int) -> Pixels:
    at = torch.tensor([quality])
    scaled = torch.from_numpy(main.astype(np.float32)) + told.mean
    margin = 3 + 2 * decoder.config.blocks
    levels = _in_tiles(partial(decoder.pixels, quality=at), scaled, TILE // CELL, margin, up=CELL)
    levels = levels[0, :, : shape[0], : shape[1]].round().clamp(0, 255)
    return np.ascontiguousarray(levels.permute(1, 2, 0).to(torch.uint8).numpy())


def _in_tiles(
    function: Callable[[Tensor], Tensor], x: Tensor, tile: int, margin: int, *, up: int = 1, down: int = 1
) -> Tensor:
    """`function` of a map by tiles and `margin` cells around each; its sides are `up` times or a `down`-th of x's."""
    height, width = x.shape[2:]
    if max(height, width) <= tile:
        return function(x)

    def cut(first: int, side: int) -> tuple[slice, slice]:
        """What is looked at, and what is kept of the result."""
        begin, last = max(0, first - margin), min(side, first + tile)
        skipped = (first - begin) * up // down
        return slice(begin, min(side, last + margin)), slice(skipped, skipped + -(-(last - first) * up // down))

    rows = [cut(first, height) for first in range(0, height, tile)]
    columns = [cut(first, width) for first in range(0, width, tile)]
    return torch.cat(
        [
            torch.cat([function(x[:, :, seen, across])[:, :, kept, inner] for across, inner in columns], 3)
            for seen, kept in rows
        ],
        2,
    )


Job = TypeVar("Job")
Done = TypeVar("Done")


def _mapped(function: Callable[[Job], Done], jobs: Sequence[Job]) -> list[Done]:
    """One picture after another in as many threads as torch has, each with one of its own."""
    with single_threads() as threads, ThreadPoolExecutor(threads) as pool:

        def run(job: Job) -> Done:
            with torch.no_grad():
                return function(job)

        return list(pool.map(run, jobs))


# The coder.


def _scale_rows(told: Told) -> Scales:
    return ((told.octave[0] - tables.SCALE_OCTAVES[0]) * tables.SCALE_PARTS).numpy().astype(np.int16)


def _hyper_rows(decoder: Decoder, shape: tuple[int, int]) -> Scales:
    rows, columns = (-(-side // HYPER) for side in grid_of(*shape))
    channels = np.arange(SCALES, SCALES + decoder.config.hyper_latents, dtype=np.int16)
    return np.broadcast_to(channels[:, None, None], (len(channels), rows, columns))


def _levels(values: Whole) -> Whole:
    """Places in a table, 0 … 255."""
    return np.clip(values + MIDDLE, 0, tables.LEVELS - 1)


def _rounds(counts: Sequence[int], lanes: Sequence[int]) -> Iterator[tuple[slice | Integers, Integers]]:
    """What is coded at once of the numbers of several pictures, one after another: which ones, and their lanes."""
    if len(counts) == 1:  # which may be large: nothing is sorted or copied
        (count,), lane = counts, np.arange(lanes[0])
        for first in range(0, count, len(lane)):
            yield slice(first, first + len(lane)), lane[: count - first]
        return
    firsts = np.cumsum([0, *lanes])
    places = [np.arange(count) for count in counts]
    turn = np.concatenate([place // n for place, n in zip(places, lanes, strict=True)])
    lane = np.concatenate([first + place % n for first, place, n in zip(firsts[:-1], places, lanes, strict=True)])
    order = np.argsort(turn, kind="stable")
    ends = np.searchsorted(turn[order], np.arange(turn.max(initial=-1) + 2))
    for a, b in pairwise(ends.tolist()):
        yield order[a:b], lane[order[a:b]]


def _encoded(rows: tables.Rows, pictures: Sequence[Latents]) -> list[list[bytes]]:
    lanes = [-(-each.main.size // LANE) for each in pictures]
    rounds = list[rans.Round]()
    for part in (_hyper_numbers, _main_numbers):
        numbers = [part(each) for each in pictures]
        row, value = (np.concatenate(column) for column in zip(*numbers, strict=True))
        low, frequency = rows.interval(row, _levels(value))
        counts = [len(own) for own, _ in numbers]
        rounds += [rans.Round(lane, low[which], frequency[which]) for which, lane in _rounds(counts, lanes)]
    streams = iter(rans.encode(rounds, sum(lanes)))
    return [[next(streams) for _ in range(n)] for n in lanes]


def _hyper_numbers(latents: Latents) -> tuple[Scales, Whole]:
    """Rows and values of the hyper-latents in the order of their coding."""
    channels = len(latents.hyper)
    rows = np.repeat(np.arange(SCALES, SCALES + channels, dtype=np.int16), latents.hyper[0].size)
    return rows, latents.hyper.ravel()


def _main_numbers(latents: Latents) -> tuple[Scales, Whole]:
    coded = latents.scale > 0
    return latents.scale[coded], latents.main[coded]


def _decoded(coder: rans.Decoder, rows: tables.Rows, lanes: Sequence[int], asked: Sequence[Scales]) -> list[Whole]:
    """Numbers of each picture by the rows of their tables, of row 0 zero."""
    coded = [each.ravel() > 0 for each in asked]
    row = np.concatenate([each.ravel()[known] for each, known in zip(asked, coded, strict=True)])
    values = np.zeros(len(row), np.int32)
    for which, lane in _rounds([int(known.sum()) for known in coded], lanes):
        values[which], low, frequency = rows.find(row[which], coder.slots(lane))
        coder.advance(lane, low, frequency)
    found, first = list[Whole](), 0
    for each, known in zip(asked, coded, strict=True):
        own = np.zeros(each.size, np.int32)
        last = first + int(known.sum())
        own[known] = values[first:last] - MIDDLE
        found.append(own.reshape(each.shape))
        first = last
    return found


def _bits(rows: tables.Rows, latents: Latents) -> float:
    bits = 8.0 * len(_beyond(latents.main))
    for row, value in (_hyper_numbers(latents), _main_numbers(latents)):
        _, frequency = rows.interval(row, _levels(value))
        bits += float((rans.PRECISION - np.log2(frequency)).sum())
    return bits


def _beyond(main: Whole) -> bytes:
    """By how much the latents at the tables' ends are beyond them, in order."""
    at_end = main[(main <= -MIDDLE) | (main >= MIDDLE - 1)]
    out = bytearray()
    for excess in np.where(at_end < 0, -MIDDLE - at_end, at_end - (MIDDLE - 1)).tolist():
        while excess > 127:
            out.append(excess & 127 | 128)
            excess >>= 7
        out.append(excess)
    return bytes(out)


def _move_beyond(main: Whole, data: bytes) -> bool:
    """Add to the latents at the tables' ends, in place, what they are beyond them; False for damage."""
    ends = np.flatnonzero((main == -MIDDLE) | (main == MIDDLE - 1))
    numbers, number, shift = list[int](), 0, 0
    for byte in data:
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            numbers.append(number)
            number, shift = 0, 0
        elif shift > 21:
            return False
    if shift or len(numbers) != len(ends) or max(numbers, default=0) > FARTHEST:
        return False
    flat = main.reshape(-1)
    flat[ends] += np.sign(flat[ends]) * np.array(numbers, np.int64)
    return True
