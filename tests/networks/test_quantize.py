import itertools

import pytest
import torch

from mezzotint.networks.quantize import CodebookConfig, LevelsConfig


def test_the_nearest_point_by_hand():
    book = CodebookConfig(symbols=3, width=2).build()
    book.points.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]]))
    x = torch.tensor([[0.4, 0.1], [0.6, 0.1], [0.1, 1.2], [0.2, 0.9]]).t().reshape(1, 2, 2, 2).requires_grad_()
    found = book(x)
    assert found.symbols.tolist() == [[[0, 1], [2, 0]]]
    assert torch.equal(found.values.detach(), book.points_of(found.symbols))
    squares = 0.16 + 0.01 + 0.16 + 0.01 + 0.01 + 0.64 + 0.04 + 0.81
    assert found.commitment.item() == pytest.approx(squares, rel=1e-6)
    found.values.sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x)), "gradients pass straight through"


def test_points_follow_their_codes_by_running_means():
    book = CodebookConfig(symbols=2, width=1, keep=0.75, dead=1e-6).build()
    book.points.copy_(torch.tensor([[0.0], [10.0]]))
    book.count.copy_(torch.tensor([4.0, 4.0]))
    book.total.copy_(torch.tensor([[0.0], [40.0]]))
    x = torch.tensor([1.0, 3.0, 9.0, 0.0]).view(1, 1, 2, 2)
    book.note(x, book(x).symbols, seed=0)
    book.learn()
    # Three codes of sum 4 went to the first point, one of 9 to the second.
    assert book.count.tolist() == [0.75 * 4 + 0.25 * 3, 0.75 * 4 + 0.25]
    assert book.points.flatten().tolist() == pytest.approx([0.25 * 4 / 3.75, (30 + 0.25 * 9) / 3.25])
    before = book.points.clone()
    book.learn()
    assert torch.equal(book.points, before), "nothing was noted since"


def test_dead_codes_come_to_life_among_those_of_the_batch():
    torch.manual_seed(0)
    book = CodebookConfig(symbols=16, width=2).build()
    x = 100 + torch.randn(4, 2, 8, 8)
    for seed in range(20):
        found = book(x)
        book.note(x, found.symbols, seed)
        book.learn()
    assert (book.points > 90).all()
    assert len(book(x).symbols.unique()) == 16
    assert book(x).commitment.sum() < 0.3 * (x - 100).square().sum()


@pytest.mark.parametrize("dead", [1e-6, 0.9])
def test_pieces_of_a_batch_teach_what_the_batch_does(dead):
    """Also where nearly all codes come to life anew."""
    torch.manual_seed(0)
    x = torch.randn(4, 2, 3, 3)
    books = []
    for sizes in ((4,), (3, 1), (1, 1, 1, 1)):
        book = CodebookConfig(symbols=4, width=2, dead=dead).build()
        book.points.copy_(torch.randn(4, 2, generator=torch.Generator().manual_seed(1)))
        book.count.fill_(1.0)
        first = 0
        for part in x.split(sizes):
            book.note(part, book(part).symbols, seed=0, first=first, whole=len(x))
            first += len(part)
        book.learn()
        books.append(book.points)
    for book in books[1:]:
        torch.testing.assert_close(book, books[0])


@pytest.mark.parametrize("levels", [(3,), (4,), (8, 5, 5, 5), (2, 3, 4)])
def test_rounding_by_hand(levels):
    """Each number has so many levels evenly in [-1, 1], from far left to far right, and each symbol is one of them."""
    quantizer = LevelsConfig(levels=levels).build()
    line = torch.linspace(-6, 6, 601)
    for i, count in enumerate(levels):
        x = torch.zeros(601, len(levels), 1, 1)
        x[:, i, 0, 0] = line
        values = quantizer(x).values[:, i, 0, 0]
        assert values.unique().tolist() == pytest.approx([2 * j / (count - 1) - 1 for j in range(count)], abs=1e-6)
        assert (values.diff() >= 0).all()
    expected = [sum(d * w for d, w in zip(digits, weights(levels), strict=True)) for digits in all_digits(levels)]
    assert sorted(expected) == list(range(quantizer.symbols))
    points = quantizer.points_of(torch.arange(quantizer.symbols).view(-1, 1, 1))
    assert len(points.flatten(1).unique(dim=0)) == quantizer.symbols


def weights(levels):
    return [int(torch.tensor(levels[:i]).prod()) for i in range(len(levels))]


def all_digits(levels):
    return itertools.product(*map(range, levels))


def test_symbols_and_points_go_there_and_back():
    quantizer = LevelsConfig(levels=(8, 5, 4)).build()
    x = 3 * torch.randn(50, 3, 4, 4)
    found = quantizer(x)
    torch.testing.assert_close(quantizer.points_of(found.symbols), found.values)
    assert len(found.symbols.unique()) > 100
    assert not found.commitment.any()


def test_gradients_of_rounding_are_those_of_the_bound():
    quantizer = LevelsConfig(levels=(5,)).build()
    x = torch.linspace(-2, 2, 9).view(-1, 1, 1, 1).requires_grad_()
    quantizer(x).values.sum().backward()
    torch.testing.assert_close(x.grad, 1.001 * (1 - x.detach().tanh().square()))


def test_odd_sizes_are_refused():
    with pytest.raises(ValueError, match="at least 2"):
        LevelsConfig(levels=(5, 1))
    with pytest.raises(ValueError, match="symbols"):
        CodebookConfig(symbols=1)
    with pytest.raises(ValueError, match="dead above 0"):
        CodebookConfig(dead=0.0)
