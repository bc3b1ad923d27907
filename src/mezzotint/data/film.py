"""Moving pictures in files, read and written frame by frame: GIF, WebP, numbered frames, .npz, MP4 and its kin."""

import re
import statistics
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageSequence

from mezzotint.data.decode import MAX_PIXELS, Pixels, picture_extensions, upright_rgb
from mezzotint.errors import UserError

BY_PILLOW = frozenset({".gif", ".webp", ".apng"})
BY_PYAV = frozenset({".mp4", ".webm", ".mov", ".m4v", ".mkv", ".avi"})
USUAL_RATE, USUAL_VIDEO_RATE = 10.0, 25.0
"""Frames a second, where a file does not say."""
FASTEST = 120.0
"""Frames a second that a compressed film is believed; files that know no rate tell that of their clock."""
LOOKED_AT = 24
"""Frames whose times tell the rate then."""
SHORTEST = {".gif": (10, 2), ".webp": (1, 1)}
"""Milliseconds that times are multiples of, and how many of them a frame stands at least."""
LONGEST_GAP = 2.0
"""Seconds that a frame may stand: a longer gap in a file's times is taken for damage."""


@dataclass(frozen=True)
class Film:
    """A file's frames, at a constant rate."""

    rate: float
    """Frames a second."""
    frames: Callable[[], Iterator[Pixels]]
    """The frames from the first on, h × w × 3, upright; raises ValueError where the file breaks off."""
    remarks: list[str] = field(default_factory=list)
    """What a reading to the end has found odd, in words that go on from the file's name."""


def is_film(path: Path) -> bool:
    """Whether a path is read as moving pictures: a file by its ending, a folder by numbered pictures in it.

    A WebP that stands still is no film; numbered pictures beside films are taken for the films' thumbnails.
    """
    if path.is_dir():
        return len(numbered(path)) > 1 and not holds_films(path)
    return path.suffix.lower() in BY_PILLOW | BY_PYAV and not (path.suffix.lower() == ".webp" and _webp(path) is False)


