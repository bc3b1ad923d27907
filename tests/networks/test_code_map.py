import pytest
import torch

from mezzotint.networks.code_map import CodeMapConfig, MapDecoder, MapEncoder
from mezzotint.types import DataSpec


@pytest.mark.parametrize(("height", "width", "sides"), [(8, 8, (8, 8)), (28, 28, (7, 7)), (30, 21, (8, 6))])
def test_there_and_back(height, width, sides, assert_all_learn):
    spec, config = DataSpec(3, height, width), CodeMapConfig(width=8, most=12, blocks=1)
    encoder, decoder = MapEncoder(config, spec, 4), MapDecoder(config, spec, 4, 5)
    images = torch.rand(2, 3, height, width)
    codes = encoder(images)
    assert codes.shape == (2, 4, *sides)
    raw = decoder(codes)
    assert raw.shape[:2] == (2, 5)
    assert raw.shape[2:] == encoder.fold(images).shape[2:]
    assert_all_learn(encoder, lambda: encoder(images))
    assert_all_learn(decoder, lambda: decoder(torch.randn(2, 4, *sides)))
