"""Against torch.optim, autograd, the singular value decomposition and the schedules' formulas."""

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mezzotint.digest import tensors_digest
from mezzotint.recipe import Optimizer
from mezzotint.training import optimizers
from mezzotint.training.state import State

NAMES = ("adam", "adamw", "sgd", "rmsprop", "adagrad", "muon")
THEIRS = {
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.1),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.7, nesterov=True, weight_decay=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.99, eps=1e-6, weight_decay=0.1, momentum=0.7),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.01, eps=1e-6, weight_decay=0.1),
    # Muon's vectors are AdamW's.
    "muon": lambda p: torch.optim.AdamW(p, lr=0.01, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.1),
}


def setting(name: str, **changes: float) -> Optimizer:
    made = Optimizer(
        name=name,  # pyright: ignore[reportArgumentType]
        lr=0.01,
        vector_lr=0.01,
        betas=(0.8, 0.99),
        momentum=0.7,
        eps=1e-6,
        weight_decay=0.1,
    )
    return replace(made, **changes)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(4, 20, 3), nn.ReLU(), nn.Flatten(), nn.Linear(20, 18), nn.Linear(18, 3))


def step(net: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> float:
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(8, 4, 3, 3, generator=generator), torch.randn(8, 3, generator=generator)
    loss = (net(x) - y).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


@pytest.mark.parametrize("name", NAMES)
def test_each_descends(name: str) -> None:
    net = network()
    optimizer = optimizers.build(setting(name, weight_decay=0.0), list(net.parameters()))
    losses = [step(net, optimizer, seed=1) for _ in range(40)]
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize("name", NAMES)
def test_steps_are_those_of_torch(name: str) -> None:
    ours, theirs = (nn.Linear(5, 3), nn.Linear(5, 3))  # too thin to be Muon's
    theirs.load_state_dict(ours.state_dict())
    mine = optimizers.build(setting(name), list(ours.parameters()))
    reference = THEIRS[name](theirs.parameters())
    for seed in range(5):
        x = torch.randn(7, 5, generator=torch.Generator().manual_seed(seed))
        for net, optimizer in ((ours, mine), (theirs, reference)):
            optimizer.zero_grad()
            net(x).square().sum().backward()
            optimizer.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)  # fused and plain steps round differently


# Muon.


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 9))
def test_orthogonalized_keeps_the_directions_and_evens_the_lengths(rows: int, columns: int, seed: int) -> None:
    # Singular values from 0.3 to 1: of a matrix with much smaller ones five iterations only raise those.
    generator = torch.Generator().manual_seed(seed)
    u, _, v = torch.linalg.svd(torch.randn(rows, columns, generator=generator), full_matrices=False)
    values = torch.linspace(0.3, 1, min(rows, columns))
    found = optimizers.orthogonalized((u * values @ v)[None])[0]
    along = u.T @ found @ v.T
    lengths = along.diagonal()
    assert lengths.min() > 0.65, lengths
    assert lengths.max() < 1.25
    torch.testing.assert_close(along, torch.diag(lengths), atol=1e-4, rtol=0)


def test_orthogonalized_does_not_mind_scale_or_company() -> None:
    matrices = torch.randn(3, 20, 30, generator=torch.Generator().manual_seed(0))
    found = optimizers.orthogonalized(matrices)
    torch.testing.assert_close(optimizers.orthogonalized(matrices[1:2] * 1000)[0], found[1], rtol=1e-3, atol=1e-4)
    assert torch.isfinite(optimizers.orthogonalized(torch.zeros(1, 4, 4))).all()


def test_muons_first_step_is_the_orthogonalized_gradient() -> None:
    weight = nn.Parameter(torch.zeros(32, 4, 3, 3))
    optimizer = optimizers.build(setting("muon", weight_decay=0.0), [weight])
    gradient = torch.randn(32, 36, generator=torch.Generator().manual_seed(0))
    weight.grad = gradient.view_as(weight).clone()
    optimizer.step()
    u, _, v = torch.linalg.svd(gradient, full_matrices=False)
    moved = -weight.detach().view(32, 36)
    assert torch.nn.functional.cosine_similarity(moved.flatten(), (u @ v).flatten(), dim=0) > 0.97
    # The root mean square of a step is about 0.2 lr, whatever the shape.
    assert float(moved.square().mean().sqrt()) == pytest.approx(0.2 * 0.01, rel=0.25)


# State.


@pytest.mark.parametrize("name", NAMES)
def test_state_there_and_back_goes_on_to_the_bit(name: str) -> None:
    net = network().to(memory_format=torch.channels_last)
    optimizer = optimizers.build(setting(name), list(net.parameters()))
    for seed in range(3):
        step(net, optimizer, seed)
    stored = {k: v.clone().contiguous() for k, v in optimizers.state_tensors(optimizer).items()}
    again = copy.deepcopy(net)
    other = optimizers.build(setting(name), list(again.parameters()))
    optimizers.load_state_tensors(other, stored)
    assert tensors_digest(optimizers.state_tensors(other)) == tensors_digest(stored)
    for seed in range(3, 6):
        step(net, optimizer, seed)
        step(again, other, seed)
    assert tensors_digest(dict(net.named_parameters())) == tensors_digest(dict(again.named_parameters()))


