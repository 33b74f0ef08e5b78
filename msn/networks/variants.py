"""The named variants of encoders: what they are made of.

Sources: Dosovitskiy et al., arXiv 2010.11929 (B, L, H); Touvron et al., arXiv 2012.12877 (Ti, S);
Xiao et al., arXiv 2106.14881 (convolutional stems); facebookresearch/msn, src/deit.py, which has
two of these.
"""

import re

from data.common.errors import InputError

RESNET = "resnet50v2"  # as configurations and encoder.json name it (`msn.networks.resnet`)
# Name -> (width, depth, heads); the MLP is four times as wide. "micro" is for demos and tests.
SIZES = {
    "micro": (96, 4, 3),
    "ti": (192, 12, 3),
    "s": (384, 12, 6),
    "b": (768, 12, 12),
    "l": (1024, 24, 16),
    "h": (1280, 32, 16),
}

# With a convolutional stem, which takes the place of one block: patches are always of 16 pixels.
CONV_STEMS = {
    "c4gf": {"mlp_ratio": 3},  # the reference's vitc_4gf: the operations of ViT-S/16
    "convs": {"mlp_ratio": 6},  # the reference's deit_small_convstem: the parameters of more
}
CONV_STEM = {
    "width": 384,
    "depth": 11,
    "num_heads": 6,
    "patch_size": 16,
    "stem_channels": (48, 96, 192, 384),
}


def variant_arguments(variant: str) -> dict:
    """Constructor arguments of a named variant, size and patch: "vits16", "vitb8", "vitconvs16".

    Raises:
      InputError: no such variant.
    """
    match = re.fullmatch(r"vit([a-z]+|c4gf)(\d+)", variant)
    size, patch_size = (match[1], int(match[2])) if match else ("", 0)
    if size in CONV_STEMS and patch_size == CONV_STEM["patch_size"]:
        return CONV_STEM | CONV_STEMS[size]
    if size not in SIZES or not patch_size:
        raise InputError(
            f"unknown model variant {variant!r}; expected vit + {'|'.join(SIZES)} + patch "
            f"size in pixels, as in vits16, or vit{', vit'.join(f'{s}16' for s in CONV_STEMS)}"
        )
    width, depth, num_heads = SIZES[size]
    return {"width": width, "depth": depth, "num_heads": num_heads, "patch_size": patch_size}


def default_image_size(patch_size: int) -> int:
    """224 pixels, or the next smaller multiple of the patch (220 for patches of 10)."""
    return max(224 // patch_size, 1) * patch_size
