"""Holes in held-out pictures, filled by trained flows and by what needs no training: PSNR and Fréchet distance.

python benchmarks/editing.py fashion-mnist flow=RUN flow-inpaint=RUN --features RUN --out editing.json
python benchmarks/editing.py photographs --make photographs.npz      # 64-pixel cuts of scikit-learn's two photographs
python benchmarks/editing.py emoji --make emoji.npz --font NotoColorEmoji.ttf

Telea's filling is OpenCV's (opencv-python-headless), the biharmonic one scikit-image's. What is made here with --make
is then named as the data. A hole's PSNR counts its pixels alone. Fréchet distances are in the features of a recogniser
trained on such pictures, or in random filters: between every second test picture, filled, and the others as they are
(their own truth would be too near to tell); as wholes, and with all that is known set to middle grey in both sets. The
floor is the same between the one half and the other, nothing filled.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import mezzotint
from mezzotint import machine
from mezzotint.data import pictures
from mezzotint.data.loader import ordered
from mezzotint.metrics import distribution
from mezzotint.metrics.features import Extractor, random_filters
from mezzotint.metrics.interval import mean
from mezzotint.types import Images

Fill = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Bytes h w c and a hole h w to bytes h w c."""
MASKS = ("centre", "thin", "half")
SIDE = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="a named set, a folder, an .npz; or photographs or emoji with --make")
    parser.add_argument("runs", nargs="*", help="NAME=FOLDER of flows trained on these pictures")
    parser.add_argument("--features", help="a recogniser trained on these pictures")
    parser.add_argument("--count", type=int, default=500, help="test pictures; each half of them is a set of distances")
    parser.add_argument("--make", type=Path)
    parser.add_argument("--font", type=Path, help="of emoji, with pictures of 109 pixels in it")
    parser.add_argument("--sheet", type=Path, help="a .png to look at: the first pictures filled by each")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    if asked.make:
        made = photographs() if asked.data == "photographs" else emoji(asked.font)
        np.savez_compressed(asked.make, **made)
    else:
        compared(asked)


def compared(asked: argparse.Namespace) -> None:
    models = {name: mezzotint.load(folder) for name, folder in (run.split("=", 1) for run in asked.runs)}
    spec = next(iter(models.values())).spec if models else None
    data = mezzotint.load_data(asked.data, size=spec and spec.height, channels=spec and spec.channels)
    ruler = mezzotint.load(asked.features).extractor() if asked.features else random_filters(data.spec)
    images, _ = next(ordered(data, "test", asked.count, limit=asked.count))
    result: dict[str, Any] = {"data": data.name, "features": ruler.name, "pictures": len(images), "masks": {}}
    sheet = [images[:12]]
    for kind in MASKS:
        hole = hole_of(kind, *images.shape[2:])
        rows: dict[str, Any] = {}
        for name, fill in fills(models).items():
            began = time.perf_counter()
            filled = fill(images, hole)
            seconds = (time.perf_counter() - began) / len(images)
            rows[name] = {**judged(images, filled, hole, ruler), "seconds_a_picture": seconds}
            sheet.append(filled[:12])
            print(kind, name, {k: v for k, v in rows[name].items() if k != "machine"}, flush=True)
        floor = distances(images, images, hole, ruler)
        result["masks"][kind] = {"share": float(hole.mean()), "floor": floor, "filled": rows}
    result["machine"] = machine.facts()
    if asked.sheet:
        pictures.save_png(asked.sheet, pictures.grid(pictures.to_uint8(torch.cat(sheet)), 12))
    if asked.out:
        asked.out.write_text(json.dumps(result, indent=1) + "\n")


