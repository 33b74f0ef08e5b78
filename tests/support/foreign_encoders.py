"""Tiny random encoders of other families, written by the libraries themselves.

`python -m tests.support.foreign_encoders tests/golden/encoders NAME`, in the environment of
`make test-encoders`, wrote what is there; that test writes all anew, in other sizes, and compares.

Beside each NAME stands NAME.npz: `image`, normalised, [2, size, size, 3]; `tokens` and `cls` as
the library has them; for some `larger`, `larger_tokens`, an image of another size.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import torch
import transformers

from tests.support.real_libraries import import_timm

SIZES = {"width": 24, "depth": 2, "heads": 3, "patch": 4, "image": 16}


def randomise(model, seed):
    """Large random weights, so that mistakes show; of norms and LayerScale around 1."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        around = 1.0 if parameter.ndim == 1 and not name.endswith("bias") else 0.0
        parameter.data = around + 0.3 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def hugging_face(config_class, model_class, folder, sizes, seed, larger=False, **more):
    """Writes a directory of transformers and what it computes."""
    hidden = {} if "Dinov2" in config_class else {"intermediate_size": 4 * sizes["width"]}
    config = getattr(transformers, config_class)(
        hidden_size=sizes["width"],
        num_hidden_layers=sizes["depth"],
        num_attention_heads=sizes["heads"],
        patch_size=sizes["patch"],
        image_size=sizes["image"],
        **(hidden | more),
    )
    model = randomise(getattr(transformers, model_class)(config), seed)
    model.save_pretrained(folder)
    encoder = getattr(model, "vit", model)
    keep = {"mask_ratio": 0.0} if "MAE" in model_class else {}
    for name, value in keep.items():
        setattr(encoder.config, name, value)

    def call(image):
        given = {}
        if "MAE" in model_class:  # which shuffles the patches that it keeps
            patches = (image.shape[-1] // sizes["patch"]) ** 2
            given["noise"] = torch.arange(patches).repeat(len(image), 1).float()
        with torch.no_grad():
            return encoder(image, **given).last_hidden_state

    pooled = (lambda t: t.mean(1)) if "IJepa" in config_class else (lambda t: t[:, 0])
    expect(folder, call, pooled, sizes, seed, larger)


def timm_folder(architecture, folder, sizes, seed, larger=False, **more):
    """Writes a Hub folder of timm and what it computes."""
    timm = import_timm()
    arguments = {
        "img_size": sizes["image"],
        "patch_size": sizes["patch"],
        "embed_dim": sizes["width"],
        "depth": sizes["depth"],
        "num_heads": sizes["heads"],
        "num_classes": 0,
        **more,
    }
    model = randomise(timm.create_model(architecture, dynamic_img_size=larger, **arguments), seed)
    from timm.models._hub import save_for_hf

    model.pretrained_cfg = model.pretrained_cfg | {
        "input_size": (3, sizes["image"], sizes["image"]),
        "mean": (0.34, 0.23, 0.22),
        "std": (0.25, 0.21, 0.20),
    }
    save_for_hf(model, folder, model_args=arguments, safe_serialization=True)
    with torch.no_grad():
        expect(
            folder,
            model.forward_features,
            lambda tokens: model.forward_head(tokens, pre_logits=True),
            sizes,
            seed,
            larger,
        )
    return model


def expect(path, call, pooled, sizes, seed, larger):
    """Writes what a network computes for random images."""
    generator = torch.Generator().manual_seed(seed + 1)
    found = {}
    for name, size in (("image", sizes["image"]), ("larger", 2 * sizes["image"]))[: 1 + larger]:
        image = torch.randn((2, 3, size, size), generator=generator)
        with torch.no_grad():
            tokens = call(image)
            cls = pooled(tokens)
        start = "" if name == "image" else "larger_"
        found |= {name: image.numpy().transpose(0, 2, 3, 1), f"{start}tokens": tokens.numpy()}
        found |= {f"{start}cls": cls.numpy()}
    np.savez(f"{path}.npz", **found)


def torch_file(layout, folder, sizes, seed):
    """Writes a PyTorch file as official projects lay theirs out, of a network of timm."""
    more = {"dino": {}, "dinov2": {"init_values": 1.0}, "mae": {}, "lightning": {}}[layout]
    architecture = "vit_base_patch16_224"
    if layout == "dinov2":
        architecture, more = "vit_small_patch14_reg4_dinov2", {"init_values": 1.0}
    model = timm_folder(architecture, f"{folder}.timm", sizes, seed, **more)
    state = model.state_dict()
    extra = torch.zeros(1, 1, sizes["width"])
    content = {
        "dino": lambda: {
            "student": {f"module.backbone.{n}": v * 2 for n, v in state.items()},
            "teacher": {f"backbone.{n}": v for n, v in state.items()}
            | {"head.mlp.0.weight": torch.zeros(8, sizes["width"])},
            "optimizer": {"state": {0: {"exp_avg": extra}}, "param_groups": [{"lr": 0.1}]},
            "epoch": 3,
        },
        "dinov2": lambda: (
            {
                {"reg_token": "register_tokens"}.get(n, n): torch.cat(
                    [torch.zeros_like(extra), v], 1
                )
                if n == "pos_embed"
                else v
                for n, v in state.items()
            }
            | {"mask_token": extra[0]}
        ),
        "mae": lambda: {
            "model": state
            | {"mask_token": extra, "decoder_embed.weight": torch.zeros(8, sizes["width"])},
            "epoch": 3,
        },
        "lightning": lambda: {
            "state_dict": {f"model.encoder.{n}": v for n, v in state.items()}
            | {"model.classifier.weight": torch.zeros(7, sizes["width"])},
            "epoch": 1,
            "pytorch-lightning_version": "2.0",
        },
    }[layout]()
    torch.save(content, folder)
    Path(f"{folder}.timm.npz").rename(f"{folder}.npz")
    shutil.rmtree(f"{folder}.timm")


HF, TIMM, TORCH = hugging_face, timm_folder, torch_file
NAMES = {
    "hf-vit": (HF, ("ViTConfig", "ViTModel"), {}),
    "hf-vit-msn": (HF, ("ViTMSNConfig", "ViTMSNModel"), {}),
    "hf-vit-mae": (
        HF,
        ("ViTMAEConfig", "ViTMAEForPreTraining"),
        {
            "decoder_hidden_size": 8,
            "decoder_num_hidden_layers": 1,
            "decoder_num_attention_heads": 2,
            "decoder_intermediate_size": 16,
        },
    ),
    "hf-ijepa": (HF, ("IJepaConfig", "IJepaModel"), {}),
    "hf-dinov2": (HF, ("Dinov2Config", "Dinov2Model"), {"larger": True}),
    "hf-dinov2-swiglu": (HF, ("Dinov2Config", "Dinov2Model"), {"use_swiglu_ffn": True}),
    "hf-dinov2-registers": (
        HF,
        ("Dinov2WithRegistersConfig", "Dinov2WithRegistersModel"),
        {"larger": True},
    ),
    "hf-dinov3": (HF, ("DINOv3ViTConfig", "DINOv3ViTModel"), {"num_register_tokens": 4}),
    "hf-dinov3-gated": (
        HF,
        ("DINOv3ViTConfig", "DINOv3ViTModel"),
        {"use_gated_mlp": True, "hidden_act": "silu", "key_bias": True, "larger": True},
    ),
    "timm-plain": (TIMM, ("vit_small_patch16_224",), {"larger": True}),
    "timm-average": (TIMM, ("vit_base_patch16_224",), {"global_pool": "avg", "fc_norm": True}),
    "timm-no-class-token": (
        TIMM,
        ("vit_base_patch16_224",),
        {"class_token": False, "global_pool": "avg", "fc_norm": False},
    ),
    "timm-registers": (TIMM, ("vit_small_patch14_reg4_dinov2",), {"init_values": 1.0}),
    "timm-swiglu": (TIMM, ("vit_giant_patch14_dinov2",), {"init_values": 1.0}),
    "timm-dinov3": (TIMM, ("vit_small_patch16_dinov3",), {}),
    "timm-dinov3-gated": (TIMM, ("vit_small_plus_patch16_dinov3",), {}),
    "timm-dinov3-biases": (TIMM, ("vit_small_patch16_dinov3_qkvb",), {}),
    "dino.pth": (TORCH, ("dino",), {}),
    "dinov2.pth": (TORCH, ("dinov2",), {}),
    "mae.pth": (TORCH, ("mae",), {}),
    "lightning.ckpt": (TORCH, ("lightning",), {}),
}


def write(name, folder, sizes=SIZES, seed=0):
    """Writes one of NAMES into a folder."""
    function, arguments, more = NAMES[name]
    function(*arguments, Path(folder, name), sizes, seed, **more)


if __name__ == "__main__":
    for one in sys.argv[2:] or NAMES:
        write(one, sys.argv[1])
