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
        # Once, not for every variable: that was a sixth of the operations of a step's program.
        scalars = {
            dtype: self._scalars(dtype, steps, learning_rate, weight_decay, update)
            for dtype in {variable.dtype for variable in self.trained}
        }
        for variable, decayed, gradient, first, second in zip(
            self.trained, self.decayed, gradients, self.first, self.second, strict=True
        ):
            beta1, beta2, root2, rate, kept = scalars[variable.dtype]
            gradient = tf.where(update, gradient, tf.zeros((), gradient.dtype))
            first_moment = beta1 * first + (1 - self.beta1) * gradient
            second_moment = beta2 * second + (1 - self.beta2) * tf.square(gradient)
            direction = first_moment / (tf.sqrt(second_moment) / root2 + self.epsilon)
            first.assign(first_moment)
            second.assign(second_moment)
            variable.assign((variable * kept if decayed else variable) - rate * direction)

    def _scalars(self, dtype, steps, learning_rate, weight_decay, update):
        """What all variables of a dtype have in common.

        Returns:
          beta1, beta2; the root of the second moment's bias correction; the rate, divided by that
          of the first; and what is left of a variable after its decay.
        """

        def chosen(value, otherwise):
            return tf.where(update, tf.cast(value, dtype), tf.cast(otherwise, dtype))

        count, rate = tf.cast(steps, dtype), chosen(learning_rate, 0)
        # 1 - beta ** steps, without its cancellation in float32
        correction1 = -tf.math.expm1(count * math.log(self.beta1))
        correction2 = -tf.math.expm1(count * math.log(self.beta2))
        return (
            chosen(self.beta1, 1),
            chosen(self.beta2, 1),
            tf.sqrt(correction2),
            rate / correction1,
            1 - rate * tf.cast(weight_decay, dtype),
        )

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
