"""What every recipe's method must do, on digits of 8×8 pixels."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mezzotint import catalog, codec, drawing, snapshot
from mezzotint.data.dataset import Dataset
from mezzotint.data.loader import Batches
from mezzotint.digest import tensors_digest
from mezzotint.method import Method, check_groups
from mezzotint.methods.gan import Gan
from mezzotint.recipe import Optimizer, Recipe, from_json
from mezzotint.training import optimizers
from mezzotint.types import (
    Batch,
    Classifies,
    Compresses,
    DataSpec,
    Embeds,
    Encodes,
    Forecasts,
    Generates,
    HasLikelihood,
    Loss,
    Phase,
    WeighsCodes,
)

GANS = ("biggan", "dcgan", "dcgan-tutorial", "gan-mlp", "lsgan", "progan", "r3gan", "sngan", "wgan", "wgan-gp")
FLOWS = ("flow", "edm", "ddpm", "flow-edges", "flow-inpaint", "flow-large", "flow-upscale")
"""Digits have no colors."""
LOOKING = ("method.looking.probability=0.7", "method.looking.target=0.6", "method.looking.images=64")
CODING = ("beta-vae", "fsq", "hvae", "iwae", "tc-vae", "vae", "vae-dense", "vae-gan", "vq")
DRAWING = (*GANS, *FLOWS, *CODING, "flow-fast", "cogan", "lapgan")
ALTERNATING = ("method.turns=alternating",)
FEW = ("method.drawing.steps=3",)
"""Drawing in steps is the same work again and again."""
_SYMBOLS = ("method.network.width=16", "method.network.blocks=1", "method.prior.width=32", "method.prior.layers=1")
LIGHT = {**dict.fromkeys(FLOWS, FEW), "vq": _SYMBOLS, "fsq": _SYMBOLS, "hvae": ("method.network.width=16",)}
LIGHT["codec"] = ("method.network.analysis=16", "method.network.synthesis=16", "method.network.latents=8")
"""Smaller networks, or fewer steps, where the recipe's own would only take time."""
ON_DIGITS = [name for name in catalog.RECIPES if name not in ("detector", "flow-color")]
"""A detector learns from boxes: tests/methods/test_detector.py holds it to the same; digits have no colors."""
VARIANTS = [(name, LIGHT.get(name, ())) for name in ON_DIGITS] + [
    ("dcgan", ALTERNATING),
    ("dcgan", (*ALTERNATING, "method.discriminator.norm=batch", "method.loss=hinge")),
    ("gan-mlp", (*ALTERNATING, "method.loss=wasserstein", "method.penalty=gradient", "method.discriminator_steps=2")),
    ("gan-mlp", (*ALTERNATING, "method.penalty=r1", "method.loss=least-squares", "method.conditional=true")),
    ("dcgan", ("method.conditional=true", *LOOKING)),
    ("dcgan", (*ALTERNATING, "method.auxiliary=1", "method.penalty=gradient-zero", "method.discriminator.spectral=on")),
    (
        "r3gan",
        (*ALTERNATING, "method.penalty_every=2", "method.generator.group=16", "method.generator.blocks=2"),
    ),
    ("r3gan", ("method.penalty=r1", "method.conditional=false", *LOOKING)),
    ("vit", ("method.mixing.cutmix=1", "method.network.drop_path=0.5", "data.augment.trivial=true")),
    ("resnet", ("method.network.norm=group", "method.logit_adjustment=1", "method.class_weight=1", "data.balance=1")),
    ("vae", ("method.conditional=true", "method.likelihood=gaussian")),
    ("vae-dense", ("method.conditional=true",)),
    ("vae", ("method.prior.kind=flow-prior", "method.likelihood=mixture", "method.conditional=true")),
    ("vae-dense", ("method.prior.kind=mixture-prior", "method.likelihood=logistic", "method.scale=pixel")),
    ("hvae", (*LIGHT["hvae"], "method.conditional=true", "method.drawn=sampled", "method.balance=0.5")),
    ("hvae", ("method.network.fold=2", "method.likelihood=gaussian", "method.network.rungs=1")),
    ("vae-gan", ("method.conditional=true",)),
    ("flow", (*FEW, "method.network.kind=dit", "method.pairing=true", "method.drawing.guidance=2")),
    ("flow", (*FEW, "method.conditional=false", "method.predicts=picture", "method.min_snr=5")),
    ("ddpm", ("method.drawing.solver=ancestral", "method.drawing.schedule=ddpm", *FEW)),
    ("codec", (*LIGHT["codec"], "method.target=ms-ssim", "method.crop=8")),
    ("convlstm-gan", ("method.game=hinge", "method.structure=1", "method.absolute=1", "method.sampling_until=0")),
]
IDS = ["-".join([name, *(s.removeprefix("method.") for s in settings)]) for name, settings in VARIANTS]
every_variant = pytest.mark.parametrize(("name", "settings"), VARIANTS, ids=IDS)
every_recipe = pytest.mark.parametrize("name", ON_DIGITS)


