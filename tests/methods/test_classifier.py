from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mezzotint.errors import UserError
from mezzotint.losses import mixing
from mezzotint.losses.mixing import Mixing
from mezzotint.methods.classifier import Classifier, ClassifierConfig
from mezzotint.types import Batch, DataSpec

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


def batch(progress: float = 0.0) -> Batch:
    torch.manual_seed(2)
    return Batch(torch.rand(6, 1, 8, 8) * 2 - 1, torch.tensor([0, 1, 2, 0, 0, 1]), progress, seed=5)


def loss_of(seed: int = 1, progress: float = 0.0, **changes: object) -> tuple[Tensor, Classifier]:
    torch.manual_seed(seed)
    spec = replace(SPEC, counts=(60, 30, 10))
    method = ClassifierConfig(**changes).build(spec).eval()  # pyright: ignore[reportArgumentType]
    return method.loss(batch(progress), "fit").total, method


@torch.no_grad()
def test_mixed_pictures_have_mixed_labels():
    total, method = loss_of(mixing=Mixing(mixup=1.0), label_smoothing=0.1)
    given = batch()
    images, share = mixing.mixed(given.images, given.uniform(mixing.NUMBERS), Mixing(mixup=1.0))
    targets = F.one_hot(given.labels, 3) * share[:, None] + F.one_hot(given.labels.flip(0), 3) * (1 - share[:, None])
    targets = 0.9 * targets + 0.1 / 3
    torch.testing.assert_close(total, F.cross_entropy(method.network(images), targets))
    assert not torch.equal(images, given.images)


@torch.no_grad()
def test_after_its_end_nothing_is_mixed():
    assert torch.equal(loss_of(mixing=Mixing(mixup=1.0, until=0.5), progress=0.6)[0], loss_of()[0])


@torch.no_grad()
def test_weights_and_offsets_come_from_the_training_pictures():
    total, method = loss_of(class_weight=1.0)
    given = batch()
    logits, w = method.network(given.images), torch.tensor([5 / 9, 10 / 9, 30 / 9])
    expected = (F.cross_entropy(logits, given.labels, reduction="none") * w[given.labels]).mean()
    torch.testing.assert_close(total, expected)
    adjusted = logits + torch.tensor([0.6, 0.3, 0.1]).log()
    torch.testing.assert_close(loss_of(logit_adjustment=1.0)[0], F.cross_entropy(adjusted, given.labels))
    torch.testing.assert_close(loss_of(logit_adjustment=1.0)[1].classify(given.images), logits)


def test_without_counts_classes_cannot_be_weighed():
    with pytest.raises(UserError, match="class_weight"):
        ClassifierConfig(class_weight=1.0).build(SPEC)


@torch.no_grad()
def test_a_temperature_divides_the_logits_of_use_alone():
    before, method = loss_of()
    logits = method.classify(batch().images)
    method.temperature = 2.0
    torch.testing.assert_close(method.classify(batch().images), logits / 2)
    assert torch.equal(method.loss(batch(), "fit").total, before)
