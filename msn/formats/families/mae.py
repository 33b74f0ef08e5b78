"""Masked autoencoders (He et al., arXiv 2111.06377), MAE's and EndoViT's: the encoder is used.

EndoViT (Batic et al., arXiv 2303.17636) has the same files, and another mean and std: both ask.

Sources: facebookresearch/mae, models_mae.py; transformers, models/vit_mae.
"""

from msn.formats.families import vit
from msn.formats.families.family import IMAGENET, Family

# The mean of the patches is what MAE's representation is taken as; CLS was trained for nothing.
ARGUMENTS = {"features": "mean"}

CANDIDATES = (
    ("MAE", IMAGENET),
    ("EndoViT", ((0.3464, 0.2280, 0.2228), (0.2520, 0.2128, 0.2093))),
)

VIT_MAE = Family(
    "MAE",
    vit.NAMES,
    unused=vit.UNUSED,
    candidates=CANDIDATES,
    arguments=ARGUMENTS,
)
OFFICIAL = Family(
    "MAE",
    {"reg_token": None, "blocks.{}.ls1.gamma": None, "blocks.{}.ls2.gamma": None, "fc_norm": None},
    unused=("mask_token", "decoder_", "head."),
    candidates=CANDIDATES,
    arguments=ARGUMENTS,
)


def is_mae(weights) -> bool:
    """Whether a PyTorch file's weights are of a masked autoencoder."""
    return "mask_token" in weights or any(name.startswith("decoder_") for name in weights)
