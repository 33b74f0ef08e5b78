"""DINO (Caron et al., arXiv 2104.14294): the teacher of a training checkpoint.

Its files of bare weights look like anybody's Vision Transformers: `msn.formats.families.timm`.

Source: facebookresearch/dino, vision_transformer.py, main_dino.py and, for how frames are resized,
eval_linear.py.
"""

from msn.formats.families.family import IMAGENET, Family

OFFICIAL = Family(
    "DINO",
    {"reg_token": None, "blocks.{}.ls1.gamma": None, "blocks.{}.ls2.gamma": None, "fc_norm": None},
    unused=("head.",),
    normalisation=IMAGENET,
    arguments={"interpolation": "offset", "resample": "bicubic"},
)
