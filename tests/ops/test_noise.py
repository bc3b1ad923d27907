import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mezzotint.ops.noise import keyed_uniform, normal_from_seeds, truncated

SEEDS = st.integers(-(2**63), 2**64)


def splitmix(state: int) -> int:
    """Steele, Lea & Flood (2014), fig. 17, in Python's integers."""
    state = (state + 0x9E3779B97F4A7C15) % 2**64
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) % 2**64
    return state ^ (state >> 31)


def test_the_hash_is_splitmix64():
    # The reference generator's first outputs from seed 0.
    assert [splitmix(i * 0x9E3779B97F4A7C15 % 2**64) for i in range(2)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]
    row = splitmix(splitmix(7) ^ 11)
    keys = [(row + 0x9E3779B97F4A7C15 * (i + 1)) % 2**64 for i in range(3)]
    assert keyed_uniform(7, np.array([11]), 3)[0].tolist() == [(splitmix(key) >> 11) * 2.0**-53 for key in keys]


@given(SEEDS, st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20), st.integers(1, 9))
@settings(deadline=None, max_examples=30)
def test_a_position_gives_its_numbers_in_any_company(seed, positions, count):
    together = keyed_uniform(seed, np.array(positions), count)
    assert together.shape == (len(positions), count)
    assert ((together >= 0) & (together < 1)).all()
    for row, position in zip(together, positions, strict=True):
        assert np.array_equal(keyed_uniform(seed, np.array([position]), count)[0], row)
        assert np.array_equal(keyed_uniform(seed, np.array([position]), count + 2)[0, :count], row)


def test_the_numbers_are_uniform_and_unrelated():
    numbers = keyed_uniform(3, np.arange(100_000), 4)
    counts = np.stack([np.histogram(column, 50, (0, 1))[0] for column in numbers.T])
    # Chi-squared with 49 degrees of freedom: 100 is its 0.99998 quantile.
    assert (((counts - 2000) ** 2 / 2000).sum(1) < 100).all()
    related = np.corrcoef(np.concatenate([numbers[1:], numbers[:-1], keyed_uniform(4, np.arange(1, 100_000), 4)], 1).T)
    assert np.abs(related - np.eye(12)).max() < 5 / np.sqrt(100_000)


@given(st.lists(st.integers(0, 2**63 - 1), max_size=6))
@settings(deadline=None, max_examples=20)
def test_a_seed_draws_its_row_in_any_company(seeds):
    rows = normal_from_seeds(seeds, 2, 3)
    assert rows.shape == (len(seeds), 2, 3)
    assert all(torch.equal(row, normal_from_seeds([seed], 2, 3)[0]) for row, seed in zip(rows, seeds, strict=True))


def test_truncated_noise_is_the_truncated_normal():
    """Mean 0; variance 1 - 2·b·phi(b)/(1 - 2·Phi(-b)), which is 0.7737 for b = 2."""
    noise = truncated(torch.randn(100_000, generator=torch.Generator().manual_seed(0)), 2.0)
    assert float(noise.abs().max()) <= 2
    assert abs(float(noise.mean())) < 0.01
    assert abs(float(noise.var()) - 0.7737) < 0.01


def test_truncation_keeps_order_and_signs_and_wide_bounds_change_nothing():
    noise = torch.linspace(-4, 4, 101)
    narrow = truncated(noise, 0.5)
    assert bool((narrow.diff() > 0).all())
    assert torch.equal(narrow.sign(), noise.sign()) or float(narrow[50].abs()) < 1e-6
    torch.testing.assert_close(truncated(noise, 9.0), noise, rtol=0, atol=1e-5)
