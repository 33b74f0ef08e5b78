"""How large an encoder is."""

from msn.networks.variants import default_image_size, variant_arguments


def parameter_count(variant: str, image_size: int | None = None) -> int:
    """Trainable parameters of a variant, without building it (that of H takes 2.5 GB).

    Args:
      variant: its name.
      image_size: in pixels, of the positions; None for `default_image_size`.
    """
    sizes = variant_arguments(variant)
    width, patch_size = sizes["width"], sizes["patch_size"]
    hidden = int(width * sizes.get("mlp_ratio", 4))
    grid = (image_size or default_image_size(patch_size)) // patch_size
    if stem := sizes.get("stem_channels"):
        inputs = (3, *stem[:-1])
        # 3x3 kernels without bias, two parameters of a norm a channel; then 1x1 with a bias
        embedding = sum(9 * i * o + 2 * o for i, o in zip(inputs, stem, strict=True))
        embedding += (stem[-1] + 1) * width
    else:
        embedding = (3 * patch_size**2 + 1) * width
    attention = 4 * width * (width + 1)
    mlp = width * hidden + hidden + hidden * width + width
    block = attention + mlp + 4 * width  # two norms
    return embedding + width + (1 + grid**2) * width + sizes["depth"] * block + 2 * width
