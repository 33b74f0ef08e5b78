"""Speed and memory of a pre-training step, beside the matrix-product peak and PyTorch.

  python -m tests.benchmarks.pretrain_step

ViT-S/16 with MSN's published configuration, on the CPU. Every round does a step of ours and one of
PyTorch's (tests/benchmarks/torch_step.py) at each batch size, and measures the peak of float32
matrix products in TensorFlow before and after ours: whatever else the machine does meets all of
them. Ratios and shares are medians over rounds. Takes about eight minutes.

The operations are nominal: those of a step that computes every token of every block, where ours
leaves out what nobody reads.
"""

import itertools
import math
import statistics

import numpy as np

from data.views.masking import num_kept
from msn.networks.variants import variant_arguments
from tests.benchmarks.report import (
    OtherSide,
    forget_peak,
    median_ratio,
    memory,
    run,
    run_alone,
    seconds,
)

BATCH_SIZES = (8, 16)
ROUNDS = 5
ATTENTION_ROUNDS = 3
WIDTH, PATCH = 384, 16
TOTAL_STEPS, STEPS_PER_EPOCH = 100_000, 1_000  # only the schedules see them
LARGE = 4096  # side of the large matrix product
LEAST_OPERATIONS = 2e10  # of one measurement of the peak: a tenth of a second


class Training:
    """What `msn.pretrain.pretrain` makes of a configuration, on views of noise."""

    def __init__(self, recompute=False):
        import tensorflow as tf

        from configs import msn_vits16
        from msn.training.configuration import create_model

        self.config = msn_vits16.get_config()
        self.config.gradient_checkpointing = recompute
        self.model = create_model(self.config)
        self.train_step = tf.function(
            self.model.train_step, jit_compile=bool(self.config.compile_with_xla)
        )
        self.steps, self.views = 0, {}

    def step(self, batch_size):
        """One step as the loop does it, and waits for its loss."""
        import tensorflow as tf

        from data.views.masking import kept_patches
        from msn.training.configuration import as_scalars, schedule_of_step

        if batch_size not in self.views:
            self.views[batch_size] = random_views(self.config.views, batch_size)
        schedule = schedule_of_step(self.config, self.steps, TOTAL_STEPS, STEPS_PER_EPOCH)
        patches, config = self.model.anchor_encoder.backbone.grid**2, self.config
        mask = tf.constant(kept_patches(patches, config.patch_drop, config.seed, self.steps))
        metrics = self.train_step(self.views[batch_size], mask, as_scalars(schedule, "float32"))
        assert np.isfinite(metrics["loss"].numpy())
        self.steps += 1


def random_views(views, batch_size):
    """Noise in the shapes and the dtype of `data.pretraining.pretraining_dataset`."""
    import tensorflow as tf

    random = np.random.default_rng(0)
    whole = (batch_size, views.size, views.size, 3)
    focal = (views.focal_views, batch_size, views.focal_size, views.focal_size, 3)
    shapes = {"target": whole, "anchor": whole, "focal": focal}
    return {
        name: tf.constant(random.integers(0, 256, shape, np.uint8))
        for name, shape in shapes.items()
    }


