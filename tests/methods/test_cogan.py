"""CoGAN's shared weights."""

from typing import Any

import torch

from mezzotint import drawing
from mezzotint.data.dataset import Dataset
from mezzotint.data.loader import Batches
from mezzotint.types import Batch, DataSpec


def batch_of(digits: Dataset, count: int = 16) -> Batch:
    images, labels = Batches(digits, "train", count, seed=0).at(0)
    return Batch(images, labels, progress=0.5, seed=5)


def built(name: str, spec: DataSpec, make_recipe: Any) -> Any:
    torch.manual_seed(0)
    return make_recipe(name).method.build(spec)


def test_discriminators_learn_against_frozen_generators(digits: Dataset, make_recipe: Any) -> None:
    method, batch = built("cogan", digits.spec, make_recipe), batch_of(digits)
    optimizer = torch.optim.Adam(method.groups()["discriminator"], 1e-3)
    losses = []
    for _ in range(40):
        torch.manual_seed(1)
        loss = method.loss(batch, "discriminator")
        losses.append(float(loss.total.detach()))
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
    assert losses[-1] < 0.6 * losses[0]


def test_both_kinds_of_a_pair_share_all_but_the_pixels_layers(digits: Dataset, make_recipe: Any) -> None:
    method = built("cogan", digits.spec, make_recipe)
    pictures, edges = method.generate_pairs(range(5))
    assert pictures.shape == edges.shape == (5, *digits.spec.shape)
    assert torch.equal(method.generate(range(5)), pictures)
    pictures.sum().backward()
    last = method.generator.body[-2]
    assert all(p.grad is not None and p.grad.any() for p in method.generator.parameters() if p is not last.weight)
    # The last layer's weights (inputs × outputs) belong to one kind each.
    assert last.weight.grad[:, 0].any()
    assert not last.weight.grad[:, 1].any()
    logits = [method.discriminator(pictures.detach(), kind, torch.zeros(5, dtype=torch.int64)) for kind in (0, 1)]
    assert not torch.equal(*logits)


def test_the_sample_sheet_shows_each_row_above_its_edges(digits: Dataset, make_recipe: Any) -> None:
    method = built("cogan", digits.spec, make_recipe).eval()
    columns = drawing.grid_columns(method)
    sheet = drawing._rows_of_pairs(method, columns)
    assert sheet.shape == (drawing.ROWS * columns, *digits.spec.shape)
    with torch.no_grad():
        pictures, edges = method.generate_pairs([*range(50)])
    rows = sheet.view(drawing.ROWS, columns, *digits.spec.shape)
    torch.testing.assert_close(rows[2], pictures[columns : 2 * columns].clamp(-1, 1))
    torch.testing.assert_close(rows[3], edges[columns : 2 * columns].clamp(-1, 1))
    assert drawing.sample_grid(method) is not None
