"""AdamW as the reference uses it, for schedules that change every step.

Sources: Loshchilov and Hutter, arXiv 1711.05101; PyTorch's AdamW (first the decay, then the
update; epsilon outside the bias correction). Keras' AdamW puts epsilon elsewhere and ignores a
weight decay that changes inside a compiled step.
"""

import math

import tensorflow as tf


class AdamW(tf.Module):
    """AdamW over a fixed list of variables.

    Args:
      variables: list of `tf.Variable`.
      decayed: list of bool, whether weight decay applies to each variable.
      beta1, beta2, epsilon: PyTorch's defaults.
    """

    def __init__(self, variables, decayed, beta1=0.9, beta2=0.999, epsilon=1e-8, name=None):
        super().__init__(name=name)
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.trained = list(variables)
        self.decayed = list(decayed)
        self.steps = tf.Variable(0, dtype=tf.int64, trainable=False, name="steps")
        self.first = [self._zeros(variable, "first_moment") for variable in variables]
        self.second = [self._zeros(variable, "second_moment") for variable in variables]

    def apply(self, gradients, learning_rate, weight_decay, update=True):
        """Updates all variables in place.

        Args:
          gradients: list of tensors in the order of the variables.
          learning_rate, weight_decay: scalars.
          update: bool scalar; with False nothing changes, whatever the gradients are: these count
            as zero, and the rates are such that nothing moves. (To choose between old and new
            values of every variable and moment costs more than the update itself.)
        """
        update = tf.convert_to_tensor(update)
        steps = self.steps + 1
        self.steps.assign_add(tf.cast(update, steps.dtype))
        for variable, decayed, gradient, first, second in zip(
            self.trained, self.decayed, gradients, self.first, self.second, strict=True
        ):

            def chosen(value, otherwise, dtype=variable.dtype):
                return tf.where(update, tf.cast(value, dtype), tf.cast(otherwise, dtype))

            gradient = tf.where(update, gradient, tf.zeros_like(gradient))
            count = tf.cast(steps, variable.dtype)
            rate = chosen(learning_rate, 0)
            decay = rate * tf.cast(weight_decay, variable.dtype) if decayed else 0.0
            first.assign(chosen(self.beta1, 1) * first + (1 - self.beta1) * gradient)
            second.assign(chosen(self.beta2, 1) * second + (1 - self.beta2) * tf.square(gradient))
            # 1 - beta ** steps, without its cancellation in float32
            correction1 = -tf.math.expm1(count * math.log(self.beta1))
            correction2 = -tf.math.expm1(count * math.log(self.beta2))
            denominator = tf.sqrt(second) / tf.sqrt(correction2) + self.epsilon
            variable.assign(variable * (1 - decay) - rate / correction1 * (first / denominator))

    @staticmethod
    def _zeros(variable, name):
        return tf.Variable(tf.zeros(variable.shape, variable.dtype), trainable=False, name=name)


def clip_by_global_norm(gradients, limit):
    """Scales gradients so that their global norm is at most `limit`; 0 means no limit.

    Returns:
      the gradients, and their global norm before clipping (a scalar).
    """
    norm = tf.linalg.global_norm(gradients)
    if not limit:
        return gradients, norm
    scale = tf.minimum(limit / (norm + 1e-6), 1.0)  # the reference's epsilon
    return [gradient * scale for gradient in gradients], norm
