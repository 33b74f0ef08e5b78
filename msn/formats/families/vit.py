"""Hugging Face's plain Vision Transformers: `vit`, and `vit_msn`, which has the same names.

Source: transformers, models/vit and models/vit_msn.
"""

from msn.formats.families.family import IMAGENET, Family

ATTENTION = "encoder.layer.{}.attention.attention"
PARTS = tuple(f"{ATTENTION}.{part}" for part in ("query", "key", "value"))
NAMES = {
    "cls_token": "embeddings.cls_token",
    "reg_token": None,
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj": "embeddings.patch_embeddings.projection",
    "blocks.{}.norm1": "encoder.layer.{}.layernorm_before",
    "blocks.{}.attn.qkv": PARTS,
    "blocks.{}.attn.proj": "encoder.layer.{}.attention.output.dense",
    "blocks.{}.ls1.gamma": None,
    "blocks.{}.norm2": "encoder.layer.{}.layernorm_after",
    "blocks.{}.mlp.fc1": "encoder.layer.{}.intermediate.dense",
    "blocks.{}.mlp.fc2": "encoder.layer.{}.output.dense",
    "blocks.{}.ls2.gamma": None,
    "norm": "layernorm",
    "fc_norm": None,
}
BIASES = tuple(f"{part}.bias" for part in PARTS)  # which are not there where qkv_bias is false
UNUSED = ("classifier.", "pooler.", "decoder.", "embeddings.mask_token")

# ViTs come with mean and std of 0.5 (Google's) and with ImageNet's (DINO's, DeiT's): they ask.
HALVES = ((0.5,) * 3, (0.5,) * 3)
CANDIDATES = (("Google's", HALVES), ("DINO's and DeiT's", IMAGENET))
VIT = Family("ViT", NAMES, unused=UNUSED, candidates=CANDIDATES)
VIT_MSN = Family("ViTMSN", NAMES, unused=UNUSED, normalisation=IMAGENET)