def operations(config) -> float:
    """Floating-point operations per image and step: forward on all views, backward on anchors."""
    views, model = config.views, config.model
    sizes = variant_arguments(model.variant)
    width, patch_size = sizes["width"], sizes["patch_size"]

    def forward(patches):
        tokens = 1 + patches
        dense = tokens * 12 * width**2  # qkv, out, and the MLP's two
        attention = 2 * tokens**2 * width
        encoder = patches * 3 * patch_size**2 * width + sizes["depth"] * (dense + attention)
        return 2 * (encoder + head)

    widths = (width, model.hidden_dim, model.hidden_dim, model.output_dim, model.num_prototypes)
    head = sum(a * b for a, b in itertools.pairwise(widths))
    patches, focal = ((size // patch_size) ** 2 for size in (views.size, views.focal_size))
    anchors = forward(num_kept(patches, config.patch_drop)) + views.focal_views * forward(focal)
    return forward(patches) + 3 * anchors


class Peak:
    """Rates of matrix products: those of this network with so many rows, and a large square."""

    def __init__(self, rows):
        import tensorflow as tf

        shapes = [(rows, WIDTH, 3 * WIDTH), (rows, WIDTH, WIDTH), (rows, WIDTH, 4 * WIDTH)]
        shapes += [(rows, 4 * WIDTH, WIDTH), (WIDTH, rows, 4 * WIDTH), (LARGE, LARGE, LARGE)]
        self.rates = {shape: [] for shape in shapes}
        self.operands = {
            (m, k, n): (tf.random.normal((m, k)), tf.random.normal((k, n))) for m, k, n in shapes
        }

    def measure(self):
        """Operations per second of every shape, once more."""
        import tensorflow as tf

        for shape, (left, right) in self.operands.items():
            count = 2 * math.prod(shape)
            times = max(1, round(LEAST_OPERATIONS / count))
            taken = seconds(lambda a=left, b=right, t=times: [tf.matmul(a, b) for _ in range(t)])
            self.rates[shape].append(times * count / taken)

    def around(self):
        """Of the shape with the largest median: the mean before and after each round."""
        rates = max(self.rates.values(), key=statistics.median)
        return [(before + after) / 2 for before, after in zip(rates[::2], rates[1::2], strict=True)]


def measure_memory(batch_size, recompute) -> dict:
    """Bytes per image by which a step raises a process with model and views in memory."""
    training = Training(recompute)
    training.views[batch_size] = random_views(training.config.views, batch_size)
    before = memory("VmRSS")
    training.step(batch_size)  # compiles, which takes memory of its own
    forget_peak()
    training.step(batch_size)
    return {"bytes": (memory("VmHWM") - before) / batch_size}


def measure_speed() -> dict:
    """Both sides in turns."""
    with OtherSide("tests.benchmarks.torch_step") as torch:
        training = Training()
        per_image = operations(training.config)
        compiling = {size: seconds(lambda s=size: training.step(s)) for size in BATCH_SIZES}
        torch.seconds(f"{BATCH_SIZES[0]} sdpa")  # warm
        kinds = {"sdpa": [], "plain": []}
        for _ in range(ATTENTION_ROUNDS):
            for kind, taken in kinds.items():
                taken.append(torch.seconds(f"{BATCH_SIZES[0]} {kind}"))
        attention = min(kinds, key=lambda kind: statistics.median(kinds[kind]))

        ours, theirs = ({size: [] for size in BATCH_SIZES} for _ in range(2))
        peaks = {size: Peak(rows_of(training.config, size)) for size in BATCH_SIZES}
        for size in BATCH_SIZES:  # warm, both sides at every size
            training.step(size)
            torch.seconds(f"{size} {attention}")
        for _ in range(ROUNDS):
            for size in BATCH_SIZES:
                peaks[size].measure()
                ours[size].append(seconds(lambda s=size: training.step(s)))
                peaks[size].measure()
                theirs[size].append(torch.seconds(f"{size} {attention}"))

    result = {"gflop_per_image": per_image / 1e9, "attention_of_pytorch": attention}
    for size in BATCH_SIZES:
        peak, work = peaks[size].around(), size * per_image
        rates = {"": ours[size], "_pytorch": theirs[size]}
        for side, taken in rates.items():
            shares = [work / s / p for s, p in zip(taken, peak, strict=True)]
            result |= {
                f"images_per_second_{size}{side}": size / statistics.median(taken),
                f"gflop_per_second_{size}{side}": work / statistics.median(taken) / 1e9,
                f"share_of_peak_{size}{side}": statistics.median(shares),
            }
        result |= {
            f"peak_gflop_per_second_{size}": statistics.median(peak) / 1e9,
            f"ratio_{size}": median_ratio(theirs[size], ours[size]),
            f"seconds_to_compile_{size}": compiling[size] - statistics.median(ours[size]),
        }
    return result


def rows_of(config, batch_size) -> int:
    """Tokens of a batch's anchor views: what a dense layer sees at once."""
    views = config.views
    patches, focal = ((size // PATCH) ** 2 for size in (views.size, views.focal_size))
    kept = num_kept(patches, config.patch_drop)
    return batch_size * (1 + kept + views.focal_views * (1 + focal))


def measure() -> dict:
    """Speed, then memory in processes of their own; the larger batch counts."""
    speed = measure_speed()
    size = BATCH_SIZES[-1]
    result = {
        "measured": f"pre-training step, ViT-S/16, 10 focal views, CPU, batch {size}",
        "unit": "images/s",
        "value": speed[f"images_per_second_{size}"],
        "baseline": "the same step in plain PyTorch",
        "baseline_value": speed[f"images_per_second_{size}_pytorch"],
        "ratio": speed[f"ratio_{size}"],
        "share_of_peak": speed[f"share_of_peak_{size}"],
        **speed,
    }
    for size in BATCH_SIZES:
        for name, recompute in (("", False), ("_recomputing", True)):
            taken = run_alone("pretrain_step", "measure_memory", size, recompute)
            result[f"peak_MB_per_image_{size}{name}"] = taken["bytes"] / 1e6
    return result


if __name__ == "__main__":
    run("pretrain_step", measure)
