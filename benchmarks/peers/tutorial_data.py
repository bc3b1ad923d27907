"""Pictures the way PyTorch's tutorials read them: a Dataset of PIL pictures, transformed one by one, in a DataLoader.

torchvision's `ToTensor` and `Normalize` are written out, since this benchmark runs without torchvision.
"""

from collections.abc import Iterator

import common
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset


class Pictures(Dataset):
    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        picture = Image.fromarray(self.images[index])
        tensor = torch.from_numpy(np.array(picture, copy=True))[None].to(torch.float32).div(255)
        return tensor.sub(0.5).div(0.5), int(self.labels[index])


def batches(images: np.ndarray, labels: np.ndarray) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Shuffled batches without end."""
    loader = DataLoader(Pictures(images, labels), common.BATCH, shuffle=True, drop_last=True)
    while True:
        yield from loader
