"""Vision Transformers as Masked Siamese Networks and others use them, in `keras.ops` alone.

Sources: Dosovitskiy et al., arXiv 2010.11929 (ViT); Assran et al., arXiv 2204.07141, section 3
(masked patches are dropped, focal views enter the same network with interpolated positions); Huang
et al., arXiv 1603.09382 (stochastic depth); facebookresearch/msn (initialisation, epsilon); Darcet
et al., arXiv 2309.16588 (registers); Simeoni et al., arXiv 2508.10104 (rotary positions).
"""

import functools

import keras
import numpy as np
from keras import ops

from data.common.errors import InputError
from msn.networks.blocks import Block, small_normal
from msn.networks.embedding import ConvStem, he_normal, position_matrix, rotary_positions
from msn.networks.options import OPTIONS, check_options, check_sizes


@keras.saving.register_keras_serializable("msn")
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
      class_token: False: there is no CLS (I-JEPA).
      num_registers: tokens between CLS and the patches, without positions (DINOv2, DINOv3).
      layer_scale, swiglu: as of `msn.networks.blocks.Block` (DINOv2, DINOv3).
      rope_theta: None for learned positions; else there are none, and queries and keys are turned
        by `msn.networks.embedding.rotary_positions` (DINOv3).
      position_grid: learned positions a side; None for one per patch of `image_size`.
      interpolation: of learned positions to another grid, of
        `msn.networks.embedding.INTERPOLATIONS`.
      pooling: "cls", or "mean" of the patches: what the representation is.
      pool_norm: whether the last norm comes after the pooling (timm's `fc_norm`), not before.
      seed: int or None; of the random initialisation.
      dtype: Keras dtype policy, as "mixed_bfloat16" (products in half precision; weights, residual
        stream, norms and outputs are not); None for Keras' default.

    Call arguments:
      images: float [batch, height, width, 3], normalised.
      kept_patches: None, or int [kept]: the patches (row by row, CLS not counted) that enter the
        network, the same for the whole batch (the anchor's mask, arXiv 2204.07141, section 3).
      training: bool; matters to the batch norms of a convolutional stem alone.

    Returns:
      tokens [batch, special + patches or kept, width] after the last norm, the special ones, CLS
      and registers, first; and the representation [batch, width], by default CLS.

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
        dtype="float32",
        **options,
    ):
        super().__init__(name=name, dtype=dtype, autocast=False)
        check_sizes(image_size, patch_size, width, num_heads, stem_channels)
        check_options(options, width // num_heads)
        for option, value in (OPTIONS | options).items():
            setattr(self, option, value)
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
        self.num_special = int(self.class_token) + self.num_registers
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
        self.add_tokens(int(cls_position) + (self.position_grid or self.grid) ** 2, seeds)
        sizes = (width, num_heads, mlp_ratio, layer_norm_epsilon, gelu, seeds)
        sizes += (self.layer_scale, self.swiglu)
        self.blocks = [Block(*sizes, name=f"block{i}", dtype=policy) for i in range(depth)]
        self.norm = keras.layers.LayerNormalization(
            epsilon=layer_norm_epsilon, name="norm", dtype=self.variable_dtype
        )
        self.norm.build((None, None, width))
        self.built = True

    def add_tokens(self, positions, seeds):
        """CLS, positions and registers, as far as there are any."""
        for name, count, wanted in (
            ("cls_token", 1, self.class_token),
            ("positions", positions, self.rope_theta is None),
            ("registers", self.num_registers, self.num_registers),
        ):
            if wanted:
                shape, initializer = (1, count, self.width), small_normal(seeds)
                weight = self.add_weight(name=name, shape=shape, initializer=initializer)
                setattr(self, name, weight)

    def call(self, images, kept_patches=None, training=False):
        tokens = self.embed(images, kept_patches, training)
        rotation = self.rotation(images, kept_patches)
        for block in self.blocks:
            tokens = block(tokens, rotation=rotation)
        tokens = self.tokens_of(tokens)
        return tokens, self.pool(tokens, self.pooling)

    def tokens_of(self, tokens):
        """What the blocks gave, after the last norm, unless that follows the pooling."""
        return tokens if self.pool_norm else self.norm(tokens)

    def pool(self, tokens, pooling):
        """Tokens of a call -> "cls" or "mean" of the patches, [batch, width], normalised."""
        if pooling == "cls" and not self.class_token:
            raise InputError("an encoder without CLS; expected the mean of its patches")
        special = self.num_special
        pooled = tokens[:, 0] if pooling == "cls" else ops.mean(tokens[:, special:], axis=1)
        return self.norm(pooled) if self.pool_norm else pooled

    def represent(
        self,
        images,
        kept_patches=None,
        branch_scales=None,
        recompute=False,
        patches=False,
        training=False,
    ):
        """The representation of a call [batch, width], with less work where it is CLS.

        With `patches` the mean of the patches follows it, [batch, 2 * width].

        The last block works for CLS alone then: its other tokens are read by nobody (a fourteenth
        of ViT-S's operations).

        Args:
          images, kept_patches, training: as in `call`.
          branch_scales: None, or float [depth, 2, batch]: stochastic depth, what the two branches
            of each block are multiplied by (see `msn.networks.blocks.branch_scales`).
          recompute: whether the backward pass computes each block again instead of keeping its
            activations (gradient checkpointing): same gradients, less memory, more work.
          patches: whether the mean of the patches follows.
        """
        tokens = self.embed(images, kept_patches, training)
        rotation = self.rotation(images, kept_patches)
        for index, block in enumerate(self.blocks):
            scales = None if branch_scales is None else branch_scales[index]
            cls_alone = index == self.depth - 1 and self.pooling == "cls" and not patches
            run = block.represent if cls_alone else block
            run = functools.partial(run, branch_scales=scales, rotation=rotation)
            tokens = (keras.remat(run) if recompute else run)(tokens)
        tokens = self.tokens_of(tokens)
        if patches:
            both = [self.pool(tokens, pooling) for pooling in (self.pooling, "mean")]
            return ops.concatenate(both, axis=-1)
        return self.pool(tokens, self.pooling)

    def embed(self, images, kept_patches=None, training=False):
        """Images [batch, height, width, 3] -> tokens [batch, special + kept, width] before block 0.

        CLS comes first, then registers; positions are added.
        """
        rows, columns = self.grid_of(images)
        tokens = self.embed_patches(images, rows, columns, kept_patches, training)
        tokens, cls_position = ops.cast(tokens, self.variable_dtype), 0.0
        if self.rope_theta is None:
            cls_position, positions = self.interpolated_positions(rows, columns)
            if kept_patches is not None:
                positions = ops.take(positions, kept_patches, axis=1)
            tokens = tokens + positions
        special = [self.cls_token + cls_position] if self.class_token else []
        special += [ops.convert_to_tensor(self.registers)] if self.num_registers else []
        count = ops.shape(images)[0]
        special = [ops.broadcast_to(one, (count, one.shape[1], self.width)) for one in special]
        return ops.concatenate([*special, tokens], axis=1)

    def grid_of(self, images):
        """(rows, columns) of patches of images; raises `InputError` where they do not fit."""
        height, width = images.shape[1:3]
        if height % self.patch_size or width % self.patch_size or not height or not width:
            raise InputError(
                f"images of {height}x{width} pixels; expected multiples of the patch size, "
                f"{self.patch_size}"
            )
        return height // self.patch_size, width // self.patch_size

    def rotation(self, images, kept_patches=None):
        """(Cosines, sines) for all tokens, each [special + kept, head width]; None without RoPE."""
        if self.rope_theta is None:
            return None
        head_width = self.width // self.num_heads
        patches = rotary_positions(*self.grid_of(images), head_width, self.rope_theta)
        if kept_patches is not None:
            patches = ops.take(patches, kept_patches, axis=1)
        still = np.zeros((2, self.num_special, head_width), np.float32)
        still[0] = 1  # special tokens have no place
        both = [ops.cast(part, self.variable_dtype) for part in (still, patches)]
        return ops.unstack(ops.concatenate(both, axis=1), axis=0)

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
        first, grid = int(self.cls_position), self.position_grid or self.grid
        cls_position, patch_positions = positions[:, :first] if first else 0.0, positions[:, first:]
        if (rows, columns) != (grid, grid):
            matrix = position_matrix(grid, rows, columns, self.interpolation)
            patch_positions = ops.matmul(ops.cast(matrix, positions.dtype), patch_positions)
        return cls_position, patch_positions

    def last_blocks(self, images, num_blocks, normalised=True, training=False):
        """Tokens [batch, special + patches, width] after each of the last blocks, a list.

        `normalised` applies the last norm to each, as for linear evaluation on several blocks
        (arXiv 2204.07141, appendix).
        """
        tokens, rotation = self.embed(images, training=training), self.rotation(images)
        outputs = []
        for index, block in enumerate(self.blocks):
            tokens = block(tokens, rotation=rotation)
            if index >= self.depth - num_blocks:
                outputs.append(self.tokens_of(tokens) if normalised else tokens)
        return outputs

    def last_attention(self, images):
        """Attention of the last block, [batch, heads, tokens, tokens], rows sum to 1."""
        tokens, rotation = self.embed(images), self.rotation(images)
        for block in self.blocks[:-1]:
            tokens = block(tokens, rotation=rotation)
        last = self.blocks[-1]
        return last.attention.weights_of(last.norm1(tokens), rotation)

    def get_config(self):
        """Constructor arguments; of OPTIONS those that differ."""
        options = {name: getattr(self, name) for name in OPTIONS}
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
        } | {name: value for name, value in options.items() if value != OPTIONS[name]}
