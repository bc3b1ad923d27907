from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mezzotint.data import film
from mezzotint.data.film import durations, open_film, save_film, steady, written_rate
from mezzotint.errors import UserError


def frames(count: int = 6, side: tuple[int, int] = (12, 16), channels: int = 1) -> list[np.ndarray]:
    """A bright bar that moves a pixel a frame."""
    made = []
    for t in range(count):
        frame = np.zeros((*side, channels), np.uint8)
        frame[:, 2 * t : 2 * t + 3] = 200
        made.append(frame)
    return made


def read(path: Path) -> list[np.ndarray]:
    return list(open_film(path).frames())


@pytest.mark.parametrize("ending", [".gif", ".webp"])
@pytest.mark.parametrize("rate", [10.0, 25.0, 30.0, 50.0])
def test_frames_and_rate_come_back(tmp_path: Path, ending: str, rate: float):
    path = tmp_path / f"film{ending}"
    save_film(path, iter(frames()), rate)
    assert open_film(path).rate == pytest.approx(rate)
    for ours, theirs in zip(read(path), frames(), strict=True):
        np.testing.assert_array_equal(ours, np.broadcast_to(theirs, ours.shape))


def test_the_rate_is_kept_over_many_frames():
    for rate in (7.0, 24.0, 29.97, 30.0):
        assert sum(durations(300, rate)) / 1000 == pytest.approx(300 / rate, abs=0.01)


@pytest.mark.parametrize(("ending", "rate"), [(".gif", 50.0), (".webp", 125.0)])
def test_what_is_too_fast_for_a_format_is_known_before(tmp_path: Path, ending: str, rate: float):
    path = tmp_path / f"fast{ending}"
    save_film(path, iter(frames(8, (4, 24))), 125.0)
    assert written_rate(path, 125.0) == rate
    assert open_film(path).rate == pytest.approx(rate)
    assert len(read(path)) == 8


def test_a_film_of_varying_rate_is_made_steady():
    shown = [np.full((1, 1, 3), i, np.uint8) for i in range(4)]
    timed = [(0.0, shown[0]), (0.1, shown[1]), (0.4, shown[2]), (0.42, shown[2]), (0.5, shown[3])]
    assert [int(f[0, 0, 0]) for f in steady(timed, 10)] == [0, 1, 1, 1, 2, 3]


def test_a_leap_in_time_is_no_endless_standstill():
    shown = np.zeros((1, 1, 3), np.uint8)
    assert len(list(steady([(0.0, shown), (1e9, shown), (1e9 + 0.1, shown), (5.0, shown)], 10))) == 4


def test_a_gif_of_varying_rate(tmp_path: Path):
    pictures = [Image.fromarray(f[..., 0]) for f in frames(4)]
    stands = [100, 300, 100, 100]
    pictures[0].save(tmp_path / "odd.gif", save_all=True, append_images=pictures[1:], duration=stands, loop=0)
    assert open_film(tmp_path / "odd.gif").rate == pytest.approx(10)
    assert len(read(tmp_path / "odd.gif")) == 6
    pictures[0].save(tmp_path / "two.gif", save_all=True, append_images=pictures[1:2], duration=[100, 300], loop=0)
    assert open_film(tmp_path / "two.gif").rate == pytest.approx(10)


def test_numbered_frames_come_in_the_order_of_their_numbers(tmp_path: Path):
    for number in (10, 9, 2):
        Image.fromarray(np.full((4, 4), number, np.uint8)).save(tmp_path / f"frame{number}.png")
    (tmp_path / "notes1.txt").write_text("text")
    assert [int(f[0, 0, 0]) for f in read(tmp_path)] == [2, 9, 10]


def test_moving_webps_are_films_and_still_ones_are_frames(tmp_path: Path):
    """A folder of numbered WebP films is not one film of their first frames."""
    for kind, count in (("films", 4), ("frames", 1)):
        for number in range(3):
            save_film(tmp_path / kind / f"{number}.webp", iter(frames(count)), 10)
    assert not film.is_film(tmp_path / "films")
    assert film.is_film(tmp_path / "films" / "0.webp")
    assert film.is_film(tmp_path / "frames")
    assert not film.is_film(tmp_path / "frames" / "0.webp")
    with pytest.raises(ValueError, match="name one of them"):
        open_film(tmp_path / "films")


def test_an_array_of_one_film_is_read(tmp_path: Path):
    np.savez(tmp_path / "one.npz", frames=np.stack(frames())[..., 0], rate=12.5)
    assert open_film(tmp_path / "one.npz").rate == 12.5
    for ours, theirs in zip(read(tmp_path / "one.npz"), frames(), strict=True):
        np.testing.assert_array_equal(ours, np.broadcast_to(theirs, ours.shape))
    np.savez(tmp_path / "two.npz", frames=np.stack([frames(), frames()]))
    with pytest.raises(ValueError, match="it holds 2 films"):
        open_film(tmp_path / "two.npz")


