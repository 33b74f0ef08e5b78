"""A pre-training configuration, checked, and what its keys say for a run and for a step.

configs/msn_base.py explains every key.
"""

import math

import tensorflow as tf
from ml_collections import ConfigDict

from data.common.configurations import flatten
from data.common.errors import InputError, check_choices, check_names, check_ranges
from data.frames.opening import SOURCES
from data.storage.paths import to_path
from data.views.masking import num_kept
from msn.encoders import facts_in
from msn.method import schedules
from msn.method.model import MSN
from msn.networks.variants import variant_arguments
from msn.training.distribution import STRATEGIES
from msn.training.initialisation import continued_arguments, copy_weights, open_pretrained

DTYPES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}  # of `precision`
INF = math.inf
# Key, least and largest value that a run can work with; None (a placeholder) passes.
RANGES = (
    ("seed", 0, 2**62),
    ("batch_size", 1, INF),
    ("accumulation", 1, INF),
    ("epochs", 0, INF),
    ("steps", 0, INF),
    ("checkpoint_every", 1, INF),
    ("checkpoint_minutes", 0, INF),
    ("keep_checkpoints", 1, INF),
    ("keep_every", 0, INF),
    ("init_patch_size", 1, INF),
    ("max_rollbacks", 0, INF),
    ("probe_every", 0, INF),
    ("probe.max_frames", 1, INF),
    ("log_every", 1, INF),
    ("ema_start", 0, 1),
    ("data.fps", 1e-3, INF),
    ("data.neighbour_seconds", 0, INF),
    ("data.max_unreadable", 0, 1),
    ("model.hidden_dim", 1, INF),
    ("model.output_dim", 1, INF),
    ("model.num_prototypes", 2, INF),
    ("model.drop_path", 0, 0.9),
    ("loss.temperature", 1e-6, INF),
    ("loss.sharpening", 1e-6, INF),
    ("loss.final_sharpening", 1e-6, INF),
    ("loss.me_max_weight", 0, INF),
    ("loss.entropy_weight", 0, INF),
    ("loss.prior_exponent", 0, INF),
    ("optimizer.start_learning_rate", 0, INF),
    ("optimizer.learning_rate", 0, INF),
    ("optimizer.final_learning_rate", 0, INF),
    ("optimizer.warmup_epochs", 0, INF),
    ("optimizer.weight_decay", 0, INF),
    ("optimizer.final_weight_decay", 0, INF),
    ("optimizer.clip_gradients", 0, INF),
)
CHOICES = {
    "data.source": SOURCES,
    "strategy": STRATEGIES,
    "export": ("target", "anchor"),
    "precision": tuple(DTYPES),
    "on_nan": ("stop", "rollback"),
}


def check(config: ConfigDict) -> None:
    """Raises `InputError` for values that no run can work with."""
    if not config.init:
        patch_size = variant_arguments(config.model.variant)["patch_size"]
        check_views(config, patch_size, config.model.variant)
        if config.init_patch_size is not None:
            raise InputError(
                f"init_patch_size is {config.init_patch_size} without init; expected a "
                "model.variant with patches of that size"
            )
    for name in ("mean", "std"):
        values = config.model[name]
        if not all(isinstance(v, int | float) and v >= 0 for v in values) or len(values) != 3:
            raise InputError(f"model.{name} is {values}; expected three numbers, R, G, B")
    if 0 in config.model.std:
        raise InputError("model.std has a 0; expected numbers above 0")
    check_names("data.root", config.data.root)
    check_names("data.exclude_videos", config.data.exclude_videos)
    for name in ("root", "train_videos", "test_videos"):
        check_names(f"probe.{name}", config.probe[name])
    values = flatten(config.to_dict())
    check_ranges(values, RANGES)
    check_choices(values, CHOICES)
    if config.loss.prior_exponent and config.loss.sinkhorn:
        raise InputError(
            f"loss.prior_exponent is {config.loss.prior_exponent} with Sinkhorn, which balances to "
            "uniform; expected loss.sinkhorn=False, as :power_law sets it"
        )


def check_views(config: ConfigDict, patch_size: int, whose: str) -> None:
    """Raises `InputError` where views cannot be cut into patches, or nothing is left of them."""
    for name in ("size", "focal_size"):
        size = config.views[name]
        if size % patch_size or size < patch_size:
            below = size // patch_size * patch_size
            near = [str(other) for other in (below, below + patch_size) if other]
            raise InputError(
                f"views.{name} is {size}; expected a multiple of {whose}'s patch size "
                f"{patch_size}, as {' or '.join(near)}"
            )
    patches = (config.views.size // patch_size) ** 2
    if not 0 <= config.patch_drop < 1 or not num_kept(patches, config.patch_drop):
        raise InputError(f"patch_drop is {config.patch_drop}; expected at least 0 and below 1")


def create_model(config: ConfigDict) -> MSN:
    """The networks of a run: randomly initialised from its seed, or as `config.init` has them.

    Raises:
      InputError: nothing can begin from `config.init`, or its patches do not fit the views.
    """
    pretrained = None
    if config.init:
        pretrained = open_pretrained(to_path(config.init), facts_in(config, "init"))
        arguments = continued_arguments(pretrained, config.views.size, config.init_patch_size)
        check_views(config, arguments["patch_size"], f"init={config.init}")
    else:
        arguments = variant_arguments(config.model.variant)
        arguments |= {"mean": config.model.mean, "std": config.model.std}
        arguments["image_size"] = config.views.size
    model = MSN(
        arguments,
        hidden_dim=config.model.hidden_dim,
        output_dim=config.model.output_dim,
        num_prototypes=config.model.num_prototypes,
        temperature=config.loss.temperature,
        me_max_weight=config.loss.me_max_weight,
        entropy_weight=config.loss.entropy_weight,
        use_sinkhorn=config.loss.sinkhorn,
        prior_exponent=config.loss.prior_exponent,
        drop_path=config.model.drop_path,
        recompute=config.gradient_checkpointing,
        clip_gradients=config.optimizer.clip_gradients,
        dtype=DTYPES[config.precision],
        seed=config.seed,
    )
    if pretrained is not None:
        copy_weights(pretrained.backbone, model.anchor_encoder.backbone)
        model.copy_anchor_to_target()
    return model


def schedule_of_step(config, step: int, total_steps: int, steps_per_epoch: int) -> dict:
    """Learning rate, weight decay, EMA momentum and sharpening of a step, as floats."""
    optimizer, loss = config.optimizer, config.loss
    return {
        "learning_rate": schedules.learning_rate(
            step,
            start=optimizer.start_learning_rate,
            peak=optimizer.learning_rate,
            final=optimizer.final_learning_rate,
            warmup_steps=int(optimizer.warmup_epochs * steps_per_epoch),
            total_steps=total_steps,
        ),
        "weight_decay": schedules.weight_decay(
            step,
            start=optimizer.weight_decay,
            final=optimizer.final_weight_decay,
            total_steps=total_steps,
        ),
        "momentum": schedules.linear(
            step, start=config.ema_start, final=1.0, total_steps=total_steps
        ),
        "sharpening": schedules.linear(
            step, start=loss.sharpening, final=loss.final_sharpening, total_steps=total_steps
        ),
    }


def as_scalars(values: dict, dtype: str) -> dict:
    """Floats as tensors of a dtype: as Python numbers each value would compile a new program."""
    return {name: tf.constant(value, dtype) for name, value in values.items()}
