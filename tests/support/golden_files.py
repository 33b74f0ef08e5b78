"""Reading the numbers of the reference: tests/golden, or the folder named by MSN_GOLDEN."""

import numpy as np
from keras import ops

from msn.method import schedules
from tests.support.places import GOLDEN


def load(name):
    with np.load(GOLDEN / name, allow_pickle=False) as file:
        return dict(file)


def subset(arrays, prefix):
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def relative_error(ours, reference):
    ours, reference = (
        np.asarray(ops.convert_to_numpy(value), np.float64) for value in (ours, reference)
    )
    assert ours.shape == reference.shape
    return np.linalg.norm(ours - reference) / np.linalg.norm(reference)


def me_max_error(ours, reference, k):
    """Relative; less two float32 epsilons of log k, which the reference loses in log k - H."""
    lost = 2 * np.finfo(np.float32).eps * np.log(k)
    error = abs(float(ops.convert_to_numpy(ours)) - reference)
    return max(error - lost, 0) / reference


def encoder_arguments(config):
    return {
        "mlp_ratio": config.get("mlp_ratio", 4),
        "layer_norm_epsilon": config.get("layer_norm_eps", 1e-6),
        "image_size": config["img"],
        "patch_size": config["patch"],
        "width": config["dim"],
        "depth": config["depth"],
        "num_heads": config["heads"],
    }


def rate_and_decay(config, step):
    total = config["ipe"] * config["epochs"]
    rate = schedules.learning_rate(
        step,
        start=config["start_lr"],
        peak=config["lr"],
        final=config["final_lr"],
        warmup_steps=int(config["warmup"] * config["ipe"]),
        total_steps=total,
    )
    decay = schedules.weight_decay(
        step, start=config["wd"], final=config["final_wd"], total_steps=total
    )
    return rate, decay