def build(recipe: Recipe, spec: DataSpec) -> Method:
    torch.manual_seed(0)
    return recipe.method.build(spec)


def batch_of(digits: Dataset, count: int, seed: int = 5) -> Batch:
    images, labels = Batches(digits, "train", count, seed=0).at(0)
    return Batch(images, labels, progress=0.5, seed=seed)


def train_only(method: Method, groups: tuple[str, ...]) -> None:
    """As the loop does before a phase."""
    for name, group in method.groups().items():
        for p in group:
            p.requires_grad_(name in groups)


def brisk(settings: Optimizer) -> Optimizer:
    """Three times the rate of a long run, but for r3gan's discriminator, whose slopes leap up now and then there."""
    return settings if settings.lr == 1e-3 and settings.betas == (0.0, 0.99) else replace(settings, lr=3 * settings.lr)


def descend(method: Method, recipe: Recipe, batch: Batch, phase: Phase, groups: tuple[str, ...], steps: int) -> list:
    """Losses of `steps` steps on one batch in which only `groups` learn, at three times the rate of a long run."""
    train_only(method, groups)
    chosen = {name: optimizers.build(brisk(recipe.optimizers[name]), method.groups()[name]) for name in groups}
    losses: list[Loss] = []
    for _ in range(steps):
        torch.manual_seed(1)  # the same dropout each time
        losses.append(method.loss(batch, phase.name))
        losses[-1].total.backward()
        for optimizer in chosen.values():
            optimizer.step()
            optimizer.zero_grad()
        method.after_step(phase.name)
    return [Loss(loss.total.detach(), loss.parts) for loss in losses]


# Learning.


@pytest.mark.parametrize("name", FLOWS[:3])
def test_one_batch_is_denoised_by_heart(name: str, digits: Dataset, make_recipe: Any) -> None:
    """At one noise and time for each picture: more than that no network can learn by heart."""
    recipe = make_recipe(name)
    method = build(recipe, digits.spec)
    losses = descend(method, recipe, batch_of(digits, 16), method.phases[0], method.phases[0].trains, 60)
    assert float(losses[-1].total) < 0.3 * float(losses[0].total)


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        *(("cnn", 0.35), ("cnn-classic", 0.1), ("convnext", 0.5), ("densenet", 0.5), ("vit", 0.7), ("vicreg", 0.7)),
        *(("vae", 0.75), ("vae-dense", 0.75), ("hvae", 0.75), ("vq", 0.75), ("fsq", 0.75), ("iwae", 0.75)),
        *(("beta-vae", 0.8), ("lossless", 0.8), ("codec", 0.75)),
    ],
)
def test_one_batch_is_learned_by_heart(name: str, factor: float, digits: Dataset, make_recipe: Any) -> None:
    # Label smoothing leaves cnn 0.5 of its 2.3 nats; the logistic and Bernoulli VAEs keep the cost of their codes;
    # 16 pictures cannot fill the 512 directions that vicreg asks for.
    recipe = make_recipe(name, *LIGHT.get(name, ()))
    method = build(recipe, digits.spec)
    losses = descend(method, recipe, batch_of(digits, 16), method.phases[0], method.phases[0].trains, 60)
    assert float(losses[-1].total) < factor * float(losses[0].total)


@pytest.mark.parametrize("name", GANS)
def test_a_discriminator_learns_against_a_frozen_generator(name: str, digits: Dataset, make_recipe: Any) -> None:
    recipe = make_recipe(name)
    method = build(recipe, digits.spec)
    phase = next(p for p in method.phases if "discriminator" in p.trains)
    losses = descend(method, recipe, batch_of(digits, 16), phase, ("discriminator",), 60)
    # R1 holds the discriminator of gan-mlp back.
    factor = 0.7 if name == "gan-mlp" else 0.5
    assert float(losses[-1].parts["discriminator"]) < factor * float(losses[0].parts["discriminator"])
    assert float(losses[-1].parts["real_logit"]) > float(losses[-1].parts["fake_logit"])


