"""What no pre-training run can work with, said before TensorFlow is imported."""

import math

from ml_collections import ConfigDict

from data.common.configurations import flatten
from data.common.errors import InputError, check_choices, check_names, check_ranges
from data.frames.opening import SOURCES
from data.views.masking import num_kept
from msn.networks.variants import variant_arguments
from msn.tracking.trackers import tracker_names
from msn.workdir.seen import check_encoder_at

DTYPES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}  # of `precision`
STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker", "tpu")
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
    ("wait_minutes", 0, INF),
    ("keep_checkpoints", 1, INF),
    ("keep_every", 0, INF),
    ("init_patch_size", 1, INF),
    ("max_rollbacks", 0, INF),
    ("teacher_weight", 0, INF),
    ("teacher_final_weight", 0, INF),
    ("teacher_alone", 0, 1),
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
    "teacher_sees": ("frame", "view"),
    "precision": tuple(DTYPES),
    "on_nan": ("stop", "rollback"),
    "compile_with_xla": ("auto", True, False),
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
    check_teacher(config)
    tracker_names(config.track)
    if config.loss.prior_exponent and config.loss.sinkhorn:
        raise InputError(
            f"loss.prior_exponent is {config.loss.prior_exponent} with Sinkhorn, which balances to "
            "uniform; expected loss.sinkhorn=False, as :power_law sets it"
        )


def check_encoders(config: ConfigDict) -> None:
    """Raises `InputError` where no encoder that can be used is at `init` or `teacher`."""
    for path in filter(None, (config.init, config.teacher)):
        check_encoder_at(path)


def check_teacher(config: ConfigDict) -> None:
    """Raises `InputError` where a teacher would teach nothing, or cannot.

    Without one, for what is said of one; but for the weights, which configurations have for both.
    """
    if not config.teacher:
        said = ("teacher_alone", "teacher_mean", "teacher_std", "teacher_num_heads")
        for name in ("teacher_sees", *said):
            if config[name] and config[name] != "frame":
                raise InputError(
                    f"{name} is {config[name]} without a teacher; expected --config.teacher=PATH"
                )
        return
    if config.accumulation > 1:
        raise InputError(
            f"accumulation is {config.accumulation} with a teacher; expected 1, a smaller "
            "batch_size where memory is short"
        )
    if not (config.teacher_weight or config.teacher_final_weight):
        raise InputError("teacher_weight and teacher_final_weight are 0; expected one above 0")
    if config.teacher_alone and not config.teacher_weight:
        raise InputError(
            f"teacher_alone is {config.teacher_alone} with teacher_weight 0; expected a weight "
            "above 0: nothing would be learnt in the first step"
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
