import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mezzotint import api
from mezzotint.data.loader import ordered
from mezzotint.errors import UserError
from mezzotint.model import Model, load

FIXED = ("execution.threads=1", "execution.precision=fp32", "execution.channels_last=false")
FEW = ("method.network.width=16", "method.drawing.steps=2")
Models = dict[str, Model]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, own_home: Path) -> Models:
    """A model of each kind, trained for a second by the public function."""
    place = tmp_path_factory.mktemp("models")

    def train(recipe: str, *settings: str) -> Model:
        run = api.train(
            recipe, "digits", images=2048, out=place / recipe, settings=("batch=64", "milestones=1", *FIXED, *settings)
        )
        return load(run)

    return {
        name: train(name, *more)
        for name, *more in (("cnn-classic",), ("vae",), ("gan-mlp", "method.conditional=on"), ("flow", *FEW))
    }


@pytest.fixture(scope="module")
def pictures(digits: Any) -> torch.Tensor:
    return next(ordered(digits, "test", 7))[0]


def test_a_model_can_what_its_method_can(models: Models) -> None:
    assert models["cnn-classic"].abilities == ("classify",)
    assert models["vae"].abilities == ("generate", "reconstruct", "interpolate")
    seeds = ("go between seeds", "walk along factors", "project pictures")
    assert models["gan-mlp"].abilities == ("generate", *seeds)
    assert models["flow"].abilities == ("generate", "go to noise and back", "edit")


def test_probabilities_are_probabilities(models: Models, pictures: torch.Tensor) -> None:
    found = models["cnn-classic"].classify(pictures)
    assert found.shape == (7, 10)
    torch.testing.assert_close(found.sum(1), torch.ones(7))
    assert float(found.min()) >= 0


def test_a_trained_recogniser_is_better_than_chance(models: Models, digits: Any) -> None:
    images, labels = next(ordered(digits, "test", 150))
    assert float((models["cnn-classic"].classify(images).argmax(1) == labels).float().mean()) > 0.5


def test_many_pictures_are_as_one_by_one(models: Models, digits: Any) -> None:
    images = next(ordered(digits, "train", 120))[0]
    for verb in ("classify", "features"):
        ask: Callable[[torch.Tensor], torch.Tensor] = getattr(models["cnn-classic"], verb)
        torch.testing.assert_close(ask(images)[100:101], ask(images[100:101]), rtol=1e-4, atol=1e-5)


def test_a_seed_draws_one_picture(models: Models) -> None:
    for name in ("vae", "gan-mlp"):
        assert torch.equal(models[name].generate([7])[0], models[name].generate(range(64))[7])


def test_classes_by_name(models: Models) -> None:
    gan = models["gan-mlp"]
    three, four = gan.generate([5, 5], ["3", "4"])
    assert not torch.equal(three, four)
    assert torch.equal(gan.generate([5], ["4"])[0], four)
    with pytest.raises(UserError, match="there is no class 'seven'"):
        gan.generate([1], ["seven"])
    with pytest.raises(UserError, match="2 classes for 1 pictures"):
        gan.generate([1], ["3", "4"])
    with pytest.raises(UserError, match="not trained by class"):
        models["vae"].generate([1], ["3"])


def test_drawing_in_another_way(models: Models) -> None:
    flow = models["flow"]
    plain = flow.generate([5, 6])
    assert torch.equal(flow.generate([5, 6], solver="dpm-solver", steps=2, guidance=2.0), plain)
    assert torch.equal(flow.generate([5, 6], schedule="even", guidance_between=(0.2, 0.8)), plain)
    nowhere = {"guidance_between": (0.0, 0.1)}
    for way in ({"steps": 4}, {"guidance": 3.0}, {"solver": "ancestral"}, {"schedule": "karras"}, nowhere):
        assert not torch.equal(flow.generate([5, 6], **way), plain)
    assert torch.equal(flow.generate([5, 6], **nowhere), flow.generate([5, 6], guidance=1.0))
    assert torch.equal(flow.generate([5, 6]), plain)
    with pytest.raises(UserError, match="did you mean 'heun'"):
        flow.generate([5], solver="huen")
    with pytest.raises(UserError, match="did you mean 'karras'"):
        flow.generate([5], schedule="karas")
    with pytest.raises(UserError, match="interval"):
        flow.generate([5], guidance_between=(0.8, 0.2))
    with pytest.raises(UserError, match="no guidance to be bounded"):
        flow.generate([5], guidance=1.0, guidance_between=(0.2, 0.8))
    with pytest.raises(UserError, match="draws in one pass"):
        models["gan-mlp"].generate([5], steps=4)


