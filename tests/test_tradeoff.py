"""Pictures that come back with some loss: of which kind, by which way, and from a file."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mezzotint import archive, coding, compress, lossy, packing, tradeoff
from mezzotint import raster as raster_of
from mezzotint.cli import pack
from mezzotint.errors import UserError
from mezzotint.metrics import distortion
from mezzotint.networks.grid import fixed
from mezzotint.networks.hyperprior import Decoder, HyperpriorConfig
from mezzotint.raster import Raster
from mezzotint.tradeoff import Kept, Lossy
from mezzotint.types import DataSpec

CONFIG = HyperpriorConfig(analysis=16, synthesis=12, latents=8, hyper=8, hyper_latents=4)
MODES = ("L", "LA", "RGB", "RGBA")


def way(channels: int = 3, quality: int = 60, target: str = "mse") -> Lossy:
    torch.manual_seed(0)
    return Lossy(fixed(CONFIG.build(DataSpec(channels, 8, 8))), quality, target)


def drawn(mode: str, width: int = 40, height: int = 30, seed: int = 0) -> Image.Image:
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    wave = 128 + 60 * np.sin(x / 5 + seed) + 50 * np.cos(y / 7)
    rgb = np.stack([wave, 255 - wave, wave / 2 + 60], 2) + generator.normal(0, 9, (height, width, 3))
    alpha = np.clip(2 * (20 - np.hypot(x - width / 2, y - height / 2)), 0, 16) * 15.9
    return Image.fromarray(np.dstack([rgb, alpha]).clip(0, 255).astype(np.uint8)).convert(mode)


def raster(image: Image.Image) -> Raster:
    return raster_of._raster(image)


def as_raster(image: Image.Image) -> Raster:
    made = raster(image)
    return Raster(made.mode, made.width, made.height, made.data, made.meaning)


def decoded(kept: list[Kept], decoder: Decoder) -> None:
    """What an archive gives back is what was promised."""
    coded = [coding.Coded(coding.facts_of(k.raster, k.coded, []), k.coded.data) for k in kept]
    coded = [coding.Coded(json.loads(json.dumps(c.facts)), c.data) for c in coded]
    crcs = [coding.crc_of(k.raster, k.coded) for k in kept]
    for one, found in zip(kept, coding.decode(decoder, coded, crcs), strict=True):
        assert isinstance(found, Raster), found
        assert found.data == one.raster.data


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("target", ["mse", "ms-ssim"])
def test_every_mode_comes_back_as_promised(channels: int, target: str) -> None:
    rasters = [as_raster(drawn(mode, seed=i)) for i, mode in enumerate((*MODES, "1", "P", "CMYK"))]
    rasters.append(as_raster(Image.fromarray(np.arange(60000, dtype=np.uint16).reshape(300, 200))))
    assert rasters[-1].mode == "I;16"
    model = way(channels, target=target)
    kept = tradeoff.encode(model, rasters, [b"x" * 10**6] * len(rasters))
    decoded(kept, model.network.decoder)
    for before, one in zip(rasters, kept, strict=True):
        assert (one.raster.mode, one.raster.width, one.raster.height) == (before.mode, before.width, before.height)
        if before.mode not in MODES:
            assert one.raster.data == before.data
            assert one.psnr == np.inf


@pytest.mark.parametrize(("mode", "color"), [("L", 130), ("RGB", (130, 126, 125))])
def test_a_color_that_means_transparency_stays_that_color(mode: str, color: object) -> None:
    image = drawn(mode)
    image.info["transparency"] = color
    before = as_raster(image)
    assert before.meaning["transparency"] == color
    (kept,) = tradeoff.encode(way(), [before], [b"x" * 10**6])
    assert kept.raster.data == before.data


def by_codec(model: Lossy, pictures: list[Raster], monkeypatch: pytest.MonkeyPatch) -> list[Kept]:
    """Where no other way is tried."""
    monkeypatch.setattr(tradeoff, "_nearest", lambda raster, ours, file, target: ours)
    return tradeoff.encode(model, pictures, [b""] * len(pictures))


@pytest.mark.parametrize("mode", MODES)
def test_the_codec_takes_every_mode(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = way()
    for size in ((40, 30), (1, 1), (9, 70)):
        (kept,) = by_codec(model, [as_raster(drawn(mode, *size))], monkeypatch)
        assert kept.coded.facts["coding"] == "lossy"
        decoded([kept], model.network.decoder)


def test_alpha_is_exact_and_what_nobody_sees_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.asarray(drawn("RGBA")).copy()
    wild = picture.copy()
    wild[wild[..., 3] == 0, :3] = np.random.default_rng(0).integers(0, 256, ((wild[..., 3] == 0).sum(), 3))
    one, other = by_codec(way(), [as_raster(Image.fromarray(p)) for p in (picture, wild)], monkeypatch)
    assert one.coded.data == other.coded.data
    back = np.asarray(one.raster.image)
    assert np.array_equal(back[..., 3], picture[..., 3])
    assert (back[back[..., 3] == 0, :3] == 255).all()


def test_laid_over_any_color_a_picture_is_as_near_as_over_white() -> None:
    """Colors are taken off the white again; what is left is rounding."""
    picture = np.asarray(drawn("RGBA"))
    colors, alpha = picture[..., :3], picture[..., 3]
    again = coding.off_white(coding.over_white(colors, alpha), alpha)
    for ground in (0, 90, 255):
        a, b = (c * (alpha[..., None] / 255) + ground * (1 - alpha[..., None] / 255) for c in (colors, again))
        assert np.abs(a - b).max() <= 1.01
    assert np.array_equal(again[alpha == 255], colors[alpha == 255])


def test_what_the_codec_is_bad_at_is_kept_otherwise() -> None:
    """A fresh network is bad at everything: the file formats are nearer in no more bytes."""
    model = way()
    pictures = [as_raster(drawn(mode, 64, 64, i)) for i, mode in enumerate(MODES)]
    with pytest.MonkeyPatch.context() as patch:
        ours = by_codec(model, pictures, patch)
    kept = tradeoff.encode(model, pictures, [b"x" * 10**6] * len(pictures))
    for mine, best in zip(ours, kept, strict=True):
        assert len(best.coded.data) <= len(mine.coded.data)
        assert best.psnr >= mine.psnr
    assert any(best.coded.facts["coding"] in ("webp", "jpeg") for best in kept)
    decoded(kept, model.network.decoder)


def test_webp_of_at_most_so_many_bytes_is_the_best_there_is() -> None:
    picture = as_raster(drawn("RGB", 64, 64))
    sizes = []
    for quality in range(101):
        buffer = io.BytesIO()
        picture.image.save(buffer, "WEBP", quality=quality, method=4)
        sizes.append(buffer.tell())
    limit = sizes[60]
    found = tradeoff._at_most(picture, "webp", limit)
    assert found is not None
    assert limit - 40 <= len(found) <= limit
    assert tradeoff._at_most(picture, "webp", 30) is None
    assert tradeoff._at_most(picture, "webp", sizes[1]) is not None


def test_flat_pictures_and_small_files_stay_exact() -> None:
    flat = as_raster(Image.new("RGB", (200, 150), (7, 9, 200)))
    buffer = io.BytesIO()
    drawn("RGB", 240, 200).save(buffer, "JPEG", quality=5)
    with Image.open(buffer) as image:
        image.load()
        photo = raster(image)
    kept = tradeoff.encode(way(quality=100), [flat, photo], [b"x" * 10**6, buffer.getvalue()])
    assert kept[0].raster.data == flat.data
    assert kept[0].psnr == np.inf
    assert kept[1].coded.facts == {"coding": "file"}


def test_pictures_that_are_too_long_for_webp_come_back() -> None:
    long = as_raster(drawn("RGB", 16400, 2))
    model = way()
    kept = tradeoff.encode(model, [long], [b"x" * 10**6])
    decoded(kept, model.network.decoder)


def test_nearness_is_of_the_pictures_as_they_look() -> None:
    picture = as_raster(drawn("RGBA"))
    (kept,) = tradeoff.encode(way(), [picture], [b"x" * 10**6])
    white = Image.new("RGBA", (40, 30), "white")
    a, b = (
        torch.from_numpy(np.array(Image.alpha_composite(white, r.image).convert("RGB"))).permute(2, 0, 1)[None] / 127.5
        - 1
        for r in (picture, kept.raster)
    )
    assert kept.psnr == pytest.approx(float(distortion.psnr(a, b)), abs=0.1)


# The model and the file.


def test_a_model_is_packed_to_what_it_was() -> None:
    decoder = way().network.decoder
    packed = packing.packed(decoder)
    back = packing.unpacked(packed)
    assert isinstance(back, Decoder)
    assert packing.packed(back) == packed
    assert packing.packed(fixed(back)) == packed
    quality = torch.tensor([42])
    hyper = torch.randint(-9, 9, (1, 4, 2, 3)).float()
    for a, b in zip(vars(decoder.told(hyper, quality)).values(), vars(back.told(hyper, quality)).values(), strict=True):
        assert torch.equal(a, b)
    latents = torch.randint(-40, 40, (1, 8, 5, 4)).float()
    assert torch.equal(decoder.pixels(latents, quality), back.pixels(latents, quality))
    for a, b in zip(vars(decoder.prior_at(quality)).values(), vars(back.prior_at(quality)).values(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_widest_codec_can_be_packed(channels: int) -> None:
    widest = HyperpriorConfig(analysis=512, synthesis=512, latents=512, hyper=512, hyper_latents=512, blocks=8)
    with torch.device("meta"):
        assert packing._size_of_decoder(Decoder(widest, channels)) <= packing.LARGEST


def test_heads_that_lie_are_refused() -> None:
    packed = packing.packed(way().network.decoder)
    length = int.from_bytes(packed[:2], "little")
    head = json.loads(packed[6 : 6 + length])
    for lie in (
        {"latents": 512},
        {"latents": "x"},
        {"kind": "other"},
        {"channels": 2},
        {"blocks": 8},
        {"synthesis": 512},
    ):
        text = json.dumps({**head, **lie}, sort_keys=True).encode()
        with pytest.raises(ValueError, match="not a packed network"):
            packing.unpacked(len(text).to_bytes(2, "little") + packed[2:6] + text + packed[6 + length :])
    for cut in range(0, len(packed), 97):
        with pytest.raises(ValueError, match="not a packed network"):
            packing.unpacked(packed[:cut])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for i, mode in enumerate(MODES):
        drawn(mode, 40 + i, 33, i).save(tmp_path / "in" / f"{mode}.png")
    drawn("RGB", 70, 50, 9).save(tmp_path / "in" / "photo.jpg", quality=95)
    return tmp_path / "in"


def test_a_folder_goes_there_and_back(folder: Path, tmp_path: Path) -> None:
    model = way(quality=80)
    done = compress.compress([folder], model, tmp_path / "a.mez")
    assert done.size == (tmp_path / "a.mez").stat().st_size
    assert done.model_bytes == len(packing.packed(model.network.decoder))
    assert done.progress.worse == sum(done.progress.codings.get(k, 0) for k in ("lossy", "webp", "jpeg"))
    back = compress.decompress(tmp_path / "a.mez", tmp_path / "out")
    assert not back.lost
    assert len(back.saved) == 5
    compress.compress([folder], model, tmp_path / "b.mez")
    assert (tmp_path / "a.mez").read_bytes() == (tmp_path / "b.mez").read_bytes()


def test_another_model_is_refused_and_the_right_one_is_taken(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = way()
    monkeypatch.setattr(tradeoff, "_nearest", lambda raster, ours, file, target: ours)
    compress.compress([folder], model, tmp_path / "a.mez", inside=False)
    assert not compress.decompress(tmp_path / "a.mez", tmp_path / "out", model.network.decoder).lost
    without = compress.decompress(tmp_path / "a.mez", tmp_path / "none")
    assert {lost.reason for lost in without.lost} == {"the model that it was compressed with is missing or damaged"}
    other = CONFIG.build(DataSpec(3, 8, 8)).decoder
    with pytest.raises(UserError, match="was compressed with another model"):
        compress.decompress(tmp_path / "a.mez", tmp_path / "other", fixed(other))


def test_damage_costs_its_picture_alone(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tradeoff, "_nearest", lambda raster, ours, file, target: ours)
    compress.compress([folder], way(), tmp_path / "a.mez")
    raw = (tmp_path / "a.mez").read_bytes()
    stored = archive.read(tmp_path / "a.mez").stored
    for i, one in enumerate(stored):
        broken = bytearray(raw)
        broken[one.offset + one.entry.length // 2] ^= 16
        (tmp_path / "b.mez").write_bytes(broken)
        done = compress.decompress(tmp_path / "b.mez", tmp_path / f"out{i}")
        assert [lost.name for lost in done.lost] == [one.entry.name]
        assert len(done.saved) == len(stored) - 1


def test_facts_that_lie_are_told() -> None:
    model = way()
    good = {"coding": "lossy", "mode": "RGB", "size": [9, 9], "quality": 50}
    for lie in (
        {"quality": 0},
        {"quality": "x"},
        {"quality": None},
        {"quality": True},
        {"size": [10**8, 1]},
        {"size": [1, 4 * 10**6]},
        {"size": [10**6, 10**6]},
        {"mode": "P"},
        {"mode": 3},
    ):
        facts = {k: v for k, v in {**good, **lie}.items() if v is not None}
        (found,) = coding.decode(model.network.decoder, [coding.Coded(facts, b"\x05\x07\x01\x02")], [0])
        assert isinstance(found, str), lie


def test_an_error_in_a_network_costs_the_pictures_of_its_quality_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    (kept,) = by_codec(way(), [as_raster(drawn("RGB"))], monkeypatch)
    exact = as_raster(drawn("CMYK"))
    one, other = (
        coding.Coded(coding.facts_of(r, c, []), c.data)
        for r, c in ((kept.raster, kept.coded), (exact, coding.classic(exact)))
    )
    right = lossy.restore

    def failing(decoder: Decoder, shapes: object, streams: object, beyond: object, quality: int) -> object:
        if quality == 61:
            raise MemoryError("no room")
        return right(decoder, shapes, streams, beyond, quality)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(lossy, "restore", failing)
    bad = coding.Coded({**one.facts, "quality": 61}, one.data)
    crcs = [kept.raster.crc, kept.raster.crc, exact.crc]
    found = coding.decode(way().network.decoder, [one, bad, other], crcs)
    assert found[1] == "no room"
    assert [isinstance(f, Raster) for f in found] == [True, False, True]


def with_loss(form: str, seed: int = 0) -> Kept:
    picture = as_raster(drawn("RGB", seed=seed))
    return next(k for k in tradeoff._as_files(picture, 10**4) if k.coded.facts["coding"] == form)


@pytest.mark.parametrize("form", ["webp", "jpeg"])
def test_a_reader_that_errs_by_a_level_does_not_cost_the_picture(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CRC is that of the bytes; an archive of before, without the fact, has that of the pixels."""
    kept, right = with_loss(form), coding._opened
    facts = coding.facts_of(kept.raster, kept.coded, [])
    crc = coding.crc_of(kept.raster, kept.coded)
    without = {key: value for key, value in facts.items() if key != "loss"}
    entries = [coding.Coded(facts, kept.coded.data), coding.Coded(without, kept.coded.data)]
    damaged = coding.Coded(facts, kept.coded.data[:-1] + bytes([kept.coded.data[-1] ^ 1]))
    as_written = coding.decode(None, [*entries, damaged], [crc, kept.raster.crc, crc])
    assert [isinstance(found, Raster) for found in as_written] == [True, True, False]
    monkeypatch.setattr(coding, "_opened", lambda *given: right(*given).point([*range(1, 256), 255] * 3))
    assert [isinstance(found, Raster) for found in coding.decode(None, entries, [crc, kept.raster.crc])] == [
        True,
        False,
    ]


