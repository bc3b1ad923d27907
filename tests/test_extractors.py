"""Files of weights: whose they are is told from what is in them, what they may be called from their hash alone."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save, save_file

from mezzotint import extractors, measure
from mezzotint.data.dataset import Dataset
from mezzotint.errors import UserError
from mezzotint.extractors import from_weights
from mezzotint.measuring.rulers import MethodFeatures
from mezzotint.metrics.features import INCEPTION_2015, Extractor, Spatial, random_filters
from mezzotint.model import extractor
from mezzotint.networks.dinov2 import Dinov2Config
from mezzotint.networks.inception2015 import Inception2015

Weights = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def small_vit() -> Weights:
    torch.manual_seed(0)
    return dict(Dinov2Config(width=64, depth=1, grid=16).build().state_dict())


@pytest.fixture(scope="module")
def inception() -> Weights:
    torch.manual_seed(0)
    return dict(Inception2015().state_dict())


@pytest.fixture(scope="module")
def pictures(digits: Dataset) -> torch.Tensor:
    from mezzotint.data.loader import ordered

    return next(ordered(digits, "test", 3))[0]


def test_a_vision_transformer_is_told_by_its_tensors(
    small_vit: Weights, pictures: torch.Tensor, tmp_path: Path
) -> None:
    path = tmp_path / "any name.safetensors"
    save_file(small_vit, path)
    found = from_weights(path)
    assert isinstance(found, Extractor)
    assert (found.name, found.digest) == ("dinov2, other weights", hashlib.sha256(path.read_bytes()).hexdigest())
    assert "224×224" in found.resize
    network = Dinov2Config(width=64, depth=1, grid=16).build().eval()
    network.load_state_dict(small_vit)
    torch.testing.assert_close(found(pictures), network.features(pictures))
    assert not found(pictures).requires_grad


@pytest.mark.parametrize("counters", [True, False])
def test_inception_is_told_by_its_tensors(
    counters: bool, inception: Weights, pictures: torch.Tensor, tmp_path: Path
) -> None:
    kept = {name: t for name, t in inception.items() if counters or not name.endswith("num_batches_tracked")}
    save_file(kept, tmp_path / "w.safetensors")
    found = from_weights(tmp_path / "w.safetensors")
    assert found.name == "inception-2015, other weights"
    assert "299×299" in found.resize
    assert found(pictures[:1]).shape == (1, 2048)
    assert isinstance(found, Spatial)
    assert found.spatial(pictures[:1]).shape == (1, 2023)


def test_half_precision_weights_are_used_in_full(small_vit: Weights, pictures: torch.Tensor, tmp_path: Path) -> None:
    save_file({name: t.half() for name, t in small_vit.items()}, tmp_path / "w.safetensors")
    features = from_weights(tmp_path / "w.safetensors")(pictures)
    assert features.dtype == torch.float32
    assert features.isfinite().all()


def truncated(weights: Weights, path: Path) -> None:
    content = save(weights)
    path.write_bytes(content[: len(content) // 2])


def pickled(weights: Weights, path: Path) -> None:
    torch.save(weights, path)


def foreign(weights: Weights, path: Path) -> None:
    save_file({"layer.weight": torch.zeros(3, 3)}, path)


def with_registers(weights: Weights, path: Path) -> None:
    save_file({**weights, "register_tokens": torch.zeros(1, 4, 64)}, path)


def without_a_tensor(weights: Weights, path: Path) -> None:
    save_file({name: t for name, t in weights.items() if name != "blocks.0.mlp.fc1.bias"}, path)


def of_another_shape(weights: Weights, path: Path) -> None:
    save_file({**weights, "blocks.0.mlp.fc1.bias": torch.zeros(7)}, path)


def without_positions(weights: Weights, path: Path) -> None:
    save_file({name: t for name, t in weights.items() if name != "pos_embed"}, path)


def of_no_positions(weights: Weights, path: Path) -> None:
    save_file({**weights, "pos_embed": torch.zeros(1, 0, 64)}, path)


def of_odd_shapes(weights: Weights, path: Path) -> None:
    save_file({**weights, "pos_embed": torch.zeros(5)}, path)


def not_weights(weights: Weights, path: Path) -> None:
    path.write_bytes(b"nonsense")


def empty(weights: Weights, path: Path) -> None:
    path.write_bytes(b"")


def absent(weights: Weights, path: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("write", "name", "told"),
    [
        (truncated, "w.safetensors", "truncated"),
        (not_weights, "w.safetensors", "copy it again"),
        (empty, "w.safetensors", "copy it again"),
        (foreign, "w.safetensors", "another network"),
        (with_registers, "w.safetensors", "without registers"),
        (without_a_tensor, "w.safetensors", "another network"),
        (of_another_shape, "w.safetensors", "another network"),
        (of_odd_shapes, "w.safetensors", "another network"),
        (without_positions, "w.safetensors", "another network"),
        (of_no_positions, "w.safetensors", "another network"),
        (pickled, "dinov2_vitb14_pretrain.pth", "convert it to .safetensors"),
        (pickled, "w.bin", "convert it to .safetensors"),
        (not_weights, "w.pth", "truncated, perhaps"),
        (pickled, "w.safetensors", "no safetensors file"),
        (absent, "w.pth", "random-filters"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_file_gets_one_sentence(
    write: Callable[[Weights, Path], None], name: str, told: str, small_vit: Weights, tmp_path: Path
) -> None:
    write(small_vit, tmp_path / name)
    with pytest.raises(UserError, match=told) as error:
        from_weights(tmp_path / name)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_pickle_is_never_opened(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "exploded",)

    torch.save({"cls_token": Bomb()}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="can carry code"):
        from_weights(tmp_path / "w.pth")
    assert not (tmp_path / "exploded").exists()


def test_a_published_pickle_goes_by_its_name(
    small_vit: Weights, pictures: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(small_vit, tmp_path / "w.pth")
    save_file(small_vit, tmp_path / "w.safetensors")
    digest = hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest()
    monkeypatch.setitem(extractors.PUBLISHED, digest, "dinov2-s14")
    found = from_weights(tmp_path / "w.pth")
    assert (found.name, found.digest) == ("dinov2-s14", digest)
    # The same tensors in another file are equal as features, and are not the published file.
    converted = from_weights(tmp_path / "w.safetensors")
    assert converted.name == "dinov2, other weights"
    assert torch.equal(found(pictures), converted(pictures))


def test_what_is_named_is_a_run_a_file_or_random_filters(digits: Dataset, small_vit: Weights, tmp_path: Path) -> None:
    save_file(small_vit, tmp_path / "w.safetensors")
    assert extractor(tmp_path / "w.safetensors", digits.spec).name == "dinov2, other weights"
    assert extractor("random-filters", digits.spec).digest == random_filters(digits.spec).digest
    with pytest.raises(UserError, match="not a model"):
        extractor(tmp_path, digits.spec)


@dataclass(frozen=True)
class Means:
    """Brightness over the quarters of a picture, under any name and hash."""

    name: str
    digest: str
    resize: str = "none"

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(images, 2).flatten(1)


def test_only_the_genuine_weights_are_called_fid(
    make_recipe: Any, train_in: Any, tmp_path: Path, digits: Dataset
) -> None:
    method = train_in(tmp_path / "run", make_recipe("gan-mlp", steps=2)).trained()

    def said(ruler: Extractor) -> str:
        card = measure.measure(method, digits, count=30, extractor=ruler)
        assert card.protocol["extractor"] == {"name": ruler.name, "digest": ruler.digest, "resize": ruler.resize}
        return " ".join([*card.scores, *card.notes])

    assert "the FID of Heusel et al. 2017" in said(Means("inception-2015", INCEPTION_2015))
    for ruler in (
        Means("inception-2015", "0" * 64),
        Means("inception-2015, other weights", INCEPTION_2015[::-1]),
        random_filters(digits.spec),
    ):
        assert "fid" not in said(ruler).lower()


def test_a_recogniser_says_that_it_does_not_resize() -> None:
    assert MethodFeatures.resize.startswith("none")
