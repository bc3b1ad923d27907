"""Rate-distortion curves of a codec beside JPEG, WebP and AVIF, on held-out pictures, with BD-rates.

python benchmarks/lossy.py RUN DATA --out benchmarks/results/lossy-NAME.json

DATA is a named set or a folder (its test split) or, with --all, pictures of which the model has seen none. Ours are
the bytes of an archive with its index, names and checksums, the others' those of whole files without their names. The
model's bytes are told apart, with how many times these pictures pay for it at each of the others' rates.
`python benchmarks/lossy.py PICTURES --make emoji --out FOLDER` cuts emoji or photographs into pictures to train on;
with --alpha emoji stay the files that they are, for `lossless.py`.
"""

import argparse
import hashlib
import io
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from mezzotint import archive, coding, lossy, packing
from mezzotint.coding import Coded
from mezzotint.data import dataset as data
from mezzotint.data.decode import upright_rgb
from mezzotint.machine import facts
from mezzotint.methods.compressor import Compressor
from mezzotint.metrics import distortion
from mezzotint.metrics.bjontegaard import bd_rate, rate_at
from mezzotint.metrics.sequence import ROUNDING
from mezzotint.model import load
from mezzotint.networks.grid import fixed
from mezzotint.raster import Raster

OURS = (1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)
FORMATS: dict[str, tuple[Sequence[int], dict[str, Any]]] = {
    "jpeg": ((5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95), {"optimize": True}),
    "jpeg 4:4:4": ((5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95), {"optimize": True, "subsampling": 0}),
    "webp": ((1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100), {"method": 6}),
    "avif": ((5, 15, 25, 35, 45, 55, 65, 75, 85, 95), {"speed": 4}),
    "avif 4:4:4": ((5, 15, 25, 35, 45, 55, 65, 75, 85, 95), {"speed": 4, "subsampling": "4:4:4"}),
}


def nearness(pixels: np.ndarray, again: np.ndarray) -> tuple[float, float]:
    """PSNR and MS-SSIM of one picture h × w × c."""
    a, b = (torch.from_numpy(x.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None] for x in (pixels, again))
    return min(float(distortion.psnr(a, b)), ROUNDING), float(distortion.ms_ssim(a, b))


def archived(done: Sequence[lossy.Shrunk], mode: str, quality: int) -> int:
    """Bytes of an archive without a model inside."""
    with tempfile.TemporaryDirectory() as place, archive.Writer(Path(place) / "a.mez") as writer:
        for i, each in enumerate(done):
            height, width, _ = each.pixels.shape
            picture = Raster(mode, width, height, each.pixels.tobytes())
            facts = {"coding": "lossy", "quality": quality, **({"beyond": True} if each.beyond else {})}
            coded = Coded(facts, coding.lossy_joined(coding.LossyParts(each.streams, each.beyond, b"")))
            writer.add(f"{i:05d}.png", coding.facts_of(picture, coded, []), picture.crc, coded.data)
        return writer.write("00" * 32)


def point(pictures: Sequence[np.ndarray], quality: int, size: int, again: Sequence[np.ndarray]) -> dict:
    """Means over pictures; `bits_per_pixel` is of all pixels together."""
    pixels = sum(p.shape[0] * p.shape[1] for p in pictures)
    psnr, ms_ssim = zip(*(nearness(p, a) for p, a in zip(pictures, again, strict=True)), strict=True)
    return {
        "quality": quality,
        "bits_per_pixel": 8 * size / pixels,
        "psnr": float(np.mean(psnr)),
        "ms_ssim": float(np.mean(ms_ssim)),
    }


def ours(method: Compressor, pictures: Sequence[np.ndarray]) -> tuple[list[dict], float]:
    network = fixed(method.network)
    points, seconds = list[dict](), 0.0
    mode = "L" if network.channels == 1 else "RGB"
    for quality in OURS:
        began = time.perf_counter()
        done = lossy.shrink(network, pictures, quality)
        seconds += time.perf_counter() - began
        points.append(point(pictures, quality, archived(done, mode, quality), [each.pixels for each in done]))
        print("ours", points[-1], flush=True)
    megapixels = len(OURS) * sum(p.shape[0] * p.shape[1] for p in pictures) / 1e6
    return points, megapixels / seconds


def theirs(name: str, pictures: Sequence[np.ndarray]) -> list[dict]:
    qualities, options = FORMATS[name]
    points = list[dict]()
    for quality in qualities:
        sizes, again = list[int](), list[np.ndarray]()
        for pixels in pictures:
            buffer = io.BytesIO()
            image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
            image.save(buffer, name.split()[0].upper(), quality=quality, **options)
            sizes.append(buffer.tell())
            found = np.asarray(Image.open(buffer).convert(image.mode))
            again.append(found.reshape(pixels.shape))
        points.append(point(pictures, quality, sum(sizes), again))
        print(name, points[-1], flush=True)
    return points


