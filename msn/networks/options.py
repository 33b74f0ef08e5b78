"""What Vision Transformers of different families are told apart by, and what fits together."""

from data.common.errors import InputError

# What MSN's networks have, of all that `msn.networks.vit.VisionTransformer` explains.
OPTIONS = {
    "class_token": True,
    "num_registers": 0,
    "layer_scale": False,
    "swiglu": False,
    "rope_theta": None,
    "position_grid": None,
    "interpolation": "bicubic",
    "pooling": "cls",
    "pool_norm": False,
}
# How libraries interpolate positions: facebookresearch/msn's way; with anti-aliasing (timm; DINOv2
# with registers); with a tenth of a patch added to the new size (DINO, DINOv2).
INTERPOLATIONS = {"bicubic": {}, "antialiased": {"antialias": True}, "offset": {"offset": 0.1}}
POOLINGS = ("cls", "mean")


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


def check_options(options: dict, head_width: int) -> None:
    """Raises `InputError` for OPTIONS of which no Vision Transformer can be made."""
    if unknown := options.keys() - OPTIONS.keys():
        raise TypeError(f"unknown options: {', '.join(sorted(unknown))}")
    values = OPTIONS | options
    if values["interpolation"] not in INTERPOLATIONS or values["pooling"] not in POOLINGS:
        raise InputError(
            f"interpolation {values['interpolation']!r}, pooling {values['pooling']!r}; expected "
            f"one of {', '.join(INTERPOLATIONS)}, and of {', '.join(POOLINGS)}"
        )
    if values["pooling"] == "cls" and not values["class_token"]:
        raise InputError("pooling is 'cls' without a class token; expected 'mean'")
    if values["rope_theta"] is not None and head_width % 4:
        raise InputError(f"heads are {head_width} wide; expected a multiple of 4 for RoPE")
