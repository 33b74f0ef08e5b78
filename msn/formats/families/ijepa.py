"""I-JEPA (Assran et al., arXiv 2301.08243): no CLS; the mean of the patches stands for an image.

Sources: facebookresearch/ijepa, src/models/vision_transformer.py and src/transforms.py;
transformers, models/ijepa.
"""

from msn.formats.families import vit
from msn.formats.families.family import IMAGENET, Family

ARGUMENTS = {"class_token": False, "pooling": "mean"}

HF = Family(
    "I-JEPA",
    vit.NAMES | {"cls_token": None},
    unused=vit.UNUSED,
    normalisation=IMAGENET,
    arguments=ARGUMENTS,
)
OFFICIAL = Family(
    "I-JEPA",
    {"cls_token": None, "reg_token": None, "fc_norm": None}
    | {"blocks.{}.ls1.gamma": None, "blocks.{}.ls2.gamma": None},
    normalisation=IMAGENET,
    arguments=ARGUMENTS,
)
