"""TensorFlow's DCGAN tutorial: its networks and its compiled `train_step`, fed by tf.data as there."""

import common
import tensorflow as tf
from keras import layers, losses, models, optimizers


def generator() -> models.Sequential:
    return models.Sequential(
        [
            layers.Input((100,)),
            layers.Dense(7 * 7 * 256, use_bias=False),
            layers.BatchNormalization(),
            layers.LeakyReLU(),
            layers.Reshape((7, 7, 256)),
            layers.Conv2DTranspose(128, 5, strides=1, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.LeakyReLU(),
            layers.Conv2DTranspose(64, 5, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.LeakyReLU(),
            layers.Conv2DTranspose(1, 5, strides=2, padding="same", use_bias=False, activation="tanh"),
        ]
    )


def discriminator() -> models.Sequential:
    return models.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(64, 5, strides=2, padding="same"),
            layers.LeakyReLU(),
            layers.Dropout(0.3),
            layers.Conv2D(128, 5, strides=2, padding="same"),
            layers.LeakyReLU(),
            layers.Dropout(0.3),
            layers.Flatten(),
            layers.Dense(1),
        ]
    )


def main() -> None:
    asked = common.asked(warmup=1_280, images=5_120)
    images, _ = common.fashion(asked.data)
    pictures = ((images.astype("float32") - 127.5) / 127.5)[..., None]
    draws, judges = generator(), discriminator()
    for_draws, for_judges = optimizers.Adam(1e-4), optimizers.Adam(1e-4)
    entropy = losses.BinaryCrossentropy(from_logits=True)

    @tf.function
    def train_step(real: tf.Tensor) -> None:
        noise = tf.random.normal([common.BATCH, 100])
        with tf.GradientTape() as first, tf.GradientTape() as second:
            fake = draws(noise, training=True)
            real_logits, fake_logits = judges(real, training=True), judges(fake, training=True)
            draw_loss = entropy(tf.ones_like(fake_logits), fake_logits)
            judge_loss = entropy(tf.ones_like(real_logits), real_logits)
            judge_loss += entropy(tf.zeros_like(fake_logits), fake_logits)
        gradients = first.gradient(draw_loss, draws.trainable_variables)
        judgments = second.gradient(judge_loss, judges.trainable_variables)
        for_draws.apply_gradients(zip(gradients, draws.trainable_variables, strict=True))
        for_judges.apply_gradients(zip(judgments, judges.trainable_variables, strict=True))

    data = tf.data.Dataset.from_tensor_slices(pictures).shuffle(60_000).batch(common.BATCH, drop_remainder=True)
    clock = common.Clock(asked.warmup, asked.images)
    for batch in data.repeat():
        train_step(batch)
        if clock.step():
            break
    clock.report("dcgan-tutorial", "Keras on TensorFlow (tutorial)", "keras", "tensorflow-cpu")


if __name__ == "__main__":
    main()
