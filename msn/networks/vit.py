"""Vision Transformers as Masked Siamese Networks use them, written with `keras.ops` alone.

Sources: Dosovitskiy et al., arXiv 2010.11929 (ViT); Assran et al., arXiv 2204.07141, section 3
(masked patches are dropped, focal views enter the same network with interpolated positions); Huang
et al., arXiv 1603.09382 (stochastic depth); facebookresearch/msn (initialisation, epsilon).
"""

import functools

import keras
import numpy as np
from keras import ops

from data.common.errors import InputError
from msn.networks.blocks import Block, small_normal
from msn.networks.embedding import ConvStem, he_normal, position_matrix


class VisionTransformer(keras.Model):
    """Vision Transformer: patches, CLS token, learned positions, pre-norm blocks, last norm.

    Args:
      image_size: int, height and width in pixels for which there is one position per patch.
      patch_size, width, depth, num_heads: ints; `width` is a multiple of `num_heads`.
      mlp_ratio: hidden width of the MLPs over `width`.
      layer_norm_epsilon: 1e-6 in facebookresearch/msn and in the published EndoSSL weights.
      gelu: "erf" (exact; the reference) or "tanh" (Flax's default approximation).
      cls_position: whether the CLS token has a position embedding of its own.
      stem_channels: None for patches that are projected at once, or the channels of a `ConvStem`
        of as many convolutions as it takes to halve `patch_size` to 1.
      seed: int or None; of the random initialisation.
      dtype: Keras dtype policy, as "mixed_bfloat16" (products in half precision; weights, residual
        stream, norms and outputs are not); None for Keras' default.

    Call arguments:
      images: float [batch, height, width, 3], normalised.
      kept_patches: None, or int [kept]: the patches (row by row, CLS not counted) that enter the
        network, the same for the whole batch (the anchor's mask, arXiv 2204.07141, section 3).
      training: bool; matters to the batch norms of a convolutional stem alone.

    Returns:
      tokens [batch, 1 + patches or kept, width] after the last norm, and cls [batch, width].

    Raises:
      InputError: a size that does not fit; the message shows the values.
    """

    def __init__(
        self,
        image_size,
        patch_size,
        width,
        depth,
        num_heads,
        mlp_ratio=4,
        layer_norm_epsilon=1e-6,
        gelu="erf",
        cls_position=True,
        stem_channels=None,
        seed=None,
        name=None,
        dtype=None,
    ):
        super().__init__(name=name, dtype=dtype, autocast=False)
        check_sizes(image_size, patch_size, width, num_heads, stem_channels)
        self.image_size = image_size
        self.patch_size = patch_size
        self.width = width
        self.depth = depth
        self.num_heads = num_heads
        self.mlp_ratio = mlp_ratio
        self.layer_norm_epsilon = layer_norm_epsilon
        self.gelu = gelu
        self.cls_position = cls_position
        self.stem_channels = stem_channels and tuple(stem_channels)

        seeds = np.random.default_rng(seed)
        policy = self.dtype_policy
        self.grid = image_size // patch_size
        patch_values = 3 * patch_size**2
        if stem_channels:
            self.patch_embedding = ConvStem(
                self.stem_channels, width, seeds, name="patch_embedding", dtype=policy
            )
        else:
            self.patch_embedding = keras.layers.Dense(
                width,
                kernel_initializer=he_normal(patch_values, seeds),
                name="patch_embedding",
                dtype=policy,
            )
            self.patch_embedding.build((None, None, patch_values))
        self.cls_token = self.add_weight(
            name="cls_token", shape=(1, 1, width), initializer=small_normal(seeds)
        )
        self.positions = self.add_weight(
            name="positions",
            shape=(1, int(cls_position) + self.grid**2, width),
            initializer=small_normal(seeds),
        )
        sizes = (width, num_heads, mlp_ratio, layer_norm_epsilon, gelu, seeds)
        self.blocks = [Block(*sizes, name=f"block{i}", dtype=policy) for i in range(depth)]
        self.norm = keras.layers.LayerNormalization(
            epsilon=layer_norm_epsilon, name="norm", dtype=self.variable_dtype
        )
        self.norm.build((None, None, width))
        self.built = True

    def call(self, images, kept_patches=None, training=False):
        tokens = self.embed(images, kept_patches, training)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        return tokens, tokens[:, 0]

    def represent(
        self, images, kept_patches=None, branch_scales=None, recompute=False, training=False
    ):
        """The cls of a call [batch, width], with less work than a call.

        The last block works for CLS alone: its other tokens are read by nobody (a fourteenth of
        ViT-S's operations).

        Args:
          images, kept_patches, training: as in `call`.
          branch_scales: None, or float [depth, 2, batch]: stochastic depth, what the two branches
            of each block are multiplied by (see `msn.networks.blocks.branch_scales`).
          recompute: whether the backward pass computes each block again instead of keeping its
            activations (gradient checkpointing): same gradients, less memory, more work.
        """
        tokens = self.embed(images, kept_patches, training)
        for index, block in enumerate(self.blocks):
            scales = None if branch_scales is None else branch_scales[index]
            run = block if index < self.depth - 1 else block.represent
            run = functools.partial(run, branch_scales=scales)
            tokens = (keras.remat(run) if recompute else run)(tokens)
        return self.norm(tokens)[:, 0]

    def embed(self, images, kept_patches=None, training=False):
        """Images [batch, height, width, 3] -> tokens [batch, 1 + kept, width] before block 0.

        CLS comes first; positions are added.
        """
        height, width = images.shape[1:3]
        if height % self.patch_size or width % self.patch_size or not height or not width:
            raise InputError(
                f"images of {height}x{width} pixels; expected multiples of the patch size, "
                f"{self.patch_size}"
            )
        rows, columns = height // self.patch_size, width // self.patch_size
        cls_position, positions = self.interpolated_positions(rows, columns)
        if kept_patches is not None:
            positions = ops.take(positions, kept_patches, axis=1)
        tokens = self.embed_patches(images, rows, columns, kept_patches, training)
        tokens = ops.cast(tokens, self.variable_dtype) + positions
        cls = ops.broadcast_to(self.cls_token + cls_position, (ops.shape(images)[0], 1, self.width))
        return ops.concatenate([cls, tokens], axis=1)

    def embed_patches(self, images, rows, columns, kept_patches, training):
        """Images -> tokens of the kept patches [batch, kept, width], without positions."""
        if self.stem_channels:  # its convolutions see across patches: masked afterwards
            tokens = self.patch_embedding(images, training=training)
            return tokens if kept_patches is None else ops.take(tokens, kept_patches, axis=1)
        patches = self.patchify(images, rows, columns)
        if kept_patches is not None:  # before the product: what is masked costs nothing
            patches = ops.take(patches, kept_patches, axis=1)
        return self.patch_embedding(patches)

    def patchify(self, images, rows, columns):
        """[batch, height, width, 3] -> [batch, rows * columns, patch_size**2 * 3], row by row."""
        size = self.patch_size
        patches = ops.reshape(images, (-1, rows, size, columns, size, 3))
        patches = ops.transpose(patches, (0, 1, 3, 2, 4, 5))
        return ops.reshape(patches, (-1, rows * columns, size * size * 3))

    def interpolated_positions(self, rows, columns):
        """Position embeddings for a grid: that of CLS [1, 1, width] (or 0), [1, patches, width]."""
        positions = ops.convert_to_tensor(self.positions)
        first = int(self.cls_position)
        cls_position, patch_positions = positions[:, :first] if first else 0.0, positions[:, first:]
        if (rows, columns) != (self.grid, self.grid):
            matrix = position_matrix(self.grid, rows, columns)
            patch_positions = ops.matmul(ops.cast(matrix, positions.dtype), patch_positions)
        return cls_position, patch_positions

    def last_blocks(self, images, num_blocks, normalised=True):
        """Tokens [batch, 1 + patches, width] after each of the last `num_blocks` blocks, a list.

        `normalised` applies the last norm to each, as for linear evaluation on several blocks
        (arXiv 2204.07141, appendix).
        """
        tokens, outputs = self.embed(images), []
        for index, block in enumerate(self.blocks):
            tokens = block(tokens)
            if index >= self.depth - num_blocks:
                outputs.append(self.norm(tokens) if normalised else tokens)
        return outputs

    def last_attention(self, images):
        """Attention of the last block, [batch, heads, 1 + patches, 1 + patches], rows sum to 1."""
        tokens = self.embed(images)
        for block in self.blocks[:-1]:
            tokens = block(tokens)
        last = self.blocks[-1]
        return last.attention.weights_of(last.norm1(tokens))

    def get_config(self):
        """Constructor arguments."""
        return {
            "image_size": self.image_size,
            "patch_size": self.patch_size,
            "width": self.width,
            "depth": self.depth,
            "num_heads": self.num_heads,
            "mlp_ratio": self.mlp_ratio,
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "gelu": self.gelu,
            "cls_position": self.cls_position,
            "stem_channels": self.stem_channels and list(self.stem_channels),
        }


def check_sizes(image_size, patch_size, width, num_heads, stem_channels) -> None:
    """Raises `InputError` for sizes of which no Vision Transformer can be made."""
    if image_size % patch_size or image_size < patch_size:
        raise InputError(
            f"image_size is {image_size}; expected a multiple of patch_size {patch_size}"
        )
    if width % num_heads:
        raise InputError(f"width is {width}; expected a multiple of num_heads {num_heads}")
    if stem_channels and 2 ** len(stem_channels) != patch_size:
        raise InputError(
            f"{len(stem_channels)} stem_channels make patches of {2 ** len(stem_channels)} pixels; "
            f"expected patch_size, {patch_size}"
        )
