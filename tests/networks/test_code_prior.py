import pytest
import torch

from mezzotint.networks.code_prior import CodePriorConfig

SMALL = CodePriorConfig(width=16, layers=2, heads=2)


def stirred(prior):
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return prior.eval()


@pytest.mark.parametrize("classes", [0, 3])
def test_a_symbol_is_expected_from_those_before_it_alone(classes):
    prior = stirred(SMALL.build(7, 6, classes))
    labels = torch.tensor([1]) if classes else None
    symbols = torch.randint(0, 7, (1, 6))
    before = prior(symbols, labels)
    for changed in range(6):
        other = symbols.clone()
        other[0, changed] = (other[0, changed] + 1) % 7
        after = prior(other, labels)
        same = (before == after).all(2)[0].tolist()
        assert same[: changed + 1] == [True] * (changed + 1)
        assert not any(same[changed + 1 :])


def test_maps_are_drawn_with_the_probabilities_of_the_logits():
    """All eight maps of three symbols of two kinds, by the chain rule, against the frequencies of draws."""
    prior = stirred(CodePriorConfig(width=8, layers=1, heads=1).build(2, 3, 0))
    maps = torch.cartesian_prod(*[torch.arange(2)] * 3)
    with torch.no_grad():
        each = prior(maps).log_softmax(2).gather(2, maps[:, :, None])[:, :, 0]
        drawn = prior.draw(torch.rand(8000, 3))
    expected = each.sum(1).exp()
    assert expected.sum().item() == pytest.approx(1, abs=1e-5)
    found = (drawn[:, None] == maps).all(2).float().mean(0)
    torch.testing.assert_close(found, expected, rtol=0, atol=4 * 0.5 / 8000**0.5)


def test_classes_matter():
    prior = stirred(SMALL.build(7, 6, 3))
    symbols = torch.zeros(2, 6, dtype=torch.int64)
    first, second = prior(symbols, torch.tensor([0, 2]))
    assert not torch.allclose(first, second)


def test_odd_sizes_are_refused():
    with pytest.raises(ValueError, match="multiple of heads"):
        CodePriorConfig(width=10, heads=4)
