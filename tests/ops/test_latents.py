"""Ways through latent spaces, against geometry, the singular value decomposition and an invertible generator."""

import math

import pytest
import torch

from mezzotint.ops import latents


def noise(n: int, d: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_slerp_walks_the_arc_at_an_even_pace() -> None:
    a, b = torch.tensor([[1.0, 0.0]]).expand(5, -1), torch.tensor([[0.0, 1.0]]).expand(5, -1)
    share = torch.linspace(0, 1, 5)
    angle = share * math.pi / 2
    torch.testing.assert_close(latents.slerp(a, b, share), torch.stack([angle.cos(), angle.sin()], 1))


def test_slerp_of_normal_noise_keeps_its_length_where_a_straight_line_does_not() -> None:
    a, b = noise(1, 512, 1).expand(9, -1), noise(1, 512, 2).expand(9, -1)
    share = torch.linspace(0, 1, 9)
    lengths = latents.slerp(a, b, share).norm(dim=1)
    torch.testing.assert_close(lengths, torch.lerp(a.norm(dim=1), b.norm(dim=1), share))
    assert float(torch.lerp(a, b, share[:, None]).norm(dim=1).min()) < 0.8 * float(lengths.min())


@pytest.mark.parametrize("factor", [1.0, 3.0, -1.0, 0.0])
def test_latents_of_one_line_are_joined_by_it(factor: float) -> None:
    a = noise(3, 8).double()
    share = torch.tensor([0.0, 0.5, 1.0]).double()
    torch.testing.assert_close(latents.slerp(a, factor * a, share), torch.lerp(a, factor * a, share[:, None]))


def test_factors_are_the_right_singular_vectors() -> None:
    entrance = noise(40, 6)
    found = latents.factors(entrance, 3)
    _, _, right = torch.linalg.svd(entrance.double())
    torch.testing.assert_close((found.double() @ right[:3].T).abs(), torch.eye(3).double(), rtol=1e-4, atol=1e-4)
    stretched = (entrance @ found.T).norm(dim=0)
    assert (stretched[:-1] >= stretched[1:]).all()
    assert (found.gather(1, found.abs().argmax(1, keepdim=True)) > 0).all()
    assert latents.factors(entrance, 99).shape == (6, 6)


def test_a_walk_goes_both_ways_from_each_latent() -> None:
    starts, direction = noise(2, 4), torch.tensor([0.0, 1.0, 0.0, 0.0])
    rows = latents.walk(starts, direction, 2.0, 5).view(2, 5, 4)
    torch.testing.assert_close(rows[:, 2], starts)
    torch.testing.assert_close(rows[:, :, 1] - starts[:, None, 1], torch.linspace(-2, 2, 5).expand(2, 5))
    torch.testing.assert_close(rows[:, :, 0], starts[:, None, 0].expand(2, 5))


def test_the_difference_counts_every_scale_alike() -> None:
    a, b = torch.zeros(1, 1, 8, 8), torch.full((1, 1, 8, 8), 0.5)
    assert float(latents.difference(a, b)) == pytest.approx(0.25)
    checkered = (torch.arange(8)[:, None] + torch.arange(8)) % 2 - 0.5
    fine = latents.difference(a, checkered[None, None])  # gone at the half size
    assert float(fine) == pytest.approx(0.25 / 2)


def test_projection_finds_the_latent_that_a_picture_was_drawn_from() -> None:
    turn = torch.linalg.qr(noise(16, 16, 3))[0]

    def draw(z: torch.Tensor) -> torch.Tensor:
        return (z @ turn.T).view(-1, 1, 4, 4)

    wanted = noise(3, 16, 4)
    wanted *= (3.9 / wanted.norm(dim=1, keepdim=True)).clamp(max=1)  # within the sphere of normal noise, of radius 4
    found, left = latents.projected(draw, draw(wanted), noise(3, 16, 5), 300)
    torch.testing.assert_close(found, wanted, rtol=0, atol=0.02)
    assert (left < 1e-3).all()


def test_projection_keeps_to_the_sphere_and_to_the_best_step() -> None:
    def draw(z: torch.Tensor) -> torch.Tensor:
        return z.view(-1, 1, 4, 4)

    starts = torch.zeros(1, 16)
    starts[0, 0] = 1.0
    found, left = latents.projected(draw, 100 * torch.ones(1, 1, 4, 4), starts, 50)
    assert float(found.norm()) <= 4 + 1e-4
    again = latents.difference(draw(found), 100 * torch.ones(1, 1, 4, 4))
    torch.testing.assert_close(again, left)
