"""DINOv3 (Simeoni et al., arXiv 2508.10104): rotary positions, registers, LayerScale.

Sources: facebookresearch/dinov3, dinov3/models/vision_transformer.py and README.md; transformers,
models/dinov3_vit; timm, models/eva.py.
"""

import numpy as np

from data.common.errors import InputError
from msn.formats.families.family import IMAGENET, Family

THETA = 100.0
EPSILON = 1e-5
# Of these widths there are encoders for photographs and, with another mean and std, for satellites.
AMBIGUOUS_WIDTHS = (1024, 4096)
SATELLITE = ((0.430, 0.411, 0.296), (0.213, 0.156, 0.143))
ATTENTION = "layer.{}.attention"
TOKENS = "embeddings.register_tokens"
HF_NAMES = {
    "cls_token": "embeddings.cls_token",
    "reg_token": TOKENS,
    "pos_embed": None,
    "patch_embed.proj": "embeddings.patch_embeddings",
    "blocks.{}.norm1": "layer.{}.norm1",
    "blocks.{}.attn.qkv": tuple(f"{ATTENTION}.{part}_proj" for part in "qkv"),
    "blocks.{}.attn.proj": f"{ATTENTION}.o_proj",
    "blocks.{}.ls1.gamma": "layer.{}.layer_scale1.lambda1",
    "blocks.{}.norm2": "layer.{}.norm2",
    "blocks.{}.mlp.fc1": "layer.{}.mlp.up_proj",
    "blocks.{}.mlp.fc2": "layer.{}.mlp.down_proj",
    "blocks.{}.ls2.gamma": "layer.{}.layer_scale2.lambda1",
    "norm": "norm",
    "fc_norm": None,
}
# Key of a configuration that says whether there are biases -> theirs.
BIASES = {
    "query_bias": (f"{ATTENTION}.q_proj.bias",),
    "key_bias": (f"{ATTENTION}.k_proj.bias",),
    "value_bias": (f"{ATTENTION}.v_proj.bias",),
    "proj_bias": (f"{ATTENTION}.o_proj.bias",),
    "mlp_bias": tuple(f"layer.{{}}.mlp.{part}_proj.bias" for part in ("gate", "up", "down")),
}
GATED = {"blocks.{}.mlp.fc1": ("layer.{}.mlp.gate_proj", "layer.{}.mlp.up_proj")}


def of_config(config: dict) -> Family:
    """The family that a config.json of Hugging Face describes."""
    registers = config.get("num_register_tokens")
    names = HF_NAMES | (GATED if config.get("use_gated_mlp") else {})
    if not registers:
        names = names | {"reg_token": None}  # the file has one, of no numbers
    theta = (config.get("rope_parameters") or config).get("rope_theta", THETA)
    return Family(
        "DINOv3",
        names,
        zero=sum((names for key, names in BIASES.items() if not config.get(key, True)), ()),
        unused=("embeddings.mask_token", "classifier.", *(() if registers else (TOKENS,))),
        **normalisation(config.get("hidden_size")),
        arguments={"rope_theta": float(theta)},
    )


def normalisation(width) -> dict:
    """`normalisation` and `candidates` of the family, for an encoder so wide."""
    if width not in AMBIGUOUS_WIDTHS:
        return {"normalisation": IMAGENET}
    return {"candidates": (("for photographs it", IMAGENET), ("for satellites it", SATELLITE))}


def is_dinov3(weights) -> bool:
    """Whether a file's weights, without configuration, are of a DINOv3."""
    return "pos_embed" not in weights and (
        "storage_tokens" in weights
        or "rope_embed.periods" in weights
        or any(".gamma_" in name for name in weights)
    )


def of_weights(weights: dict[str, np.ndarray]) -> tuple[Family, dict[str, np.ndarray]]:
    """The family of a file of facebookresearch/dinov3 or timm, and its weights, made plain.

    Raises:
      InputError: rotary positions of other periods than the published ones.
    """
    if "cls_token" not in weights:
        raise InputError(f"no weight 'cls_token' among the {len(weights)} that were found")
    weights, names = dict(weights), {"pos_embed": None, "fc_norm": None}
    by_timm = any(".gamma_" in name for name in weights)
    names["reg_token"] = "reg_token" if by_timm else "storage_tokens"
    if by_timm:
        names |= {f"blocks.{{}}.ls{n}.gamma": f"blocks.{{}}.gamma_{n}" for n in (1, 2)}
    for parts, out in ((("w1", "w2"), "w3"), (("fc1_g", "fc1_x"), "fc2")):
        if any(f".mlp.{part}." in name for name in weights for part in parts):
            names["blocks.{}.mlp.fc1"] = tuple(f"blocks.{{}}.mlp.{part}" for part in parts)
            names["blocks.{}.mlp.fc2"] = f"blocks.{{}}.mlp.{out}"
    arguments = {"rope_theta": THETA, "layer_norm_epsilon": EPSILON}
    if by_timm:  # timm's way, whose representation is the patches' mean
        arguments["pooling"] = "mean"
    width = weights["cls_token"].shape[-1]
    if width == 1280:  # ViT-H+; others so wide have 16 heads
        arguments["num_heads"] = 20
    check_periods(weights.pop("rope_embed.periods", None))
    mask_biases(weights)
    family = Family(
        "DINOv3",
        names,
        zero=("blocks.{}.attn.qkv.bias",),
        unused=("mask_token", "head.", "local_cls_norm."),
        **normalisation(width),
        arguments=arguments,
    )
    return family, weights


def check_periods(periods: np.ndarray | None) -> None:
    """Raises `InputError` for rotary positions that are not those of THETA."""
    if periods is None:
        return
    expected = THETA ** (np.arange(periods.size) / periods.size)
    if periods.ndim != 1 or not np.allclose(periods, expected, rtol=0.02):  # they are bfloat16
        raise InputError(
            f"weight 'rope_embed.periods': {periods.ravel()[:4]}...; expected those of theta "
            f"{THETA:g}: {expected[:4]}..."
        )


def mask_biases(weights: dict[str, np.ndarray]) -> None:
    """Applies what a file says of its biases: those of keys are 0, by a mask or by absence."""
    for name in [name for name in weights if name.endswith(".qkv.bias_mask")]:
        mask, bias = weights.pop(name), name.removesuffix("_mask")
        if bias in weights:
            weights[bias] = np.where(mask == 0, 0, weights[bias])
    for name in [name for name in weights if name.endswith(".attn.q_bias")]:
        stem = name.removesuffix("q_bias")
        queries, values = weights.pop(name), weights.pop(f"{stem}v_bias", None)
        if values is None or values.shape != queries.shape:
            raise InputError(f"weight {stem + 'v_bias'!r}: expected one as {name!r}")
        keys = weights.pop(f"{stem}k_bias", np.zeros_like(queries))
        weights[f"{stem}qkv.bias"] = np.concatenate([queries, keys, values])