def test_to_noise_and_back(models: Models, pictures: torch.Tensor) -> None:
    flow = models["flow"]
    noise = flow.to_noise(pictures, ["3"])
    assert noise.shape == pictures.shape
    torch.testing.assert_close(flow.from_noise(noise, ["3"]), pictures, rtol=0, atol=0.02)
    assert not torch.equal(flow.from_noise(noise, ["8"]), flow.from_noise(noise, ["3"]))
    with pytest.raises(UserError, match="name the class"):
        flow.to_noise(pictures)
    with pytest.raises(UserError, match="cannot go to noise and back"):
        models["vae"].to_noise(pictures)


def test_latents_there_and_back(models: Models, pictures: torch.Tensor) -> None:
    vae = models["vae"]
    latents = vae.encode(pictures)
    assert latents.shape == (7, 32)
    assert torch.equal(vae.decode(latents), vae.reconstruct(pictures))


def test_a_walk_ends_at_its_ends(models: Models, pictures: torch.Tensor) -> None:
    vae = models["vae"]
    walk = vae.interpolate(pictures[:1], pictures[1:2], 5)
    ends = vae.reconstruct(pictures[:2])
    assert walk.shape == (5, 1, 8, 8)
    torch.testing.assert_close(walk[[0, -1]], ends, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "verb"),
    [("vae", "classify"), ("vae", "features"), ("gan-mlp", "reconstruct"), ("cnn-classic", "encode")],
)
def test_what_a_model_cannot_do_is_said(name: str, verb: str, models: Models, pictures: torch.Tensor) -> None:
    with pytest.raises(UserError, match=r"cannot .*; it can "):
        getattr(models[name], verb)(pictures)
    with pytest.raises(UserError, match="cannot generate"):
        models["cnn-classic"].generate([1])


def test_pictures_of_another_shape_are_refused(models: Models) -> None:
    with pytest.raises(UserError, match="takes pictures of shape"):
        models["cnn-classic"].classify(torch.zeros(1, 3, 8, 8))
    with pytest.raises(UserError, match="takes pictures of shape"):
        models["vae"].encode(torch.zeros(1, 1, 9, 8))


def test_measuring_names_its_ruler(models: Models, digits: Any) -> None:
    card = models["gan-mlp"].measure(digits, count=60, features=models["cnn-classic"])
    assert card.protocol["extractor"]["digest"] == models["cnn-classic"]._stored.digest
    assert card.protocol["drawn"] == 60
    with pytest.raises(UserError, match="cannot give features"):
        models["gan-mlp"].measure(digits, count=60, features=models["vae"])
    with pytest.raises(UserError, match="split"):
        models["gan-mlp"].measure(digits, split="evening")


def test_the_python_surface_is_what_is_promised(models: Models) -> None:
    import mezzotint as mz

    assert set(dir(mz)) >= {"__all__"}
    assert all(getattr(mz, name) is not None for name in mz.__all__)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        mz.trian  # pyright: ignore[reportAttributeAccessIssue]


def test_the_model_page_tells_what_people_ask(models: Models) -> None:
    page = (models["vae"]._stored.folder / "README.md").read_text()
    for word in ("vae", "digits", "8×8", "2,048 pictures seen", "psnr", "split: test", "95 % interval"):
        assert word in page
    report = (models["vae"]._stored.folder.parent / "report.html").read_text()
    assert "<svg" in report
    assert "http://" not in report.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )


def test_weights_are_those_of_the_average(models: Models) -> None:
    from mezzotint.training import checkpoint

    model = models["vae"]
    found = checkpoint.load_newest(model._stored.folder.parent / "checkpoint")
    assert found is not None
    for name, tensor in model.method.state_dict().items():
        assert np.array_equal(tensor.numpy(), found[1][f"average.{name}"].numpy())


def test_a_model_by_class_is_told_the_classes(digits: Any, tmp_path: Path) -> None:
    settings = ("batch=64", "milestones=1", *FIXED, "method.conditional=true")
    model = load(api.train("vae-dense", "digits", images=512, out=tmp_path / "run", settings=settings))
    images, labels = next(ordered(digits, "test", 3))
    assert labels is not None
    names = [digits.classes[i] for i in labels]
    assert model.reconstruct(images, names).shape == images.shape
    torch.testing.assert_close(model.encode(images, ["3"]), model.encode(images, ["3"] * 3))
    assert not torch.equal(model.encode(images, ["3"]), model.encode(images, ["4"]))
    assert len(model.interpolate(images[:1], images[1:2], 5, ["3"])) == 5
    with pytest.raises(UserError, match="name the class of each picture"):
        model.reconstruct(images)


def test_weights_that_are_not_the_cards_are_refused(models: Models, tmp_path: Path) -> None:
    place = shutil.copytree(models["vae"]._stored.folder, tmp_path / "model")
    weights = place / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(UserError, match="not the one that its card names"):
        load(place)
