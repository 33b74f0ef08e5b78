"""timm's Vision Transformers: Hub folders (config.json with `architecture`) and bare files.

Bare files do not say how images are normalised, and look like those of any other project.

Source: timm, models/vision_transformer.py, models/_hub.py and layers/pos_embed.py.
"""

import re
from collections.abc import Mapping

import numpy as np

from data.common.errors import InputError
from msn.formats.families import dinov3
from msn.formats.families.family import Family, agree

# Key of `model_args` -> constructor argument of `Encoder` that it must agree with.
SIZES = {"img_size": "image_size", "patch_size": "patch_size", "embed_dim": "width"}
SIZES |= {"depth": "depth", "reg_tokens": "num_registers"}
# Others that may be there: they change nothing, or the weights show them.
KNOWN = {
    *("num_classes", "num_heads", "global_pool", "drop_rate", "pos_drop_rate", "patch_drop_rate"),
    *("proj_drop_rate", "attn_drop_rate", "drop_path_rate", "weight_init", "fix_init"),
    *("dynamic_img_size", "strict_img_size", "init_values", "no_embed_class", "fc_norm"),
    *("qkv_bias", "mlp_ratio", "in_chans", "act_layer", "class_token"),
}
GELU = {"gelu": "erf", "gelu_tanh": "tanh"}
POOLING = {"token": "cls", "avg": "mean", "": "cls"}
# Architectures with the weights of ours that compute something else with them.
OTHERS = r"quickgelu|clip|beit|eva|_rope|_mci_|_rpn_|parallel"
REGISTERS = r"_reg(\d+)_"  # in the name of an architecture
INTERPOLATION, CROP_SHARE = "bicubic", 0.875  # of a `pretrained_cfg` that does not say it
BARE = Family(
    "Vision Transformer",
    optional=("reg_token", "blocks.{}.ls1.gamma", "blocks.{}.ls2.gamma"),
    unused=("fc.", "head.", "pred.", "mask_token"),
    arguments={"interpolation": "antialiased"},
)


def of_config(config: Mapping, weights: Mapping[str, np.ndarray]) -> tuple[Family, dict]:
    """The family of a Hub folder, and its weights, made plain.

    Raises:
      InputError: another kind of network than a plain Vision Transformer.
    """
    given, name = config.get("model_args") or {}, str(config["architecture"])
    if re.search(OTHERS, name) or not name.startswith(("vit_", "deit_", "deit3_")):
        raise InputError(
            f"architecture {name!r}; expected a plain Vision Transformer of timm (others can be "
            "compared as ONNX files)"
        )
    if unknown := given.keys() - KNOWN - SIZES.keys():
        raise InputError(
            f"model_args: {sorted(unknown)[0]!r} is not known here; expected one of "
            f"{', '.join(sorted(KNOWN | SIZES.keys()))}"
        )
    pool = given.get("global_pool", config.get("global_pool", "token"))
    if pool not in POOLING or given.get("act_layer", "gelu") not in GELU:
        raise InputError(
            f"global_pool {pool!r}, act_layer {given.get('act_layer', 'gelu')!r}; expected one of "
            f"{', '.join(filter(None, POOLING))}, and of {', '.join(GELU)}"
        )
    arguments = {"pooling": POOLING[pool], "num_heads": given.get("num_heads")}
    if dinov3.is_dinov3(weights):
        family, weights = dinov3.of_weights(weights)
    else:
        arguments["gelu"] = GELU[given.get("act_layer", "gelu")]
        class_token = given.get("class_token", "_gap_" not in name)
        family = family_of(weights, given.get("qkv_bias", True), class_token)
    return family.with_arguments(**arguments), dict(weights)


def family_of(weights: Mapping, qkv_bias: bool = True, class_token: bool = True) -> Family:
    """The family of timm's names with or without CLS, a last norm before the pooling or after."""
    after = any(name.startswith("fc_norm.") for name in weights)
    names = {"norm": None} if after else {"fc_norm": None}
    zero = () if qkv_bias else ("blocks.{}.attn.qkv.bias",)
    arguments = {**BARE.arguments} | ({"pooling": "mean", "pool_norm": True} if after else {})
    if not class_token:
        names["cls_token"] = None
        arguments |= {"class_token": False, "pooling": "mean"}
    return Family(BARE.title, names, BARE.optional, zero, BARE.unused, arguments=arguments)


def check_sizes(config: Mapping, sizes: Mapping) -> None:
    """Raises `InputError` where a Hub folder's config.json and its weights disagree."""
    given, name = dict(config.get("model_args") or {}), str(config["architecture"])
    if found := re.search(REGISTERS, name):
        given["reg_tokens"] = int(found[1])
    square = {key: value for key, value in given.items() if not isinstance(value, list)}
    found = {key: sizes[ours] for key, ours in SIZES.items() if ours in sizes}
    if config.get("num_features"):
        agree(config, {"num_features": sizes["width"]}, "config.json")
    agree(square, found, "config.json (model_args)")