def test_pictures_whose_hidden_colors_change_are_not_called_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clear = np.random.default_rng(0).integers(0, 256, (40, 30, 4), np.uint8)
    clear[..., 3] = 0
    Image.fromarray(clear).save(tmp_path / "clear.png")
    drawn("CMYK").save(tmp_path / "exact.tiff")
    before = as_raster(Image.fromarray(clear))
    white = Raster("RGBA", 30, 40, bytes([255, 255, 255, 0]) * 1200)
    kept = {"RGBA": tradeoff._as_kept(before, coding.classic(white), white.data)}
    right = tradeoff._nearest
    monkeypatch.setattr(tradeoff, "_nearest", lambda raster, *given: kept.get(raster.mode) or right(raster, *given))
    done = compress.compress([tmp_path], way(), tmp_path / "a.mez").progress
    assert (done.pictures, done.worse, done.visibly, done.decibels) == (2, 1, 0, 0)
    assert pack._worse(done) == "1 of them with some loss (1 of them only in colors that nobody sees)"


def test_what_is_listed_tells_files_with_loss_from_those_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost, exact = with_loss("webp"), as_raster(drawn("RGB", seed=1))
    whole = coding.Coded({"coding": "webp"}, coding.as_webp(exact, 6))
    with archive.Writer(tmp_path / "a.mez") as writer:
        for raster_, coded in ((lost.raster, lost.coded), (exact, whole)):
            writer.add(
                f"{len(writer.entries)}.png",
                coding.facts_of(raster_, coded, []),
                coding.crc_of(raster_, coded),
                coded.data,
            )
        writer.write("00" * 32)
    pack.inspect(tmp_path / "a.mez")
    said = capsys.readouterr().out
    assert "1 webp, 1 webp with loss" in said
    assert not compress.decompress(tmp_path / "a.mez", tmp_path / "out").lost


def test_a_picture_that_is_padded_beyond_belief_is_kept_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lossy, "MAX_PIXELS", 32 * 32 * 40)
    long, fine = as_raster(drawn("RGB", 32 * 40 + 1, 1)), as_raster(drawn("RGB", 32 * 40, 1))
    (kept,) = by_codec(way(), [fine], monkeypatch)
    assert kept.coded.facts["coding"] == "lossy"
    monkeypatch.undo()
    monkeypatch.setattr(lossy, "MAX_PIXELS", 32 * 32 * 40)
    (kept,) = tradeoff.encode(way(), [long], [b"x" * 10**6])
    assert kept.raster.data == long.data


def test_verifying_finds_a_codec_that_errs(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = coding.seen
    monkeypatch.setattr(tradeoff, "_nearest", lambda raster, ours, file, target: ours)
    calls = iter(range(100))
    monkeypatch.setattr(
        tradeoff.coding, "seen", lambda *given: right(*given) if next(calls) % 10 < 5 else right(*given)[::-1]
    )
    with pytest.raises(RuntimeError, match="would not come back"):
        compress.compress([folder], way(), tmp_path / "a.mez")
    assert not list(tmp_path.glob("*.mez"))
