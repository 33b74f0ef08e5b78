"""Attentive pooling: a learned query looks at the patches and says which of them count.

Sources: Chen et al., arXiv 2202.03026 (CAE, section 4: attentive probing, cross-attention of a
learned query to the patches alone, then a linear classifier); Bardes et al., arXiv 2404.08471
(V-JEPA, section 4.1: the same protocol for frozen encoders without CLS).
"""

import keras
from keras import ops

from msn.networks.encoder import Encoder

HEAD_WIDTH = 64  # numbers of an attention head, as in every published Vision Transformer


class AttentivePool(keras.layers.Layer):
    """Tokens of patches [batch, patches, width] -> [batch, width], by one learned query.

    The tokens are normalised, become keys and values, and the query's heads average the values by
    softmax(query key / sqrt(head width)); a projection and a norm follow.

    Args:
      width: of the tokens.
      seed: int or None, of the initialisation.
    """

    def __init__(self, width, seed=None, name="pool"):
        super().__init__(name=name, dtype="float32")
        self.width = width
        self.num_heads = number_of_heads(width)
        initializer = keras.initializers.TruncatedNormal(stddev=0.02, seed=seed)
        self.norm = keras.layers.LayerNormalization(epsilon=1e-6, name="norm", dtype="float32")
        self.last_norm = keras.layers.LayerNormalization(
            epsilon=1e-6, name="last_norm", dtype="float32"
        )
        self.query = self.add_weight(name="query", shape=(1, width), initializer=initializer)
        for place, role in enumerate(("key", "value", "out")):
            own = keras.initializers.TruncatedNormal(
                stddev=0.02, seed=None if seed is None else seed + 1 + place
            )
            dense = keras.layers.Dense(width, name=role, kernel_initializer=own, dtype="float32")
            dense.build((None, width))
            setattr(self, role, dense)
        for norm in (self.norm, self.last_norm):
            norm.build((None, width))
        self.built = True

    def call(self, tokens):
        tokens = self.norm(ops.cast(tokens, "float32"))
        keys, values = (self._heads(dense(tokens)) for dense in (self.key, self.value))
        query = self._heads(self.query[None])  # [1, heads, 1, head width]
        scale = (self.width // self.num_heads) ** -0.5
        weights = ops.softmax(ops.sum(query * keys, axis=-1) * scale, axis=-1)
        pooled = ops.sum(weights[..., None] * values, axis=2)
        return self.last_norm(self.out(ops.reshape(pooled, (-1, self.width))))

    def named_weights(self) -> dict:
        """Its variables by name, for files."""
        layers = (self.norm, self.key, self.value, self.out, self.last_norm)
        own = {f"{layer.name}/{one.name}": one for layer in layers for one in layer.weights}
        return {"query": self.query} | own

    def _heads(self, tokens):
        """[batch, tokens, width] -> [batch, heads, tokens, head width]."""
        shape = (-1, tokens.shape[1], self.num_heads, self.width // self.num_heads)
        return ops.transpose(ops.reshape(tokens, shape), (0, 2, 1, 3))


def number_of_heads(width: int) -> int:
    """As many heads of about HEAD_WIDTH numbers as divide the width."""
    return next(heads for heads in range(max(1, width // HEAD_WIDTH), 0, -1) if width % heads == 0)


def patch_tokens(encoder, images, training=False):
    """Images [batch, height, width, 3] -> tokens of the patches [batch, patches, width].

    CLS and registers are no patches.
    """
    if not isinstance(encoder, Encoder):  # frozen ones: the first token is the representation
        return encoder(images)[0][:, 1:]
    return encoder(images, training=training)[0][:, encoder.backbone.num_special :]
