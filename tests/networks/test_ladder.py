import pytest
import torch

from mezzotint.networks.ladder import LadderConfig, stages
from mezzotint.types import DataSpec

SMALL = LadderConfig(width=8, most=12, rungs=2, codes=3, top=5)


def means(number, way, mean, log_scale):
    return mean


@pytest.mark.parametrize(
    ("height", "width", "side", "shapes"),
    [
        (8, 8, 1, [(8, 8)]),
        (28, 28, 2, [(14, 14), (7, 7)]),
        (30, 21, 2, [(16, 12), (8, 6)]),
        (32, 32, 2, [(16, 16), (8, 8)]),
        (100, 60, 4, [(28, 16), (14, 8), (7, 4)]),
    ],
)
def test_stages_by_the_size_of_the_picture(height, width, side, shapes):
    fold, found = stages(DataSpec(1, height, width))
    assert (fold.side, found) == (side, shapes)
    folded = fold(torch.zeros(1, 1, height, width))
    assert folded.shape[2:] == shapes[0]


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize(("channels", "height", "width"), [(1, 8, 8), (3, 28, 28), (1, 30, 21)])
def test_shapes(channels, height, width, classes):
    spec = DataSpec(channels, height, width)
    ladder = SMALL.build(spec, 10, classes)
    features = ladder.features(torch.rand(2, channels, height, width))
    seen = []

    def pick(number, way, mean, log_scale):
        moved, log_ratio = ladder.seen(number, way, features)
        assert mean.shape == log_scale.shape == moved.shape == log_ratio.shape
        seen.append(tuple(mean.shape[1:]))
        return mean + moved

    raw = ladder(pick, 2, torch.tensor([0, 2]) if classes else None)
    assert raw.shape == (2, 10, *ladder.sides[0])
    assert seen == ladder.shapes
    assert seen[0] == (5,)
    assert len(seen) == 1 + 2 * len(ladder.sides)


def test_every_parameter_learns(assert_all_learn):
    ladder = SMALL.build(DataSpec(1, 28, 28), 6, 0)
    images = torch.rand(2, 1, 28, 28)
    said = []

    def output():
        features = ladder.features(images)

        def pick(number, way, mean, log_scale):
            moved, log_ratio = ladder.seen(number, way, features)
            said.extend([log_scale.flatten(), log_ratio.flatten()])
            return mean + moved

        return torch.cat([ladder(pick, 2).flatten(), *said])

    assert_all_learn(ladder, output)


def test_a_fresh_posterior_is_the_prior_but_at_the_top():
    ladder = SMALL.build(DataSpec(1, 28, 28), 6, 0)
    features = ladder.features(torch.rand(2, 1, 28, 28))
    moves = []

    def pick(number, way, mean, log_scale):
        moves.append(bool(torch.cat([t.flatten() for t in ladder.seen(number, way, features)]).any()))
        return mean

    ladder(pick, 2)
    assert moves == [True, False, False, False, False]


def test_a_code_changes_what_is_below_it_and_nothing_above():
    ladder = SMALL.build(DataSpec(1, 28, 28), 6, 0)
    with torch.no_grad():
        for parameter in ladder.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))

    def expectations(changed):
        found = []

        def pick(number, way, mean, log_scale):
            found.append(mean)
            return mean + (number == changed)

        ladder(pick, 1)
        return found

    plain, other = expectations(-1), expectations(2)
    same = [torch.equal(a, b) for a, b in zip(plain, other, strict=True)]
    assert same == [True, True, True, False, False]


def test_odd_sizes_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        LadderConfig(rungs=0)
