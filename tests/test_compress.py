"""Pictures of all kinds through an archive and back, and archives that were damaged."""

import errno
import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from mezzotint import archive, coding, compress, packing, tradeoff
from mezzotint import raster as raster_of
from mezzotint.cli import pack
from mezzotint.errors import UserError
from mezzotint.networks.causal import Causal, CausalConfig
from mezzotint.networks.grid import fixed
from mezzotint.networks.hyperprior import HyperpriorConfig
from mezzotint.types import DataSpec

STORED = Path(__file__).parent / "stored"
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "YCbCr", "HSV", "LAB")
KINDS = ("smooth", "noise", "flat")


@pytest.fixture(scope="module", params=[1, 3], ids=["grey", "color"])
def network(request: pytest.FixtureRequest) -> Causal:
    return causal(request.param)


def causal(channels: int) -> Causal:
    torch.manual_seed(0)
    return CausalConfig(widths=(16, 12)).build(DataSpec(channels, 8, 8))


def codec() -> tradeoff.Lossy:
    torch.manual_seed(0)
    config = HyperpriorConfig(analysis=16, synthesis=12, latents=8, hyper=8, hyper_latents=4)
    return tradeoff.Lossy(fixed(config.build(DataSpec(3, 8, 8))), 60)


def without_rivals(patch: pytest.MonkeyPatch) -> None:
    """What a network can code is coded by it, even where another way would be smaller or nearer."""
    smallest, nearest = coding.smallest, tradeoff._nearest
    patch.setattr(coding, "smallest", lambda raster, way, file: way or smallest(raster, way, file))
    patch.setattr(tradeoff, "_nearest", lambda raster, ours, *rest: ours or nearest(raster, ours, *rest))


def drawn(mode: str, width: int, height: int, kind: str = "smooth", seed: int = 0) -> Image.Image:
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    smooth = (x * 3 + y * 2 + seed * 50)[..., None] % 256 + np.array([0, 5, 9, 20])
    values = {
        "smooth": smooth,
        "noise": generator.integers(0, 256, (height, width, 4)),
        "flat": smooth * 0 + seed % 256,
    }
    rgba = Image.fromarray((values[kind] % 256).astype(np.uint8))
    if mode == "I;16":
        deep = (np.asarray(rgba)[..., 0].astype(np.uint16) * 251 + 7).astype("<u2")
        return Image.frombytes("I;16", (width, height), deep.tobytes())
    if mode == "F":
        return Image.fromarray(np.asarray(rgba)[..., 1].astype(np.float32) * 1.37 - 11)
    if mode == "P":
        return rgba.convert("RGB").quantize(17)
    if mode in ("LA", "RGBA"):
        return rgba.convert(mode)
    return rgba.convert("RGB").convert("L").convert("I") if mode == "I" else _from_rgb(rgba, mode)


def _from_rgb(image: Image.Image, mode: str) -> Image.Image:
    rgb = image.convert("RGB")
    if mode != "LAB":
        return rgb.convert(mode)
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    made = ImageCms.profileToProfile(rgb, *profiles, outputMode="LAB")
    assert made is not None
    return made


def through(network: Causal, rasters: list[raster_of.Raster]) -> list[coding.Coded]:
    """Coded and decoded again; the pixels and their meaning are compared."""
    coded = coding.encode(network, rasters, [b""] * len(rasters))
    kept = [
        coding.Coded(coding.facts_of(raster, way, []), way.data) for raster, way in zip(rasters, coded, strict=True)
    ]
    kept = [coding.Coded(json.loads(json.dumps(way.facts)), way.data) for way in kept]
    for before, after in zip(rasters, coding.decode(network, kept, [r.crc for r in rasters]), strict=True):
        assert isinstance(after, raster_of.Raster), after
        assert (after.mode, after.width, after.height) == (before.mode, before.width, before.height)
        assert after.data == before.data
        assert after.meaning == json.loads(json.dumps(before.meaning))
    return coded


def raster(image: Image.Image) -> raster_of.Raster:
    made = raster_of._raster(image)
    return raster_of.Raster(made.mode, made.width, made.height, made.data, made.meaning, made.profile)


