import struct
import warnings
import zlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from mezzotint.data.decode import WINDOWS, decode, fitted, picture_extensions, windows

ODD = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
SAVED = [
    ("PNG", "1"),
    ("PNG", "L"),
    ("PNG", "LA"),
    ("PNG", "P"),
    ("PNG", "RGB"),
    ("PNG", "RGBA"),
    ("PNG", "I;16"),
    ("JPEG", "L"),
    ("JPEG", "RGB"),
    ("JPEG", "CMYK"),
    ("WEBP", "RGB"),
    ("WEBP", "RGBA"),
    ("GIF", "P"),
    ("BMP", "RGB"),
    ("TIFF", "F"),
    ("TIFF", "I"),
    ("TIFF", "CMYK"),
    ("TIFF", "I;16"),
    ("PPM", "RGB"),
]


def picture_of(mode: str, width: int, height: int, seed: int) -> Image.Image:
    random = np.random.default_rng(seed)
    if mode == "I;16":
        return Image.fromarray(random.integers(0, 65536, (height, width), dtype=np.uint16))
    if mode == "I":
        return Image.fromarray(random.integers(-(2**31), 2**31 - 1, (height, width), dtype=np.int32))
    if mode == "F":
        return Image.fromarray(random.normal(0, 1e3, (height, width)).astype(np.float32))
    return Image.fromarray(random.integers(0, 256, (height, width, 4), dtype=np.uint8)).convert(mode)


def saved(tmp_path: Path, image: Image.Image, form: str, **options: object) -> Path:
    path = tmp_path / "picture"
    image.save(path, form, **options)
    return path


@given(
    kind=st.sampled_from(SAVED),
    width=st.integers(1, 70),
    height=st.integers(1, 70),
    size=st.sampled_from([1, 8, 32]),
    channels=st.sampled_from([1, 3]),
    crop=st.sampled_from(["center", "fit", "stretch"]),
    seed=st.integers(0, 9),
)
@settings(parent=ODD, max_examples=80)
def test_every_kind_of_picture_becomes_the_shape_asked_for(tmp_path, kind, width, height, size, channels, crop, seed):
    form, mode = kind
    done = decode(saved(tmp_path, picture_of(mode, width, height, seed), form), size, channels, crop)
    assert done.pixels.shape == (size, size, channels)
    assert done.pixels.dtype == np.uint8
    assert (done.width, done.height) == (width, height)


@given(st.sampled_from(SAVED), st.floats(0, 1), st.binary(min_size=1, max_size=8))
@settings(parent=ODD, max_examples=80)
def test_damaged_files_are_read_or_refused_with_a_reason_and_nothing_else(tmp_path, kind, where, junk):
    form, mode = kind
    data = bytearray(saved(tmp_path, picture_of(mode, 30, 20, 1), form).read_bytes())
    at = int(where * len(data))
    data[at : at + len(junk)] = junk
    (tmp_path / "damaged").write_bytes(data)
    try:
        assert decode(tmp_path / "damaged", 16, 3, "center").pixels.shape == (16, 16, 3)
    except ValueError as refusal:
        assert str(refusal)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"])
def test_truncated_files_are_refused(tmp_path, form, draw):
    data = saved(tmp_path, Image.fromarray(draw(1, 200, 200)), form).read_bytes()
    (tmp_path / "cut").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"."):
        decode(tmp_path / "cut", 16, 3, "center")


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"hello", b"GIF89a", b"\xff\xd8\xff"])
def test_no_picture_at_all_is_refused(tmp_path, data):
    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(ValueError, match=r"."):
        decode(tmp_path / "x.png", 16, 3, "center")


def test_a_directory_is_refused(tmp_path):
    with pytest.raises(ValueError, match="directory"):
        decode(tmp_path, 16, 3, "center")


def test_alpha_is_laid_over_white(tmp_path):
    half = Image.new("RGBA", (4, 4), (255, 0, 0, 51))
    done = decode(saved(tmp_path, half, "PNG"), 4, 3, "center").pixels
    # 0.2 · (255, 0, 0) + 0.8 · 255
    assert np.unique(done.reshape(-1, 3), axis=0).tolist() == [[255, 204, 204]]


