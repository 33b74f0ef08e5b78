"""Vision Transformers as Masked Siamese Networks use them, and the encoder made of one.

Written with `keras.ops` alone, so that an encoder is not bound to one Keras backend.

Sources: Dosovitskiy et al., arXiv 2010.11929 (ViT); Touvron et al., arXiv 2012.12877 (sizes Ti and
S); Assran et al., arXiv 2204.07141, section 3 (masked patches are dropped, focal views enter the
same network with interpolated positions); facebookresearch/msn (initialisation, epsilon).
"""

import functools
import math
import re

import keras
import numpy as np
from keras import ops

from data.errors import InputError
from msn.blocks import Block, draw_seed, small_normal

# Name -> (width, depth, heads); the MLP is four times as wide. "micro" is for demos and tests.
SIZES = {
    "micro": (96, 4, 3),
    "ti": (192, 12, 3),
    "s": (384, 12, 6),
    "b": (768, 12, 12),
    "l": (1024, 24, 16),
    "h": (1280, 32, 16),
}

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def variant_arguments(variant: str) -> dict:
    """Constructor arguments of a named variant, size and patch: "vits16", "vitb8", "vitmicro8".

    Raises:
      InputError: no such variant.
    """
    match = re.fullmatch(r"vit(micro|ti|s|b|l|h)(\d+)", variant)
    if not match or int(match[2]) == 0:
        raise InputError(
            f"unknown model variant {variant!r}; right would be vit + {'|'.join(SIZES)} + patch "
            "size in pixels, as in vits16"
        )
    width, depth, num_heads = SIZES[match[1]]
    return {
        "width": width,
        "depth": depth,
        "num_heads": num_heads,
        "patch_size": int(match[2]),
    }


def create_encoder(variant: str, image_size: int = 224, **arguments) -> "Encoder":
    """A randomly initialised encoder of a named variant; `Encoder` explains the arguments."""
    return Encoder(image_size=image_size, **(variant_arguments(variant) | arguments))


class Encoder(keras.Model):
    """A Vision Transformer behind its preprocessing: raw RGB 0..255 in, tokens and CLS out.

    Args:
      image_size: height and width in pixels of the images that the positions were made for. Other
        sizes that are multiples of `patch_size` work: positions are interpolated.
      mean, std: of RGB in 0..1, per channel; the backbone sees (image / 255 - mean) / std.
      **backbone: constructor arguments of `VisionTransformer`.

    Call arguments:
      images: float or uint8 [batch, height, width, 3], RGB 0..255.

    Returns:
      tokens [batch, 1 + patches, width], CLS first, after the last norm; and cls [batch, width].

    Example:
      >>> tokens, cls = create_encoder("vits16")(images)
    """

    def __init__(
        self, image_size=224, mean=IMAGENET_MEAN, std=IMAGENET_STD, name=None, seed=None, **backbone
    ):
        super().__init__(name=name)
        self.image_size = image_size
        self.mean = tuple(mean)
        self.std = tuple(std)
        self.backbone = VisionTransformer(
            image_size=image_size, seed=seed, name="backbone", **backbone
        )
        self.built = True

    def call(self, images):
        return self.backbone(self.preprocess(images))

    @property
    def width(self) -> int:
        """Of tokens and representation."""
        return self.backbone.width

    def preprocess(self, images):
        """Raw RGB 0..255 [..., 3] -> normalised as the backbone expects it, same shape."""
        images = ops.cast(images, self.backbone.compute_dtype)
        scale = 1.0 / (255.0 * np.asarray(self.std))
        offset = -np.asarray(self.mean) / np.asarray(self.std)
        return images * ops.cast(scale, images.dtype) + ops.cast(offset, images.dtype)

    def get_config(self):
        """Constructor arguments; written to encoder.json."""
        return {
            "image_size": self.image_size,
            "mean": list(self.mean),
            "std": list(self.std),
        } | {key: value for key, value in self.backbone.get_config().items() if key != "image_size"}


