"""The watch on known numbers, and on runs that are made to fail."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mezzotint import drawing, glance
from mezzotint.data.dataset import Dataset
from mezzotint.digest import tensors_digest
from mezzotint.errors import UserError
from mezzotint.training import checkpoint, journal, watch
from mezzotint.training.watch import Reading
from mezzotint.types import Discriminates

# The numbers.


def test_the_overlap_is_the_area_under_the_curve() -> None:
    from sklearn.metrics import roc_auc_score

    generator = torch.Generator().manual_seed(0)
    real, drawn = torch.randn(50, generator=generator) + 0.7, torch.randn(70, generator=generator).round(decimals=1)
    real[:5] = drawn[:5]  # ties
    expected = roc_auc_score([1] * 50 + [0] * 70, torch.cat([real, drawn]).numpy())
    assert watch.overlap(real, drawn) == pytest.approx(expected)


def test_memory_is_where_held_out_pictures_stand() -> None:
    known, drawn = torch.tensor([3.9, 4.0, 4.1]), torch.tensor([0.0, 0.0])
    assert watch.memory(known, torch.tensor([0.9, 1.0, 1.1]), drawn) == pytest.approx(0.75)
    assert watch.memory(known, torch.tensor([-2.1, -2.0, -1.9]), drawn) == 1  # they look more drawn than drawn ones
    assert watch.memory(known, known - 0.05, drawn) == 0  # within three standard errors


def test_the_spread_is_the_variance_also_within_classes() -> None:
    rows = torch.tensor([[0.0, 0.0], [2.0, 0.0], [10.0, 4.0], [12.0, 4.0]])
    assert watch.spread(rows) == pytest.approx(float(rows.var(0, correction=0).sum()))
    assert watch.spread(rows, torch.tensor([0, 0, 2, 2])) == pytest.approx(1.0)


def test_the_nearest_other_row() -> None:
    assert watch.nearest(torch.tensor([[0.0], [1.0], [3.0]])) == 1
    assert watch.nearest(torch.tensor([[0.0], [0.0], [3.0]])) == 0


def test_a_tally_counts_turns_by_phase() -> None:
    tally = watch.Tally()
    for norm in (1.0, 3.0):
        tally.add("a", norm, False)
    tally.add("b", math.inf, True)
    tally.add("b", 5.0, False)
    assert (tally.refused, tally.norm) == (0.5, 5.0)


# What they say.


def reading(images: int, score: float, **numbers: Any) -> Reading:
    return Reading(images, numbers.pop("stage", 0), score, **numbers)


BOTH = {"norm": 1.0, "spread": 0.6, "nearest": 0.6}
HEALTHY = [reading(0, 100.0), reading(10, 50.0, **BOTH), reading(20, 20.0, **BOTH)]


@pytest.mark.parametrize(
    ("now", "name"),
    [
        (reading(30, 18.0, norm=1.0), None),
        (reading(30, 29.0, norm=1.0), None),
        (reading(30, 31.0, norm=1.0), "worse"),
        (reading(30, 31.0, norm=11.0), "diverged"),
        (reading(30, 31.0, overlap=0.995), "discriminator won"),
        (reading(30, 31.0, overlap=1.0, memory=0.6), "over-fitting"),
        (reading(30, 18.0, overlap=1.0, memory=0.9, norm=99.0), None),  # odd, but it goes on getting better
        (reading(30, 19.0, spread=0.02, nearest=0.5), "collapsed"),
        (reading(30, 19.0, spread=0.9, nearest=0.02), "collapsed"),
        (reading(30, 17.0, spread=0.02, nearest=0.02), None),  # it is still learning
        (reading(30, 31.0, spread=0.2, nearest=0.5, overlap=1.0), "collapsed"),
        (reading(30, 18.0, spread=0.2, nearest=0.5, overlap=1.0), None),
        (reading(30, 18.0, refused=0.2), "diverged"),
        (reading(30, math.nan), "diverged"),
        (reading(30, 31.0, error=5.0), None),  # chance may have made it
        (reading(30, 31.0, stage=1), None),  # a network that has just grown
    ],
)
def test_troubles_by_name(now: Reading, name: str | None) -> None:
    found = watch.trouble(HEALTHY, now, suspected=True)
    assert (found and found.name) == name
    if found and math.isfinite(now.score) and name in ("worse", "discriminator won", "over-fitting"):
        assert "1.6 times the best" in found.told


def test_kernel_distances_must_say_so_too() -> None:
    before = [*HEALTHY[:2], reading(20, 20.0, kid=1.0, kid_low=0.5, kid_high=1.5)]
    assert watch.trouble(before, reading(30, 70.0, kid=1.2, kid_low=0.8, kid_high=1.6)) is None
    assert watch.trouble(before, reading(30, 70.0, kid=3.0, kid_low=2.0, kid_high=4.0)) is not None


def test_a_bad_score_is_suspect_at_first_and_a_trouble_when_it_stays() -> None:
    bad, awful = reading(30, 50.0), reading(30, 61.0)
    assert watch.suspect(HEALTHY, bad)
    assert watch.trouble(HEALTHY, bad) is None
    assert watch.trouble(HEALTHY, bad, suspected=True) is not None
    assert watch.trouble(HEALTHY, awful) is not None
    assert not watch.suspect(HEALTHY, reading(30, 25.0))


def test_the_best_weights_are_the_model_where_the_end_is_spoiled() -> None:
    best = reading(20, 20.0, kid=1.0, kid_low=0.0, kid_high=2.0)
    assert watch.spoiled(reading(30, 25.0, kid=1.1, kid_low=0.1, kid_high=2.1), best)
    assert not watch.spoiled(reading(30, 23.0, kid=9.0, kid_low=8.0, kid_high=10.0), best)
    assert not watch.spoiled(reading(30, 0.07, error=0.01), reading(20, 0.05, error=0.01)), "chance may have made it"
    assert watch.spoiled(reading(30, 0.12, error=0.01), reading(20, 0.05, error=0.01))
    assert not watch.spoiled(reading(30, 200.0), reading(0, 100.0)), "untrained networks are no model"
    assert not watch.spoiled(reading(30, 200.0), None)


def test_nothing_learned_after_three_milestones() -> None:
    flat = [reading(0, 100.0), reading(10, 99.0), reading(20, 97.0)]
    found = watch.trouble(flat, reading(30, 95.0))
    assert found is not None
    assert found.name == "learns nothing"
    assert watch.trouble(flat[:2], reading(20, 99.0)) is None, "too early to tell"
    assert watch.trouble([*flat[:2], reading(20, 80.0)], reading(30, 99.0)) is None, "it got better"
    good = [reading(0, 100.0), reading(10, 10.0), reading(20, 10.0)]
    assert watch.trouble(good, reading(30, 10.0)) is None, "learned, and at its end"
    assert watch.trouble(flat[1:], reading(30, 95.0)) is None, "there is no score of untrained networks"


def test_young_networks_may_draw_the_same_while_they_learn() -> None:
    young = [reading(i, 100.0 - i, spread=0.02, nearest=0.02) for i in (0, 20, 40, 60)]
    assert watch.trouble(young, reading(80, 30.0, spread=0.02, nearest=0.02)) is None
    stuck = watch.trouble(young, reading(80, 39.0, spread=0.02, nearest=0.02))
    assert stuck is not None
    assert stuck.name == "collapsed"
    assert watch.trouble(young, reading(80, 39.0, spread=0.02, nearest=0.02), since=2) is None, "remedies take time"


def test_knowing_by_heart_is_told_once() -> None:
    told = watch.notice(HEALTHY, reading(30, 18.0, memory=0.7))
    assert told is not None
    assert "70% like drawn ones" in told
    assert watch.notice([*HEALTHY, reading(30, 18.0, memory=0.7)], reading(40, 17.0, memory=0.8)) is None
    assert watch.notice(HEALTHY, reading(30, 18.0, memory=0.3)) is None


# What is done.


@pytest.mark.parametrize(
    ("name", "trouble", "settings"),
    [
        ("dcgan", "diverged", {"optimizers.generator.lr=5e-05", "optimizers.discriminator.lr=5e-05"}),
        ("dcgan", "over-fitting", {"method.looking.target=0.6"}),
        (
            "dcgan",
            "discriminator won",
            {
                *("optimizers.discriminator.lr=0.0001", "method.penalty=r1"),
                *("method.penalty_every=4",),
            },
        ),
        ("wgan-gp", "discriminator won", {"optimizers.discriminator.lr=0.0005", "method.penalty_weight=20"}),
        ("wgan", "discriminator won", {"optimizers.discriminator.lr=0.00025"}),
        ("lapgan", "discriminator won", {"optimizers.discriminator.lr=0.00025", "method.penalty_weight=20"}),
        ("lapgan", "over-fitting", {"method.penalty_weight=20"}),
        ("cogan", "discriminator won", {"optimizers.discriminator.lr=0.0001"}),
        ("vae", "worse", {"optimizers.autoencoder.lr=0.0005"}),
    ],
)
def test_remedies_are_settings(name: str, trouble: str, settings: set[str], make_recipe: Any) -> None:
    recipe = make_recipe(name)
    changed = watch.remedied(recipe, trouble)
    assert set(watch.differences(recipe, changed)) == settings
    from mezzotint.catalog import kinds
    from mezzotint.recipe import with_setting

    for setting in settings:
        recipe = with_setting(recipe, setting, kinds())
    assert recipe == changed


@pytest.mark.parametrize("name", ["dcgan", "wgan-gp", "r3gan", "progan", "sngan", "biggan", "wgan", "lapgan", "cogan"])
@pytest.mark.parametrize("trouble", ["discriminator won", "collapsed", "over-fitting"])
def test_every_remedy_can_be_trained(name: str, trouble: str, make_recipe: Any, digits: Dataset) -> None:
    recipe = make_recipe(name)
    for _ in range(3):
        recipe = watch.remedied(recipe, trouble)
    recipe.method.build(digits.spec)


# The eyes.


@pytest.mark.parametrize("name", ["dcgan", "progan", "lapgan", "cogan", "wgan"])
def test_what_is_read_of_a_game(name: str, make_recipe: Any, digits: Dataset) -> None:
    torch.manual_seed(0)
    method = make_recipe(name).method.build(digits.spec)
    assert isinstance(method, Discriminates)
    look = glance.validation_score(method, digits)
    assert look.seen is not None
    found = watch.Eyes(digits).read(0, method, look, watch.Tally())
    assert found == watch.Eyes(digits).read(0, method, look, watch.Tally())
    assert found.score == look.value
    assert found.spread is not None
    assert found.spread >= 0
    assert found.overlap is not None
    assert 0 <= found.overlap <= 1
    assert look.value == glance.validation_score(method, digits, look.seen).value


def test_one_picture_for_all_seeds_is_seen(make_recipe: Any, digits: Dataset) -> None:
    method = make_recipe("dcgan", "method.conditional=false").method.build(digits.spec)
    with torch.no_grad():
        for p in method.generator.body[-2].parameters():
            p.zero_()
    found = watch.Eyes(digits).read(0, method, glance.validation_score(method, digits), watch.Tally())
    assert (found.spread, found.nearest) == pytest.approx((0, 0), abs=1e-6)
    assert watch.trouble(HEALTHY, found) is not None


# Runs.


def events(folder: Path, *kinds: str) -> list[dict[str, Any]]:
    return [e for e in journal.read(folder / "journal.jsonl") if e["event"] in kinds]


@pytest.fixture
def fails_at(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have the watch find a trouble at given numbers of pictures."""

    def at(images: Sequence[int], name: str = "diverged") -> None:
        def found(readings: Sequence[Reading], now: Reading, since: int, suspected: bool) -> watch.Trouble | None:
            return watch.Trouble(name, "made up") if now.images in images else None

        monkeypatch.setattr(watch, "trouble", found)

    return at


