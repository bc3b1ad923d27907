"""Pictures changed by the command: what comes back as it was, and every mistake with its sentence."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mezzotint import api
from mezzotint.methods import flow

Say = Callable[..., subprocess.CompletedProcess[str]]
SMALL = ("method.network.width=8", "method.drawing.steps=2", "milestones=0", "batch=32")
FIXED = ("execution.threads=1", "execution.precision=fp32", "execution.channels_last=false")


@pytest.fixture(scope="session")
def flows(tmp_path_factory: pytest.TempPathFactory, own_home: Path) -> Path:
    """A folder with the runs `flow`, `inpaint` and `edges`, by class, hardly trained."""
    place = tmp_path_factory.mktemp("flows")
    for recipe, name in (("flow", "flow"), ("flow-inpaint", "inpaint"), ("flow-edges", "edges")):
        api.train(recipe, "digits", images=256, out=place / name, settings=(*SMALL, *FIXED))
    return place


@pytest.fixture(scope="session")
def color(tmp_path_factory: pytest.TempPathFactory, own_home: Path) -> Path:
    """A run of flow-color on small pictures of one color each, hardly trained."""
    place = tmp_path_factory.mktemp("color")
    images = np.random.default_rng(1).integers(0, 256, (128, 1, 1, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    np.savez(place / "colors.npz", images=images)
    run = api.train("flow-color", place / "colors.npz", images=256, out=place / "run", settings=(*SMALL, *FIXED))
    assert "redrawn_psnr" in api.scores_of(run).scores  # pyright: ignore[reportOptionalMemberAccess]
    return place / "run"


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing in steps is the same work again and again."""
    monkeypatch.setattr(flow, "STEPS_OF_RESTORING", (2, 2))
    monkeypatch.setattr(flow, "STEPS_WHEN_TRAINED", (2, 2))


