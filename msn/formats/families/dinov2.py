"""DINOv2 (Oquab et al., arXiv 2304.07193), with registers (Darcet et al., arXiv 2309.16588) or not.

Sources: facebookresearch/dinov2, dinov2/models/vision_transformer.py and data/transforms.py;
transformers, models/dinov2 and models/dinov2_with_registers.
"""

from msn.formats.families import vit
from msn.formats.families.family import IMAGENET, Family

POSITIONS, CROP = 518, 224  # pixels: what the published positions are for, and the images
LAYER_SCALE = {
    "blocks.{}.ls1.gamma": "encoder.layer.{}.layer_scale1.lambda1",
    "blocks.{}.ls2.gamma": "encoder.layer.{}.layer_scale2.lambda1",
}
NAMES = (
    vit.NAMES
    | LAYER_SCALE
    | {
        "blocks.{}.norm1": "encoder.layer.{}.norm1",
        "blocks.{}.norm2": "encoder.layer.{}.norm2",
        "blocks.{}.mlp.fc1": "encoder.layer.{}.mlp.fc1",
        "blocks.{}.mlp.fc2": "encoder.layer.{}.mlp.fc2",
    }
)
GATED = {
    "blocks.{}.mlp.fc1": "encoder.layer.{}.mlp.weights_in",
    "blocks.{}.mlp.fc2": "encoder.layer.{}.mlp.weights_out",
}
REGISTERS = {"reg_token": "embeddings.register_tokens"}
RESIZED = {"resample": "bicubic"}  # frames, in its own evaluation
ANTIALIASED = {"interpolation": "antialiased"} | RESIZED
OFFSET = {"interpolation": "offset"} | RESIZED


def of_config(config: dict) -> Family:
    """The family that a config.json of Hugging Face describes."""
    names, arguments = NAMES, RESIZED
    if config.get("use_swiglu_ffn"):
        names = names | GATED
    if config["model_type"] == "dinov2_with_registers":
        names, arguments = names | REGISTERS, ANTIALIASED
    return Family("DINOv2", names, unused=vit.UNUSED, normalisation=IMAGENET, arguments=arguments)


def of_weights(weights) -> Family | None:
    """The family of a file of facebookresearch/dinov2; None if it is of another one."""
    registers = "register_tokens" in weights
    if not registers and getattr(weights.get("mask_token"), "ndim", 0) != 2:
        return None
    names = {"reg_token": "register_tokens" if registers else None, "fc_norm": None}
    if any(".mlp.w12." in name for name in weights):
        names |= {"blocks.{}.mlp.fc1": "blocks.{}.mlp.w12", "blocks.{}.mlp.fc2": "blocks.{}.mlp.w3"}
    return Family(
        "DINOv2",
        names,
        unused=("mask_token", "head."),
        normalisation=IMAGENET,
        arguments=ANTIALIASED if registers else OFFSET,
    )


def image_size(positions_for: int) -> int:
    """Pixels of the images that go with positions for so many: 224 with the published 518."""
    return CROP if positions_for == POSITIONS else positions_for