@given(
    st.lists(
        st.tuples(st.sampled_from(MODES), st.integers(1, 24), st.integers(1, 16), st.sampled_from(KINDS)),
        min_size=1,
        max_size=5,
    )
)
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
def test_every_mode_size_and_content_comes_back(network: Causal, asked: list[tuple[str, int, int, str]]) -> None:
    through(network, [raster(drawn(mode, w, h, kind, i)) for i, (mode, w, h, kind) in enumerate(asked)])


@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(coding.COLORS)), st.integers(1, 16), st.integers(1, 12), st.sampled_from(KINDS)
        ),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_prediction_comes_back(network: Causal, asked: list[tuple[str, int, int, str]]) -> None:
    """Even where another way would be smaller."""
    with pytest.MonkeyPatch.context() as patch:
        without_rivals(patch)
        coded = through(network, [raster(drawn(mode, w, h, kind, i)) for i, (mode, w, h, kind) in enumerate(asked)])
    ways = {way.facts["coding"] for way in coded}
    assert ways == {"predicted"} or network.channels == 1


@pytest.mark.parametrize("mode", MODES)
def test_a_single_pixel_comes_back(mode: str, network: Causal) -> None:
    through(network, [raster(drawn(mode, 1, 1))])


def test_no_picture_is_larger_than_by_png_or_webp(network: Causal) -> None:
    """An untrained network is bad at everything: what it cannot do falls back."""
    rasters = [raster(drawn(mode, 24, 24, kind)) for mode in ("L", "RGB", "RGBA") for kind in KINDS]
    for before, coded in zip(rasters, through(network, rasters), strict=True):
        assert len(coded.data) <= min(len(coding._as_png(before)), len(coding.as_webp(before, 6)))


def test_pictures_that_are_too_long_for_webp_come_back(network: Causal) -> None:
    through(network, [raster(drawn("L", 2, 16400))])


def test_hidden_colors_and_flat_alpha_cost_nothing(network: Causal) -> None:
    picture = np.full((32, 32, 4), 200, np.uint8)
    picture[..., 3] = 0
    picture[..., 0] = 13
    (coded,) = through(network, [raster(Image.fromarray(picture))])
    assert len(coded.data) < 60


# Files.


def folder_of(path: Path) -> dict[str, Image.Image]:
    """Pictures of many kinds on disk; as they look when they are opened."""
    (path / "deep").mkdir(parents=True)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    drawn("RGB", 40, 30).save(path / "photo.jpg", quality=60)
    drawn("RGB", 20, 30).save(path / "turned.png", exif=exif, icc_profile=profile)
    drawn("L", 33, 20).save(path / "deep" / "grey.png")
    drawn("RGBA", 21, 20).save(path / "clear.webp", lossless=True, exact=True)
    drawn("P", 16, 16).save(path / "palette.png", transparency=2)
    drawn("P", 16, 16).save(path / "moves.gif", save_all=True, append_images=[drawn("P", 16, 16, seed=1)])
    drawn("I;16", 12, 9).save(path / "deep" / "sixteen.png")
    drawn("CMYK", 12, 9).save(path / "print.tiff", compression="tiff_lzw")
    drawn("L", 9, 9, seed=3).save(path / "grey.bmp")
    (path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    names = [p.relative_to(path).as_posix() for p in sorted(path.rglob("*.*")) if p.name != "broken.png"]
    opened = {}
    for name in names:
        with Image.open(path / name) as image:
            image.load()
            opened[name] = image.copy()
            opened[name].info = dict(image.info)
    return opened


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Image.Image]]:
    root = tmp_path_factory.mktemp("files")
    originals = folder_of(root / "in")
    done = compress.compress([root / "in"], causal(3), root / "a.mez")
    assert [lost.name for lost in done.lost] == ["broken.png"]
    assert done.size == (root / "a.mez").stat().st_size
    return root / "a.mez", originals


