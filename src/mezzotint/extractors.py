"""Published networks as the rulers of pictures, from a file of weights on the user's disk. Nothing is fetched."""

import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from mezzotint.errors import UserError
from mezzotint.metrics.features import INCEPTION_2015, Extractor
from mezzotint.networks import dinov2, inception2015
from mezzotint.networks.dinov2 import Dinov2, Dinov2Config
from mezzotint.networks.inception2015 import Inception2015
from mezzotint.types import Images

PUBLISHED = {
    INCEPTION_2015: "inception-2015",
    "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9": "dinov2-s14",
    "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73": "dinov2-b14",
    "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428": "dinov2-l14",
}
"""Weight files by their SHA-256: the only ones that go by their network's bare name, and the only pickles opened."""
SIZES = {384: "dinov2-s14", 768: "dinov2-b14", 1024: "dinov2-l14"}
"""Names of the vision transformers by their width."""
Weights = Mapping[str, Tensor]
Network = TypeVar("Network", bound=nn.Module)


def _clean(side: int) -> str:
    """What the protocol says of the resizing."""
    return f"bicubic with antialiasing to {side}×{side}, clipped and not rounded (clean-fid)"


@dataclass(frozen=True)
class InceptionFeatures:
    """The Inception network of the FID with the weights of one file."""

    network: Inception2015
    name: str
    digest: str
    resize: str = _clean(inception2015.SIDE)

    def __call__(self, images: Images) -> Float[Tensor, "n 2048"]:
        """The 2048 features of `pool_3`, on the device of the pictures."""
        return self.network.to(images.device).features(images.float())

    def spatial(self, images: Images) -> Float[Tensor, "n 2023"]:
        """Seven channels of `mixed_6/conv` at 17×17 places."""
        return self.network.to(images.device).spatial(images.float())


@dataclass(frozen=True)
class Dinov2Features:
    """A DINOv2 network with the weights of one file."""

    network: Dinov2
    name: str
    digest: str
    resize: str = _clean(dinov2.SIDE)

    def __call__(self, images: Images) -> Float[Tensor, "n width"]:
        """The normed class token, on the device of the pictures."""
        return self.network.to(images.device).features(images.float())


def from_weights(path: Path) -> Extractor:
    """The extractor whose weights are in a file; its network is told from the names and shapes of the tensors.

    A `.safetensors` file may be of anyone, and goes by the name of its network and `other weights`. Any other file is
    a pickle and is opened only where it is one of the published ones to the bit. Raises UserError for the rest.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path} is neither a recogniser's run nor a weight file that can be read ({error.strerror}): "
            "name one of them, or random-filters"
        ) from None
    digest = sha256(content).hexdigest()
    if path.suffix == ".safetensors":
        weights = _safetensors(path, content)
    elif digest in PUBLISHED:
        weights = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    else:
        raise UserError(
            f"{path} is none of the published weight files that are known by their hash (truncated, perhaps), and a "
            "file of this kind can carry code: convert it to .safetensors where you trust it"
        )
    return _fitted(path, weights, digest)


def _safetensors(path: Path, content: bytes) -> dict[str, Tensor]:
    try:
        return load_safetensors(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise UserError(f"{path} is truncated or no safetensors file ({error}): copy it again") from None


def _fitted(path: Path, weights: Weights, digest: str) -> Extractor:
    """The network that has these tensors, to the last name and shape."""
    # Batches that a norm has seen are a counter of training, which some files keep and others do not.
    tensors = {name: t.float() for name, t in weights.items() if not name.endswith(".num_batches_tracked")}
    try:
        if "Mixed_7c.branch_pool.conv.weight" in tensors:
            name = PUBLISHED.get(digest, "inception-2015, other weights")
            return InceptionFeatures(_filled(Inception2015, tensors), name, digest)
        if "cls_token" in tensors and "patch_embed.proj.weight" in tensors:
            config = _dinov2_config(tensors)
            name = PUBLISHED.get(digest, f"{SIZES.get(config.width, 'dinov2')}, other weights")
            return Dinov2Features(_filled(config.build, tensors), name, digest)
    except (RuntimeError, ValueError, KeyError):
        pass  # the sentence below says it
    raise UserError(
        f"{path} holds the weights of another network: features can be taken from Inception-2015 and DINOv2 "
        "(S/14, B/14, L/14, without registers), or from a recogniser that you train (cnn)"
    )


def _dinov2_config(tensors: Weights) -> Dinov2Config:
    """Raises KeyError or ValueError where names and shapes are no vision transformer's."""
    _, positions, width = tensors["pos_embed"].shape
    grid = round(math.sqrt(positions - 1))
    depth = len([name for name in tensors if name.endswith(".attn.qkv.weight")])
    if width % dinov2.HEAD or not width or not depth or grid**2 != positions - 1:
        raise ValueError
    return Dinov2Config(width=width, depth=depth, grid=grid)


def _filled(build: Callable[[], Network], tensors: Weights) -> Network:
    """The network with these very tensors, in evaluation mode; raises RuntimeError where names or shapes differ."""
    with torch.device("meta"):  # nothing is drawn that would be overwritten
        network = build()
    network.load_state_dict(dict(tensors), strict=True, assign=True)
    network = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return network.eval().requires_grad_(False)
