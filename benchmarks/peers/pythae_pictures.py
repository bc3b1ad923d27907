"""Train pythae's VAE or VQ-VAE as its own trainer does for so many minutes, then draw and reconstruct pictures.

`--who vae` is the network and the loss of `pythae_vae.py`; pictures are drawn by its NormalSampler. `--who vqvae` is
its VQ-VAE with the networks of its own benchmark (residual, codes of 4×4 places, 512 symbols; its default loss, since
its sampler fails with a book of moving averages) and its PixelCNN as the prior, for which a share of the minutes is
kept; drawn by its PixelCNNSampler. Adam at 1e-3 and batches of 128 for all. Reading the data and drawing are not
counted into the minutes.

FOLDER/drawn (PNGs) is for `mezzotint measure FOLDER/drawn --data fashion-mnist --features RUN`. In
FOLDER/reconstructions.npz are the test pictures as they come back (`images`, n × h × w × 1); their PSNR is told as
`mezzotint measure` takes it: of 8 bits, the mean over pictures.
"""

import argparse
import contextlib
import json
import logging
import tempfile
import time
from pathlib import Path
from typing import Any

import common
import numpy as np
import torch
from PIL import Image
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VQVAE, VAEConfig, VQVAEConfig
from pythae.models.nn.benchmarks.mnist import (
    Decoder_Conv_AE_MNIST,
    Decoder_ResNet_VQVAE_MNIST,
    Encoder_Conv_VAE_MNIST,
    Encoder_ResNet_VQVAE_MNIST,
)
from pythae.samplers import NormalSampler, PixelCNNSampler
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch import Tensor

CHUNK = 500


class Enough(Exception):  # noqa: N818
    """The minutes are over."""


class Until(TrainingCallback):
    """Counts steps and ends the training in time."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.steps, self.began = seconds, 0, time.monotonic()

    def on_train_step_end(self, training_config: BaseTrainerConfig, **given: Any) -> None:
        self.steps += 1
        if time.monotonic() - self.began > self.seconds:
            raise Enough


def train(model: Any, data: Tensor, seconds: float) -> int:
    """Steps that pythae's trainer takes in that time; the model is the last, not the best of an epoch."""
    dataset = BaseDataset(data, torch.ones(len(data)))
    with tempfile.TemporaryDirectory() as folder:
        training = BaseTrainerConfig(
            output_dir=folder, num_epochs=10_000, learning_rate=1e-3, per_device_train_batch_size=common.BATCH
        )
        clock = Until(seconds)
        with contextlib.suppress(Enough):
            BaseTrainer(model, dataset, training_config=training, callbacks=[clock]).train()
    model.eval()
    return clock.steps


def built(who: str) -> Any:
    """The model with the networks of pythae's own benchmark."""
    if who == "vae":
        config = VAEConfig(input_dim=(1, 28, 28), latent_dim=16, reconstruction_loss="bce")
        return VAE(config, encoder=Encoder_Conv_VAE_MNIST(config), decoder=Decoder_Conv_AE_MNIST(config))
    config = VQVAEConfig(input_dim=(1, 28, 28), latent_dim=16, num_embeddings=512)
    return VQVAE(config, encoder=Encoder_ResNet_VQVAE_MNIST(config), decoder=Decoder_ResNet_VQVAE_MNIST(config))


def prior_of(model: Any, data: Tensor, end: float) -> tuple[PixelCNNSampler, int]:
    """The sampler with its PixelCNN trained on the codes, as its `fit` does but until `end`, and the steps taken."""
    sampler = PixelCNNSampler(model)
    codes = torch.cat([model({"data": part}).quantized_indices for part in data.split(CHUNK)])
    with torch.enable_grad():
        steps = train(sampler.pixelcnn_model, codes, end - time.monotonic())
    sampler.is_fitted = True
    return sampler, steps


def again(model: Any, images: Tensor) -> Tensor:
    """Pictures as they come back: from the mean of the codes, or from the symbols."""
    if isinstance(model, VQVAE):
        return model({"data": images}).recon_x
    return model.decoder(model.encoder(images).embedding).reconstruction


def levels(images: Tensor) -> np.ndarray:
    """[0, 1] n × 1 × h × w to 8 bits, n × h × w × 1."""
    return images.clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--who", choices=("vae", "vqvae"), required=True)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--prior", type=float, default=0.5, help="share of the minutes for the VQ-VAE's prior")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--data", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    logging.disable(logging.INFO)
    torch.manual_seed(0)
    data, test = (
        torch.from_numpy(common.fashion(asked.data, part)[0] / 255.0)[:, None].float() for part in ("train", "t10k")
    )
    model, begun = built(asked.who), time.monotonic()
    share = asked.prior if asked.who == "vqvae" else 0.0
    steps, prior_steps = train(model, data, 60 * asked.minutes * (1 - share)), 0
    with torch.no_grad():
        if asked.who == "vqvae":
            sampler, prior_steps = prior_of(model, data, begun + 60 * asked.minutes)
        else:
            sampler = NormalSampler(model)
        seconds, begun = time.monotonic() - begun, time.monotonic()
        drawn = levels(sampler.sample(num_samples=asked.count, batch_size=CHUNK).cpu())
        drawing = time.monotonic() - begun
        back = levels(torch.cat([again(model, part) for part in test.split(CHUNK)]))
    (asked.out / "drawn").mkdir(parents=True, exist_ok=True)
    for i, picture in enumerate(drawn):
        Image.fromarray(picture[..., 0]).save(asked.out / "drawn" / f"{i:05d}.png")
    np.savez_compressed(asked.out / "reconstructions.npz", images=back)
    error = np.square(back.astype(np.float64) - levels(test)).mean((1, 2, 3))
    line = {
        "who": f"pythae's {asked.who}",
        "minutes": asked.minutes,
        "train_seconds": round(seconds, 1),
        "images": steps * common.BATCH,
        "prior_images": prior_steps * common.BATCH,
        "psnr": round(float((10 * np.log10(255**2 / np.maximum(error, 1e-12))).mean()), 3),
        "mean_squared_error": round(float(error.mean()) / 255**2, 6),
        "draws_a_second": round(asked.count / drawing, 2),
        "parameters": sum(p.numel() for p in model.parameters()),
        "drawn": asked.count,
    }
    (asked.out / "facts.json").write_text(json.dumps(line, indent=1) + "\n")
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
