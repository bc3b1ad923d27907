"""Latents through the coder and back, whatever their size, in whatever company."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mezzotint import lossy
from mezzotint.networks.grid import fixed
from mezzotint.networks.hyperprior import Hyperprior, HyperpriorConfig
from mezzotint.types import DataSpec

CONFIG = HyperpriorConfig(analysis=16, synthesis=12, latents=8, hyper=8, hyper_latents=4)


def network(channels: int = 3, spread: float = 4.0) -> Hyperprior:
    """Fresh weights, the last layers' larger, so that much is coded."""
    torch.manual_seed(0)
    net = CONFIG.build(DataSpec(channels, 8, 8))
    with torch.no_grad():
        net.analysis[-1].weight.mul_(spread)
        net.decoder.hyper_synthesis[-1].bias.normal_(0, 0.7)
    return fixed(net)


def drawn(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    smooth = (x * 5 + y * 3 + seed * 40)[..., None] + np.arange(channels) * 30
    return ((smooth + generator.integers(0, 40, (height, width, channels))) % 256).astype(np.uint8)


def there_and_back(net: Hyperprior, pictures: list[np.ndarray], quality: int) -> list[lossy.Shrunk]:
    done = lossy.shrink(net, pictures, quality)
    shapes = [(p.shape[0], p.shape[1]) for p in pictures]
    back = lossy.restore(net.decoder, shapes, [d.streams for d in done], [d.beyond for d in done], quality)
    for one, again in zip(done, back, strict=True):
        assert again is not None
        assert np.array_equal(one.pixels, again)
    return done


@given(st.lists(st.tuples(st.integers(1, 70), st.integers(1, 70)), min_size=1, max_size=4), st.integers(1, 100))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_comes_back_is_what_was_promised(shapes: list[tuple[int, int]], quality: int) -> None:
    for channels in (1, 3):
        pictures = [drawn(h, w, channels, i) for i, (h, w) in enumerate(shapes)]
        done = there_and_back(network(channels), pictures, quality)
        assert [d.pixels.shape for d in done] == [p.shape for p in pictures]


@pytest.mark.parametrize("quality", [1, 60, 100])
def test_streams_are_as_long_as_the_tables_say(quality: int) -> None:
    """To a percent, and to the two or three bytes that a stream is rounded up by."""
    pictures = [drawn(96, 120, seed=i) for i in range(4)]
    for one in there_and_back(network(), pictures, quality):
        taken = 8 * (sum(map(len, one.streams)) + len(one.beyond))
        assert -8 < taken - one.bits < 0.01 * one.bits + 24 * len(one.streams)


def test_company_threads_and_tiles_change_no_byte(
    monkeypatch: pytest.MonkeyPatch, restore_threads: Callable[[], None]
) -> None:
    net = network()
    pictures = [drawn(40, 33), drawn(150, 97, seed=1), drawn(1, 1), drawn(64, 64, seed=2)]
    whole = there_and_back(net, pictures, 55)
    torch.set_num_threads(2)
    alone = [there_and_back(net, [picture], 55)[0] for picture in reversed(pictures)][::-1]
    restore_threads()
    monkeypatch.setattr(lossy, "TILE", 32)
    tiled = there_and_back(net, pictures, 55)
    for a, b, c in zip(whole, alone, tiled, strict=True):
        assert a.streams == b.streams == c.streams
        assert a.beyond == b.beyond == c.beyond
        assert np.array_equal(a.pixels, b.pixels)
        assert np.array_equal(a.pixels, c.pixels)


@pytest.mark.parametrize("blocks", [0, 2])
def test_tiles_overlap_by_as_far_as_a_pixel_is_seen(blocks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    config = HyperpriorConfig(analysis=8, synthesis=8, latents=4, hyper=4, hyper_latents=4, blocks=blocks)
    net, picture = fixed(config.build(DataSpec(3, 8, 8))), [drawn(200, 160)]
    whole = lossy.shrink(net, picture, 80)[0]
    monkeypatch.setattr(lossy, "TILE", 32)
    tiled = lossy.shrink(net, picture, 80)[0]
    assert whole.streams == tiled.streams
    assert np.array_equal(whole.pixels, tiled.pixels)


def test_latents_beyond_the_tables_come_back() -> None:
    net = network(spread=400.0)
    done = there_and_back(net, [drawn(64, 64), drawn(20, 9, seed=3)], 100)
    assert any(d.beyond for d in done)


def test_a_large_picture_has_several_lanes() -> None:
    done = there_and_back(network(), [drawn(260, 300)], 40)
    assert len(done[0].streams) == lossy.lanes_of(8, 260, 300) == 2


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_damage_is_noticed_or_harmless(data: st.DataObject) -> None:
    net = network(spread=60.0)
    pictures = [drawn(40, 50), drawn(33, 20, seed=1)]
    done = lossy.shrink(net, pictures, 70)
    streams, beyond = [list(d.streams) for d in done], [d.beyond for d in done]
    raw = bytearray(streams[0][0])
    kind = data.draw(st.sampled_from(["flip", "cut", "add", "none", "beyond"]))
    if kind == "flip":
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    elif kind == "cut":
        del raw[data.draw(st.integers(0, len(raw) - 1)) :]
    elif kind == "add":
        raw += data.draw(st.binary(min_size=1, max_size=9))
    elif kind == "beyond":
        beyond[0] += data.draw(st.binary(min_size=1, max_size=5))
    streams[0] = [] if kind == "none" else [bytes(raw)]
    back = lossy.restore(net.decoder, [(40, 50), (33, 20)], streams, beyond, 70)
    assert back[0] is None or back[0].shape == (40, 50, 3)
    assert kind not in ("none", "beyond") or back[0] is None
    assert back[1] is not None
    assert np.array_equal(back[1], done[1].pixels)


@pytest.mark.parametrize("quality", [0, 101, -3])
def test_a_quality_that_is_none_is_refused(quality: int) -> None:
    with pytest.raises(ValueError, match="a quality lies between 1 and 100"):
        lossy.rows_of(network().decoder, quality)


def test_no_pictures_are_none() -> None:
    assert lossy.shrink(network(), [], 50) == []
    assert lossy.restore(network().decoder, [], [], [], 50) == []


def test_rates_rise_with_gains() -> None:
    """Even of fresh weights: larger gains are finer steps."""
    picture = [drawn(64, 64)]
    bits = [lossy.shrink(network(), picture, q)[0].bits for q in (1, 25, 50, 75, 100)]
    assert bits == sorted(bits)