@pytest.mark.parametrize("form", ["PNG", "GIF"])
def test_a_transparent_palette_entry_is_white(tmp_path, form):
    image = Image.new("P", (4, 4), 0)
    image.putpalette([200, 0, 0, 0, 0, 200])
    image.putpixel((1, 1), 1)
    done = decode(saved(tmp_path, image, form, transparency=0), 4, 3, "center")
    assert done.pixels[0, 0].tolist() == [255, 255, 255]
    assert done.pixels[1, 1].tolist() == [0, 0, 200]
    assert done.mode == "P transparent"


def test_a_transparent_color_of_rgb_and_grey_is_white(tmp_path):
    image = Image.new("RGB", (4, 4), (9, 8, 7))
    assert decode(saved(tmp_path, image, "PNG", transparency=(9, 8, 7)), 4, 3, "center").pixels.min() == 255
    assert decode(saved(tmp_path, Image.new("L", (4, 4), 9), "PNG", transparency=9), 4, 1, "center").pixels.min() == 255


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    ramp = np.array([[0, 257, 128 * 257, 65535]] * 4, np.uint16)
    for form in ("PNG", "TIFF"):
        done = decode(saved(tmp_path, Image.fromarray(ramp), form), 4, 1, "center").pixels
        assert done[0, :, 0].tolist() == [0, 1, 128, 255]


def test_floats_from_zero_to_one_are_light_from_black_to_white(tmp_path):
    ramp = Image.fromarray(np.array([[0, 0.2, 0.4, 1]] * 4, np.float32))
    done = decode(saved(tmp_path, ramp, "TIFF"), 4, 1, "center").pixels
    assert done[0, :, 0].tolist() == [0, 51, 102, 255]


def test_floats_that_are_no_numbers_are_read(tmp_path):
    odd = Image.fromarray(np.array([[np.nan, np.inf], [-np.inf, 1]], np.float32))
    (missing, infinite), (least, one) = decode(saved(tmp_path, odd, "TIFF"), 2, 1, "center").pixels[..., 0].tolist()
    assert (least, infinite) == (0, 255)
    assert missing == one == 127  # next to infinities all else is in the middle


def test_cmyk_without_ink_is_white(tmp_path):
    done = decode(saved(tmp_path, Image.new("CMYK", (8, 8)), "TIFF"), 8, 3, "center").pixels
    assert done.min() == 255


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(tmp_path, orientation):
    # What the camera stored so that a viewer who obeys the EXIF sees `upright` (EXIF 2.32, tag 0x0112).
    upright = np.zeros((32, 32, 3), np.uint8)
    upright[:8, :24] = 255
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, Image.fromarray(np.ascontiguousarray(stored)), "JPEG", exif=exif, quality=95)
    done = decode(path, 32, 3, "center")
    assert np.abs(done.pixels.astype(int) - upright).mean() < 3
    assert done.turned == (orientation != 1)


def test_a_png_is_turned_by_its_exif_too(tmp_path, draw):
    exif = Image.Exif()
    exif[0x0112] = 3
    done = decode(saved(tmp_path, Image.fromarray(draw(1, 16, 16)), "PNG", exif=exif), 16, 3, "center")
    assert done.turned
    assert np.array_equal(done.pixels, draw(1, 16, 16)[::-1, ::-1])


