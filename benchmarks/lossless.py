"""Bits a pixel and speed of an archive, beside PNG, WebP, AVIF singly and as a sheet, and xz of the raw pixels.

python benchmarks/lossless.py RUN fashion-mnist --out benchmarks/results/lossless-fashion-mnist.json

Takes the test pictures of a data set, or all files of a folder, of which the model must not have seen any. The size of
the archive has the model, names, index and checksums in it. The peers of which the slowest settings are asked take some
of the pictures, as many as the file says.
"""

import argparse
import io
import json
import lzma
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from mezzotint import archive, coding, compress, packing
from mezzotint.data import dataset as data
from mezzotint.data.pictures import grid, save_png
from mezzotint.machine import facts
from mezzotint.model import load
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


def ours(run: Path, pictures: np.ndarray, place: Path) -> dict[str, Any]:
    network = load(run).method.network  # pyright: ignore[reportAttributeAccessIssue]
    for i, pixels in enumerate(pictures):
        save_png(place / "in" / f"{i:05d}.png", pixels)
    pixels = pictures.shape[0] * pictures.shape[1] * pictures.shape[2]
    begin = np.array([time.perf_counter(), time.process_time()])
    done = compress.compress([place / "in"], network, place / "a.mez", verify=False)
    middle = np.array([time.perf_counter(), time.process_time()])
    back = compress.decompress(place / "a.mez", place / "back")
    wall, worked = zip(middle - begin, np.array([time.perf_counter(), time.process_time()]) - middle, strict=True)
    assert len(back.saved) == len(pictures), back.lost[:3]
    for path, wanted in zip(sorted(back.saved), pictures, strict=True):
        with Image.open(path) as image:
            assert np.array_equal(np.asarray(image).reshape(wanted.shape), wanted)
    contents = archive.read(place / "a.mez")
    return {
        "bytes": done.size,
        "bits_per_pixel": 8 * done.size / pixels,
        "model_bytes": done.model_bytes,
        "model_bits_per_pixel": 8 * done.model_bytes / pixels,
        "index_bytes": contents.index_bytes,
        "pictures": len(pictures),
        "codings": done.progress.codings,
        "compress_megapixels_per_second": pixels / 1e6 / wall[0],
        "decompress_megapixels_per_second": pixels / 1e6 / wall[1],
        "compress_megapixels_per_processor_second": pixels / 1e6 / worked[0],
        "decompress_megapixels_per_processor_second": pixels / 1e6 / worked[1],
        "model": packing.digest(packing.packed(network))[:16],
    }


def of_folder(run: Path, folder: Path, place: Path) -> dict[str, Any]:
    """An archive of the files of a folder, beside the files and what PNG and WebP make of each."""
    network = load(run).method.network  # pyright: ignore[reportAttributeAccessIssue]
    done = compress.compress([folder], network, place / "a.mez")
    rasters = [read_raster(path) for _, path in compress.sources([folder])]
    sizes = [coding.others(raster) for raster in rasters if raster.mode in coding.COLORS]
    return {
        "bytes": done.size,
        "model_bytes": done.model_bytes,
        "index_bytes": archive.read(place / "a.mez").index_bytes,
        "pictures_bytes": done.progress.coded_bytes,
        "codings": done.progress.codings,
        "pictures": len(rasters),
        "compared": len(sizes),
        "files_bytes": done.progress.source_bytes,
        **{f"{name}_bytes": sum(size[name] for size in sizes) for name in sizes[0]},
    }


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
            found = {"machine": facts("pillow"), **of_folder(asked.run, Path(asked.data), Path(place))}
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