def test_a_folder_comes_back_with_names_modes_orientation_and_profile(
    packed: tuple[Path, dict[str, Image.Image]], tmp_path: Path
) -> None:
    path, originals = packed
    done = compress.decompress(path, tmp_path / "out")
    assert not done.lost
    assert len(done.saved) == len(originals)
    for name, before in originals.items():
        stem = (tmp_path / "out" / name).with_suffix("")
        (found,) = [p for p in done.saved if p.with_suffix("") == stem and p.parent == stem.parent]
        with Image.open(found) as after:
            after.load()
            assert after.mode == before.mode, name
            assert after.tobytes() == before.tobytes(), name
            assert after.getexif().get(0x0112) == before.getexif().get(0x0112), name
            assert after.info.get("icc_profile") == before.info.get("icc_profile"), name
            assert after.convert("RGBA").tobytes() == before.convert("RGBA").tobytes(), name


def png_of_sixteen(color: int, planes: int) -> bytes:
    """A PNG of 5×4 pixels of 16 bits (W3C 2003), of which Pillow reads the upper bytes alone."""
    rows = np.random.default_rng(color).integers(0, 256, (4, 1 + 10 * planes), np.uint8)
    rows[:, 0] = 0

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 5, 4, 16, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows.tobytes())) + chunk(b"IEND", b"")


def tiff_of_sixteen() -> bytes:
    """An RGB TIFF of 5×4 pixels of 16 bits."""
    tags = [(256, 3, 1, 5), (257, 3, 1, 4), (258, 3, 3, 122), (259, 3, 1, 1), (262, 3, 1, 2)]
    tags += [(273, 4, 1, 128), (277, 3, 1, 3), (278, 3, 1, 4), (279, 4, 1, 120)]
    body = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    pixels = np.random.default_rng(1).integers(0, 256, 120, np.uint8).tobytes()
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + body + struct.pack("<I3H", 0, 16, 16, 16) + pixels


DEEP = {
    "rgb.png": png_of_sixteen(2, 3),
    "rgba.png": png_of_sixteen(6, 4),
    "la.png": png_of_sixteen(4, 2),
    "rgb.tiff": tiff_of_sixteen(),
    "rgb.ppm": b"P6 5 4 65535 " + bytes(range(120)),
    "less.ppm": b"P6 5 4 1000 " + bytes([1, 200] * 60),
    "plain.ppm": b"P3 2 1 1023 " + b"1000 1 2 3 4 5 ",
    "rgb.sgi": struct.pack(">HBBHHHH", 474, 0, 2, 3, 5, 4, 3).ljust(512, b"\0") + bytes(range(120)),
}