def holds_films(folder: Path) -> bool:
    """Whether films lie in a folder itself."""
    return any(_moves(path) for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _moves(path: Path) -> bool:
    """Whether a file is a film for sure: what claims to be a WebP may be a damaged frame."""
    ending = path.suffix.lower()
    return _webp(path) is True if ending == ".webp" else ending in BY_PILLOW | BY_PYAV


def _webp(path: Path) -> bool | None:
    """Whether a WebP file moves, by its head (RFC 9649, section 2.7); None for what is none."""
    try:
        with path.open("rb") as file:
            head = file.read(21)
    except OSError:
        return None
    if len(head) < 21 or (head[:4], head[8:12]) != (b"RIFF", b"WEBP"):
        return None
    return head[12:16] == b"VP8X" and bool(head[20] & 2)


def open_film(path: Path) -> Film:
    """The frames of a film, of a folder of numbered frames or of an .npz of one film; raises ValueError for others."""
    if path.is_dir():
        if holds_films(path):
            raise ValueError("films lie in it: name one of them")
        return Film(USUAL_RATE, lambda: _pictures(numbered(path)))
    if path.suffix.lower() == ".npz":
        films, rate = arrays(path)
        if len(films) > 1:
            raise ValueError(f"it holds {len(films)} films: name an .npz of one")
        return Film(rate, lambda: iter(np.ascontiguousarray(frame) for frame in films[0]))
    if path.suffix.lower() in BY_PILLOW:
        return _by_pillow(path)
    if path.suffix.lower() in BY_PYAV:
        return _by_pyav(path)
    raise ValueError(
        "it is no moving picture: name a .gif, .webp, .mp4, .webm, .mov, an .npz or a folder of numbered frames"
    )


def arrays(path: Path) -> tuple[Pixels, float]:
    """Films in an .npz of `frames` and perhaps `rate`, n × t × h × w × 3; raises ValueError for other arrays."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            found = {name: stored[name] for name in ("frames", "rate") if name in stored.files}
    except Exception as error:  # a broken archive makes numpy and zipfile raise nearly anything
        raise ValueError(f"it cannot be read as an .npz file of plain arrays: {error}") from None
    frames = found.get("frames")
    if frames is None or frames.dtype != np.uint8 or frames.ndim not in (3, 4, 5) or frames.size == 0:
        raise ValueError("it must hold `frames`, uint8 t×h×w, t×h×w×c or n×t×h×w×c")
    frames = frames[..., None] if frames.ndim == 3 else frames
    frames = frames[None] if frames.ndim == 4 else frames
    if frames.shape[-1] not in (1, 3):
        raise ValueError("`frames` must have 1 or 3 channels in their last axis")
    rate = np.asarray(found.get("rate", USUAL_RATE))
    if rate.size != 1 or rate.dtype.kind not in "iuf" or not 0 < rate.item() < np.inf:
        raise ValueError("`rate` must be one positive number: frames a second")
    return np.broadcast_to(frames, (*frames.shape[:-1], 3)), float(rate.item())


def numbered(folder: Path) -> list[Path]:
    """The pictures in a folder whose names end in a number, by that number; what moves is no picture."""
    endings = picture_extensions() - {".gif"}
    found: list[tuple[int, str, Path]] = []
    for path in folder.iterdir():
        number = re.search(r"(\d+)$", path.stem)
        if number and path.suffix.lower() in endings and path.is_file() and not path.name.startswith("."):
            if _moves(path):
                continue
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
    usual = _usual(stands)

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
    """Seconds that a frame is shown; browsers take a tenth for times that are none, and for a GIF's shortest."""
    frame.load()  # WebP tells the time of a frame only then
    milliseconds = float(frame.info.get("duration") or 0)
    return milliseconds / 1000 if milliseconds >= (20 if frame.format == "GIF" else 1) else 0.1


def _usual(stands: Sequence[float]) -> float:
    """Seconds that most frames stand: the mean of times that differ by no more than GIF's hundredths round them."""
    middle = statistics.median_low(stands)
    return float(np.mean([s for s in stands if abs(s - middle) <= min(0.0101, middle / 2 + 1e-6)]))


def _by_pyav(path: Path) -> Film:
    av = _pyav()
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ValueError("there is no picture in it")
            stream = container.streams.video[0]
            _refuse_huge(stream.width, stream.height)
            told = float(stream.average_rate or stream.guessed_rate or np.inf)
            rate = told if told <= FASTEST else _shown_rate(av, path, told)
    except (OSError, av.FFmpegError) as error:
        raise ValueError(f"it cannot be opened: {_reason(error)}") from None
    remarks: list[str] = []
    return Film(rate, lambda: steady(_timed(_decoded(av, path, remarks), rate), rate), remarks)


def _shown_rate(av: Any, path: Path, told: float) -> float:
    """Frames a second by the first frames' times, where the file tells a rate that is hardly one."""
    times: list[float] = []
    with closing(_decoded(av, path, [])) as frames, suppress(ValueError):
        for frame in islice(frames, LOOKED_AT):
            times += [] if frame.time is None else [float(frame.time)]
    gaps = np.diff(np.unique(times))
    return min(told, 1 / float(np.median(gaps))) if len(gaps) else USUAL_VIDEO_RATE


def _timed(frames: Iterable[Any], rate: float) -> Iterator[tuple[float, Pixels]]:
    """Upright frames with their seconds from the first one; one without a time follows the frame before by the rate."""
    began, time = None, -1 / rate
    for frame in frames:
        time = time + 1 / rate if frame.time is None else float(frame.time)
        began = time if began is None else began
        turns = round(frame.rotation / 90) % 4
        yield time - began, np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), turns))


def _decoded(av: Any, path: Path, remarks: list[str]) -> Generator[Any, None, None]:
    """PyAV's frames; packets that cannot be decoded are passed over and counted in `remarks`."""
    count = damaged = 0
    with closing(av.open(str(path))) as container:
        packets = container.demux(container.streams.video[0])
        while True:
            try:
                packet = next(packets, None)
            except (OSError, av.FFmpegError) as error:
                raise ValueError(f"it breaks off after {count} frames: {_reason(error)}") from None
            if packet is None:
                return
            try:
                frames = packet.decode()
            except av.error.EOFError:
                frames = []
            except av.FFmpegError:
                damaged, frames = damaged + 1, []
                remarks[:] = [f"{damaged} damaged packet{'s are' if damaged > 1 else ' is'} passed over"]
            count += len(frames)
            yield from frames


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


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
    webp = path.suffix.lower() == ".webp"
    stands = durations(len(pictures), rate, *SHORTEST[path.suffix.lower()])
    kinds: dict[str, Any] = {"lossless": True} if webp else {"optimize": False}
    first, *others = pictures
    first.save(path, save_all=True, append_images=others, duration=stands, loop=0, **kinds)


def durations(count: int, rate: float, tick: int = 10, ticks: int = 2) -> list[int]:
    """Milliseconds that each frame stands: whole ticks, at least so many, that add up to the rate."""
    ends = [round(1000 / tick * (i + 1) / rate) for i in range(count)]
    return [tick * max(ticks, end - start) for start, end in zip([0, *ends], ends, strict=False)]


def written_rate(out: Path, rate: float) -> float:
    """Frames a second that a film will have which is saved at `rate`: GIF has no more than 50, WebP than 1000."""
    shortest = SHORTEST.get(out.suffix.lower())
    return rate if shortest is None else min(rate, 1000 / (shortest[0] * shortest[1]))


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