def test_a_rollback_goes_on_from_the_healthy_weights_with_the_remedy(
    fails_at: Any, make_recipe: Any, train_in: Any, tmp_path: Path
) -> None:
    fails_at([48])
    recipe = make_recipe("gan-mlp", steps=4, milestones=4)
    rolled = train_in(tmp_path / "run", recipe, steps=3)
    healthy = checkpoint.load_newest(tmp_path / "run" / "healthy")
    assert healthy is not None
    assert healthy[0] == 32
    assert tensors_digest(rolled.state.tensors()) == tensors_digest(healthy[1])
    assert (rolled.state.images, rolled.state.step) == (48, 3), "pictures are counted on"
    assert rolled.recipe.optimizers["generator"].lr == pytest.approx(recipe.optimizers["generator"].lr / 4)
    assert rolled.state.optimizers["generator"].param_groups[0]["lr"] == rolled.recipe.optimizers["generator"].lr
    (told,) = events(tmp_path / "run", "rollback")
    assert (told["images"], told["reason"]) == (48, "diverged")
    assert "back from 48 to 32 pictures with --set optimizers.generator.lr=" in told["message"]
    again = train_in(tmp_path / "run")
    assert again.finished
    assert again.recipe == rolled.recipe
    assert run_recipe(tmp_path / "run") == json.loads(recipe.to_json()), "the recipe on disk stays as it was asked for"


