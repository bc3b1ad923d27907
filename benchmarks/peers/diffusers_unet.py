"""diffusers' U-Net trained as its training example does: DDPM's noise, AdamW, eager float32, on pictures in memory.

With --draw N it draws instead, by N steps of DDIM.
"""

import argparse

import common
import torch
from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel
from torch.nn import functional as F


def unet() -> UNet2DModel:
    """1.3 million parameters for 28×28 pictures by class: attention at 14×14, as far down as ours goes."""
    return UNet2DModel(
        sample_size=28,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(32, 96),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        num_class_embeds=10,
    )


def draw(asked: argparse.Namespace) -> None:
    """By class, as the network was made for."""
    network, schedule = unet().eval(), DDIMScheduler(num_train_timesteps=1000)
    schedule.set_timesteps(asked.draw)

    def batch_of(count: int) -> torch.Tensor:
        x, labels = torch.randn(count, 1, 28, 28), torch.arange(count) % 10
        for t in schedule.timesteps:
            x = schedule.step(network(x, t, class_labels=labels).sample, t, x).prev_sample
        return x

    parameters = sum(p.numel() for p in network.parameters())
    with torch.inference_mode():
        clock = common.Clock(asked.warmup, asked.images)
        clock.draw(batch_of, asked.draw, parameters, "diffusers' U-Net", "diffusers", "torch")


def main() -> None:
    asked = common.asked(warmup=256, images=768)
    if asked.draw:
        draw(asked)
        return
    pixels, labels = (torch.from_numpy(x.copy()) for x in common.fashion(asked.data))
    network, schedule = unet(), DDPMScheduler(num_train_timesteps=1000)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4)
    clock = common.Clock(asked.warmup, asked.images)
    while True:
        rows = torch.randint(len(pixels), (common.BATCH,))
        clean = pixels[rows, None].float() / 127.5 - 1
        noise = torch.randn_like(clean)
        steps = torch.randint(0, 1000, (common.BATCH,))
        said = network(schedule.add_noise(clean, noise, steps), steps, class_labels=labels[rows]).sample
        loss = F.mse_loss(said, noise)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if clock.step():
            break
    clock.report("flow", "diffusers' U-Net", "diffusers", "torch")


if __name__ == "__main__":
    main()
