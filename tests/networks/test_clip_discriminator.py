import torch

from mezzotint.networks.clip_discriminator import ClipDiscriminatorConfig
from mezzotint.types import DataSpec


def test_one_logit_a_clip_and_all_layers_learn(assert_all_learn):
    net = ClipDiscriminatorConfig(width=4, layers=2, patch=2).build(DataSpec(3, 9, 9, frames=4))
    clips = torch.rand(5, 4, 3, 9, 9)
    assert net(clips).shape == (5,)
    assert_all_learn(net, lambda: net(clips))


def test_it_sees_the_order_of_frames():
    net = ClipDiscriminatorConfig(width=8, layers=1, patch=2).build(DataSpec(1, 8, 8, frames=4))
    clips = torch.rand(1, 4, 1, 8, 8)
    assert not torch.allclose(net(clips), net(clips.flip(1)))
