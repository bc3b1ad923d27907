"""pythae's convolutional VAE for 28×28 pictures, trained by pythae's own trainer (float32, as it is on a CPU)."""

import tempfile
from typing import Any

import common
import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.nn.benchmarks.mnist import Decoder_Conv_AE_MNIST, Encoder_Conv_VAE_MNIST
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback


class Enough(Exception):  # noqa: N818
    """The training is long enough."""


class Count(TrainingCallback):
    def __init__(self, clock: common.Clock) -> None:
        self.clock = clock

    def on_train_step_end(self, training_config: BaseTrainerConfig, **given: Any) -> None:
        if self.clock.step():
            raise Enough


def main() -> None:
    asked = common.asked(warmup=512, images=1_536)
    images, labels = common.fashion(asked.data)
    data = BaseDataset(torch.from_numpy(images / 255.0)[:, None].float(), torch.from_numpy(labels))
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=16, reconstruction_loss="bce")
    model = VAE(config, encoder=Encoder_Conv_VAE_MNIST(config), decoder=Decoder_Conv_AE_MNIST(config))
    clock = common.Clock(asked.warmup, asked.images)
    with tempfile.TemporaryDirectory() as folder:
        training = BaseTrainerConfig(
            output_dir=folder, num_epochs=100, learning_rate=1e-3, per_device_train_batch_size=common.BATCH
        )
        trainer = BaseTrainer(model, data, training_config=training, callbacks=[Count(clock)])
        try:
            trainer.train()
        except Enough:
            clock.report("pythae-vae", "pythae's trainer", "pythae", "torch")


if __name__ == "__main__":
    main()
