"""The tutorials' CNN in Keras 3 on TensorFlow, trained by `fit` from arrays in memory."""

import common
import keras
from keras import layers


class Count(keras.callbacks.Callback):
    def __init__(self, clock: common.Clock) -> None:
        super().__init__()
        self.clock = clock

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if self.clock.step():
            self.model.stop_training = True


def network() -> keras.Model:
    return keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10),
        ]
    )


def main() -> None:
    asked = common.asked(warmup=12_800, images=51_200)
    images, labels = common.fashion(asked.data)
    steps = (asked.warmup + asked.images) // common.BATCH
    model = network()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    clock = common.Clock(asked.warmup, asked.images)
    pictures = (images / 255.0).astype("float32")[..., None]
    epochs = -(-steps * common.BATCH // len(images)) + 1
    model.fit(pictures, labels, batch_size=common.BATCH, epochs=epochs, verbose=0, callbacks=[Count(clock)])
    clock.report("cnn-classic", "Keras on TensorFlow (fit)", "keras", "tensorflow-cpu")


if __name__ == "__main__":
    main()
