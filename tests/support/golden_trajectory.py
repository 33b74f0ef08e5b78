"""Ten train steps beside the reference's: what they start from, and how far they end apart."""

import json

import keras
import numpy as np
import tensorflow as tf

from msn.formats.reference_names import load_msn_state, msn_state
from msn.method import schedules
from msn.method.model import MSN
from tests.support.golden_files import (
    encoder_arguments,
    load,
    rate_and_decay,
    relative_error,
    subset,
)

# Without a gradient by construction: Adam amplifies rounding noise there, in the reference too.
NO_GRADIENT = (
    "norm.bias",
    "fc.fc1.bias",
    "fc.fc2.bias",
    "fc.bn1.running_mean",
    "fc.bn2.running_mean",
)


def comparable(name, value):
    """Without the key third of a qkv bias, to which softmax is blind."""
    return np.delete(value.reshape(3, -1), 1, axis=0) if name.endswith("qkv.bias") else value


def trajectory_runs(jit, dtype, seeds):
    """For each seed {claim: relative error} of one run; see `trajectory_errors`."""
    golden = load("trajectory.npz")
    config = json.loads(str(golden["config"]))
    model = trajectory_model(config, dtype)
    train_step = tf.function(model.train_step, jit_compile=jit)
    return [trajectory_errors(golden, config, model, train_step, dtype, seed) for seed in seeds]


def trajectory_model(config, dtype):
    # Golden images are normalised already: this preprocessing hands them through.
    through = {"mean": (0, 0, 0), "std": (1 / 255,) * 3}
    return MSN(
        encoder_arguments(config) | through,
        hidden_dim=config["hidden"],
        output_dim=config["out"],
        num_prototypes=config["proto"],
        temperature=config["tau"],
        me_max_weight=config["me_max_weight"],
        entropy_weight=config["ent_weight"],
        use_sinkhorn=config["sinkhorn"],
        clip_gradients=config["clip_grad"],
        dtype=dtype,
    )


def trajectory_errors(golden, config, model, train_step, dtype, seed):
    """{claim: relative error} of ten steps from the golden start, a rounding away if seeded."""
    start = subset(golden, "start/")
    if seed:
        random = np.random.default_rng(seed)
        start = {k: v * (1 + 6e-8 * random.choice([-1, 1], v.shape)) for k, v in start.items()}
    load_msn_state(start, model.anchor_encoder.backbone, model.anchor_head)
    model.copy_anchor_to_target()
    model.prototypes.assign(golden["start_prototypes"])
    for variable in (*model.optimizer.first, *model.optimizer.second, model.optimizer.steps):
        variable.assign(tf.zeros_like(variable))

    errors = {}
    for step in range(config["steps"]):
        inputs = subset(golden, f"step{step}/")
        views = {name: tf.cast(inputs[name], dtype) for name in ("target", "anchor", "focal")}
        schedule = trajectory_schedule(config, step)
        logs = train_step(
            views,
            tf.constant(inputs["kept_patches"], tf.int32),
            {name: tf.constant(value, dtype) for name, value in schedule.items()},
        )
        for ours, theirs in (("cross_entropy", "log/loss"), ("me_max", "log/me_max")):
            errors[f"{ours} {step}"] = relative_error(logs[ours], golden[theirs][step])

    networks = {
        "end/": msn_state(model.anchor_encoder.backbone, model.anchor_head),
        "end_target/": msn_state(model.target_encoder.backbone, model.target_head),
    }
    for prefix, ours in networks.items():
        for name, reference in subset(golden, prefix).items():
            if name not in NO_GRADIENT and not name.endswith("num_batches_tracked"):
                errors[prefix + name] = relative_error(
                    comparable(name, ours[name]), comparable(name, reference)
                )
    prototypes = keras.ops.convert_to_numpy(model.prototypes)
    return errors | {"prototypes": relative_error(prototypes, golden["end_prototypes"])}


def trajectory_schedule(config, step):
    total = config["ipe"] * config["epochs"]
    rate, decay = rate_and_decay(config, step)
    return {
        "learning_rate": rate,
        "weight_decay": decay,
        "momentum": schedules.linear(step, start=config["momentum0"], final=1.0, total_steps=total),
        "sharpening": config["sharpen"],
    }
