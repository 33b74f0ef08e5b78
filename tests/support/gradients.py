"""Gradients under whatever backend Keras runs on, each by its own means."""

import keras
from keras import ops

BACKEND = keras.backend.backend()

# Whether a function is compiled by XLA: TensorFlow has both ways, JAX has no other, PyTorch none.
JIT = [False, True] if BACKEND == "tensorflow" else [BACKEND == "jax"]


def outputs_and_gradients(function, variables, jit=JIT[0]):
    """Calls `function() -> (scalar, outputs)`; returns outputs and d scalar / d variables.

    `variables` is a list of Keras variables; both results are numpy arrays.
    """
    by_backend = {"tensorflow": by_tensorflow, "jax": by_jax, "torch": by_torch}[BACKEND]
    results = by_backend(function, variables, jit)
    return keras.tree.map_structure(ops.convert_to_numpy, results)


def by_tensorflow(function, variables, jit):
    import tensorflow as tf

    @tf.function(jit_compile=jit)
    def run():
        with tf.GradientTape() as tape:
            total, outputs = function()
        return outputs, tape.gradient(total, [variable.value for variable in variables])

    return run()


def by_jax(function, variables, jit):
    import jax

    def pure(values):
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return function()

    assert jit
    run = jax.jit(jax.grad(pure, has_aux=True))
    gradients, outputs = run([variable.value for variable in variables])
    return outputs, gradients


def by_torch(function, variables, jit):
    import torch

    assert not jit
    total, outputs = function()
    return outputs, list(torch.autograd.grad(total, [variable.value for variable in variables]))
