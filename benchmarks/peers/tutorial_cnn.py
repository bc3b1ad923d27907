"""The tutorials' CNN in the tutorials' PyTorch: DataLoader over single pictures, eager float32."""

import common
import torch
import tutorial_data
from torch import nn
from torch.nn import functional as F


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3), nn.Conv2d(64, 64, 3)
        self.hidden, self.head = nn.Linear(576, 64), nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = torch.flatten(F.relu(self.conv3(x)), 1)
        return self.head(F.relu(self.hidden(x)))


def main() -> None:
    asked = common.asked(warmup=6_400, images=38_400)
    network = Network()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()
    clock = common.Clock(asked.warmup, asked.images)
    running = 0.0
    for images, labels in tutorial_data.batches(*common.fashion(asked.data)):
        optimizer.zero_grad()
        loss = criterion(network(images), labels)
        loss.backward()
        optimizer.step()
        running += loss.item()
        if clock.step():
            break
    clock.report("cnn-classic", "PyTorch, the tutorial way", "torch")


if __name__ == "__main__":
    main()