@pytest.fixture
def files(home: Path) -> Path:
    """Pictures and masks that a user might have: of the model's size, twice as large, in color, of odd proportions."""
    rng = np.random.default_rng(0)
    for name, side in (("small", 8), ("large", 16)):
        Image.fromarray(rng.integers(0, 256, (side, side), np.uint8)).save(f"{name}.png")
        mask = np.zeros((side, side), np.uint8)
        mask[: side // 2, : side // 2] = 255
        Image.fromarray(mask).save(f"{name}-mask.png")
        Image.fromarray(255 - mask).save(f"{name}-inverse.png")
    Image.fromarray(rng.integers(0, 256, (2, 4), np.uint8)).save("tiny.png")  # 4×2
    Image.fromarray(rng.integers(0, 256, (4, 4), np.uint8)).save("half.png")
    Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save("color.png")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save("black.png")
    Image.fromarray(np.full((8, 8), 255, np.uint8)).save("white.png")
    Image.fromarray(np.full((8, 8), 128, np.uint8)).save("grey.png")
    return home


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that a user is told."""
    (line,) = done.stderr.strip().splitlines()
    assert done.stdout == ""
    assert line.startswith("mezzotint: ")
    return line


def pixels(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.parametrize("model", ["flow", "inpaint"])
@pytest.mark.parametrize("size", ["small", "large"])
def test_known_pixels_come_back_as_they_were(say: Say, flows: Path, files: Path, model: str, size: str) -> None:
    said = say("edit", "inpaint", flows / model, f"{size}.png", "--mask", f"{size}-mask.png", "--out", "a.png")
    assert "hole (white): 25.0% of the picture" in said.stdout
    before, after, hole = pixels(f"{size}.png"), pixels("a.png"), pixels(f"{size}-mask.png") > 0
    assert after.shape == before.shape
    assert np.array_equal(after[~hole], before[~hole])
    assert not np.array_equal(after[hole], before[hole])
    inverse = ("--mask", f"{size}-inverse.png", "--hole", "black", "--out", "b.png")
    say("edit", "inpaint", flows / model, f"{size}.png", *inverse)
    assert np.array_equal(pixels("b.png"), after)


def test_candidates_differ_and_a_seed_is_one_of_them(say: Say, flows: Path, files: Path) -> None:
    words = ["edit", "inpaint", flows / "inpaint", "small.png", "--mask", "small-mask.png", "--classes", "3"]
    say(*words, "--count", 3, "--seed", 5, "--out", "many")
    say(*words, "--seed", 6, "--out", "one.png")
    found = [pixels(f"many/seed-{i:06d}.png") for i in (5, 6, 7)]
    assert np.array_equal(found[1], pixels("one.png"))
    assert not np.array_equal(found[0], found[1])


def test_a_mask_that_is_mostly_hole_is_doubted(say: Say, flows: Path, files: Path) -> None:
    Image.fromarray(np.where(np.arange(64).reshape(8, 8) > 3, 255, 0).astype(np.uint8)).save("most.png")
    said = say("edit", "inpaint", flows / "inpaint", "small.png", "--mask", "most.png").stdout
    assert "say --hole black" in said


def test_outpaint_keeps_the_picture_in_its_place(say: Say, flows: Path, files: Path) -> None:
    words = ["--left", 4, "--top", 4, "--bottom", 2, "--out", "wide.npz"]
    say("edit", "outpaint", flows / "inpaint", "tiny.png", *words)
    with np.load("wide.npz") as arrays:
        assert arrays["images"].shape == (1, 8, 8, 1)
        assert np.array_equal(arrays["images"][0, 4:6, 4:, 0], pixels("tiny.png"))


def test_vary_move_restore_and_interpolate(say: Say, flows: Path, files: Path) -> None:
    model = flows / "flow"
    say("edit", "vary", model, "small.png", "large.png", "--count", 2, "--out", "varied")
    names = ["large-0", "large-1", "small-0", "small-1"]
    assert sorted(p.stem for p in Path("varied").iterdir()) == names
    say("edit", "vary", model, "small.png", "--strength", 0.01, "--out", "same.npz")
    with np.load("same.npz") as arrays:
        assert np.abs(arrays["images"][0, :, :, 0].astype(int) - pixels("small.png")).max() < 30
    say("edit", "move", model, "small.png", "--classes", 3, "--to", 4, "--out", "moved.png")
    say("edit", "restore", model, "half.png", "--down", 2, "--count", 2, "--out", "up.png")
    say("edit", "restore", model, "small.png", "--blur", 1.5, "--out", "sharp.png")
    say("edit", "interpolate", model, "small.png", "large.png", "--classes", 3, 4, "--steps", 3, "--out", "walk.npz")
    with np.load("walk.npz") as walk:
        assert walk["images"].shape == (3, 8, 8, 1)
        assert np.abs(walk["images"][0, :, :, 0].astype(int) - pixels("small.png")).mean() < 30


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["inpaint", "small.png", "--mask", "large-mask.png"], "16×16 and the picture small.png 8×8"),
        (["inpaint", "small.png", "--mask", "grey.png"], "black and white"),
        (["inpaint", "small.png", "--mask", "black.png"], "no hole, which must be white"),
        (["inpaint", "small.png", "--mask", "white.png"], "all hole"),
        (["inpaint", "color.png", "--mask", "small-mask.png"], "grey pictures alone"),
        (["inpaint", "gone.png", "--mask", "small-mask.png"], "there is no picture gone.png"),
        (["inpaint", "small.png", "--mask", "small-mask.png", "--count", "0"], "at least 1"),
        (["inpaint", "small.png", "--mask", "small-mask.png", "--classes", "x"], "there is no class 'x'"),
        (["outpaint", "small.png"], "at least one above 0"),
        (["outpaint", "small.png", "--left", "3"], "cut it to these proportions"),
        (["vary", "small.png", "--strength", "0"], "above 0 and at most 1"),
        (["vary", "small.png", "--strength", "1.5"], "above 0 and at most 1"),
        (["move", "small.png", "--classes", "3", "--to", "x"], "there is no class 'x'"),
        (["restore", "small.png"], "one of --blur, --down, --grey and --edges"),
        (["restore", "small.png", "--down", "1"], "from 2 on"),
        (["restore", "small.png", "--down", "2"], "brings 4×4 to 8×8; small.png is 8×8"),
        (["restore", "small.png", "--blur", "nan"], "above 0"),
        (["restore", "large.png", "--blur", "1"], "8×8 pictures, which the model draws: bring"),
        (["restore", "small.png", "--grey"], "this model draws grey pictures"),
        (["restore", "small.png", "--edges"], "a model that was trained for that: flow-edges"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_gets_one_sentence(say: Say, flows: Path, files: Path, words: list[str], told: str) -> None:
    assert told in sentence(say("edit", words[0], flows / "flow", *words[1:], code=2))


def test_what_cannot_edit_says_so(say: Say, models: Path, files: Path) -> None:
    words = ["small.png", "--mask", "small-mask.png"]
    assert "cannot edit" in sentence(say("edit", "inpaint", models / "gan", *words, code=2))


@pytest.mark.parametrize("verb", ["inpaint", "outpaint", "vary", "move", "restore", "interpolate"])
def test_each_has_help(say: Say, verb: str) -> None:
    assert "Usage" in say("edit", verb, "--help").stdout


def test_a_picture_is_drawn_from_its_edges(say: Say, flows: Path, files: Path) -> None:
    say("edit", "restore", flows / "edges", "small.png", "--edges", "--seed", "3", "--count", "2", "--out", "two")
    first, second = (np.asarray(Image.open(files / "two" / f"small-{i}.png")) for i in (0, 1))
    assert first.shape == (8, 8)
    assert (first != second).any()


@pytest.mark.parametrize("name", ["grey", "colored"])
def test_a_grey_picture_gets_colors_that_fit_it(say: Say, color: Path, home: Path, name: str) -> None:
    bright = np.linspace(90, 160, 64).round().astype(np.uint8).reshape(8, 8)
    Image.fromarray(bright).save("grey.png")
    Image.fromarray(bright).convert("RGB").save("colored.png")
    say("edit", "restore", color, f"{name}.png", "--grey", "--count", 2, "--seed", 3, "--out", "two.npz")
    with np.load("two.npz") as arrays:
        found = arrays["images"]
    assert found.shape == (2, 8, 8, 3)
    assert (found[0] != found[1]).any()
    for each in found:
        assert np.ptp(each.astype(int), 2).mean() > 2
        assert np.abs(np.asarray(Image.fromarray(each).convert("L")).astype(int) - bright).mean() < 8
    say("edit", "restore", color, f"{name}.png", "--grey", "--out", "sheet.png")
    assert pixels("sheet.png").ndim == 3


def test_steps_and_guidance_lie_where_they_are_asked_for(say: Say, flows: Path, home: Path) -> None:
    words = {"none": ["--guidance", 1], "wide": ["--guidance", 300], "karras": ["--schedule", "karras"]}
    words["nowhere"] = [*words["wide"], "--guidance-between", 0, 0.1]
    for name, way in {**words, "usual": []}.items():
        say("generate", flows / "flow", "--count", 4, *way, "--out", f"{name}.npz")
    drawn = {name: np.load(f"{name}.npz")["images"] for name in (*words, "usual")}
    assert np.array_equal(drawn["none"], drawn["nowhere"])
    assert (drawn["wide"] != drawn["none"]).any()
    assert (drawn["usual"] != drawn["karras"]).any()


def test_a_run_guides_another(say: Say, flows: Path, models: Path, files: Path) -> None:
    words = ["generate", flows / "flow", "--count", "4", "--guidance", "3"]
    say(*words, "--guide", flows / "inpaint", "--out", "away.npz")
    say(*words, "--guide", flows / "flow", "--out", "itself.npz")
    say("generate", flows / "flow", "--count", "4", "--guidance", "1", "--out", "none.npz")
    away, itself, none = (np.load(files / f"{name}.npz")["images"] for name in ("away", "itself", "none"))
    assert np.abs(itself.astype(int) - none.astype(int)).max() <= 1  # what differs from itself nowhere leads nowhere
    assert (away != none).any()
    assert "both must be flows" in sentence(say(*words, "--guide", models / "vae", code=2))