def compared(own: list[dict], other: list[dict], pixels: int, model: int) -> dict[str, Any]:
    """BD-rates in percent of theirs (below zero: ours takes less), and where ours is not better."""
    found: dict[str, Any] = {}
    for measure in ("psnr", "ms_ssim"):
        # Decibels of similarity, in which curves are less bent.
        scale: Callable[[float], float] = (
            (lambda x: x) if measure == "psnr" else (lambda x: -10 * np.log10(1 - min(x, 1 - 1e-6)))
        )
        a, b = ([(p["bits_per_pixel"], scale(p[measure])) for p in points] for points in (other, own))
        found[f"bd_rate_{measure}"] = bd_rate(a, b)
        found[f"bd_rate_{measure}_cubic"] = bd_rate(a, b, "cubic")
        found[f"ratio_{measure}"] = {
            f"{rate:.3f}": rate_at(b, quality) / rate for rate, quality in a if np.isfinite(rate_at(b, quality))
        }
    worse = [float(rate) for rate, ratio in found["ratio_psnr"].items() if ratio > 1]
    found["not_better_by_psnr_at_their_bits_per_pixel"] = worse
    saved = {rate: (1 - ratio) * float(rate) * pixels / 8 for rate, ratio in found["ratio_psnr"].items()}
    found["model_paid_after_so_many_times_these_pictures"] = {
        rate: round(model / s, 2) if s > 0 else None for rate, s in saved.items()
    }
    return found


def without_nan(value: Any) -> Any:
    """The same for JSON, which has no infinite numbers and no NaN: null for these."""
    if isinstance(value, dict):
        return {key: without_nan(one) for key, one in value.items()}
    if isinstance(value, list):
        return [without_nan(one) for one in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def held_out(name: str, count: int, whole: bool) -> tuple[str, list[np.ndarray]]:
    dataset = data.load(name)
    rows = np.arange(len(dataset.images)) if whole else dataset.splits["test"]
    return dataset.name, [np.asarray(dataset.images[i]) for i in rows[:count]]


def make(kind: str, source: Path, out: Path, alpha: bool) -> None:
    """PNG files in `train`, `val` and `test`: emoji whole, over white; of photographs squares of 128 pixels.

    With `alpha` emoji are copied as they are.

    Split by subject, or by photograph: a tenth (of photographs a fifth) of them test, a twentieth validation, by the
    hash of the name.
    """
    files = sorted(p for p in source.rglob("*") if p.suffix.lower() in (".png", ".jpg"))
    order = sorted(files, key=lambda p: hashlib.sha256(subject(p, kind).encode()).hexdigest())
    subjects = list(dict.fromkeys(subject(p, kind) for p in order))
    tests, validation = max(1, len(subjects) // (10 if kind == "emoji" else 5)), max(1, len(subjects) // 20)
    place = {s: "test" if i < tests else "val" if i < tests + validation else "train" for i, s in enumerate(subjects)}
    for path in order:
        folder = out / place[subject(path, kind)]
        folder.mkdir(parents=True, exist_ok=True)
        if alpha and kind == "emoji":
            shutil.copyfile(path, folder / path.name)
            continue
        with Image.open(path) as image:
            whole = upright_rgb(image, 1)
        if kind == "emoji":
            whole.save(folder / f"{path.stem}.png")
            continue
        # Half size: what a camera or a JPEG did to the finest detail is not what is to be learned.
        half = whole.resize((whole.width // 2, whole.height // 2), Image.Resampling.LANCZOS)
        for top in range(0, half.height - 127, 128):
            for left in range(0, half.width - 127, 128):
                half.crop((left, top, left + 128, top + 128)).save(folder / f"{path.stem}-{top}-{left}.png")


def subject(path: Path, kind: str) -> str:
    """Of emoji (1f44b-1f3fb.png, emoji_u1f44b_1f3fb.png) all skins and joined figures of one; else the photograph."""
    return re.split("[-_]", path.stem.removeprefix("emoji_u"))[0] if kind == "emoji" else path.stem


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a run of codec; with --make a folder of pictures")
    parser.add_argument("data", nargs="?")
    parser.add_argument("--make", choices=("emoji", "photographs"))
    parser.add_argument("--alpha", action="store_true", help="with --make emoji: the files as they are")
    parser.add_argument("--all", action="store_true", help="all pictures of the folder rather than its test split")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args(arguments)
    if asked.make:
        make(asked.make, asked.run, asked.out, asked.alpha)
        return
    torch.set_num_threads(asked.threads)
    model = load(asked.run)
    assert isinstance(model.method, Compressor)
    name, pictures = held_out(asked.data, asked.count, asked.all)
    packed = packing.packed(model.method.network.decoder)
    points, speed = ours(model.method, pictures)
    pixels = sum(p.shape[0] * p.shape[1] for p in pictures)
    found = {"mezzotint": points, **{other: theirs(other, pictures) for other in asked.formats.split(",")}}
    result = {
        "machine": facts("pillow"),
        "threads": asked.threads,
        "data": name,
        "pictures": len(pictures),
        "shape": list(pictures[0].shape),
        "target": model.method.config.target,
        "training": json.loads((asked.run / "recipe.json").read_text())["budget"],
        "model_bytes": len(packed),
        "model_bits_per_pixel": 8 * len(packed) / pixels,
        "model": packing.digest(packed)[:16],
        "compress_megapixels_per_second": speed,
        "points": found,
        "against": {
            other: compared(points, curve, pixels, len(packed))
            for other, curve in found.items()
            if other != "mezzotint"
        },
    }
    asked.out.write_text(json.dumps(without_nan(result), indent=1, allow_nan=False) + "\n")
    print(
        json.dumps(
            {k: {m: v for m, v in found.items() if m.startswith("bd")} for k, found in result["against"].items()}
        )
    )


if __name__ == "__main__":
    main()
