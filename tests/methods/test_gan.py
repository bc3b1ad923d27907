"""What a GAN's parts do together: one pass against two, lazy penalties, changes of pictures, growth, truncation."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mezzotint import drawing
from mezzotint.data.dataset import Dataset
from mezzotint.data.loader import Batches
from mezzotint.digest import tensors_digest
from mezzotint.errors import UserError
from mezzotint.methods.gan import Chance, Gan
from mezzotint.ops.augment import Looking
from mezzotint.types import Batch

LOOKING = ("method.looking.probability=0.5", "method.looking.target=0.6")


def build(recipe: Any, digits: Dataset) -> Gan:
    torch.manual_seed(0)
    return recipe.method.build(digits.spec)


def batch_of(digits: Dataset, count: int = 12, progress: float = 0.5) -> Batch:
    images, labels = Batches(digits, "train", count, seed=0).at(0)
    return Batch(images.double(), labels, progress=progress, seed=5)


def gradients(gan: Gan, batch: Batch, phase: str, group: str) -> list[torch.Tensor]:
    for name, parameters in gan.groups().items():
        for p in parameters:
            p.requires_grad_(phase == "together" or name == group)
    gan.loss(batch, phase).total.backward()
    found = [p.grad.clone() for p in gan.groups()[group] if p.grad is not None]
    gan.zero_grad(set_to_none=True)
    return found


@pytest.mark.parametrize("penalty", ["none", "r1", "r1-r2"])
@pytest.mark.parametrize("loss", ["relativistic", "non-saturating"])
def test_together_is_both_players_steps_from_the_same_place(
    loss: str, penalty: str, digits: Dataset, make_recipe: Any
) -> None:
    """The alternating phases meet other noise (their streams differ), so theirs is made equal here."""
    recipe = make_recipe("r3gan", f"method.loss={loss}", f"method.penalty={penalty}")
    gan, batch = build(recipe, digits).double(), batch_of(digits)
    for p in gan.parameters():
        p.data += 0.05 * torch.randn_like(p)  # away from the zeros that the branches begin with
    draw = gan._draw
    gan._draw = lambda batch, stream: draw(batch, stream=0)  # type: ignore[method-assign]
    for group in ("generator", "discriminator"):
        together, apart = gradients(gan, batch, "together", group), gradients(gan, batch, group, group)
        for ours, theirs in zip(together, apart, strict=True):
            # Logits are taken in float32.
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max()) + 1e-9)


def test_a_lazy_penalty_is_rare_and_weighs_as_much(digits: Dataset, make_recipe: Any) -> None:
    settings = ("method.turns=alternating", "method.penalty_weight=3")
    eager, lazy = (build(make_recipe("r3gan", *settings, f"method.penalty_every={every}"), digits) for every in (1, 4))
    assert {p.name: p.every for p in lazy.phases} == {"discriminator": 1, "generator": 1, "penalty": 4}
    assert {p.name for p in eager.phases} == {"discriminator", "generator"}
    lazy.load_state_dict(eager.state_dict())
    batch = replace(batch_of(digits), images=batch_of(digits).images.float())
    of_eager = eager.loss(batch, "discriminator").parts["penalty"]
    loss = lazy.loss(batch, "penalty")
    torch.testing.assert_close(loss.parts["penalty"], of_eager)
    torch.testing.assert_close(loss.total.detach(), 4 * of_eager)
    assert "penalty" not in lazy.loss(batch, "discriminator").parts


def test_the_probability_follows_the_signs_of_real_logits() -> None:
    chance = Chance(Looking(target=0.6, images=100))
    chance.note(torch.tensor([1.0, 2.0, 0.5, 3.0]))
    chance.note(torch.tensor([1.0, -1.0, 1.0, 1.0]))  # (7 - 1)/8 is above 0.6
    chance.adjust()
    assert float(chance.chance) == pytest.approx(8 / 100)
    chance.note(torch.tensor([1.0, -1.0]))
    chance.adjust()
    assert float(chance.chance) == pytest.approx(6 / 100)
    assert float(chance.pictures) == 0


def test_a_probability_without_a_target_stays() -> None:
    chance = Chance(Looking(probability=0.3))
    chance.note(torch.ones(10))
    chance.adjust()
    assert float(chance.chance) == pytest.approx(0.3)


@pytest.mark.parametrize("loss", ["non-saturating", "least-squares", "wasserstein", "relativistic"])
def test_the_overlap_is_told_by_where_each_loss_is_undecided(loss: str, digits: Dataset, make_recipe: Any) -> None:
    """A discriminator that cannot tell real from drawn pictures is shown no more changes."""
    gan = build(make_recipe("dcgan", "method.turns=alternating", f"method.loss={loss}", *LOOKING), digits)
    undecided = {"least-squares": 0.5, "wasserstein": 7.0}.get(loss, 0.0)
    logits = torch.tensor([undecided - 0.1, undecided + 0.1])
    gan._note(logits, logits.flip(0))
    assert gan.chance is not None
    assert float(gan.chance.signs) == 0


def test_a_gan_without_changes_has_no_state_for_them(digits: Dataset, make_recipe: Any) -> None:
    """Snapshots from before there were such changes stay loadable."""
    assert not [k for k in build(make_recipe("dcgan"), digits).state_dict() if "chance" in k]


ADAPTIVE = ("method.looking.target=0.6", "method.looking.images=200", "method.looking.probability=0.5")


@pytest.mark.parametrize(
    ("name", "settings", "stop"),
    [("progan", (), 6), ("dcgan", ADAPTIVE, 3), ("r3gan", (*ADAPTIVE, "method.penalty_every=2"), 3)],
    ids=["fade", "ada", "ada-lazy"],
)
def test_a_resume_in_the_middle_is_bit_for_bit(
    name: str, settings: tuple[str, ...], stop: int, make_recipe: Any, train_in: Any, tmp_path: Path
) -> None:
    recipe = make_recipe(name, *settings, batch=8, steps=12)
    straight = train_in(tmp_path / "straight", recipe)
    first = train_in(tmp_path / "parts", recipe, steps=stop)
    if name == "progan":
        assert 0 < first.state.method.generator.stage()[1] < 1
    else:
        assert float(first.state.method.chance.chance) not in (0, 0.5)
    second = train_in(tmp_path / "parts")
    assert tensors_digest(second.state.tensors()) == tensors_digest(straight.state.tensors())


def test_the_average_draws_at_the_level_of_the_training(make_recipe: Any, train_in: Any, tmp_path: Path) -> None:
    """A level that lagged behind as averaged weights do would draw blurred pictures to the end."""
    training = train_in(tmp_path / "run", make_recipe("progan", batch=8, steps=12))
    assert training.trained().generator.stage() == (1, 1.0)


def test_truncation_draws_nearer_to_the_mean(digits: Dataset, make_recipe: Any) -> None:
    gan = build(make_recipe("r3gan"), digits)
    wide = drawing.draw(gan, range(60), torch.zeros(60, dtype=torch.int64))
    gan.config = replace(gan.config, truncation=0.3)
    narrow = drawing.draw(gan, range(60), torch.zeros(60, dtype=torch.int64))
    assert float(narrow.std(0).mean()) < 0.5 * float(wide.std(0).mean())


def test_a_trained_gan_is_truncated_as_its_settings_would(digits: Dataset, make_recipe: Any) -> None:
    gan, asked = (build(make_recipe("r3gan", f"method.truncation={bound}"), digits) for bound in (0, 0.3))
    assert torch.equal(gan.truncated(0.3).latents(range(9)), asked.latents(range(9)))
    assert gan.config.truncation == 0, "the one that it was made of draws as before"
    for bound in (0.0, -1.0, float("nan")):
        with pytest.raises(UserError, match="above 0"):
            gan.truncated(bound)
    with pytest.raises(UserError, match="undoes truncation"):
        build(make_recipe("progan"), digits).truncated(0.7)


@pytest.mark.parametrize("every", [1, 4])
def test_the_slope_between_pictures_is_taken_where_the_discriminator_looks(
    every: int, digits: Dataset, make_recipe: Any
) -> None:
    """Of pictures that are hidden from it, it has none."""
    settings = ("method.penalty=gradient-zero", f"method.penalty_every={every}", "method.looking.probability=1")
    gan, batch = build(make_recipe("wgan-gp", *settings), digits), batch_of(digits)
    batch = replace(batch, images=batch.images.float())
    phase = "penalty" if every > 1 else "discriminator"
    assert gan.loss(batch, phase).parts["penalty"] > 0
    gan._look = lambda images, batch, stream: 0 * images  # type: ignore[method-assign]
    assert gan.loss(batch, phase).parts["penalty"] == 0


def test_an_auxiliary_classifier_learns_the_classes(digits: Dataset, make_recipe: Any) -> None:
    settings = ("method.turns=alternating", "method.auxiliary=1", "method.conditional=true")
    gan = build(make_recipe("dcgan", *settings, "method.discriminator.dropout=0"), digits)
    assert gan.discriminator.projection is None
    images, labels = Batches(digits, "train", 64, seed=0).at(0)
    batch, optimizer = Batch(images, labels, seed=5), torch.optim.Adam(gan.groups()["discriminator"], 3e-3)
    losses = []
    for _ in range(80):
        loss = gan.loss(batch, "discriminator")
        losses.append(float(loss.parts["classifier"]))
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    ("name", "setting", "message"),
    [
        ("progan", "method.penalty=r1-r2", "without batch norm"),
        ("lsgan", "method.turns=together", "goes with the losses"),
        ("sngan", "method.turns=together", "goes with the losses"),
        ("lsgan", "method.auxiliary=1", "needs method.conditional=true"),
        ("r3gan", "method.penalty_every=0", "at least 1"),
        ("r3gan", "method.truncation=-1", "not be negative"),
        ("progan", "method.truncation=0.7", "undoes truncation"),
        ("r3gan", "method.penalty=clipping", "add --set method.penalty_weight=0.01"),
        ("progan", "method.generator.grown=0.3", "grow together"),
        ("progan", "method.generator.grown=0", "share of the training"),
        ("r3gan", "method.generator.group=48", "does not divide"),
        ("biggan", "method.generator.attention=16", "no block has maps"),
        ("biggan", "method.discriminator.attention=16", "no block has maps"),
    ],
)
def test_what_does_not_go_together_is_refused_in_a_sentence(
    name: str, setting: str, message: str, digits: Dataset, make_recipe: Any
) -> None:
    with pytest.raises(UserError, match=message):
        build(make_recipe(name, setting), digits)