def test_what_is_damaged_is_named(tmp_path: Path):
    save_film(tmp_path / "whole.gif", iter(frames()), 10)
    (tmp_path / "half.gif").write_bytes((tmp_path / "whole.gif").read_bytes()[:40])
    (tmp_path / "text.gif").write_text("text")
    for name in ("half.gif", "text.gif"):
        with pytest.raises(ValueError, match=r"\w"):
            read(tmp_path / name)
    with pytest.raises(ValueError, match="no moving picture"):
        open_film(tmp_path / "text.txt")


def test_without_pyav_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import sys

    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(UserError, match="extra `video`"):
        open_film(tmp_path / "a.mp4")
    with pytest.raises(UserError, match="extra `video`"):
        save_film(tmp_path / "b.webm", iter(frames()), 10)


def test_other_endings_are_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"\.gif"):
        save_film(tmp_path / "b.png", iter(frames()), 10)


@pytest.mark.parametrize("ending", [".mp4", ".webm", ".mov"])
def test_compressed_films_keep_rate_and_frames(tmp_path: Path, ending: str):
    pytest.importorskip("av")
    path = tmp_path / f"film{ending}"
    save_film(path, iter(frames(8, (33, 48), 3)), 12.5)
    assert open_film(path).rate == pytest.approx(12.5)
    found = read(path)
    assert len(found) == 8
    assert found[0].shape == (34, 48, 3)  # sides of such films are even
    for ours, theirs in zip(found, frames(8, (33, 48), 3), strict=True):
        assert np.abs(ours[:33].astype(int) - theirs).mean() < 12


def test_damaged_packets_are_passed_over_and_counted(damaged_film: Path):
    opened = open_film(damaged_film)
    assert 30 <= len(list(opened.frames())) <= 40
    assert len(opened.remarks) == 1
    assert "damaged packet" in opened.remarks[0]


def test_a_film_that_cannot_be_read_on_says_so():
    """A disk that fails amid the film: PyAV's packets come to an end by an error."""
    av = pytest.importorskip("av")
    shown: list[Any] = []

    def demux(stream: object) -> Iterator[SimpleNamespace]:
        for number in range(3):
            yield SimpleNamespace(decode=lambda number=number: [number])
        raise av.error.InvalidDataError(1, "bad sector")

    failing = SimpleNamespace(streams=SimpleNamespace(video=[None]), demux=demux, close=lambda: None)
    own = SimpleNamespace(open=lambda path: failing, error=av.error, FFmpegError=av.FFmpegError)
    with pytest.raises(ValueError, match="breaks off after 3 frames: bad sector"):
        shown.extend(film._decoded(own, Path("film.mp4"), []))


def test_frames_without_a_time_are_kept(tmp_path: Path):
    """A bare stream has no times at all."""
    av = pytest.importorskip("av")
    path = tmp_path / "bare.mkv"
    with av.open(str(path), "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for pixels in (*frames(8, (32, 48), 3), None):
            frame = None if pixels is None else av.VideoFrame.from_ndarray(pixels, format="rgb24")
            container.mux(stream.encode(frame))
    assert open_film(path).rate == pytest.approx(25)
    assert len(read(path)) == 8


def test_a_clock_is_no_rate(tmp_path: Path):
    """A file that tells a thousand frames a second, and whose frames come ten a second."""
    av = pytest.importorskip("av")
    path = tmp_path / "clock.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1000)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for number, pixels in enumerate(frames(8, (32, 48), 3)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = 100 * number, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert open_film(path).rate == pytest.approx(10)
    assert len(read(path)) == 8


def test_a_turned_film_comes_upright(tmp_path: Path):
    """A telephone's way: the pixels lie on their side, and a matrix in the track's head says by how much."""
    pytest.importorskip("av")
    path = tmp_path / "turned.mp4"
    corner = np.zeros((32, 48, 3), np.uint8)
    corner[:8, :8] = 255
    save_film(path, iter([corner] * 3), 10)
    data = bytearray(path.read_bytes())
    upright = b"".join(n.to_bytes(4, "big") for n in (0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000))
    turned = b"".join(n.to_bytes(4, "big") for n in (0, 0x10000, 0, 0xFFFF0000, 0, 0, 0, 0, 0x40000000))
    at = data.index(upright, data.index(b"tkhd"))
    data[at : at + 36] = turned
    path.write_bytes(data)
    frame = read(path)[0]
    assert frame.shape == (48, 32, 3)
    assert frame[:8, -8:].min() > 200  # a quarter turn clockwise
    assert frame[:8, :8].max() < 60