@pytest.mark.parametrize("name", GANS)
def test_a_generator_learns_against_a_frozen_discriminator(name: str, digits: Dataset, make_recipe: Any) -> None:
    recipe = make_recipe(name)
    method = build(recipe, digits.spec)
    batch = batch_of(digits, 16)
    phase = next(p for p in method.phases if "generator" in p.trains)
    descend(method, recipe, batch, method.phases[0], ("discriminator",), 20)
    losses = descend(method, recipe, batch, phase, ("generator",), 60)
    assert float(losses[-1].parts["generator"]) < 0.8 * float(losses[0].parts["generator"])


@every_variant
def test_all_losses_are_finite_named_and_detached(
    name: str, settings: tuple[str, ...], digits: Dataset, make_recipe: Any
) -> None:
    method = build(make_recipe(name, *settings), digits.spec)
    for phase in method.phases:
        loss = method.loss(batch_of(digits, 8), phase.name)
        assert loss.total.shape == ()
        assert loss.total.requires_grad
        assert loss.parts
        for value in (loss.total, *loss.parts.values()):
            assert torch.isfinite(value)
        assert not any(part.requires_grad for part in loss.parts.values())


# Parameters.


@every_variant
def test_groups_hold_each_parameter_once(
    name: str, settings: tuple[str, ...], digits: Dataset, make_recipe: Any
) -> None:
    recipe = make_recipe(name, *settings)
    method = build(recipe, digits.spec)
    listed = [id(p) for group in method.groups().values() for p in group]
    assert sorted(listed) == sorted(id(p) for p in method.parameters())
    assert set(method.groups()) == set(recipe.optimizers)
    assert {group for phase in method.phases for group in phase.trains} == set(method.groups())
    check_groups(method)


@every_variant
def test_a_phase_gives_gradients_to_its_groups_alone(
    name: str, settings: tuple[str, ...], digits: Dataset, make_recipe: Any
) -> None:
    method = build(make_recipe(name, *settings), digits.spec)
    if name == "flow-fast":  # a fresh teacher says nothing, and so does its student: there is nothing to learn
        with torch.no_grad():
            for p in method.parameters():
                p.add_(0.01 * torch.randn_like(p))
    for phase in method.phases:
        train_only(method, phase.trains)
        method.loss(batch_of(digits, 32), phase.name).total.backward()
        for group, parameters in method.groups().items():
            if group in phase.trains:
                # A slope does not know of the constant that is added to the logit.
                idle = [p for p in parameters if p.grad is None and not (phase.name == "penalty" and p.numel() == 1)]
                assert not idle, (phase, group)
                assert all(torch.isfinite(p.grad).all() for p in parameters if p.grad is not None), (phase, group)
                assert any(p.grad is not None and p.grad.any() for p in parameters)
            else:
                assert all(p.grad is None for p in parameters), (phase, group)
        method.zero_grad(set_to_none=True)


class _Odd(Method):
    phases = (Phase("fit", trains=("all",)),)

    def __init__(self, groups: dict[str, list[str]]) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
        self.listed = groups

    def groups(self) -> dict[str, list[nn.Parameter]]:
        return {name: [getattr(self, p) for p in group] for name, group in self.listed.items()}

    def loss(self, batch: Batch, phase: str) -> Loss:
        return Loss(self.a.sum())


@pytest.mark.parametrize("groups", [{"all": ["a"]}, {"all": ["a", "b"], "again": ["b"]}, {"other": ["a", "b"]}])
def test_odd_groups_are_refused(groups: dict[str, list[str]]) -> None:
    with pytest.raises(ValueError, match="group"):
        check_groups(_Odd(groups))


def test_right_groups_are_accepted() -> None:
    check_groups(_Odd({"all": ["a", "b"]}))


# Steps.


def uncoupled(recipe: Recipe) -> Recipe | None:
    """The recipe without dropout and batch norm; None where its pictures are coupled for good."""
    if recipe.name in ("biggan", "cnn", "densenet", "resnet", "sngan", "tc-vae", "vicreg", "progan"):
        return None
    known = set(codec.settings(recipe))
    if "method.mixing.mixup" in known:  # a micro-batch is mixed with itself
        for setting in ("method.mixing.mixup", "method.mixing.cutmix", "method.network.drop_path"):
            recipe = codec.changed(recipe, setting, "0", catalog.kinds()) if setting in known else recipe
    if "method.pairing" in known:  # noises are paired within a micro-batch
        recipe = codec.changed(recipe, "method.pairing", "false", catalog.kinds())
    for part in ("generator", "discriminator", "network", "networks"):
        for setting, value in (("dropout", "0"), ("norm", "none")):
            if f"method.{part}.{setting}" in known:
                recipe = codec.changed(recipe, f"method.{part}.{setting}", value, catalog.kinds())
    return recipe


