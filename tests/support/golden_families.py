"""The tiny files of tests/golden/encoders, and what each says of itself.

`tests.support.foreign_encoders` wrote them.
"""

import numpy as np

from msn.encoders import load_encoder
from tests.support.places import GOLDEN

ENCODERS = GOLDEN / "encoders"
NAMES = sorted(path.stem for path in ENCODERS.glob("*.npz"))
ASK = {"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7)}
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
TIMM = ((0.34, 0.23, 0.22), (0.25, 0.21, 0.2))
# What each says of itself: mean and std, or None where they have to be given; special tokens;
# whether heads have to be given; features that experiments take.
FACTS = {
    "hf-vit": (None, 1, False, "cls"),
    "hf-vit-msn": (IMAGENET, 1, False, "cls"),
    "hf-vit-mae": (None, 1, False, "mean"),
    "hf-ijepa": (IMAGENET, 0, False, "mean"),
    "hf-dinov2": (IMAGENET, 1, False, "cls"),
    "hf-dinov2-swiglu": (IMAGENET, 1, False, "cls"),
    "hf-dinov2-registers": (IMAGENET, 5, False, "cls"),
    "hf-dinov3": (IMAGENET, 5, False, "cls"),
    "hf-dinov3-gated": (IMAGENET, 1, False, "cls"),
    "timm-plain": (TIMM, 1, False, "cls"),
    "timm-average": (TIMM, 1, False, "mean"),
    "timm-no-class-token": (TIMM, 0, False, "mean"),
    "timm-registers": (TIMM, 5, False, "cls"),
    "timm-swiglu": (TIMM, 1, False, "cls"),
    "timm-dinov3": (TIMM, 5, False, "mean"),
    "timm-dinov3-gated": (TIMM, 5, False, "mean"),
    "timm-dinov3-biases": (TIMM, 5, False, "mean"),
    "dino.pth": (IMAGENET, 1, True, "cls"),
    "dinov2.pth": (IMAGENET, 5, True, "cls"),
    "mae.pth": (None, 1, True, "mean"),
    "lightning.ckpt": (None, 1, True, "cls"),
}


def given(name):
    normalisation, _, asks_heads, _ = FACTS[name]
    return ({} if normalisation else ASK) | ({"num_heads": 3} if asks_heads else {})


def opened(name):
    return load_encoder(ENCODERS / name, **given(name))


def expected_of(name):
    with np.load(ENCODERS / f"{name}.npz") as content:
        return dict(content)
