import mpmath
import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mezzotint.losses.likelihood import logistic_mixture
from mezzotint.ops import tables


def drawn(seed: int, count: int, k: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    mean = generator.integers(-256 * 16, 511 * 16, (k, count), dtype=np.int32)
    octave = generator.integers(-32, 49, (k, count), dtype=np.int32)
    logit = -generator.integers(0, 193, (k, count), dtype=np.int32)
    logit[generator.integers(0, k, count), np.arange(count)] = 0
    return mean, octave, logit


@given(st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_intervals_tile_the_whole_range(seed: int) -> None:
    mixed = tables.mixture(*drawn(seed, 30))
    end = np.zeros(30, np.int64)
    for value in range(256):
        low, frequency = tables.interval(mixed, np.full(30, value, np.int64))
        assert (low == end).all()
        assert (frequency >= 1).all()
        end = low + frequency
    assert (end == 1 << 16).all()


@given(st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_a_slot_is_found_where_it_lies(seed: int) -> None:
    mixed = tables.mixture(*drawn(seed, 200))
    slots = np.random.default_rng(seed).integers(0, 1 << 16, 200)
    value, low, frequency = tables.find(mixed, slots)
    assert ((low <= slots) & (slots < low + frequency)).all()
    again = tables.interval(mixed, value)
    assert (again[0] == low).all()
    assert (again[1] == frequency).all()


def test_tables_say_what_the_training_descends() -> None:
    """The rate of numbers drawn from the mixtures themselves differs by less than a thousandth of a bit."""
    mean, octave, logit = drawn(1, 4000)
    mean = mean.clip(0, 255 * 16)
    mixed = tables.mixture(mean, octave, logit)
    value, _, frequency = tables.find(mixed, np.random.default_rng(2).integers(0, 1 << 16, 4000))
    rate = 16 - np.log2(frequency)
    spoken = (torch.from_numpy(part.T.copy()).double() / unit for part, unit in ((mean, 16), (octave, 8), (logit, 16)))
    descended = -logistic_mixture(torch.from_numpy(value).double(), *spoken) / np.log(2)
    assert abs(rate.mean() - float(descended.mean())) < 1e-3


def test_the_logistic_table_is_the_function() -> None:
    table = tables._logistic()
    assert len(table) == 2 * 6144 + 1
    for i in (0, 1, 3000, 6144, 6145, 9000, 12288):
        exact = 2**14 / (1 + mpmath.exp(-mpmath.mpf(i - 6144) / 512))
        assert abs(int(table[i]) - exact) <= 0.5
    assert (np.diff(table) >= 0).all()
    assert (table + table[::-1] == 2**14).all()