def run_recipe(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "recipe.json").read_text())


@pytest.mark.parametrize("trouble", ["over-fitting"])  # its remedy adds to the state
def test_a_run_with_a_rollback_resumes_to_the_bit(
    trouble: str, fails_at: Any, make_recipe: Any, train_in: Any, tmp_path: Path
) -> None:
    """Stopped after each step, it sees, goes back and goes on as the run that was never stopped."""
    fails_at([16 * 2, 16 * 4], trouble)
    recipe = make_recipe("gan-mlp", steps=5, milestones=5)
    straight = train_in(tmp_path / "straight", recipe)
    for i in range(5):
        train_in(tmp_path / "stops", None if i else recipe, steps=1)
    again = train_in(tmp_path / "stops")
    assert again.state.troubles == straight.state.troubles == [trouble] * 2
    assert tensors_digest(again.state.tensors()) == tensors_digest(straight.state.tensors())
    assert again.state.readings == straight.state.readings
    told = [[(e["images"], e["message"]) for e in events(tmp_path / r, "rollback")] for r in ("stops", "straight")]
    assert told[0] == told[1]


def test_layers_that_a_rollback_has_closed_fade_in_again(
    fails_at: Any, make_recipe: Any, train_in: Any, tmp_path: Path
) -> None:
    """What is left to grow takes the time that is left, also in a run that was stopped."""
    fails_at([8 * 4])
    recipe = make_recipe("progan", batch=8, steps=8, milestones=4)
    straight = train_in(tmp_path / "straight", recipe)
    assert "back from 32 to 16" in events(tmp_path / "straight", "rollback")[0]["message"]
    stages = []
    for asked, steps in ((recipe, 5), (None, 1)):
        stages.append(train_in(tmp_path / "stops", asked, steps).state.method.generator.stage())
    # At half of the time a quarter is grown. From there to the end it is 1/4 + (t - 1/2) · (3/4) / (1/2); the one
    # doubling fades in from 0.3 to 0.6, and would have done so by 0.6 of the time.
    assert stages[0] == (0, 1.0)
    assert stages[1] == (1, pytest.approx((0.4375 - 0.3) / 0.3, abs=1e-4))
    again = train_in(tmp_path / "stops")
    assert again.state.method.generator.stage() == (1, 1.0)
    assert tensors_digest(again.state.tensors()) == tensors_digest(straight.state.tensors())