def hole_of(kind: str, height: int, width: int) -> torch.Tensor:
    """The middle (half of either side), every fourth row, or the right half; h w."""
    hole = torch.zeros(height, width)
    if kind == "centre":
        hole[height // 4 : height - height // 4, width // 4 : width - width // 4] = 1
    elif kind == "thin":
        hole[1::4] = 1
    else:
        hole[:, width // 2 :] = 1
    return hole


def fills(models: dict[str, Any]) -> dict[str, Callable[[Images, torch.Tensor], Images]]:
    found: dict[str, Callable[[Images, torch.Tensor], Images]] = {
        "mean": by_picture(mean_of_known),
        "telea": by_picture(telea),
        "biharmonic": by_picture(biharmonic),
    }
    for name, model in models.items():
        found[name] = lambda images, hole, model=model: model.complete(
            images, hole.expand(len(images), 1, -1, -1), range(len(images))
        )
    return found


def by_picture(fill: Fill) -> Callable[[Images, torch.Tensor], Images]:
    def filled(images: Images, hole: torch.Tensor) -> Images:
        mask = hole.numpy() > 0
        made = pictures.to_float(np.stack([fill(each, mask) for each in pictures.to_uint8(images)]))
        return torch.where(hole > 0, made, images)

    return filled


def mean_of_known(pixels: np.ndarray, hole: np.ndarray) -> np.ndarray:
    return np.where(hole[..., None], pixels[~hole].mean(0).round(), pixels).astype(np.uint8)


def telea(pixels: np.ndarray, hole: np.ndarray) -> np.ndarray:
    import cv2

    flat = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    return cv2.inpaint(np.ascontiguousarray(flat), hole.astype(np.uint8), 3, cv2.INPAINT_TELEA).reshape(pixels.shape)


def biharmonic(pixels: np.ndarray, hole: np.ndarray) -> np.ndarray:
    from skimage.restoration import inpaint_biharmonic

    found = inpaint_biharmonic(pixels / 255, hole, channel_axis=2)
    return (found.clip(0, 1) * 255).round().astype(np.uint8)


def judged(images: Images, filled: Images, hole: torch.Tensor, ruler: Extractor) -> dict[str, Any]:
    saved = pictures.to_float(pictures.to_uint8(filled))
    known = hole == 0
    errors = ((saved - images) / 2).square()[..., ~known].flatten(1).mean(1).double().clamp(min=1e-8)
    return {
        "psnr_in_hole": vars(mean(-10 * errors.log10())),
        **distances(images, saved, hole, ruler),
        "known_pixels_identical": bool(torch.equal(saved[..., known], images[..., known])),
    }


def distances(images: Images, shown: Images, hole: torch.Tensor, ruler: Extractor) -> dict[str, float]:
    """From one half of the true pictures to the other half as it is shown: whole, and the hole alone on grey."""
    truth, judged = images[1::2], shown[::2]
    return {"frechet": distance(truth, judged, ruler), "frechet_in_hole": distance(truth * hole, judged * hole, ruler)}


def distance(a: Images, b: Images, ruler: Extractor) -> float:
    with torch.inference_mode():
        sets = [distribution.Moments.of(torch.cat([ruler(p) for p in x.split(50)])) for x in (a, b)]
    return distribution.frechet(*sets)


def photographs(cuts: int = 3_000) -> dict[str, np.ndarray]:
    """Squares at two scales from scikit-learn's photographs; those for testing from the right fifth, none across."""
    from sklearn.datasets import load_sample_images

    rng, images, split = np.random.default_rng(0), [], []
    for photograph in load_sample_images().images:
        for scale in (1, 2):
            small = photograph[::scale, ::scale] if scale == 1 else halved(photograph)
            edge = int(small.shape[1] * 0.8)
            for name, first, last, count in (
                ("train", 0, edge, cuts // 5),
                ("test", edge, small.shape[1], cuts // 20),
                ("validation", edge, small.shape[1], cuts // 20),
            ):
                for _ in range(count):
                    y, x = rng.integers(0, small.shape[0] - SIDE + 1), rng.integers(first, last - SIDE + 1)
                    images.append(small[y : y + SIDE, x : x + SIDE])
                    split.append(name)
    return {"images": np.stack(images), "split": np.array(split)}


def halved(photograph: np.ndarray) -> np.ndarray:
    h, w = (length // 2 * 2 for length in photograph.shape[:2])
    blocks = photograph[:h, :w].reshape(h // 2, 2, w // 2, 2, 3).astype(np.float32)
    return blocks.mean((1, 3)).round().astype(np.uint8)


def emoji(font: Path) -> dict[str, np.ndarray]:
    """Every single character of the font that is a picture, on white."""
    from PIL import Image, ImageDraw, ImageFont

    face, images = ImageFont.truetype(str(font), 109), []
    for code in [*range(0x2600, 0x27C0), *range(0x1F300, 0x1FB00)]:
        canvas = Image.new("RGBA", (136, 128), "white")
        ImageDraw.Draw(canvas).text((0, 0), chr(code), font=face, embedded_color=True)
        pixels = np.asarray(canvas.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS))
        if np.ptp(pixels, (0, 1)).min() > 20:  # a missing one is a box in black
            images.append(pixels)
    return {"images": np.unique(np.stack(images), axis=0)}


if __name__ == "__main__":
    main()
