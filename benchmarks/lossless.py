"""Bits a pixel and speed of an archive, beside PNG, WebP, AVIF singly and as a sheet, and xz of the raw pixels.

python benchmarks/lossless.py RUN fashion-mnist --out benchmarks/results/lossless-fashion-mnist.json

Takes the test pictures of a data set, or all files of a folder, of which the model must not have seen any. The size of
the archive has the model, names, index and checksums in it. The peers of which the slowest settings are asked take some
of the pictures, as many as the file says; in a folder each of them stands beside ours of the same pictures.
"""

import argparse
import io
import json
import lzma
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image

from mezzotint import archive, coding, compress, packing
from mezzotint.data import dataset as data
from mezzotint.data.pictures import grid, save_png
from mezzotint.machine import facts
from mezzotint.model import load
from mezzotint.networks.causal import Causal
from mezzotint.raster import read_raster

FORMATS: dict[str, dict[str, Any]] = {
    "png": {"format": "PNG", "optimize": True},
    "webp": {"format": "WEBP", "lossless": True, "quality": 100, "method": 6},
    "avif": {"format": "AVIF", "quality": 100, "subsampling": "4:4:4", "speed": 6, "advanced": {"lossless": "1"}},
}


def pictured(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def written(pixels: np.ndarray, options: dict[str, Any]) -> int:
    buffer = io.BytesIO()
    pictured(pixels).save(buffer, **options)
    return buffer.tell()


def rated(pictures: np.ndarray, size: Callable[[], int]) -> dict[str, float]:
    began = time.perf_counter()
    bytes_taken = size()
    seconds = time.perf_counter() - began
    count = pictures.shape[0] * pictures.shape[1] * pictures.shape[2]
    return {
        "bytes": bytes_taken,
        "bits_per_pixel": 8 * bytes_taken / count,
        "megapixels_per_second": count / 1e6 / seconds,
        "pictures": len(pictures),
    }


def peers(pictures: np.ndarray, singly: int, on_sheet: int) -> dict[str, dict[str, float]]:
    few, sheet = pictures[:singly], grid(pictures[:on_sheet], pad=0)
    found: dict[str, dict[str, float]] = {}
    for name, options in FORMATS.items():
        found[name] = rated(few, lambda o=options: sum(written(p, o) for p in few))
        found[f"{name} sheet"] = rated(pictures[:on_sheet], lambda o=options: written(sheet, o))
    found["xz"] = rated(pictures, lambda: len(lzma.compress(pictures.tobytes(), preset=9 | lzma.PRESET_EXTREME)))
    return found


@dataclass(frozen=True)
class Took:
    """How long something took."""

    wall: float
    worked: float
    """Processor seconds of all threads."""

    def rates(self, name: str, pixels: int) -> dict[str, float]:
        return {
            f"{name}_megapixels_per_second": pixels / 1e6 / self.wall,
            f"{name}_megapixels_per_processor_second": pixels / 1e6 / self.worked,
        }


T = TypeVar("T")


def timed(take: Callable[[], T]) -> tuple[T, Took]:
    wall, worked = time.perf_counter(), time.process_time()
    found = take()
    return found, Took(time.perf_counter() - wall, time.process_time() - worked)


def both_ways(network: Causal, folder: Path, pixels: int, place: Path) -> tuple[Any, Any, dict[str, float]]:
    """What compressing a folder and bringing it back gave, and their rates; compressing is timed verified as well."""
    done, plainly = timed(lambda: compress.compress([folder], network, place / "a.mez", verify=False))
    _, verified = timed(lambda: compress.compress([folder], network, place / "verified.mez"))
    back, again = timed(lambda: compress.decompress(place / "a.mez", place / "back"))
    assert not back.lost, back.lost[:3]
    rates = plainly.rates("compress", pixels) | verified.rates("compress_verified", pixels)
    return done, back, rates | again.rates("decompress", pixels)


def ours(run: Path, pictures: np.ndarray, place: Path) -> dict[str, Any]:
    network = load(run).method.network  # pyright: ignore[reportAttributeAccessIssue]
    for i, pixels in enumerate(pictures):
        save_png(place / "in" / f"{i:05d}.png", pixels)
    pixels = pictures.shape[0] * pictures.shape[1] * pictures.shape[2]
    done, back, rates = both_ways(network, place / "in", pixels, place)
    assert len(back.saved) == len(pictures)
    for path, wanted in zip(sorted(back.saved), pictures, strict=True):
        with Image.open(path) as image:
            assert np.array_equal(np.asarray(image).reshape(wanted.shape), wanted)
    return {
        "bytes": done.size,
        "bits_per_pixel": 8 * done.size / pixels,
        "model_bytes": done.model_bytes,
        "model_bits_per_pixel": 8 * done.model_bytes / pixels,
        "index_bytes": archive.read(place / "a.mez").index_bytes,
        "pictures": len(pictures),
        "codings": done.progress.codings,
        **rates,
        "model": packing.digest(packing.packed(network))[:16],
    }


def of_folder(run: Path, folder: Path, place: Path) -> dict[str, Any]:
    """An archive of the files of a folder, beside the files and what others make of the same pixels.

    Each of the others beside ours of the very pictures that it takes: `ours_bytes` has neither index nor model in it.
    """
    network = load(run).method.network  # pyright: ignore[reportAttributeAccessIssue]
    rasters = {name: read_raster(path) for name, path in compress.sources([folder]) if readable(path)}
    pixels = sum(raster.width * raster.height for raster in rasters.values())
    done, _, rates = both_ways(network, folder, pixels, place)
    contents = archive.read(place / "a.mez")
    taken = {stored.entry.name: stored.entry.length for stored in contents.stored}
    peers: dict[str, dict[str, int]] = {}
    for name, raster in rasters.items():
        if raster.mode in coding.COLORS and name in taken:
            for other, size in coding.others(raster).items():
                row = peers.setdefault(other, {"pictures": 0, "bytes": 0, "ours_bytes": 0})
                row["pictures"] += 1
                row["bytes"] += size
                row["ours_bytes"] += taken[name]
    raw = b"".join(raster.data for name, raster in rasters.items() if name in taken)
    solid = len(lzma.compress(raw, preset=9 | lzma.PRESET_EXTREME))
    peers["xz of all raw pixels"] = {"pictures": len(taken), "bytes": solid, "ours_bytes": sum(taken.values())}
    return {
        "bytes": done.size,
        "bits_per_pixel": 8 * done.size / pixels,
        "model_bytes": done.model_bytes,
        "index_bytes": contents.index_bytes,
        "pictures_bytes": done.progress.coded_bytes,
        "codings": done.progress.codings,
        "pictures": len(taken),
        "files_bytes": done.progress.source_bytes,
        **rates,
        "peers": peers,
    }


def readable(path: Path) -> bool:
    """Whether an archive takes it."""
    try:
        read_raster(path)
    except ValueError:
        return False
    return True


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("data")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--singly", type=int, default=1000)
    parser.add_argument("--on-sheet", type=int, default=2500)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument(
        "--peers-of", type=Path, help="an earlier result whose peers are taken: their sizes do not change"
    )
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args(arguments)
    torch.set_num_threads(asked.threads)
    if Path(asked.data).is_dir():
        with tempfile.TemporaryDirectory() as place:
            found = {
                "machine": facts("pillow"),
                "threads": asked.threads,
                "data": "/".join(Path(asked.data).parts[-2:]),
                **of_folder(asked.run, Path(asked.data), Path(place)),
            }
        print(json.dumps(found, indent=1))
        if asked.out:
            asked.out.write_text(json.dumps(found, indent=1) + "\n")
        return
    dataset = data.load(asked.data)
    pictures = np.asarray(dataset.images[dataset.splits["test"][: asked.count]])
    with tempfile.TemporaryDirectory() as place:
        result = {
            "machine": facts("pillow"),
            "threads": asked.threads,
            "load": os.getloadavg()[0],
            "data": dataset.name,
            "shape": list(pictures.shape[1:]),
            "mezzotint": ours(asked.run, pictures, Path(place)),
        }
    print(json.dumps(result, indent=1), flush=True)
    if asked.peers_of:
        result["peers"] = json.loads(asked.peers_of.read_text())["peers"]
        result["peers_measured"] = "in an earlier run, under another load: compare sizes, not speeds"
    else:
        result["peers"] = peers(pictures, asked.singly, asked.on_sheet)
    print(json.dumps(result, indent=1))
    if asked.out:
        asked.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