@every_variant
def test_micro_batches_give_the_gradient_of_the_batch(
    name: str, settings: tuple[str, ...], digits: Dataset, make_recipe: Any
) -> None:
    recipe = uncoupled(make_recipe(name, *settings))
    if recipe is None:
        pytest.skip("batch norm, or the loss itself, couples the pictures of a micro-batch")
    method = build(recipe, digits.spec).double()
    batch = batch_of(digits, 12)
    images = batch.images.double()
    for phase in method.phases:
        gradients = []
        for size in (12, 5):
            train_only(method, phase.trains)
            for first in range(0, 12, size):
                labels = None if batch.labels is None else batch.labels[first : first + size]
                part = Batch(images[first : first + size], labels, batch.progress, batch.seed, first, 12)
                (method.loss(part, phase.name).total * len(part) / 12).backward()
            gradients.append([p.grad for group in phase.trains for p in method.groups()[group]])
            method.zero_grad(set_to_none=True)
        for whole, parts in zip(*gradients, strict=True):
            if whole is None or parts is None:
                assert whole is parts
                continue
            # Methods take their losses in float32, so 1e-5 is what float64 weights can show.
            torch.testing.assert_close(whole, parts, rtol=1e-5, atol=1e-5 * float(whole.abs().max()) + 1e-12)


@every_variant
def test_two_and_two_steps_are_four_to_the_bit(
    name: str, settings: tuple[str, ...], make_recipe: Any, train_in: Any, tmp_path: Path
) -> None:
    recipe = make_recipe(name, *settings, batch=8)
    straight = train_in(tmp_path / "straight", recipe)
    first = train_in(tmp_path / "halves", recipe, steps=2)
    assert (first.state.step, first.finished) == (2, False)
    second = train_in(tmp_path / "halves")
    assert (second.state.step, second.finished) == (4, True)
    ours, theirs = second.state.tensors(), straight.state.tensors()
    assert ours.keys() == theirs.keys()
    assert [k for k in ours if tensors_digest({k: ours[k]}) != tensors_digest({k: theirs[k]})] == []


@every_recipe
def test_another_seed_is_another_run(name: str, make_recipe: Any, train_in: Any, tmp_path: Path) -> None:
    digests = {
        tensors_digest(train_in(tmp_path / str(seed), make_recipe(name, steps=1, batch=8, seed=seed)).state.tensors())
        for seed in (0, 1)
    }
    assert len(digests) == 2


# What comes out.


def trained(name: str, settings: tuple[str, ...], make_recipe: Any, train_in: Any, folder: Path) -> Method:
    return train_in(folder, make_recipe(name, *settings, steps=3)).trained()


@every_variant
def test_a_seed_is_one_picture_in_any_company(
    name: str, settings: tuple[str, ...], make_recipe: Any, train_in: Any, tmp_path: Path
) -> None:
    method = trained(name, settings, make_recipe, train_in, tmp_path / "run")
    if not isinstance(method, Generates):
        assert name not in DRAWING
        return
    many = drawing.draw(method, range(64))
    for company in ([7], [7, 8], [9, 7, 3], [*range(100, 157), 7]):
        drawn = drawing.draw(method, company)
        assert torch.equal(drawn[company.index(7)], many[7]), len(company)
    assert not torch.equal(many[7], many[8])


