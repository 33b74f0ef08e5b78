"""Fits the head, or head and encoder, of a phase model; the best epoch on validation is kept."""

import logging
import sys
from collections.abc import Callable

import keras
import numpy as np
from tqdm import tqdm

from data.cholec80_images import training_dataset
from data.errors import InputError
from data.index import FrameIndex

OPTIMIZERS = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "rmsprop": keras.optimizers.RMSprop,
    "momentum": lambda **arguments: keras.optimizers.SGD(momentum=0.9, **arguments),
    "sgd": keras.optimizers.SGD,
}


def fit_head(model, features, labels, *, validate, epochs, batch_size, seed, optimizer, weights):
    """Linear probe: trains `model.head` alone, on features that were computed once.

    Args:
      model: `down_stream.model.PhaseModel`; its feature standardisation is set from `features`.
      features: float32 [frames, width]; labels: int [frames].
      validate: None, or a function without arguments that scores the model, higher is better.
      epochs, batch_size, seed: ints.
      optimizer: dict of `create_optimizer`'s arguments, without `steps`.
      weights: None, or {label: weight in the loss}.

    Returns:
      history, {name: one value per epoch}, and the index of the epoch whose weights were kept.
    """
    model.feature_mean.assign(features.mean(axis=0))
    model.feature_std.assign(np.maximum(features.std(axis=0), 1e-6))
    inputs = keras.Input(features.shape[1:])
    probe = keras.Model(inputs, model.classify(inputs))
    batch_size = min(batch_size, len(features))
    steps = -(-len(features) // batch_size)
    keras.utils.set_random_seed(seed)  # of fit's shuffling
    return _fit(
        probe,
        {"x": features, "y": labels, "batch_size": batch_size},
        create_optimizer(**optimizer, steps=steps * epochs),
        validate=validate,
        epochs=epochs,
        steps=steps,
        weights=weights,
    )


def fit_all(model, index: FrameIndex, *, validate, epochs, batch_size, seed, optimizer, weights):
    """Fine-tuning: trains encoder and head end to end, on augmented frames.

    Arguments and returns are `fit_head`'s, with an index of labelled frames for the features.

    Raises:
      InputError: the encoder cannot be trained.
    """
    if not model.encoder.trainable_variables:
        beside = model.encoder.directory.parent / "checkpoint_0"
        raise InputError(
            f"{model.encoder.directory}: a SavedModel is frozen: it can be probed, not fine-tuned; "
            f"for that, convert the weights it came with, as in: python -m msn.convert "
            f"--source={beside} --output=ENCODER"
        )
    batch_size = min(batch_size, len(index))
    steps = len(index) // batch_size
    dataset = training_dataset(
        index, image_size=model.encoder.image_size, batch_size=batch_size, seed=seed
    )
    return _fit(
        model,
        {"x": dataset, "steps_per_epoch": steps, "shuffle": False},
        create_optimizer(**optimizer, steps=steps * epochs),
        validate=validate,
        epochs=epochs,
        steps=steps,
        weights=weights,
    )


def _fit(model, inputs, optimizer, *, validate, epochs, steps, weights):
    model.compile(
        optimizer=optimizer,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=True,
    )
    best = BestEpoch(validate)
    model.fit(
        **inputs,
        epochs=epochs,
        class_weight=weights,
        verbose=0,
        callbacks=[best, Progress(epochs * steps)],
    )
    return best.restore()


def create_optimizer(name: str, learning_rate: float, weight_decay: float, warmup, steps: int):
    """A Keras optimizer with linear warm-up and cosine decay to zero over `steps` updates.

    Args:
      name: one of OPTIMIZERS.
      learning_rate, weight_decay: floats, 0 included; the decay is decoupled and leaves biases
        and norms alone.
      warmup: share of the steps that warm up.
      steps: int.
    """
    warmup_steps = int(warmup * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0 if warmup_steps else learning_rate,
        max(1, steps - warmup_steps),
        warmup_target=learning_rate if warmup_steps else None,
        warmup_steps=warmup_steps,
    )
    optimizer = OPTIMIZERS[name](learning_rate=schedule, weight_decay=weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


class BestEpoch(keras.callbacks.Callback):
    """Keeps the weights of the epoch with the highest `val_macro_f1`, in memory.

    Without validation, those of the last epoch.
    """

    def __init__(self, validate: Callable | None):
        super().__init__()
        self.validate = validate
        self.history: dict[str, list[float]] = {}
        self.best_epoch, self.best_score, self.best_weights = None, -np.inf, None

    def on_epoch_end(self, epoch, logs=None):
        if not np.isfinite(logs["loss"]):
            raise InputError(
                f"the loss is {logs['loss']} in epoch {epoch + 1}: lower optimizer.learning_rate"
            )
        if self.validate is not None:
            logs["val_macro_f1"] = self.validate()
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(value))
        score = logs.get("val_macro_f1", epoch)
        if score > self.best_score:
            self.best_epoch, self.best_score = epoch, score
            self.best_weights = self.model.get_weights()

    def restore(self):
        """Puts the best weights back; returns the history and the best epoch."""
        if self.best_weights is not None:
            self.model.set_weights(self.best_weights)
            logging.info("epoch %d of %d kept", self.best_epoch + 1, len(self.history["loss"]))
        return self.history, self.best_epoch


class Progress(keras.callbacks.Callback):
    """One progress bar over all epochs."""

    def __init__(self, total: int):
        super().__init__()
        self.total = total

    def on_train_begin(self, logs=None):
        interval = 0.5 if sys.stderr.isatty() else 15
        self.bar = tqdm(total=self.total, desc="training", unit="step", mininterval=interval)

    def on_train_batch_end(self, batch, logs=None):
        self.bar.update()

    def on_epoch_end(self, epoch, logs=None):
        shown = {name: f"{value:.3f}" for name, value in logs.items() if name != "accuracy"}
        self.bar.set_postfix(shown, refresh=False)

    def on_train_end(self, logs=None):
        self.bar.close()
