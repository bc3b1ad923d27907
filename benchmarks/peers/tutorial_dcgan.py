"""PyTorch's DCGAN tutorial loop (two passes for the discriminator, one for the generator) on the TensorFlow
tutorial's networks, with DataLoader and eager float32.
"""

import common
import torch
import tutorial_data
from torch import nn


def generator() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(100, 7 * 7 * 256, bias=False),
        nn.BatchNorm1d(7 * 7 * 256),
        nn.LeakyReLU(0.3, inplace=True),
        nn.Unflatten(1, (256, 7, 7)),
        nn.ConvTranspose2d(256, 128, 5, 1, 2, bias=False),
        nn.BatchNorm2d(128),
        nn.LeakyReLU(0.3, inplace=True),
        nn.ConvTranspose2d(128, 64, 5, 2, 2, 1, bias=False),
        nn.BatchNorm2d(64),
        nn.LeakyReLU(0.3, inplace=True),
        nn.ConvTranspose2d(64, 1, 5, 2, 2, 1, bias=False),
        nn.Tanh(),
    )


def discriminator() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 64, 5, 2, 2),
        nn.LeakyReLU(0.3, inplace=True),
        nn.Dropout(0.3),
        nn.Conv2d(64, 128, 5, 2, 2),
        nn.LeakyReLU(0.3, inplace=True),
        nn.Dropout(0.3),
        nn.Flatten(),
        nn.Linear(7 * 7 * 128, 1),
    )


def main() -> None:
    asked = common.asked(warmup=1_280, images=3_840)
    draws, judges = generator(), discriminator()
    for_draws, for_judges = (torch.optim.Adam(net.parameters(), 1e-4) for net in (draws, judges))
    criterion = nn.BCEWithLogitsLoss()
    yes, no = torch.ones(common.BATCH, 1), torch.zeros(common.BATCH, 1)
    clock = common.Clock(asked.warmup, asked.images)
    running = 0.0
    for real, _ in tutorial_data.batches(*common.fashion(asked.data)):
        judges.zero_grad()
        real_loss = criterion(judges(real), yes)
        real_loss.backward()
        fake = draws(torch.randn(common.BATCH, 100))
        fake_loss = criterion(judges(fake.detach()), no)
        fake_loss.backward()
        for_judges.step()
        draws.zero_grad()
        draw_loss = criterion(judges(fake), yes)
        draw_loss.backward()
        for_draws.step()
        running += real_loss.item() + fake_loss.item() + draw_loss.item()
        if clock.step():
            break
    clock.report("dcgan-tutorial", "PyTorch, the tutorial way", "torch")


if __name__ == "__main__":
    main()
