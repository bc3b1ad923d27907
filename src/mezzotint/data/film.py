"""Moving pictures in files, read and written frame by frame: GIF, WebP, numbered frames, .npz, MP4 and its kin."""

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageSequence

from mezzotint.data.decode import MAX_PIXELS, Pixels, picture_extensions, upright_rgb
from mezzotint.errors import UserError

BY_PILLOW = frozenset({".gif", ".webp", ".apng"})
BY_PYAV = frozenset({".mp4", ".webm", ".mov", ".m4v", ".mkv", ".avi"})
USUAL_RATE = 10.0
"""Frames a second, where a file does not say."""
LONGEST_GAP = 2.0
"""Seconds that a frame may stand: a longer gap in a file's times is taken for damage."""


@dataclass(frozen=True)
class Film:
    """A file's frames, at a constant rate."""

    rate: float
    """Frames a second."""
    frames: Callable[[], Iterator[Pixels]]
    """The frames from the first on, h × w × 3, upright; raises ValueError where the file breaks off."""


def is_film(path: Path) -> bool:
    """Whether a path is read as moving pictures: a file by its ending, a folder by numbered pictures in it."""
    if path.is_dir():
        return len(numbered(path)) > 1
    return path.suffix.lower() in BY_PILLOW | BY_PYAV


def open_film(path: Path) -> Film:
    """The frames of a file or of a folder of numbered frames; raises ValueError for what is neither."""
    if path.is_dir():
        return Film(USUAL_RATE, lambda: _pictures(numbered(path)))
    if path.suffix.lower() in BY_PILLOW:
        return _by_pillow(path)
    if path.suffix.lower() in BY_PYAV:
        return _by_pyav(path)
    raise ValueError("it is no moving picture: name a .gif, .webp, .mp4, .webm, .mov or a folder of numbered frames")


def numbered(folder: Path) -> list[Path]:
    """The pictures in a folder whose names end in a number, by that number."""
    endings = picture_extensions() - {".gif"}
    found: list[tuple[int, str, Path]] = []
    for path in folder.iterdir():
        number = re.search(r"(\d+)$", path.stem)
        if number and path.suffix.lower() in endings and path.is_file() and not path.name.startswith("."):
            found.append((int(number[1]), path.name, path))
    return [path for *_, path in sorted(found)]


def steady(timed: Iterable[tuple[float, Pixels]], rate: float) -> Iterator[Pixels]:
    """Frames with their times in seconds as frames at a constant rate: repeated or left out where they must be.

    Times begin at zero and count in whole frames, so that those of a constant rate come through as they are.
    """
    before, count, late = None, 0, 0.0
    last = 0.0
    for time, frame in timed:
        if not 0 <= time - last <= LONGEST_GAP:
            late += time - last - 1 / rate
        last = time
        due = round((time - late) * rate)
        while before is not None and count < due:
            yield before
            count += 1
        if count <= due:
            yield frame
            count = due + 1
        before = frame


# Reading.


def _pictures(paths: Sequence[Path]) -> Iterator[Pixels]:
    for path in paths:
        try:
            with Image.open(path) as image:
                _refuse_huge(*image.size)
                yield np.asarray(upright_rgb(image, 1))
        except Exception as error:  # damaged files make Pillow's readers raise nearly anything
            raise ValueError(f"{path.name} cannot be read: {error}") from None


def _by_pillow(path: Path) -> Film:
    try:
        with Image.open(path) as image:
            _refuse_huge(*image.size)
            stands = [_stand(frame) for frame in ImageSequence.Iterator(image)]
    except Exception as error:
        raise ValueError(str(error).replace(str(path), "it") or type(error).__name__) from None
    usual = float(np.median(stands))

    def frames() -> Iterator[Pixels]:
        try:
            with warnings.catch_warnings(), Image.open(path) as image:
                warnings.simplefilter("ignore")
                time = 0.0
                for frame, stand in zip(ImageSequence.Iterator(image), stands, strict=False):
                    yield time, np.asarray(upright_rgb(frame.copy(), 1))  # pyright: ignore[reportReturnType]
                    time += stand
        except (OSError, SyntaxError, EOFError, ValueError) as error:
            raise ValueError(f"it breaks off: {error}") from None

    return Film(1 / usual, lambda: steady(frames(), 1 / usual))  # pyright: ignore[reportArgumentType]


