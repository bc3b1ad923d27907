import pytest
import torch

from mezzotint.ops.augment import NUMBERS, Looking, looked_at, overlap_step

ALL = Looking(probability=1.0)


def uniforms(n, seed=0):
    return torch.rand(n, NUMBERS, generator=torch.Generator().manual_seed(seed))


def pictures(n=6, c=3, h=16, w=24):
    return torch.rand(n, c, h, w, generator=torch.Generator().manual_seed(1)) * 2 - 1


def only(**strengths):
    return Looking(**{"color": 0.0, "move": 0.0, "hide": 0.0, "probability": 1.0, **strengths})


@pytest.mark.parametrize("c", [1, 3])
def test_shape_stays_and_rows_decide_alone(c):
    images, u = pictures(c=c), uniforms(6)
    whole = looked_at(images, u, 1.0, ALL)
    assert whole.shape == images.shape
    assert not torch.equal(whole, images)
    torch.testing.assert_close(looked_at(images[2:4], u[2:4], 1.0, ALL), whole[2:4])


def test_no_chance_changes_nothing():
    images = pictures()
    torch.testing.assert_close(looked_at(images, uniforms(6), 0.0, ALL), images)
    torch.testing.assert_close(looked_at(images, uniforms(6), 1.0, only()), images)


def test_a_chance_is_the_share_of_changed_pictures():
    images, u = pictures(n=1, h=8, w=8).expand(4000, -1, -1, -1), uniforms(4000)
    for chance in (0.2, 0.7):
        difference = (looked_at(images, u, chance, only(color=1.0)) - images).abs().amax((1, 2, 3))
        assert float((difference > 1e-4).float().mean()) == pytest.approx(chance, abs=0.03)


def test_brightness_and_contrast_by_hand():
    """Numbers 3 and 5 are 1 and 0.75: half a unit brighter, contrast times 1.25 about the mean."""
    images = torch.tensor([-0.5, 0.5]).view(1, 1, 1, 2)
    u = torch.zeros(1, NUMBERS)
    u[0, 3], u[0, 5] = 1.0, 0.75
    expected = 0.5 + 1.25 * torch.tensor([-0.5, 0.5]).view(1, 1, 1, 2)
    torch.testing.assert_close(looked_at(images, u, 1.0, only(color=1.0)), expected)


def test_moves_are_whole_pixels_and_bring_in_grey():
    images, u = pictures(n=1), torch.zeros(1, NUMBERS)
    u[0, 6], u[0, 7] = 1.0, 0.0  # as far as it goes: two rows of 16, three columns of 24
    moved = looked_at(images, u, 1.0, only(move=1.0))
    torch.testing.assert_close(moved[:, :, :14, 3:], images[:, :, 2:, :21])
    assert not moved[:, :, 14:].any()
    assert not moved[:, :, :, :3].any()


def test_every_move_is_as_likely_as_another():
    images = torch.zeros(20_000, 1, 8, 8)
    images[:, :, 4, 4] = 1
    moved = looked_at(images, uniforms(20_000), 1.0, only(move=1.0))
    share = moved.mean(0)[0]
    torch.testing.assert_close(share[3:6, 3:6], torch.full((3, 3), 1 / 9), rtol=0, atol=0.01)
    assert float(share.sum()) == pytest.approx(1)


def test_what_is_hidden_is_a_square_of_half_the_side():
    u = uniforms(50)
    u[:, 8:] = 0.5
    hidden = looked_at(torch.ones(50, 1, 16, 16), u, 1.0, only(hide=1.0))
    assert (hidden == 0).sum((1, 2, 3)).tolist() == [64] * 50


def test_gradients_pass_to_the_second_order():
    images = pictures(n=2, h=6, w=6).double().requires_grad_()
    u = uniforms(2).double()

    def seen(x):
        return looked_at(x, u, 1.0, ALL)

    assert torch.autograd.gradcheck(seen, images)
    assert torch.autograd.gradgradcheck(lambda x: seen(x).tanh(), images)


def test_the_controller_settles_where_the_overlap_is_the_target():
    """A discriminator whose overlap falls with the probability, as 1 - p: the target 0.6 is met at p = 0.4."""
    config, chance = Looking(target=0.6, images=1000), torch.tensor(0.0)
    path = []
    for _ in range(200):
        chance = overlap_step(chance, 1 - chance, torch.tensor(16.0), config)
        path.append(float(chance))
    assert path[24] == pytest.approx(25 * 16 / 1000)  # straight up at the full rate
    assert all(abs(p - 0.4) <= 0.017 for p in path[30:])


def test_the_controller_stays_in_bounds():
    config, many = Looking(target=0.6, images=100), torch.tensor(1000.0)
    assert overlap_step(torch.tensor(0.9), torch.tensor(1.0), many, config) == 1
    assert overlap_step(torch.tensor(0.1), torch.tensor(-1.0), many, config) == 0
    assert overlap_step(torch.tensor(0.3), torch.tensor(0.6), many, config) == pytest.approx(0.3)


@pytest.mark.parametrize("setting", [{"color": 1.5}, {"probability": -0.1}, {"images": 0}])
def test_numbers_out_of_range_are_refused(setting):
    with pytest.raises(ValueError, match=r"an adaptive|numbers from 0 to 1"):
        Looking(**setting)
