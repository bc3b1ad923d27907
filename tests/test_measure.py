"""The evaluation loop against the arithmetic done by hand; the metrics themselves are tested beside them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mezzotint import api, drawing, glance, measure, scorecard
from mezzotint.data import pictures
from mezzotint.data.dataset import Dataset
from mezzotint.data.loader import ordered
from mezzotint.errors import UserError
from mezzotint.measuring import likelihood
from mezzotint.measuring.rulers import MethodFeatures
from mezzotint.method import Method
from mezzotint.metrics.interval import proportion


@pytest.fixture(scope="module")
def methods(make_recipe: Any, train_in: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Method]:
    place = tmp_path_factory.mktemp("runs")
    few = ("method.drawing.steps=2", "method.network.width=16")
    more = {"gan-mlp": ("method.conditional=true",), "flow": few}
    names = ("cnn-classic", "vae", "gan-mlp", "flow")
    return {n: train_in(place / n, make_recipe(n, *more.get(n, ()), steps=30, batch=64)).trained() for n in names}


def test_accuracy_is_the_share_of_right_answers(methods: dict[str, Method], digits: Dataset) -> None:
    card = measure.measure(methods["cnn-classic"], digits)
    images, labels = next(ordered(digits, "test", 10_000))
    with torch.no_grad():
        said = methods["cnn-classic"].eval().classify(images).argmax(1)  # pyright: ignore[reportCallIssue]
    assert labels is not None
    assert card.scores["accuracy"].value == pytest.approx(float((said == labels).double().mean()))
    assert card.confusion is not None
    assert np.trace(np.array(card.confusion)) == int((said == labels).sum())
    assert [sum(row) for row in card.confusion] == torch.bincount(labels, minlength=10).tolist()
    for mistake in card.mistakes:
        i = mistake["picture"]
        assert digits.classes.index(mistake["class"]) == labels[i] != said[i] == digits.classes.index(mistake["said"])
    assert len(card.mistakes) == min(32, int((said != labels).sum()))
    assert [m["probability"] for m in card.mistakes] == sorted((m["probability"] for m in card.mistakes), reverse=True)
    look = glance.validation_score(methods["cnn-classic"], digits)
    assert look.name == "accuracy"
    assert look.higher_is_better
    assert 0 <= look.value <= 1


def test_a_flow_is_glanced_at_by_its_error_and_measured_by_its_density(
    methods: dict[str, Method], digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(likelihood, "DENSITY_STEPS", 2)
    monkeypatch.setattr(likelihood, "DENSITIES", 8)
    flow: Any = methods["flow"]
    look = glance.validation_score(flow, digits)
    assert (look.name, look.higher_is_better) == ("denoising_error", False)
    errors = [
        flow.denoising_error(x, y, seed)
        for seed, (x, y) in enumerate(ordered(digits, "validation", drawing.CHUNK, limit=glance.PICTURES))
        if seed < 5
    ]
    assert look.value == pytest.approx(float(torch.cat(errors).mean()), rel=1e-5)
    card = measure.measure(flow, digits, count=50, thorough=True)
    assert card.scores["bits_per_dimension_ode"].n == 8
    assert 0 < card.scores["bits_per_dimension_ode"].value < 20
    assert "8 pictures" in card.protocol["density"]
    assert card.protocol["drawing"] == "dpm-solver, 2 even steps, guidance 2 from noise level 0.2 to 0.8"
    assert "bits_per_dimension_ode" not in measure.measure(flow, digits, count=50).scores


def test_bounds_and_reconstructions_are_means_over_pictures(methods: dict[str, Method], digits: Dataset) -> None:
    card = measure.measure(methods["vae"], digits, count=60)
    images, _ = next(ordered(digits, "test", 10_000))
    vae: Any = methods["vae"].eval()
    with torch.no_grad():
        again = pictures.to_float(pictures.to_uint8(vae.decode(vae.encode(images))))
    error = (again.double() - images.double()).square().mean((1, 2, 3))
    assert card.scores["psnr"].value == pytest.approx(float((10 * torch.log10(4 / error)).mean()), rel=1e-4)
    assert card.scores["bits_per_dimension"].value == pytest.approx(
        -card.scores["elbo"].value / digits.spec.dimensions / np.log(2), rel=1e-6
    )


def test_more_codes_a_picture_tighten_the_bound(methods: dict[str, Method], digits: Dataset) -> None:
    card = measure.measure(methods["vae"], digits, count=50, thorough=True)
    tight, loose = card.scores["bits_per_dimension_iw"], card.scores["bits_per_dimension"]
    assert tight.value < loose.value
    assert tight.n == 50
    assert f"{likelihood.CODES} codes a picture, {tight.n} pictures" in card.protocol["importance"]
    assert card.protocol["decoder"] == "discretized logistic, a scale a channel"
    assert "bits_per_dimension_iw" not in measure.measure(methods["vae"], digits, count=50).scores


def test_a_perfect_forger_is_at_no_distance(digits: Dataset, methods: dict[str, Method]) -> None:
    class Forger(Method):
        """Draws the very test pictures."""

        spec = digits.spec
        phases = ()

        def __init__(self) -> None:
            super().__init__()
            self.pixels = torch.nn.Parameter(next(ordered(digits, "test", 10_000))[0])

        def groups(self) -> Any:
            return {"all": [self.pixels]}

        def loss(self, batch: Any, phase: str) -> Any:
            raise NotImplementedError

        def generate(self, seeds: Any, labels: Any = None) -> torch.Tensor:
            return self.pixels[[(s - drawing.FIRST_SEED) % len(self.pixels) for s in seeds]]

    class Mover(Forger):
        """Draws them moved down by half."""

        def generate(self, seeds: Any, labels: Any = None) -> torch.Tensor:
            return super().generate(seeds).roll(4, 2)

    count = len(digits.splits["test"])
    card = measure.measure(Forger(), digits, count=count, thorough=True)
    scale = card.scores["frechet_floor"].value
    assert abs(card.scores["frechet"].value) < 1e-3 * scale
    assert card.scores["precision"].value == card.scores["recall"].value == card.scores["coverage"].value == 1
    assert abs(card.scores["frechet_spatial"].value) < 1e-3 * card.scores["frechet_spatial_floor"].value
    ruler = MethodFeatures(methods["cnn-classic"].eval(), "cnn-classic", "0" * 64)
    for extractor in (None, ruler):
        moved = measure.measure(Mover(), digits, count=count, extractor=extractor, thorough=True)
        assert moved.scores["frechet_spatial"].low > moved.scores["frechet_spatial_floor"].high
    worse = measure.measure(methods["gan-mlp"], digits, count=count)
    assert worse.scores["frechet"].value > worse.scores["frechet_floor"].value


def test_a_protocol_says_what_was_compared(methods: dict[str, Method], digits: Dataset) -> None:
    card = measure.measure(methods["gan-mlp"], digits, split="validation", count=50, seed=3, weights="abc")
    assert card.protocol["split"] == "validation"
    assert card.protocol["data_digest"] == digits.digest
    assert (card.protocol["drawn"], card.protocol["reference"]) == (50, 50)
    assert (card.protocol["seed"], card.protocol["weights"]) == (3, "abc")
    assert card.protocol["extractor"]["name"] == "random-filters"
    assert any("few" in note for note in card.notes)
    assert any("random filters" in note for note in card.notes)
    other = measure.measure(methods["gan-mlp"], digits, split="validation", count=50, seed=4)
    assert other.scores["frechet"].value != card.scores["frechet"].value
    assert other.scores["frechet_floor"] == card.scores["frechet_floor"]


def test_every_score_lies_in_its_interval(methods: dict[str, Method], digits: Dataset) -> None:
    for method in methods.values():
        for name, score in measure.measure(method, digits, count=60).scores.items():
            assert score.low <= score.value <= score.high, name


def test_a_card_survives_json(methods: dict[str, Method], digits: Dataset) -> None:
    card = measure.measure(methods["cnn-classic"], digits)
    again = scorecard.from_json(card.to_json())
    assert again.scores == card.scores
    assert (again.confusion, again.notes, again.protocol) == (card.confusion, card.notes, card.protocol)
    assert again.mistakes == card.mistakes


def test_measuring_twice_is_the_same_and_leaves_no_trace(methods: dict[str, Method], digits: Dataset) -> None:
    method = methods["vae"].train()
    first, second = (measure.measure(method, digits, count=60) for _ in range(2))
    assert first == second
    assert method.training


def test_an_empty_or_unknown_split_is_said(methods: dict[str, Method], digits: Dataset) -> None:
    for data, split in (
        (digits, "tset"),
        (replace(digits, splits={**digits.splits, "test": np.array([], int)}), "test"),
    ):
        with pytest.raises(UserError, match="no pictures in the split"):
            measure.measure(methods["vae"], data, split=split)


def test_a_ruler_of_another_shape_is_refused(methods: dict[str, Method], digits: Dataset) -> None:
    ruler = MethodFeatures(methods["cnn-classic"], "cnn", "abc")
    with pytest.raises(UserError, match="8×8×1"):
        ruler(torch.zeros(2, 1, 9, 9))


def test_the_share_of_drawn_pictures_that_a_recogniser_sees_as_asked(
    methods: dict[str, Method], digits: Dataset
) -> None:
    shades = torch.arange(10) * 25

    class Shade(Method):
        """Tells ten classes by how bright a picture is."""

        spec = digits.spec
        phases = ()

        def __init__(self) -> None:
            super().__init__()
            self.network = torch.nn.Module()
            self.network.head = torch.nn.Linear(10, 10, bias=False)
            torch.nn.init.eye_(self.network.head.weight)

        def groups(self) -> Any:
            return {"network": list(self.parameters())}

        def loss(self, batch: Any, phase: str) -> Any:
            raise NotImplementedError

        def features(self, images: torch.Tensor) -> torch.Tensor:
            return -((images.mean((1, 2, 3))[:, None] - (shades / 127.5 - 1)) ** 2)

        def spatial(self, images: torch.Tensor) -> torch.Tensor:
            return self.features(images)

        def classify(self, images: torch.Tensor) -> torch.Tensor:
            return self.network.head(self.features(images))  # pyright: ignore[reportCallIssue]

    asked = torch.arange(100) % 10
    seen = torch.where(torch.arange(100) % 4 == 0, (asked + 3) % 10, asked)
    drawn = shades[seen].numpy().astype(np.uint8)[:, None, None, None].repeat(8, 1).repeat(8, 2)
    ruler = MethodFeatures(Shade(), "shade", "0" * 64)
    card = measure.judge(drawing.Drawn(drawn, asked), digits, extractor=ruler)
    assert card.scores["asked_class"] == proportion(75, 100)
    # Of the real pictures those that are seen as what they are; by the network's own answers.
    own = MethodFeatures(methods["cnn-classic"].eval(), "cnn-classic", "0" * 64)
    card = measure.measure(methods["gan-mlp"], digits, count=len(digits.splits["test"]), extractor=own)
    images, labels = next(ordered(digits, "test", 10_000))
    with torch.no_grad():
        right = methods["cnn-classic"].network(images).argmax(1) == labels  # pyright: ignore[reportCallIssue]
    assert card.scores["asked_class_floor"] == proportion(int(right.sum()), len(right))
    assert 0 <= card.scores["asked_class"].low <= card.scores["asked_class"].value
    for generator, extractor in (("vae", own), ("gan-mlp", None)):  # none asked for; no recogniser
        assert "asked_class" not in measure.measure(methods[generator], digits, count=60, extractor=extractor).scores
    assert ruler.kinds(torch.zeros(1, 10), ("another", "thing")) is None


def test_classes_are_drawn_in_the_proportions_of_the_split(methods: dict[str, Method], digits: Dataset) -> None:
    count = len(digits.splits["test"])
    labels = drawing.labels_like(methods["gan-mlp"], digits, "test", count)
    assert labels is not None
    assert digits.labels is not None
    assert sorted(labels.tolist()) == sorted(digits.labels[digits.splits["test"]].tolist())
    assert drawing.labels_like(methods["vae"], digits, "test", count) is None


def test_drawing_needs_a_method_that_draws(methods: dict[str, Method]) -> None:
    with pytest.raises(UserError, match="does not draw"):
        drawing.draw(methods["cnn-classic"], [1])
    assert drawing.sample_grid(methods["cnn-classic"]) is None


def test_a_handful_of_pictures_is_measured_as_far_as_it_goes(tmp_path: Path, own_home: Path) -> None:
    """A dozen pictures of a user's own: one of validation, one or two of test; a run must not fail at its end."""
    for i in range(12):
        pixels = np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    for recipe in ("dcgan", "vae"):
        run = api.train(recipe, tmp_path, size=8, images=64, out=tmp_path / f"run-{recipe}", settings=("batch=4",))
        card = scorecard.read(run.folder)
        assert "frechet" not in card.scores
        assert any("no distance" in note for note in card.notes)
        assert (run.folder / "report.html").is_file()
