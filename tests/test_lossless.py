import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mezzotint import lossless, packing
from mezzotint.networks.causal import Causal, CausalConfig
from mezzotint.types import DataSpec


def network(channels: int, seed: int = 0) -> Causal:
    torch.manual_seed(seed)
    net = CausalConfig(widths=(24, 16)).build(DataSpec(channels, 8, 8))
    with torch.no_grad():
        for p in net.parameters():
            p += 0.05 * torch.randn_like(p)
    return net


def picture(kind: str, height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    shape = height, width, channels
    if kind == "noise":
        return generator.integers(0, 256, shape, dtype=np.uint8)
    if kind == "flat":
        return np.full(shape, generator.integers(0, 256), np.uint8)
    if kind == "extremes":
        return generator.choice(np.array([0, 255], np.uint8), shape)
    y, x = np.mgrid[:height, :width]
    smooth = 120 + 80 * np.sin(x / 7 + seed)[..., None] * np.cos(y / 5)[..., None] + generator.normal(0, 2, shape)
    return smooth.clip(0, 255).astype(np.uint8)


def back(net: Causal, pictures: list[np.ndarray]) -> list[list[bytes]]:
    streams = lossless.encode(net, pictures)
    decoded = lossless.decode(net, [p.shape[:2] for p in pictures], streams)
    for before, after in zip(pictures, decoded, strict=True):
        assert after is not None
        assert np.array_equal(before, after)
    return streams


@given(
    st.lists(
        st.tuples(st.integers(1, 30), st.integers(1, 16), st.sampled_from(["noise", "flat", "extremes", "smooth"])),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([1, 3]),
)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_pictures_of_any_size_and_content_come_back(shapes: list[tuple[int, int, str]], channels: int) -> None:
    back(network(channels), [picture(kind, h, w, channels, i) for i, (h, w, kind) in enumerate(shapes)])


def test_a_picture_of_several_tiles_and_lanes_comes_back() -> None:
    wide = picture("smooth", 10, 2 * lossless.TILE + 5, 1)
    (streams,) = back(network(1), [wide])
    assert len(streams) == lossless.lanes_of(*wide.shape[:2]) == 2 + 2 + 1


def test_streams_are_as_long_as_the_tables_say() -> None:
    """And within a percent of what the method calls its likelihood."""
    net, pictures = network(1), [picture("smooth", 24, 70, 1, i) for i in range(5)]
    for streams, bits in zip(back(net, pictures), lossless.bits(net, pictures), strict=True):
        assert bits / 8 - 1 < sum(map(len, streams)) < bits / 8 * 1.01 + 1


def test_company_order_and_threads_change_no_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network(3)
    pictures = [picture("smooth", 10 + i, 20 - i, 3, i) for i in range(6)]
    together = lossless.encode(net, pictures)
    assert [lossless.encode(net, [p])[0] for p in pictures] == together
    assert lossless.encode(net, pictures[::-1])[::-1] == together
    monkeypatch.setattr(lossless, "BATCH", 300)
    monkeypatch.setattr(lossless, "CHUNK", 37)
    torch.set_num_threads(3)
    try:
        assert lossless.encode(net, pictures) == together
        decoded = lossless.decode(net, [p.shape[:2] for p in pictures], together)
    finally:
        torch.set_num_threads(1)
    assert all(d is not None and np.array_equal(d, p) for d, p in zip(decoded, pictures, strict=True))


DECODES = """
import sys, torch
import numpy as np
from pathlib import Path
from mezzotint import lossless, packing
torch.set_num_threads(int(sys.argv[2]))
folder = Path(sys.argv[1])
network = packing.unpacked((folder / "model").read_bytes())
streams = [(folder / str(i)).read_bytes() for i in range(3)]
pixels = lossless.decode(network, [(30, 40)] * 3, [[s] for s in streams])
assert all(np.array_equal(p, q) for p, q in zip(pixels, np.load(folder / "pixels.npy")))
"""


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 4])
def test_another_process_decodes_with_other_threads(threads: int, tmp_path: Path) -> None:
    net = network(3)
    pictures = [picture("smooth", 30, 40, 3, i) for i in range(3)]
    np.save(tmp_path / "pixels.npy", np.stack(pictures))
    (tmp_path / "model").write_bytes(packing.packed(net))
    for i, (stream,) in enumerate(lossless.encode(net, pictures)):
        (tmp_path / str(i)).write_bytes(stream)
    subprocess.run([sys.executable, "-c", DECODES, str(tmp_path), str(threads)], check=True)


def test_broken_streams_are_none_and_the_others_are_whole() -> None:
    net = network(1)
    pictures = [picture("smooth", 40, 40, 1, i) for i in range(3)]
    streams = lossless.encode(net, pictures)
    broken = bytearray(streams[1][0])
    broken[2] ^= 8
    decoded = lossless.decode(net, [(40, 40)] * 3, [streams[0], [bytes(broken)], streams[2]])
    assert decoded[1] is None
    assert np.array_equal(decoded[0], pictures[0])  # pyright: ignore[reportArgumentType]
    assert np.array_equal(decoded[2], pictures[2])  # pyright: ignore[reportArgumentType]
    assert lossless.decode(net, [(40, 40)], [[]])[0] is None


@pytest.mark.parametrize("channels", [1, 3])
def test_a_packed_network_is_the_same_network(channels: int) -> None:
    net = network(channels)
    data = packing.packed(net)
    again = packing.unpacked(data)
    assert packing.packed(again) == data
    pictures = [picture("smooth", 25, 25, channels)]
    assert lossless.encode(net, pictures) == lossless.encode(again, pictures)
    assert len(data) < 1.3 * sum(p.numel() for p in net.parameters()) + 300


@pytest.mark.parametrize("cut", [0, 3, 40, 200, -1])
def test_a_damaged_network_is_refused(cut: int) -> None:
    with pytest.raises(ValueError, match="not a packed network"):
        packing.unpacked(packing.packed(network(1))[:cut])


def test_a_network_is_bounded_before_it_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head of a few kilobytes may ask for gigabytes; its own length says that they are not there."""
    data = packing.packed(network(3))
    head, body = struct.unpack_from("<HI", data)
    told = json.loads(data[6 : 6 + head])
    monkeypatch.setattr(packing, "Causal", lambda *_: pytest.fail("it was built"))
    for widths, length in ((told["widths"] * 2, body), ([512] * 12_000, body), ([512] * 12_000, 2**32 - 1)):
        lie = json.dumps({**told, "widths": widths}).encode()
        with pytest.raises(ValueError, match="another length"):
            packing.unpacked(struct.pack("<HI", len(lie), length) + lie + data[6 + head :])


def test_weights_finer_than_any_are_are_refused() -> None:
    net = network(1)
    data = packing.packed(net)
    head, _ = struct.unpack_from("<HI", data)
    raw = bytearray(zlib.decompress(data[6 + head :]))
    raw[2 * net.across.numel()] = 13  # the first exponent lies behind the two tables
    with pytest.raises(ValueError, match="finer"):
        packing.unpacked(data[: 6 + head] + zlib.compress(raw))
