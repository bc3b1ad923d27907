"""denoising-diffusion-pytorch's U-Net and diffusion, its trainer's step: Adam, clipping, eager float32.

With --draw N it draws instead, by N steps of DDIM.
"""

import argparse

import common
import torch

common.stand_in_for_torchvision()
from denoising_diffusion_pytorch import GaussianDiffusion, Unet  # noqa: E402


def unet() -> Unet:
    """1.4 million parameters."""
    return Unet(dim=32, dim_mults=(1, 2, 2), channels=1)


def draw(asked: argparse.Namespace) -> None:
    diffusion = GaussianDiffusion(unet(), image_size=28, timesteps=1000, sampling_timesteps=asked.draw).eval()
    parameters = sum(p.numel() for p in diffusion.parameters())
    packages = "denoising-diffusion-pytorch", "torch"
    clock = common.Clock(asked.warmup, asked.images)
    clock.draw(lambda count: diffusion.sample(batch_size=count), asked.draw, parameters, packages[0], *packages)


def main() -> None:
    asked = common.asked(warmup=256, images=768)
    if asked.draw:
        draw(asked)
        return
    pixels, _ = common.fashion(asked.data)
    stored = torch.from_numpy(pixels.copy())
    network = unet()
    diffusion = GaussianDiffusion(network, image_size=28, timesteps=1000)
    optimizer = torch.optim.Adam(diffusion.parameters(), 1e-4, betas=(0.9, 0.99))
    clock = common.Clock(asked.warmup, asked.images)
    while True:
        rows = torch.randint(len(stored), (common.BATCH,))
        loss = diffusion(stored[rows, None].float() / 255)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(diffusion.parameters(), 1.0)
        optimizer.step()
        if clock.step():
            break
    clock.report("flow", "denoising-diffusion-pytorch", "denoising-diffusion-pytorch", "torch")


if __name__ == "__main__":
    main()