@every_variant
def test_outputs_have_the_promised_shape_type_and_range(
    name: str, settings: tuple[str, ...], digits: Dataset, make_recipe: Any, train_in: Any, tmp_path: Path
) -> None:
    method = trained(name, settings, make_recipe, train_in, tmp_path / "run").eval()
    batch = batch_of(digits, 6)
    assert batch.labels is not None or isinstance(method, Forecasts)
    assert isinstance(method, (Compresses, Embeds, Forecasts, Generates, HasLikelihood))
    with torch.no_grad():
        if isinstance(method, Classifies):
            logits = method.classify(batch.images)
            assert logits.shape == (6, len(digits.classes))
            assert torch.isfinite(logits).all()
        if isinstance(method, Embeds):
            assert method.features(batch.images).shape[0] == 6
            assert torch.isfinite(method.features(batch.images)).all()
        if isinstance(method, Forecasts):
            said = method.forecast(batch.images[:, : method.context], 7)
            assert said.shape[:2] == (6, 7)
            _check_pictures(said.flatten(0, 1), 42, digits.spec)
        if isinstance(method, Generates):
            _check_pictures(method.generate(range(5)), 5, digits.spec)
            assert drawing.draw(method, []).shape == (0, *digits.spec.shape)
        if isinstance(method, Encodes):
            latents = method.encode(batch.images, batch.labels)
            assert latents.shape == (6, getattr(method, "latent", 0) or method.config.latent)
            _check_pictures(method.decode(latents, batch.labels), 6, digits.spec)
        if isinstance(method, Compresses):
            again, bits = method.shrunk(batch.images, 70)
            _check_pictures(again, 6, digits.spec)
            assert bits.shape == (6,)
            assert bool((bits > 0).all())
        if isinstance(method, HasLikelihood):
            bound = method.elbo(batch.images, batch.labels, 3)
            assert bound.shape == (6,)
            assert torch.isfinite(bound).all()
            assert torch.equal(bound, method.elbo(batch.images, batch.labels, 3))
        if isinstance(method, WeighsCodes):
            weight = method.log_weight(batch.images, batch.labels, 3)
            assert weight.shape == (6,)
            assert torch.isfinite(weight).all()
    assert isinstance(method, Generates) == (name in DRAWING)
    assert isinstance(method, Encodes) == (name in CODING)
    assert isinstance(method, WeighsCodes) == (name in CODING and name not in ("fsq", "vae-gan", "vq"))


def _check_pictures(images: torch.Tensor, count: int, spec: DataSpec) -> None:
    assert images.shape == (count, *spec.shape)
    assert images.dtype == torch.float32
    assert -1 <= float(images.min()) <= float(images.max()) <= 1


@pytest.mark.parametrize("name", ["dcgan", "vae", "vae-dense", "gan-mlp"])
def test_a_class_changes_the_picture(name: str, digits: Dataset, make_recipe: Any) -> None:
    method = build(make_recipe(name, "method.conditional=true"), digits.spec).eval()
    drawn = drawing.draw(method, [7] * 10, torch.arange(10))
    assert len({image.numpy().tobytes() for image in drawn}) == 10


# There and back.


@every_variant
def test_a_recipe_survives_json(name: str, settings: tuple[str, ...], make_recipe: Any) -> None:
    recipe = make_recipe(name, *settings)
    assert from_json(recipe.to_json(), catalog.kinds()) == recipe


@every_variant
def test_a_snapshot_gives_the_method_back(
    name: str, settings: tuple[str, ...], digits: Dataset, make_recipe: Any, train_in: Any, tmp_path: Path
) -> None:
    recipe = make_recipe(name, *settings)
    method = trained(name, settings, make_recipe, train_in, tmp_path / "run").eval()
    snapshot.save(tmp_path / "snapshot", method, recipe, {"name": name}, "page")
    back = snapshot.load(tmp_path / "snapshot", catalog.kinds())
    assert back.recipe == recipe
    assert tensors_digest(back.method.state_dict()) == tensors_digest(method.state_dict())
    snapshot.save(tmp_path / "again", back.method, back.recipe, {"name": name}, "page")
    assert snapshot.load(tmp_path / "again", catalog.kinds()).digest == back.digest
    # Loading lays channels last, and a layout may add up in another order.
    as_loaded = method.to(memory_format=torch.channels_last)
    assert np.array_equal(_output(back.method, digits), _output(as_loaded, digits))


def _output(method: Method, digits: Dataset) -> np.ndarray:
    with torch.no_grad():
        if isinstance(method, Classifies):
            return method.classify(batch_of(digits, 9).images).numpy()
        if isinstance(method, Embeds):
            return method.features(batch_of(digits, 9).images).numpy()
        if isinstance(method, Forecasts):
            return method.forecast(batch_of(digits, 9).images, 3).numpy()
        if isinstance(method, Compresses):
            return method.shrunk(batch_of(digits, 9).images, 50)[0].numpy()
        if not isinstance(method, Generates) and isinstance(method, HasLikelihood):
            return method.elbo(batch_of(digits, 9).images, None, 0).numpy()
    return drawing.draw(method, range(9)).numpy()


def test_critic_steps_make_the_generator_rarer(digits: Dataset, make_recipe: Any) -> None:
    gan = build(make_recipe("gan-mlp", *ALTERNATING, "method.discriminator_steps=5"), digits.spec)
    assert isinstance(gan, Gan)
    assert {p.name: p.every for p in gan.phases} == {"discriminator": 1, "generator": 5}
