"""Compression as a user types it."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Say = Callable[..., subprocess.CompletedProcess[str]]
STEADY = ("execution.threads=1", "execution.precision=fp32", "execution.channels_last=false")
SMALL = ("batch=32", "milestones=1", "method.network.widths=16,12", *STEADY)


@pytest.fixture
def folder(home: Path) -> Path:
    (home / "pictures" / "deep").mkdir(parents=True)
    for i in range(6):
        y, x = np.mgrid[: 12 + i, :15]
        Image.fromarray(((x * y + i * 40) % 256).astype(np.uint8)).save(home / "pictures" / "deep" / f"{i}.png")
    return home / "pictures"


def test_a_folder_is_compressed_told_of_and_brought_back(say: Say, folder: Path, home: Path) -> None:
    settings = [word for setting in SMALL for word in ("--set", setting)]
    say("train", "lossless", "digits", "--images", 2048, "--out", "run", *settings)
    told = say("compress", "pictures", "--model", "run", "--out", "p.mez").stdout
    assert "6 of 6 pictures" in told
    assert "% of WEBP" in told
    assert f"in p.mez: {(home / 'p.mez').stat().st_size:,} bytes, of which the model" in told
    listed = [json.loads(line) for line in say("inspect", "p.mez", "--json").stdout.splitlines()]
    assert [row["name"] for row in listed] == [f"deep/{i}.png" for i in range(6)]
    assert "model" in say("inspect", "p.mez").stdout
    assert "6 pictures in back" in say("decompress", "p.mez", "--out", "back").stdout
    for path in folder.rglob("*.png"):
        with Image.open(path) as before, Image.open(home / "back" / path.relative_to(folder)) as after:
            assert before.mode == after.mode
            assert before.tobytes() == after.tobytes()
    assert "is not an empty folder" in say("decompress", "p.mez", "--out", "back", code=2).stderr
    say("decompress", "p.mez", "deep/3.png", "--out", "one")
    assert [p.name for p in (home / "one").rglob("*.png")] == ["3.png"]
    (home / "cut.mez").write_bytes((home / "p.mez").read_bytes()[:-120])
    done = say("decompress", "cut.mez", "--out", "rest", code=2)
    assert "deep/5.png is lost: the archive ends before it" in done.stdout
    assert "is damaged or incomplete" in done.stderr
    say("compress", "pictures/deep/1.png", "--model", "run", "--out", "q.mez", "--no-inside", "--no-verify")
    assert "the model is missing" not in say("decompress", "q.mez", "--out", "q", "--model", "run").stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("compress", "pictures", "--model", "nowhere"), "is not a model"),
        (("compress", "pictures", "--model", "nowhere", "--out", "no/where.mez"), "there is no folder"),
        (("decompress", "pictures/deep/1.png"), "is not an archive"),
        (("decompress", "nothing.mez"), "cannot be read"),
        (("inspect", "pictures/deep/1.png"), "is not an archive"),
    ],
)
def test_mistakes_have_their_sentence(words: tuple[str, ...], sentence: str, say: Say, folder: Path) -> None:
    assert sentence in say(*words, code=2).stderr


def test_a_model_of_another_kind_is_refused(say: Say, folder: Path, models: Path) -> None:
    said = say("compress", "pictures", "--model", models / "vae", code=2).stderr
    assert "is a vae-dense model, which cannot compress: only `lossless` (exact) and `codec` (with some loss)" in said
    assert "the same on every machine; train one with `mezzotint train lossless FOLDER`" in said


CODEC = (
    *("batch=16", "milestones=1", "method.network.analysis=16", "method.network.synthesis=16"),
    *("method.network.latents=8", "method.network.hyper=8", *STEADY),
)


def test_a_codec_gives_more_quality_for_more_bytes(say: Say, folder: Path, home: Path) -> None:
    settings = [word for setting in CODEC for word in ("--set", setting)]
    say("train", "codec", "digits", "--images", 512, "--out", "run", *settings)
    card = json.loads((home / "run" / "score.json").read_text())
    assert {f"{name}[{q}]" for name in ("bits_per_pixel", "psnr", "ms_ssim") for q in (10, 50, 90)} <= set(
        card["scores"]
    )
    assert (home / "run" / "samples" / "shrunk.png").is_file()
    told = say("compress", "pictures", "--model", "run", "--quality", 30, "--out", "p.mez").stdout
    assert "6 of 6 pictures" in told
    assert "with some loss" in told
    assert "% of WEBP" in told
    assert "(these without loss)" in told
    assert "dB PSNR in the mean" in told
    assert "6 pictures" in say("inspect", "p.mez").stdout
    assert "6 pictures in back" in say("decompress", "p.mez", "--out", "back").stdout
    for path in folder.rglob("*.png"):
        with Image.open(path) as before, Image.open(home / "back" / path.relative_to(folder)) as after:
            assert (before.mode, before.size) == (after.mode, after.size)
    say("compress", "pictures", "--model", "run", "--out", "q.mez", "--no-inside")
    say("decompress", "q.mez", "--out", "q", "--model", "run")
    said = say("compress", "pictures", "--model", "run", "--quality", 101, code=2).stderr
    assert "a quality lies between 1 and 100, not at 101" in said


def test_a_lossless_model_has_no_quality(say: Say, folder: Path, home: Path) -> None:
    settings = [word for setting in SMALL for word in ("--set", setting)]
    say("train", "lossless", "digits", "--images", 64, "--out", "run", *settings)
    said = say("compress", "pictures", "--model", "run", "--quality", 50, code=2).stderr
    assert "compresses without loss: leave --quality out" in said