def test_a_fresh_state_is_empty_and_can_be_loaded() -> None:
    net = network()
    optimizer = optimizers.build(setting("adam"), list(net.parameters()))
    assert optimizers.state_tensors(optimizer) == {}
    optimizers.load_state_tensors(optimizer, {})


# Rates.


def test_schedules_at_known_places() -> None:
    linear = Optimizer(schedule="linear", warmup=0.1, decay_from=0.5, final=0.2)
    factors = [optimizers.rate_factor(linear, x) for x in (0, 0.05, 0.1, 0.3, 0.5, 0.75, 1)]
    assert factors == pytest.approx([0, 0.5, 1, 1, 1, 0.6, 0.2])
    cosine = Optimizer(schedule="cosine", final=0.1)
    assert [optimizers.rate_factor(cosine, x) for x in (0, 0.5, 1)] == pytest.approx([1, 0.55, 0.1])
    assert optimizers.rate_factor(cosine, 0.25) == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 4)))
    assert [optimizers.rate_factor(Optimizer(), x) for x in (0, 0.5, 1)] == [1, 1, 1]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["constant", "linear", "cosine"]), *[st.floats(0, 1)] * 4)
def test_a_factor_is_a_share(schedule: str, warmup: float, start: float, final: float, x: float) -> None:
    made = Optimizer(schedule=schedule, warmup=warmup, decay_from=start, final=final)  # pyright: ignore[reportArgumentType]
    assert 0 <= optimizers.rate_factor(made, x) <= 1


def test_every_group_gets_its_own_rate() -> None:
    made = setting("muon", lr=0.02, schedule="linear", vector_lr=0.004)  # pyright: ignore[reportArgumentType]
    optimizer = optimizers.build(made, list(network().parameters()))
    optimizers.set_rate(optimizer, made, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.01, 0.002])


# Penalties.


def test_penalties_are_the_gradients_of_their_sums() -> None:
    net = network()
    x = torch.randn(2, 4, 3, 3)
    weights = [p for p in net.parameters() if p.ndim > 1]
    penalty = sum(0.3 * w.abs().sum() + 0.2 * w.square().sum() for w in weights)
    (net(x).sum() + penalty).backward()
    expected = [p.grad.clone() for p in net.parameters() if p.grad is not None]
    net.zero_grad()
    net(x).sum().backward()
    optimizers.add_penalties(Optimizer(l1=0.3, l2=0.2), net.parameters())
    for p, gradient in zip(net.parameters(), expected, strict=True):
        torch.testing.assert_close(p.grad, gradient)


@pytest.mark.parametrize(
    "changes",
    [{"lr": -1.0}, {"lr": math.nan}, {"eps": math.inf}, {"l1": -0.1}, {"betas": (0.9,)}, {"betas": (0.9, 1.0)}],
)
def test_odd_numbers_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"optimizer|betas"):
        setting("adam", **changes)


# Turns.


def test_lazy_turns_spread_the_settings_as_in_stylegan2() -> None:
    """Karras et al. 2020, appendix B: with a penalty every 16 steps c = 16/17."""
    once = Optimizer(lr=0.002, betas=(0.0, 0.99), momentum=0.8)
    c = 16 / 17
    found = optimizers.spread_over(once, 1 + 1 / 16)
    assert found.lr == pytest.approx(0.002 * c)
    assert found.betas == pytest.approx((0.0, 0.99**c))
    assert found.momentum == pytest.approx(0.8**c)


@pytest.mark.parametrize("turns", [1.0, 0.2])
def test_one_turn_a_step_or_fewer_changes_nothing(turns: float) -> None:
    assert optimizers.spread_over(setting("adam"), turns) == setting("adam")


def test_equal_turns_forget_as_one(make_recipe: Any, digits: Any) -> None:
    """With the penalty at every second step the discriminator has 1.5 turns a step, the generator one."""
    recipe = make_recipe("progan", "method.penalty_every=2")
    settings = State(recipe, recipe.method.build(digits.spec)).settings
    asked = recipe.optimizers
    assert settings["generator"] == asked["generator"]
    assert settings["discriminator"].lr == pytest.approx(asked["discriminator"].lr / 1.5)
    assert settings["discriminator"].betas[1] ** 1.5 == pytest.approx(asked["discriminator"].betas[1])


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "muon"])
def test_vectors_need_not_decay(name):
    """Without a gradient only decay moves anything."""
    matrix, vector = nn.Parameter(torch.ones(20, 20)), nn.Parameter(torch.ones(20))
    settings = Optimizer(name=name, lr=0.1, vector_lr=0.1, weight_decay=0.5, decay_vectors=False)
    optimizer = optimizers.build(settings, [matrix, vector])
    optimizers.set_rate(optimizer, settings, 0.5)
    for p in (matrix, vector):
        p.grad = torch.zeros_like(p)
    optimizer.step()
    assert (matrix < 1).all()
    assert torch.equal(vector, torch.ones(20))
    # What it remembers comes back, numbered over both groups.
    again = optimizers.build(settings, [nn.Parameter(matrix.detach().clone()), nn.Parameter(vector.detach().clone())])
    optimizers.load_state_tensors(again, optimizers.state_tensors(optimizer))
    assert optimizers.state_tensors(again).keys() == optimizers.state_tensors(optimizer).keys()