def test_an_older_checkpoint_walks_to_the_same_rollback(
    fails_at: Any, make_recipe: Any, train_in: Any, tmp_path: Path
) -> None:
    """A kill may lose everything since the last checkpoint; what came later must not be gone back to."""
    import shutil

    fails_at([16 * 3])
    recipe = make_recipe("gan-mlp", steps=6, milestones=6, checkpoint_seconds=1e9)
    straight = train_in(tmp_path / "straight", recipe)
    train_in(tmp_path / "killed", recipe, steps=1)
    shutil.copytree(tmp_path / "killed" / "checkpoint", tmp_path / "first")
    train_in(tmp_path / "killed", steps=4)
    shutil.rmtree(tmp_path / "killed" / "checkpoint")
    shutil.copytree(tmp_path / "first", tmp_path / "killed" / "checkpoint")
    again = train_in(tmp_path / "killed")
    assert tensors_digest(again.state.tensors()) == tensors_digest(straight.state.tensors())


def test_without_a_healthy_milestone_it_begins_anew_with_other_noise(
    fails_at: Any, make_recipe: Any, train_in: Any, tmp_path: Path
) -> None:
    fails_at([16])
    recipe = make_recipe("gan-mlp", steps=3, milestones=3)
    rolled = train_in(tmp_path / "run", recipe, steps=1)
    torch.manual_seed(recipe.seed)
    fresh = recipe.method.build(rolled.dataset.spec)
    assert tensors_digest(rolled.state.method.state_dict()) == tensors_digest(fresh.state_dict())
    assert "to the beginning" in events(tmp_path / "run", "rollback")[0]["message"]
    assert rolled.state.images == 16