def _stand(frame: Image.Image) -> float:
    """Seconds that a frame is shown; browsers take a tenth for times that are none."""
    frame.load()  # WebP tells the time of a frame only then
    milliseconds = float(frame.info.get("duration") or 0)
    return milliseconds / 1000 if milliseconds >= 20 else 0.1


def _by_pyav(path: Path) -> Film:
    av = _pyav()
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ValueError("there is no picture in it")
            stream = container.streams.video[0]
            _refuse_huge(stream.width, stream.height)
            rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    except (OSError, av.FFmpegError) as error:
        raise ValueError(f"it cannot be opened: {getattr(error, 'strerror', None) or error}") from None
    return Film(float(rate), lambda: steady(_decoded(av, path), float(rate)))


def _decoded(av: Any, path: Path) -> Iterator[tuple[float, Pixels]]:
    """Frames with their times; packets that cannot be decoded are passed over."""
    began: float | None = None
    with closing(av.open(str(path))) as container:
        stream = container.streams.video[0]
        packets = container.demux(stream)
        while True:
            try:
                frames = next(packets).decode()
            except StopIteration:
                return
            except (av.error.InvalidDataError, av.error.EOFError):
                frames = []
            except (OSError, av.FFmpegError) as error:
                raise ValueError(f"it breaks off: {getattr(error, 'strerror', None) or error}") from None
            for frame in frames:
                time = float(frame.time or 0)
                began = time if began is None else began
                turns = round(getattr(frame, "rotation", 0) / 90) % 4
                yield time - began, np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), turns))


def _pyav() -> Any:
    try:
        import av  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise UserError(
            "MP4, WebM and MOV need the extra `video`: install it with `pip install 'mezzotint[video]'`, or take a GIF"
        ) from None
    found: Any = av
    found.logging.set_level(None)
    return found


def _refuse_huge(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width}×{height} is over the bound of {MAX_PIXELS} pixels")


# Writing.


def check_out(out: Path) -> None:
    """Refuse before the work what could not be written after it."""
    if out.suffix.lower() not in (".gif", ".webp", ".mp4", ".webm", ".mov"):
        raise UserError(f"--out takes a .gif, .webp, .mp4, .webm or .mov, not {out}")
    if out.suffix.lower() in BY_PYAV:
        _pyav()


def save_film(out: Path, frames: Iterable[Pixels], rate: float) -> None:
    """Write h × w × c frames as a film of the kind that the ending names, whole or not at all.

    MP4, WebM and MOV take no more memory for more frames; GIF and WebP hold them until they are written.
    """
    check_out(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    new = out.with_name(f".new-{out.name}")
    try:
        if out.suffix.lower() in BY_PYAV:
            _encode(new, frames, rate)
        else:
            _save_by_pillow(new, frames, rate)
        new.replace(out)
    finally:
        new.unlink(missing_ok=True)


def _save_by_pillow(path: Path, frames: Iterable[Pixels], rate: float) -> None:
    pictures = [Image.fromarray(f[..., 0] if f.shape[2] == 1 else f) for f in frames]
    stands = durations(len(pictures), rate)
    kinds: dict[str, Any] = {"lossless": True} if path.suffix.lower() == ".webp" else {"optimize": False}
    first, *others = pictures
    first.save(path, save_all=True, append_images=others, duration=stands, loop=0, **kinds)


def durations(count: int, rate: float) -> list[int]:
    """Milliseconds that each frame stands: hundredths of a second, as GIF knows them, that add up to the rate."""
    ends = [round(100 * (i + 1) / rate) for i in range(count)]
    return [10 * max(2, end - start) for start, end in zip([0, *ends], ends, strict=False)]


def _encode(path: Path, frames: Iterable[Pixels], rate: float) -> None:
    av = _pyav()
    codec = "libvpx-vp9" if path.suffix.lower() == ".webm" else "libx264"
    with av.open(str(path), "w") as container:
        stream: Any = None
        for pixels in frames:
            even = np.pad(pixels, [(0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0)], mode="edge")
            even = np.ascontiguousarray(np.broadcast_to(even, (*even.shape[:2], 3)))
            if stream is None:
                stream = container.add_stream(codec, rate=Fraction(rate).limit_denominator(1001))
                stream.width, stream.height, stream.pix_fmt = even.shape[1], even.shape[0], "yuv420p"
                stream.options = {"crf": "18"}
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        if stream is not None:
            container.mux(stream.encode(None))
