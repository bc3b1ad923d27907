"""Train a diffusion peer as its own trainer does for so many minutes, then draw pictures into a folder of PNGs.

`--who diffusers` follows the unconditional training example of diffusers (AdamW at 1e-4, cosine rate, batch 16, average
of the weights with inverse decay), its network scaled to 28×28 pictures: three stages of 64, 128 and 128 channels
instead of six of 128 to 512. `--who lucidrains` is denoising-diffusion-pytorch's Trainer as its readme calls it (Adam
at 8e-5, batch 16, two accumulated, average of 0.995), with stages of 64, 128 and 256 channels. Both draw with 50 steps
of DDIM, since a thousand would take days on a CPU. Reading the data and drawing are not counted into the minutes.
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import common
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

Trained = tuple[Iterator[float], Callable[[int], Tensor], int]
"""Steps, each yielding its loss; what draws n pictures in [0, 1]; parameters."""


SETTINGS = {
    "diffusers": "UNet2DModel of 64, 128, 128 channels, two layers a block, attention at the coarsest; AdamW at 1e-4, "
    "cosine rate after 500 steps, batch 16, clipped at 1, average of inverse decay; DDPM of 1000 steps, drawn by DDIM",
    "lucidrains": "Unet of dim 64 and dim_mults 1, 2, 4; Adam at 8e-5, batch 16, two accumulated, clipped at 1, "
    "average of 0.995; GaussianDiffusion of 1000 steps, drawn by DDIM",
}


def diffusers(pixels: Tensor, steps_expected: int) -> Trained:
    """The example's network, noise and optimizer."""
    from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel
    from diffusers.optimization import get_scheduler
    from diffusers.training_utils import EMAModel

    network = UNet2DModel(
        sample_size=28,
        in_channels=1,
        out_channels=1,
        layers_per_block=2,
        block_out_channels=(64, 128, 128),
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
    )
    average = EMAModel(network.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)
    schedule = DDPMScheduler(num_train_timesteps=1000)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8)
    rate = get_scheduler("cosine", optimizer, num_warmup_steps=500, num_training_steps=steps_expected)

    def steps() -> Iterator[float]:
        for taken in itertools.count(1):
            clean = pixels[torch.randint(len(pixels), (16,)), None].float() / 127.5 - 1
            noise, at = torch.randn_like(clean), torch.randint(0, 1000, (16,))
            loss = F.mse_loss(network(schedule.add_noise(clean, noise, at), at).sample, noise)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            if taken < steps_expected:  # beyond its end the cosine would climb again
                rate.step()
            optimizer.zero_grad()
            average.step(network.parameters())
            yield loss.item()

    def draw(count: int) -> Tensor:
        average.copy_to(network.parameters())
        drawing = DDIMScheduler(num_train_timesteps=1000)
        drawing.set_timesteps(50)
        x = torch.randn(count, 1, 28, 28)
        for t in drawing.timesteps:
            x = drawing.step(network(x, t).sample, t, x).prev_sample
        return (x / 2 + 0.5).clamp(0, 1)

    return steps(), draw, sum(p.numel() for p in network.parameters())


def lucidrains(pixels: Tensor, steps_expected: int) -> Trained:
    """The trainer's step; torchvision, which it imports for reading files, is stood in for."""
    del steps_expected  # its rate is constant
    common.stand_in_for_torchvision()
    from denoising_diffusion_pytorch import GaussianDiffusion, Unet
    from ema_pytorch import EMA

    network = Unet(dim=64, dim_mults=(1, 2, 4), channels=1)
    diffusion = GaussianDiffusion(network, image_size=28, timesteps=1000, sampling_timesteps=50)
    average = EMA(diffusion, beta=0.995, update_every=10)
    optimizer = torch.optim.Adam(diffusion.parameters(), 8e-5, betas=(0.9, 0.99))

    def steps() -> Iterator[float]:
        while True:
            for _ in range(2):
                rows = torch.randint(len(pixels), (16,))
                loss = diffusion(pixels[rows, None].float() / 255) / 2
                loss.backward()
            torch.nn.utils.clip_grad_norm_(diffusion.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            average.update()
            yield loss.item()

    def draw(count: int) -> Tensor:
        return average.ema_model.sample(batch_size=count).clamp(0, 1)

    return steps(), draw, sum(p.numel() for p in network.parameters())


def seconds_a_step(steps: Iterator[float], left_out: int = 3, timed: int = 20) -> float:
    """Of the steps that follow the first ones, which are slower."""
    for _ in itertools.islice(steps, left_out):
        pass
    begun = time.monotonic()
    for _ in itertools.islice(steps, timed):
        pass
    return (time.monotonic() - begun) / timed


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--who", choices=("diffusers", "lucidrains"), required=True)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--data", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    torch.manual_seed(0)
    pixels = torch.from_numpy(common.fashion(asked.data)[0].copy())
    make = diffusers if asked.who == "diffusers" else lucidrains
    # How many steps the minutes hold is not known before; the example's rate needs to know.
    expected = int(60 * asked.minutes / seconds_a_step(make(pixels, 1000)[0]))
    steps, draw, parameters = make(pixels, expected)
    begun, taken = time.monotonic(), 0
    for _ in steps:
        taken += 1
        if time.monotonic() - begun > 60 * asked.minutes:
            break
    seconds = time.monotonic() - begun
    asked.out.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    with torch.no_grad():
        for first in range(0, asked.count, 100):
            drawn = draw(min(100, asked.count - first))
            for i, picture in enumerate(drawn.mul(255).round().byte().numpy().astype(np.uint8)):
                Image.fromarray(picture[0]).save(asked.out / f"{first + i:05d}.png")
    batch = 16 if asked.who == "diffusers" else 32
    line = {
        "who": asked.who,
        "settings": SETTINGS[asked.who],
        "minutes": asked.minutes,
        "train_seconds": round(seconds, 1),
        "steps": taken,
        "steps_expected": expected,
        "images": taken * batch,
        "images_per_second": round(taken * batch / seconds, 1),
        "draws_a_second": round(asked.count / (time.monotonic() - begun), 2),
        "steps_of_drawing": 50,
        "parameters": parameters,
        "drawn": asked.count,
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