def test_after_some_rollbacks_it_stops_and_keeps_the_best(
    fails_at: Any, make_recipe: Any, train_in: Any, tmp_path: Path
) -> None:
    fails_at([32, 48, 64])
    recipe = make_recipe("gan-mlp", steps=8, milestones=8, rollbacks=2)
    stopped = train_in(tmp_path / "run", recipe)
    assert (stopped.state.images, stopped.finished, stopped.state.stopped) == (64, True, "diverged")
    (told,) = events(tmp_path / "run", "stopped")
    assert "made up; after 2 rollbacks the run ends and the best weights are kept" in told["message"]
    first = train_in(tmp_path / "first", replace(recipe, milestones=0), steps=1)
    assert tensors_digest(stopped.trained().state_dict()) == tensors_digest(first.state.average.method.state_dict())
    assert train_in(tmp_path / "run").state.images == 64, "resumed, it stays stopped"


def test_a_trouble_that_comes_again_at_once_goes_further_back(
    fails_at: Any, make_recipe: Any, train_in: Any, tmp_path: Path
) -> None:
    fails_at([48, 64, 80])
    train_in(tmp_path / "run", make_recipe("gan-mlp", steps=6, milestones=6))
    told = [e["message"].split(" with ")[0].split("to ")[1] for e in events(tmp_path / "run", "rollback")]
    assert told == ["32 pictures", "16 pictures", "the beginning"]


def test_where_nothing_was_learned_no_milestone_was_healthy() -> None:
    nothing, worse = watch.Trouble("learns nothing", ""), watch.Trouble("worse", "")
    assert watch.to_go_back_to(HEALTHY, nothing, -1) == HEALTHY[:1]
    assert watch.to_go_back_to(HEALTHY, worse, -1) == HEALTHY
    assert watch.to_go_back_to(HEALTHY, worse, 2) == HEALTHY[:2]
    assert watch.to_go_back_to(HEALTHY, worse, 1) == HEALTHY
    assert watch.to_go_back_to([], worse, 0) == []


def test_it_may_be_asked_only_to_tell(fails_at: Any, make_recipe: Any, train_in: Any, tmp_path: Path) -> None:
    fails_at([32])
    recipe = make_recipe("gan-mlp", steps=4, milestones=4)
    watched = train_in(tmp_path / "run", replace(recipe, rollbacks=0))
    plain = train_in(tmp_path / "plain", replace(recipe, milestones=0))
    assert tensors_digest(watched.state.tensors()) == tensors_digest(plain.state.tensors())
    assert [e["images"] for e in events(tmp_path / "run", "watch")] == [32]
    assert not (tmp_path / "run" / "healthy").exists()


def test_a_spoiled_end_gives_the_best_weights(fails_at: Any, make_recipe: Any, train_in: Any, tmp_path: Path) -> None:
    fails_at([64])
    spoiled = train_in(tmp_path / "run", make_recipe("gan-mlp", steps=4, milestones=2))
    assert (spoiled.finished, spoiled.state.spoiled, spoiled.state.troubles) == (True, True, [])
    best = checkpoint.load_newest(tmp_path / "run" / "best")
    assert best is not None
    assert best[0] == 32
    expected = {k.removeprefix("average."): v for k, v in best[1].items()}
    assert tensors_digest(spoiled.trained().state_dict()) == tensors_digest(expected)
    for path in (tmp_path / "run" / "best").glob("*/state.safetensors"):
        path.write_bytes(b"damaged")
    last = spoiled.state.average.method.state_dict()
    assert tensors_digest(spoiled.trained().state_dict()) == tensors_digest(last)
    assert "going on without it" in (tmp_path / "run" / "journal.jsonl").read_text()