class VisionTransformer(keras.Model):
    """Vision Transformer: patches, CLS token, learned positions, pre-norm blocks, last norm.

    Args:
      image_size: int, height and width in pixels for which there is one position per patch.
      patch_size, width, depth, num_heads: ints; `width` is a multiple of `num_heads`.
      mlp_ratio: hidden width of the MLPs over `width`.
      layer_norm_epsilon: 1e-6 in facebookresearch/msn and in the published EndoSSL weights.
      gelu: "erf" (exact; the reference) or "tanh" (Flax's default approximation).
      cls_position: whether the CLS token has a position embedding of its own.
      seed: int or None; of the random initialisation.

    Call arguments:
      images: float [batch, height, width, 3], normalised.
      kept_patches: None, or int [kept]: the patches (row by row, CLS not counted) that enter the
        network, the same for the whole batch (the anchor's mask, arXiv 2204.07141, section 3).

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
        seed=None,
        name=None,
    ):
        super().__init__(name=name)
        if image_size % patch_size or image_size < patch_size:
            raise InputError(
                f"image_size {image_size} is not a multiple of patch_size {patch_size}"
            )
        if width % num_heads:
            raise InputError(f"width {width} is not a multiple of num_heads {num_heads}")
        self.image_size = image_size
        self.patch_size = patch_size
        self.width = width
        self.depth = depth
        self.num_heads = num_heads
        self.mlp_ratio = mlp_ratio
        self.layer_norm_epsilon = layer_norm_epsilon
        self.gelu = gelu
        self.cls_position = cls_position

        seeds = np.random.default_rng(seed)
        self.grid = image_size // patch_size
        patch_values = 3 * patch_size**2
        # He normal over the fan-in, as the reference initialises its patch convolution.
        self.patch_embedding = keras.layers.Dense(
            width,
            kernel_initializer=keras.initializers.RandomNormal(
                stddev=math.sqrt(2 / patch_values), seed=draw_seed(seeds)
            ),
            name="patch_embedding",
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
        self.blocks = [
            Block(width, num_heads, mlp_ratio, layer_norm_epsilon, gelu, seeds, name=f"block{i}")
            for i in range(depth)
        ]
        self.norm = keras.layers.LayerNormalization(epsilon=layer_norm_epsilon, name="norm")
        self.norm.build((None, None, width))
        self.built = True

    def call(self, images, kept_patches=None):
        tokens = self.embed(images, kept_patches)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        return tokens, tokens[:, 0]

    def embed(self, images, kept_patches=None):
        """Images [batch, height, width, 3] -> tokens with positions, CLS first, before block 0."""
        height, width = images.shape[1:3]
        if height % self.patch_size or width % self.patch_size or not height or not width:
            raise InputError(
                f"images of {height}x{width} pixels do not divide into patches of "
                f"{self.patch_size}x{self.patch_size}"
            )
        rows, columns = height // self.patch_size, width // self.patch_size
        patches = self.patchify(images, rows, columns)
        cls_position, patch_positions = self.interpolated_positions(rows, columns)
        if kept_patches is not None:  # before the product: what is masked costs nothing
            patches = ops.take(patches, kept_patches, axis=1)
            patch_positions = ops.take(patch_positions, kept_patches, axis=1)
        tokens = self.patch_embedding(patches) + patch_positions
        cls = ops.broadcast_to(
            ops.cast(self.cls_token, tokens.dtype) + cls_position,
            (ops.shape(images)[0], 1, self.width),
        )
        return ops.concatenate([cls, tokens], axis=1)

    def patchify(self, images, rows, columns):
        """[batch, height, width, 3] -> [batch, rows * columns, patch_size**2 * 3], row by row."""
        size = self.patch_size
        patches = ops.reshape(images, (-1, rows, size, columns, size, 3))
        patches = ops.transpose(patches, (0, 1, 3, 2, 4, 5))
        return ops.reshape(patches, (-1, rows * columns, size * size * 3))

    def interpolated_positions(self, rows, columns):
        """Position embeddings for a grid: that of CLS [1, 1, width] (or 0), [1, patches, width]."""
        positions = ops.cast(self.positions, self.compute_dtype)
        first = int(self.cls_position)
        cls_position, patch_positions = (
            positions[:, :first] if first else 0.0,
            positions[:, first:],
        )
        if (rows, columns) != (self.grid, self.grid):
            matrix = np.kron(bicubic_matrix(self.grid, rows), bicubic_matrix(self.grid, columns))
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
        return last.attention.weights_and_values(last.norm1(tokens))[0]

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
        }


@functools.lru_cache
def bicubic_matrix(size: int, new_size: int) -> np.ndarray:
    """Bicubic interpolation of `size` samples to `new_size` as a matrix, float64 [new_size, size].

    PyTorch's kernel (a = -0.75; TensorFlow's has -0.5) with half-pixel centres, no anti-aliasing,
    borders repeated: what the reference does to position embeddings.
    """

    def kernel(x, a=-0.75):
        x = abs(x)
        if x <= 1:
            return (a + 2) * x**3 - (a + 3) * x**2 + 1
        return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0

    matrix = np.zeros((new_size, size))
    for row in range(new_size):
        centre = (row + 0.5) * size / new_size - 0.5
        for tap in range(math.floor(centre) - 1, math.floor(centre) + 3):
            matrix[row, min(max(tap, 0), size - 1)] += kernel(centre - tap)
    return matrix
