from dataclasses import replace

import pytest
import torch

from mezzotint.methods.vq import Vq, VqConfig
from mezzotint.networks.code_map import CodeMapConfig
from mezzotint.networks.code_prior import CodePriorConfig
from mezzotint.networks.quantize import Codebook, CodebookConfig, LevelsConfig
from mezzotint.training.step import own_progress
from mezzotint.types import Batch, DataSpec

SPEC = DataSpec(1, 8, 8, ("a", "b"))
SMALL = VqConfig(
    network=CodeMapConfig(width=8, most=8, blocks=1),
    quantizer=CodebookConfig(symbols=8, width=3),
    prior=CodePriorConfig(width=16, layers=1, heads=2),
    conditional=True,
)
LABELS = torch.tensor([0, 1, 0, 1])


def images() -> torch.Tensor:
    return torch.randint(0, 256, (4, 1, 8, 8), generator=torch.Generator().manual_seed(0)) / 127.5 - 1


def built(config: VqConfig) -> Vq:
    torch.manual_seed(0)
    return config.build(SPEC)


@pytest.mark.parametrize("quantizer", [SMALL.quantizer, LevelsConfig(levels=(3, 2))])
def test_the_bound_is_what_symbols_and_picture_cost(quantizer: CodebookConfig | LevelsConfig) -> None:
    """A fresh prior expects all symbols alike, so that each costs the logarithm of their number."""
    vq = built(replace(SMALL, quantizer=quantizer)).eval()
    with torch.no_grad():
        raw_map = vq.encoder(images())
        raw = vq.decoder(vq.quantizer(raw_map).values)
        explained = vq.observation.log_probability(raw, images())
        bound = vq.elbo(images(), LABELS, 0)
    expected = explained - 64 * torch.tensor(float(vq.quantizer.symbols)).log()
    torch.testing.assert_close(bound, expected, rtol=1e-4, atol=1e-2)


def test_the_prior_teaches_the_autoencoder_nothing() -> None:
    vq = built(SMALL)
    loss = vq.loss(Batch(images(), LABELS), "fit")
    expected = loss.parts["distortion"] + SMALL.commitment * loss.parts["commitment"] + loss.parts["symbols"]
    torch.testing.assert_close(loss.total.detach(), expected)
    vq._cost(vq._quantized(images())[1].symbols, LABELS).sum().backward()
    assert all(p.grad is None for p in vq.groups()["autoencoder"])


def test_a_settled_autoencoder_stays_as_it_is() -> None:
    vq = built(SMALL)
    loss = vq.loss(Batch(images(), LABELS), "draw")
    assert set(loss.parts) == {"symbols"}
    loss.total.backward()
    assert all(p.grad is None for p in vq.groups()["autoencoder"])
    assert isinstance(vq.quantizer, Codebook)
    before = vq.quantizer.points.clone()
    vq.after_step("draw")
    assert torch.equal(vq.quantizer.points, before)


@pytest.mark.parametrize("settled", [0.3, 0.8, 1.0])
def test_the_schedule_of_the_autoencoder_ends_when_it_settles(settled: float) -> None:
    vq = built(replace(SMALL, settled=settled))
    assert own_progress(vq.phases, "autoencoder", settled / 2) == pytest.approx(0.5)
    assert own_progress(vq.phases, "autoencoder", settled) == 1
    for progress in (0.0, 0.1, 0.7, 1.0):
        assert own_progress(vq.phases, "prior", progress) == progress
        lasting = [phase.trains for phase in vq.phases if phase.lasts(progress)]
        assert lasting == [("autoencoder", "prior") if progress < settled or settled == 1 else ("prior",)]


def test_looking_does_not_teach_the_codebook() -> None:
    vq = built(SMALL).eval()
    assert isinstance(vq.quantizer, Codebook)
    vq.loss(Batch(images(), LABELS), "fit")
    assert not vq.quantizer.seen_count.any()
    vq.train().loss(Batch(images(), LABELS), "fit")
    assert vq.quantizer.seen_count.sum() == 4 * 64


def test_codes_know_no_class() -> None:
    vq = built(SMALL).eval()
    with torch.no_grad():
        assert torch.equal(vq.encode(images(), LABELS), vq.encode(images()))


def test_odd_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="settled"):
        replace(SMALL, settled=0.0)
