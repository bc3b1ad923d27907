from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mezzotint.data.film import save_film

Draw = Callable[..., np.ndarray]


@pytest.fixture
def draw() -> Draw:
    """Smooth random pictures, h × w × 3: unlike white noise they survive scaling and JPEG."""

    def make(seed: int, width: int = 24, height: int = 20) -> np.ndarray:
        coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
        return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))

    return make


@pytest.fixture
def folder(tmp_path: Path, draw: Draw) -> Callable[..., Path]:
    """A folder of PNGs, one for each seed; `name` says where in it."""

    def make(seeds: range, name: Callable[[int], str] = "{}.png".format, root: str = "pictures") -> Path:
        for seed in seeds:
            path = tmp_path / root / name(seed)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw(seed)).save(path)
        return tmp_path / root

    return make


@pytest.fixture
def damaged_film(tmp_path: Path) -> Path:
    """An MP4 of forty frames, one of whose packets is zeros; skips where PyAV is missing."""
    av = pytest.importorskip("av")
    path = tmp_path / "damaged.mp4"
    still = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    save_film(path, (np.roll(still, t, 1) for t in range(40)), 10)
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data, (start, size) = bytearray(path.read_bytes()), packets[20]
    data[start : start + size] = bytes(size)
    path.write_bytes(data)
    return path
