"""What the keys of a pre-training configuration say for a run and for a step.

configs/msn_base.py explains every key.
"""

import tensorflow as tf
from ml_collections import ConfigDict

from msn.encoders import facts_in
from msn.formats.hub import encoder_path
from msn.method import schedules
from msn.method.model import MSN
from msn.networks.variants import variant_arguments
from msn.training.checks import DTYPES, check_views
from msn.training.initialisation import continued_arguments, copy_weights, open_pretrained


def create_model(config: ConfigDict, teacher_width: int | None = None) -> MSN:
    """The networks of a run: randomly initialised from its seed, or as `config.init` has them.

    `teacher_width` is how many numbers the teacher says of a frame, where there is one.

    Raises:
      InputError: nothing can begin from `config.init`, or its patches do not fit the views.
    """
    pretrained = None
    if config.init:
        pretrained = open_pretrained(encoder_path(config.init), facts_in(config, "init"))
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
        teacher_width=teacher_width,
        dtype=DTYPES[config.precision],
        seed=config.seed,
    )
    if pretrained is not None:
        copy_weights(pretrained.backbone, model.anchor_encoder.backbone)
        model.copy_anchor_to_target()
    return model


def schedule_of_step(config, step: int, total_steps: int, steps_per_epoch: int) -> dict:
    """Learning rate, weight decay, EMA momentum and sharpening of a step, as floats.

    With a teacher, the weights of its loss and of MSN's, too.
    """
    optimizer, loss = config.optimizer, config.loss
    weights = {}
    if config.teacher:
        weights["teacher_weight"], weights["msn_weight"] = schedules.teacher_weights(
            step,
            start=config.teacher_weight,
            final=config.teacher_final_weight,
            alone=config.teacher_alone,
            total_steps=total_steps,
        )
    return weights | {
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