def test_steps_that_are_not_finite_are_rolled_back_before_the_run_gives_up(
    make_recipe: Any, train_in: Any, tmp_path: Path
) -> None:
    recipe = make_recipe("dcgan", "optimizer.lr=1e38", steps=200, milestones=2, nonfinite_limit=3, rollbacks=2)
    with pytest.raises(UserError, match="lower learning rate"):
        train_in(tmp_path / "run", recipe)
    assert [e["reason"] for e in events(tmp_path / "run", "rollback")] == ["diverged"] * 2


@pytest.mark.slow
def test_a_rate_too_high_is_named_and_lowered(make_recipe: Any, train_in: Any, tmp_path: Path) -> None:
    """At a hundred times its rate this recipe draws one picture for all seeds; at a sixteenth of that it learns."""
    recipe = make_recipe("gan-mlp", "optimizers.generator.lr=0.1", "optimizers.discriminator.lr=0.05", steps=400)
    watched = train_in(tmp_path / "run", replace(recipe, milestones=8))
    names = [e["reason"] for e in events(tmp_path / "run", "rollback")]
    assert names == watched.state.troubles
    assert names
    assert names[0] in {"collapsed", "learns nothing", "diverged"}
    assert watched.recipe.optimizers["generator"].lr < 0.1


@pytest.mark.slow
@pytest.mark.parametrize(("pictures", "told"), [(40, 1), (None, 0)])
def test_a_discriminator_that_learns_its_pictures_by_heart_is_told(
    pictures: int | None, told: int, make_recipe: Any, train_in: Any, digits: Dataset, tmp_path: Path
) -> None:
    """Without dropout it soon knows forty pictures, and not fourteen hundred."""
    few = replace(digits, splits={**digits.splits, "train": digits.splits["train"][:pictures]})
    narrow = ("method.generator.width=32", "method.discriminator.width=32", "method.discriminator.dropout=0")
    rates = ("optimizers.generator.lr=0.002", "optimizers.discriminator.lr=0.001")
    recipe = make_recipe("dcgan", *narrow, *rates, steps=120, batch=32)
    watched = train_in(tmp_path / "run", replace(recipe, milestones=2), dataset=few)
    assert len([e for e in events(tmp_path / "run", "watch") if "by heart" in e["message"]]) == told
    assert (watched.state.readings[-1].memory >= watch.LEARNED_BY_HEART) == bool(told)
    assert watched.state.troubles == [], "the score has not become worse"


@pytest.mark.parametrize("name", ["cnn-classic", "vae-dense", "flow"])
def test_healthy_runs_of_other_methods_raise_no_alarm(
    name: str, make_recipe: Any, train_in: Any, tmp_path: Path
) -> None:
    few = ("method.network.width=16", "method.drawing.steps=2") if name == "flow" else ()
    recipe = make_recipe(name, *few, steps=40, batch=32)
    watched = train_in(tmp_path / "run", replace(recipe, milestones=4))
    assert events(tmp_path / "run", "rollback", "watch", "stopped") == []
    assert len(watched.state.readings) == 4
    assert all(math.isfinite(r.score) and r.norm > 0 for r in watched.state.readings)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_a_healthy_gan_raises_no_alarm(seed: int, make_recipe: Any, train_in: Any, tmp_path: Path) -> None:
    recipe = make_recipe("gan-mlp", steps=240, batch=32, seed=seed)
    watched = train_in(tmp_path / "run", replace(recipe, milestones=8))
    assert events(tmp_path / "run", "rollback", "stopped") == []
    assert watched.state.readings[-1].score < 0.5 * watched.state.readings[0].score
    assert drawing.sample_grid(watched.trained()) is not None