def test_damaged_exif_does_not_lose_the_picture(tmp_path, draw):
    path = saved(tmp_path, Image.fromarray(draw(1)), "JPEG", exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff")
    assert decode(path, 16, 3, "center").pixels.shape == (16, 16, 3)


def test_only_the_first_frame_counts(tmp_path):
    first, second = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    done = decode(saved(tmp_path, first, "GIF", save_all=True, append_images=[second]), 8, 3, "center").pixels
    assert done[0, 0].tolist() == [255, 0, 0]


def test_a_large_picture_is_refused_before_its_pixels_are_read(tmp_path):
    # A PNG header that promises 60,000 × 60,000 pixels, and no pixels.
    chunk = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    data += struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    (tmp_path / "bomb.png").write_bytes(data)
    with pytest.raises(ValueError, match="pixels"):
        decode(tmp_path / "bomb.png", 16, 3, "center")


def test_the_bound_is_exact_and_warns_of_nothing(tmp_path, monkeypatch):
    path = saved(tmp_path, Image.new("L", (50, 40)), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1500)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(path, 8, 1, "center", 2000).pixels.shape == (8, 8, 1)
        with pytest.raises(ValueError, match="50×40 is over the bound of 1999 pixels"):
            decode(path, 8, 1, "center", 1999)


def test_crops_keep_what_they_promise():
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 200
    wide = Image.fromarray(wide)
    assert np.asarray(fitted(wide, 10, "center")).tolist() == np.full((10, 10, 3), 200).tolist()
    padded = np.asarray(fitted(wide, 30, "fit"))
    assert padded[:10].min() == 255
    assert padded[10:20].tolist() == np.asarray(wide).tolist()
    stretched = np.asarray(fitted(wide, 30, "stretch"))
    assert (stretched[:, 12:18] == 200).all()
    assert (stretched[:, :8] == 0).all()


def test_the_cut_middle_is_as_it_was_and_a_small_picture_is_scaled():
    wide = np.random.default_rng(0).integers(0, 256, (10, 30, 3), np.uint8)
    assert np.array_equal(np.asarray(fitted(Image.fromarray(wide), 8, "cut")), wide[1:9, 11:19])
    assert np.asarray(fitted(Image.fromarray(wide), 12, "cut")).shape == (12, 12, 3)


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 300))
@example(1, 65, 1)
@example(64, 4160, 64)
@settings(deadline=None, max_examples=300)
def test_windows_lie_apart_within_the_picture_and_reach_its_edges(width, height, size):
    found = windows(width, height, size)
    room = (width // size) * (height // size)
    assert min(room, WINDOWS) / 2 <= len(found) <= min(room, WINDOWS)
    assert len(found) == len(windows(height, width, size))
    assert len(set(found)) == len(found)
    for side, places in zip((width, height), zip(*found, strict=True), strict=False):
        starts = sorted(set(places))
        assert all(b - a >= size for a, b in pairwise(starts))
        assert starts[0] >= 0
        assert starts[-1] + size <= side
        assert len(starts) == 1 or (starts[0], starts[-1] + size) == (0, side)
    if room <= WINDOWS:
        assert len(found) == room


def test_scaling_down_averages_instead_of_picking(tmp_path):
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255
    done = np.asarray(fitted(Image.fromarray(stripes).convert("RGB"), 8, "center")).astype(int)
    assert np.abs(done - 127).max() < 12


def test_the_content_hash_does_not_depend_on_format_size_or_crop(tmp_path, draw):
    image = Image.fromarray(draw(3))
    hashes = {decode(saved(tmp_path, image, form), 8, 3, "center").content for form in ("PNG", "BMP", "TIFF", "PPM")}
    path = saved(tmp_path, image, "PNG")
    hashes |= {decode(path, size, 1, crop).content for size in (4, 64) for crop in ("fit", "stretch")}
    assert len(hashes) == 1
    assert decode(saved(tmp_path, Image.fromarray(draw(4)), "PNG"), 8, 3, "center").content not in hashes


def test_a_large_jpeg_is_decoded_at_a_fraction_to_nearly_the_same(tmp_path, draw):
    image = Image.fromarray(draw(5, 2400, 1600))
    small = decode(saved(tmp_path, image, "JPEG", quality=95), 64, 3, "center")
    exact = np.asarray(fitted(image, 64, "center")).astype(int)
    assert np.abs(small.pixels - exact).mean() < 2
    assert (small.width, small.height) == (2400, 1600)
    assert small.content == decode(tmp_path / "picture", 128, 3, "center").content


def test_endings_cover_what_pillow_reads_of_pictures():
    assert {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"} <= picture_extensions()
    assert ".pdf" not in picture_extensions()


def test_postscript_is_refused_and_not_run(tmp_path):
    # Pillow hands it to Ghostscript; this one would never end.
    path = tmp_path / "picture.png"
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n{} loop\n")
    with pytest.raises(ValueError, match="PostScript"):
        decode(path, 8, 3, "center")