@pytest.mark.parametrize("name", sorted(DEEP))
def test_colors_of_sixteen_bits_come_back_byte_for_byte(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(DEEP[name])
    with Image.open(tmp_path / name) as image:
        image.load()
        assert image.mode in ("RGB", "RGBA", "LA"), "as Pillow reads it, there are 8 bits left"
    compress.compress([tmp_path / name], causal(3), tmp_path / "a.mez")
    done = compress.decompress(tmp_path / "a.mez", tmp_path / "out")
    assert [path.name for path in done.saved] == [name]
    assert done.saved[0].read_bytes() == DEEP[name]


@pytest.mark.parametrize("form", ["png", "tiff", "ppm"])
@pytest.mark.parametrize("mode", ["1", "L", "RGB", "I;16"])
def test_usual_files_are_coded_by_their_pixels(mode: str, form: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{form}"
    drawn(mode, 7, 5).save(path)
    assert not raster_of.read_raster(path).more


def test_one_picture_comes_without_the_rest(packed: tuple[Path, dict[str, Image.Image]], tmp_path: Path) -> None:
    path, originals = packed
    data = bytearray(path.read_bytes())
    contents = archive.read(path)
    wanted = next(s for s in contents.stored if s.entry.name == "turned.png")
    first = contents.stored[0].offset
    kept = bytes(data[wanted.offset : wanted.offset + wanted.entry.length])
    data[first:] = bytes(len(data) - first)
    data[wanted.offset : wanted.offset + wanted.entry.length] = kept
    (tmp_path / "b.mez").write_bytes(data)
    done = compress.decompress(tmp_path / "b.mez", tmp_path / "out", names=["turned.png"])
    assert [p.name for p in done.saved] == ["turned.png"]
    with Image.open(done.saved[0]) as after:
        assert after.tobytes() == originals["turned.png"].tobytes()
    with pytest.raises(UserError, match="there is no picture 'nobody'"):
        compress.decompress(path, tmp_path / "other", names=["nobody"])


def test_another_model_is_refused_and_a_missing_one_costs_only_what_needs_it(tmp_path: Path) -> None:
    folder_of(tmp_path / "in")
    compress.compress([tmp_path / "in"], causal(3), tmp_path / "a.mez", inside=False)
    with pytest.raises(UserError, match="was compressed with another model"):
        compress.decompress(tmp_path / "a.mez", tmp_path / "out", causal(1))
    without = compress.decompress(tmp_path / "a.mez", tmp_path / "out")
    whole = compress.decompress(tmp_path / "a.mez", tmp_path / "again", causal(3))
    assert not whole.lost
    assert len(without.saved) + len(without.lost) == len(whole.saved)
    assert all("model" in lost.reason for lost in without.lost)


def test_names_that_lead_elsewhere_are_not_followed(tmp_path: Path) -> None:
    picture = raster(drawn("L", 5, 5))
    coded = coding.classic(picture)
    facts = coding.facts_of(picture, coded, [])
    with archive.Writer(tmp_path / "a.mez") as writer:
        for name in ("../up.png", "/root.png", "a/../../up.png", "no\0thing.png", "fine.png"):
            writer.add(name, facts, picture.crc, coded.data)
        writer.write("00" * 32)
    done = compress.decompress(tmp_path / "a.mez", tmp_path / "out" / "in")
    assert [p.name for p in done.saved] == ["fine.png"]
    assert len(done.lost) == 4
    assert sorted(p.name for p in tmp_path.rglob("*.png")) == ["fine.png"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_every_name_of_a_file_comes_back(tmp_path: Path) -> None:
    names = {"a:b.png", "C:\\up.png", "up\\..\\up.png", "a?*|.png", "two\nlines.png", "é.png", "x" * 250 + ".png"}
    (tmp_path / "in").mkdir()
    for i, name in enumerate(sorted(names)):
        drawn("L", 5, 5, seed=i).save(tmp_path / "in" / name)
    compress.compress([tmp_path / "in"], causal(1), tmp_path / "a.mez")
    done = compress.decompress(tmp_path / "a.mez", tmp_path / "out")
    assert not done.lost
    assert {path.name for path in done.saved} == names
    for path in done.saved:
        with Image.open(path) as after, Image.open(tmp_path / "in" / path.name) as before:
            assert after.tobytes() == before.tobytes()


def listed(*names: str, way: str = "raw") -> archive.Contents:
    """Contents that nothing but names is known of."""
    facts = {"mode": "L", "size": [1, 1], "coding": way}
    stored = tuple(archive.Stored(archive.Entry(name, facts, 0, 0), 0) for name in names)
    return archive.Contents(stored, "", (), 0, 0, 0, 0)


def test_on_windows_names_lead_nowhere_else_and_differ_in_more_than_case() -> None:
    names = (
        "a:b.png",
        "a_b.png",
        "A_B.png",
        "C:\\up.png",
        "..\\up.png",
        "deep/a?.png",
        "a\nb.png",
        "../up.png",
        "/up.png",
    )
    *targets, last, very_last = compress._targets(listed(*names), windows=True)
    assert (last, very_last) == (None, None)
    assert targets[0] == "a_b.png"
    assert targets[3] == "C__up.png"
    found = [target for target in targets if target is not None]
    assert not any(set(target) & compress.FOREIGN for target in found)
    assert len({target.lower() for target in found}) == len(names) - 2


@pytest.mark.parametrize("way", ["raw", "file"])
def test_pictures_of_several_formats_do_not_share_a_name(way: str) -> None:
    names = ("a.gif", "a.jpg.png", "a.jpg", "a.png", "b/a.gif", "./a.png", "a.png.png")
    targets = compress._targets(listed(*names, way=way), windows=False)
    assert len(set(targets)) == len(names)
    assert targets[0] == ("a.gif" if way == "file" else "a.png")
    endings = {".gif", ".png", ".jpg"} if way == "file" else {".png"}
    assert {Path(target).suffix for target in targets if target} == endings


def test_pictures_of_one_name_are_not_put_into_an_archive(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        folder_of(tmp_path / folder)
    first = sorted(path for path in (tmp_path / "one").iterdir() if path.is_file())[0]
    for twice in ([tmp_path / "one", tmp_path / "two"], [first, tmp_path / "two" / first.name], [first, first]):
        with pytest.raises(UserError, match=r"two pictures would be called .* rename one, or put them into a folder"):
            compress.compress(twice, causal(1), tmp_path / "a.mez")
    assert not (tmp_path / "a.mez").exists()


def test_equal_names_of_an_archive_are_all_written_and_nothing_is_written_over(tmp_path: Path) -> None:
    """No archive of ours has such; one that others made or mended may."""
    pictures = [raster(drawn("L", 5, 5, seed=i)) for i in range(4)]
    with archive.Writer(tmp_path / "a.mez") as writer:
        for picture, name in zip(pictures, ("a.png", "b.png", "a.png", "deep/../../a.png"), strict=True):
            coded = coding.classic(picture)
            writer.add(name, coding.facts_of(picture, coded, []), picture.crc, coded.data)
        writer.write("00" * 32)
    done = compress.decompress(tmp_path / "a.mez", tmp_path / "out")
    assert [path.name for path in done.saved] == ["a.png", "b.png", "a.png.png"]
    for path, picture in zip(done.saved, pictures, strict=False):
        with Image.open(path) as image:
            assert image.tobytes() == picture.data
    (tmp_path / "out" / "b.png").write_bytes(b"mine")
    (tmp_path / "out" / "a.png").unlink()
    again = compress.decompress(tmp_path / "a.mez", tmp_path / "out", names=["b.png", "a.png"])
    assert [path.name for path in again.saved] == ["a.png"]
    assert [(lost.name, lost.reason) for lost in again.lost] == [
        ("b.png", "a file of that name is there already"),
        ("a.png", "a file of that name is there already"),
    ]
    assert (tmp_path / "out" / "b.png").read_bytes() == b"mine"


def test_facts_and_names_that_no_file_takes_cost_their_picture_alone(tmp_path: Path) -> None:
    picture = raster(drawn("P", 5, 5))
    coded = coding.classic(picture)
    facts = coding.facts_of(picture, coded, [])
    with archive.Writer(tmp_path / "a.mez") as writer:
        writer.add("a.png", facts, picture.crc, coded.data)
        writer.add("a.png/b.png", facts, picture.crc, coded.data)
        writer.add("c.png", {**facts, "palette": ["RGB", 7]}, picture.crc, coded.data)
        writer.add("d.png", {**facts, "palette": "no"}, picture.crc, coded.data)
        writer.add("e.png", facts, picture.crc, coded.data)
        writer.write("00" * 32)
    done = compress.decompress(tmp_path / "a.mez", tmp_path / "out")
    assert [p.name for p in done.saved] == ["a.png", "e.png"]
    assert [lost.name for lost in done.lost] == ["a.png/b.png", "c.png", "d.png"]


def test_a_name_that_no_disk_takes_costs_its_picture_alone_and_a_full_disk_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = raster(drawn("L", 5, 5))
    coded = coding.classic(picture)
    with archive.Writer(tmp_path / "a.mez") as writer:
        for name in ("x" * 400 + ".png", "b.png"):
            writer.add(name, coding.facts_of(picture, coded, []), picture.crc, coded.data)
        writer.write("00" * 32)
    done = compress.decompress(tmp_path / "a.mez", tmp_path / "out")
    assert [p.name for p in done.saved] == ["b.png"]
    assert [lost.name for lost in done.lost] == ["x" * 400 + ".png"]

    def full(self: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        compress.decompress(tmp_path / "a.mez", tmp_path / "full")


# What is told as it goes.


def test_other_formats_are_tried_on_few_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And beside them stands what these pixels take here."""
    (tmp_path / "in").mkdir()
    pictures = [drawn("RGB", 40, 30, seed=i) for i in range(3)]
    for i, picture in enumerate(pictures):
        picture.save(tmp_path / "in" / f"{i}.png")
    monkeypatch.setattr(compress, "SAMPLED_PIXELS", 900)
    told = compress.compress([tmp_path / "in"], causal(3), tmp_path / "a.mez").progress.sampled
    middles = [coding.middle(raster(picture), 300) for picture in pictures]
    assert all(middle.width * middle.height == 300 for middle in middles)
    assert told["png"] == sum(len(coding._as_png(middle)) for middle in middles)
    assert told["archive"] == sum(len(way.data) for way in coding.encode(causal(3), middles, [b""] * 3))


@pytest.mark.parametrize("model", ["lossless", "lossy"])
def test_of_many_pictures_few_are_tried_in_other_formats(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compress, "SAMPLED", 3)
    (tmp_path / "in").mkdir()
    for i in range(5):
        drawn("L", 3, 2).save(tmp_path / "in" / f"{i}.png")
    way = causal(1) if model == "lossless" else codec()
    told = compress.compress([tmp_path / "in"], way, tmp_path / "a.mez", verify=False).progress.sampled
    assert told["png"] == 3 * len(coding._as_png(raster(drawn("L", 3, 2))))
    assert told["webp"] == 3 * len(coding.as_webp(raster(drawn("L", 3, 2)), 6))


def test_what_a_format_does_not_take_is_not_compared(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    drawn("L", 16400, 1).save(tmp_path / "in" / "long.png")
    drawn("L", 3, 2).save(tmp_path / "in" / "short.png")
    done = compress.compress([tmp_path / "in"], causal(1), tmp_path / "a.mez", verify=False)
    assert done.progress.pictures == 2
    assert done.progress.sampled["webp"] == len(coding.as_webp(raster(drawn("L", 3, 2)), 6))
    assert compress._added({"archive": 3, "png": 5, "avif": 9}, {"archive": 1, "png": 2}) == {"archive": 4, "png": 7}


# Damage.


Known = dict[str, set[bytes]]
"""Pixels by the names of pictures without their endings."""


def saved_or_named(path: Path, out: Path, known: Known) -> None:
    """Read, list and decompress: what is saved has pixels that are known by its name, and the others are told of."""
    try:
        archive.read(path)
        pack.inspect(path)
        pack.inspect(path, as_json=True)
        done = compress.decompress(path, out)
    except UserError as error:
        assert "\n" not in str(error)
        return
    for found in done.saved:
        with Image.open(found) as after:
            assert after.tobytes() in known[found.relative_to(out).with_suffix("").as_posix()]
    assert done.lost or len(done.saved) == len(known)


@pytest.fixture(scope="module")
def whole(packed: tuple[Path, dict[str, Image.Image]]) -> list[tuple[Path, Known]]:
    """The same pictures in an archive without loss and in one with, and what comes back of either."""
    exact, originals = packed
    lossy = exact.with_name("lossy.mez")
    with pytest.MonkeyPatch.context() as patch:
        without_rivals(patch)
        compress.compress([exact.parent / "in"], codec(), lossy)
    assert "lossy" in {stored.entry.facts["coding"] for stored in archive.read(lossy).stored}
    came = compress.decompress(lossy, exact.with_name("came"))
    assert not came.lost
    shown: Known = {}
    for path in came.saved:
        with Image.open(path) as image:
            shown[path.relative_to(exact.with_name("came")).with_suffix("").as_posix()] = {image.tobytes()}
    as_was = {Path(name).with_suffix("").as_posix(): {image.tobytes()} for name, image in originals.items()}
    return [(exact, as_was), (lossy, shown)]


@pytest.mark.parametrize("which", [0, 1], ids=["lossless", "lossy"])
@given(st.data())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_fuzz(
    whole: list[tuple[Path, Known]], which: int, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path, known = whole[which]
    raw = bytearray(path.read_bytes())
    kind = data.draw(st.sampled_from(["flip", "cut", "zero", "insert", "swap", "splice"]))
    at = data.draw(st.integers(0, len(raw) - 1))
    length = data.draw(st.integers(1, 300))
    if kind == "flip":
        raw[at] ^= 1 << data.draw(st.integers(0, 7))
    elif kind == "cut":
        raw = raw[:at]
    elif kind == "zero":
        raw[at : at + length] = bytes(len(raw[at : at + length]))
    elif kind == "insert":
        raw[at:at] = bytes(range(256))[:length]
    elif kind == "swap":
        raw = raw[at:] + raw[:at]
    else:
        other, others = whole[1 - which]
        end = other.read_bytes()
        raw = raw[:at] + end[data.draw(st.integers(0, len(end))) :]
        known = {name: pixels | others[name] for name, pixels in known.items()}
    root = tmp_path_factory.mktemp("fuzz")
    (root / "b.mez").write_bytes(raw)
    saved_or_named(root / "b.mez", root / "out", known)


def test_facts_that_lie_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lies = {"name": 3, "bytes": "many", "size": {"a": 1}, "coding": ["x"], "loss": {"y": 1}, "mode": 7}
    with archive.Writer(tmp_path / "a.mez") as writer:
        writer.add("a.png", lies, 0, b"abc")
        writer.add("b.png", {}, 0, b"")
        writer.write("00" * 32)
    pack.inspect(tmp_path / "a.mez", as_json=True)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["name"], row["bytes"]) for row in rows] == [("a.png", 3), ("b.png", 0)]
    pack.inspect(tmp_path / "a.mez")
    assert "a.png  ? 7  3 bytes" in capsys.readouterr().out


def test_a_cut_archive_gives_the_pictures_before_the_cut(
    packed: tuple[Path, dict[str, Image.Image]], tmp_path: Path
) -> None:
    path, _ = packed
    stored = archive.read(path).stored
    (tmp_path / "b.mez").write_bytes(path.read_bytes()[: stored[5].offset + 1])
    done = compress.decompress(tmp_path / "b.mez", tmp_path / "out")
    assert len(done.saved) == 5
    assert [lost.name for lost in done.lost] == [s.entry.name for s in stored[5:]]
    assert {lost.reason for lost in done.lost} == {"the archive ends before it"}


def test_facts_that_lie_are_told_and_bounded(network: Causal) -> None:
    good = coding.facts_of(raster(drawn("RGB", 5, 5)), coding.Coded({"coding": "predicted"}, b""), [])
    for lie in (
        {"size": [10**6, 10**6]},
        {"size": [-5, 5]},
        {"size": "large"},
        {"size": [1]},
        {"mode": "XYZ"},
        {"mode": None},
        {"mode": ["L"]},
        {"coding": "magic"},
        {"coding": "png"},
        {"coding": "raw"},
        {"mode": "RGBA", "alpha": "x"},
        {"mode": "RGBA"},
        {"mode": "RGBA", "hidden": [1, 2]},
    ):
        facts = {key: value for key, value in {**good, **lie}.items() if value is not None}
        (found,) = coding.decode(network, [coding.Coded(facts, b"\x01\x02\x03")], [0])
        assert isinstance(found, str), lie


def test_sizes_that_lie_do_not_put_more_into_a_group() -> None:
    def stored(size: object) -> archive.Stored:
        return archive.Stored(archive.Entry("a", {"size": size}, 0, 0), 0)

    for lie in ([-1, 10**9], [-(10**9), 1], [0, 9], "large", None, [True, 1]):
        groups = list(compress._in_groups([stored(size) for size in [lie, [2048, 2048], lie, [2048, 2048]]]))
        assert [len(group) for group in groups] == ([1, 1, 1, 1]), lie
    (group,) = compress._in_groups([stored([28, 28])] * 4096)
    assert len(group) == 4096


@pytest.mark.parametrize("name", sorted(p.name for p in STORED.glob("*.mez")))
def test_archives_of_every_format_decode_for_ever(name: str, tmp_path: Path) -> None:
    done = compress.decompress(STORED / name, tmp_path / "out")
    assert not done.lost
    expected = json.loads((STORED / name).with_suffix(".json").read_text())
    found = {}
    for path in done.saved:
        with Image.open(path) as image:
            image.load()
            made = raster_of._raster(image)
            found[path.relative_to(tmp_path / "out").as_posix()] = [image.mode, *image.size, made.crc]
    assert found == expected


def test_equal_pictures_make_equal_archives(tmp_path: Path) -> None:
    folder_of(tmp_path / "in")
    for name in ("a", "b"):
        compress.compress([tmp_path / "in"], causal(1), tmp_path / f"{name}.mez")
    assert (tmp_path / "a.mez").read_bytes() == (tmp_path / "b.mez").read_bytes()
    assert packing.digest(packing.packed(causal(1))) == archive.read(tmp_path / "a.mez").model


def test_a_damaged_picture_is_left_out_and_no_picture_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match="no picture that could be compressed"):
        compress.compress([tmp_path / "broken.png"], causal(1), tmp_path / "a.mez")
    with pytest.raises(UserError, match="there is no picture or folder"):
        compress.compress([tmp_path / "nothing"], causal(1), tmp_path / "a.mez")
    assert not list(tmp_path.glob("*.mez"))


def test_verifying_finds_a_coder_that_errs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn("L", 9, 9).save(tmp_path / "a.png")
    monkeypatch.setattr(coding, "smallest", lambda raster, predicted, file: coding.Coded({"coding": "raw"}, b"no"))
    with pytest.raises(RuntimeError, match=r"a\.png would not come back"):
        compress.compress([tmp_path / "a.png"], causal(1), tmp_path / "a.mez")
    assert not list(tmp_path.glob("*.mez"))


DECODES = """
import sys
from pathlib import Path
import torch
from mezzotint import compress, lossless, lossy
lossless.BATCH, lossy.TILE, compress.GROUP = 700, 32, 1000
for threads in (1, 4):
    torch.set_num_threads(threads)
    for path in map(Path, sys.argv[1:]):
        assert not compress.decompress(path, path.with_name(f"{path.stem}-{threads}")).lost
"""


@pytest.mark.slow
def test_another_process_decodes_archives_of_both_kinds_in_other_parts_by_other_threads(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for i, (mode, width, height) in enumerate([("RGB", 40, 12), ("RGBA", 23, 9), ("L", 34, 5), ("LA", 3, 9)]):
        drawn(mode, width, height, seed=i).save(tmp_path / "in" / f"{i}.png")
    for way, coded in ((causal(3), "predicted"), (codec(), "lossy")):
        with pytest.MonkeyPatch.context() as patch:
            without_rivals(patch)
            compress.compress([tmp_path / "in"], way, tmp_path / f"{coded}.mez", verify=False)
        assert {s.entry.facts["coding"] for s in archive.read(tmp_path / f"{coded}.mez").stored} == {coded}
    archives = [str(tmp_path / "predicted.mez"), str(tmp_path / "lossy.mez")]
    subprocess.run([sys.executable, "-c", DECODES, *archives], check=True)
    for coded in ("predicted", "lossy"):
        here = compress.decompress(tmp_path / f"{coded}.mez", tmp_path / "here" / coded).saved
        assert len(here) == 4
        for path in here:
            for threads in (1, 4):
                with Image.open(path) as mine, Image.open(tmp_path / f"{coded}-{threads}" / path.name) as theirs:
                    assert mine.mode == theirs.mode
                    assert mine.tobytes() == theirs.tobytes()


PEAKS = """
import sys
from pathlib import Path
import torch
from mezzotint import coding, compress, lossless
from mezzotint.networks.causal import CausalConfig
from mezzotint.types import DataSpec
torch.set_num_threads(1)
lossless.TILE, lossless.BATCH, compress.SAMPLED_PIXELS = 128, 128 * 128, 1
coding.smallest = lambda raster, way, file: way
network = CausalConfig(widths=(16, 12)).build(DataSpec(1, 8, 8))
for path in map(Path, sys.argv[1:]):
    compress.compress([path], network, path.with_suffix(".mez"), verify=False)
    print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody tells what memory was used at most")
def test_memory_is_bounded_by_the_tile_but_for_the_pixels(tmp_path: Path) -> None:
    """Many times the tiles take less than 16 bytes for each pixel more; coded at once they would take over 30.

    They are so many that what the machine itself does with memory, a few megabytes, is little beside it.
    """
    for side in (256, 1536):
        drawn("L", side, side).save(tmp_path / f"{side}.png")
    paths = [str(tmp_path / f"{side}.png") for side in (256, 256, 1536)]
    one_heap = {**os.environ, "MALLOC_ARENA_MAX": "1"}  # or each thread keeps what it has freed
    done = subprocess.run(
        [sys.executable, "-c", PEAKS, *paths], env=one_heap, check=True, capture_output=True, text=True
    )
    _, small, large = (1024 * int(line) for line in done.stdout.split())
    assert large - small < 16 * (1536**2 - 256**2)
