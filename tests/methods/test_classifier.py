import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mezzotint.errors import UserError
from mezzotint.methods.classifier import Classifier, ClassifierConfig
from mezzotint.types import DataSpec

SPEC = DataSpec(1, 8, 8, ("a", "b", "c"), 100)


@pytest.fixture
def classify():
    torch.manual_seed(0)
    images = torch.rand(5, 1, 8, 8) * 2 - 1

    def make(**views: object) -> tuple[Tensor, Tensor, nn.Module]:
        torch.manual_seed(1)
        method = ClassifierConfig(**views).build(SPEC).eval()  # pyright: ignore[reportArgumentType]
        assert isinstance(method, Classifier)
        with torch.no_grad():
            return method.classify(images), images, method.network

    return make


@torch.no_grad()
def test_one_view_is_the_networks_own_answer(classify):
    answer, images, network = classify()
    torch.testing.assert_close(answer, network(images))


@torch.no_grad()
def test_mirrored_views_count_as_much_as_the_pictures(classify):
    answer, images, network = classify(flip_test=True)
    torch.testing.assert_close(answer, (network(images) + network(images.flip(-1))) / 2)


@torch.no_grad()
def test_moved_views_count_half(classify):
    answer, images, network = classify(shift_test=2)
    wide = F.pad(images, [2] * 4, mode="reflect")
    moved = network(wide[:, :, :8, :8]) / 2 + network(wide[:, :, 4:, 4:]) / 2
    torch.testing.assert_close(answer, (network(images) + moved) / 2)


def test_views_outside_of_the_picture_are_refused():
    with pytest.raises(UserError, match="shift_test=8"):
        ClassifierConfig(shift_test=8).build(SPEC)


@torch.no_grad()
def test_all_views_are_averaged(classify):
    answer, images, network = classify(flip_test=True, shift_test=1)
    wide = F.pad(images, [1] * 4, mode="reflect")
    views = [images, images, wide[:, :, :8, :8], wide[:, :, 2:, 2:]]
    both = [network(view) + network(view.flip(-1)) for view in views]
    torch.testing.assert_close(answer, torch.stack(both).sum(0) / 8)
