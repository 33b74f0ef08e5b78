"""Keras' defaults, whatever the program around this one has set for its own networks."""

import contextlib
from collections.abc import Iterator

import keras


@contextlib.contextmanager
def usual_keras() -> Iterator[None]:
    """Context (or decorator) with float32, channels last and Keras' epsilon; then as it was.

    For what takes no such argument: keras.applications, Keras' optimizers and their schedules.
    Layers of this project are given their dtype and data format instead.
    """
    config = keras.config
    before = config.floatx(), config.epsilon(), config.image_data_format(), config.dtype_policy()
    _set("float32", 1e-7, "channels_last", "float32")
    try:
        yield
    finally:
        _set(*before)


def _set(floatx, epsilon, data_format, policy) -> None:
    keras.config.set_floatx(floatx)
    keras.config.set_epsilon(epsilon)
    keras.config.set_image_data_format(data_format)
    keras.config.set_dtype_policy(policy)
