r"""What input costs pre-training: ViT-S/16 steps on real input and on one batch in memory.

  python -m tests.benchmarks.input

Frames are rendered, 854 x 480, JPEG, or with MSN_REAL=FOLDER the images in that folder. The views
are those of configs/msn_vits16.py, the batch is 8. Takes about five minutes on two cores.
"""

import itertools
import os
import statistics
import tempfile
from pathlib import Path

import tensorflow as tf

from configs import msn_vits16
from data.frames.frames import Frames
from data.frames.opening import open_source
from data.indexing.building import build_index
from data.pretraining import pretraining_dataset
from data.views.masking import kept_patches
from data.views.multi_crop import Views
from msn.training.configuration import as_scalars, create_model, schedule_of_step
from tests.benchmarks.report import median_ratio, run, seconds
from tests.benchmarks.views import make_frames, real_frames

BATCH = 8
STEPS, ROUNDS = 4, 3  # steps of one kind in a row, and how often
LOADED = 40  # batches, for the speed of the loader alone
TOTAL_STEPS = 1000  # of the run whose beginning is measured


def make_source(root: Path) -> Frames:
    """A dataset of a few frames, rendered or taken from MSN_REAL."""
    folder = root / "frames" / "operation"
    folder.mkdir(parents=True)
    if real := os.environ.get("MSN_REAL"):
        for number, path in enumerate(real_frames(real), 1):
            (folder / f"operation_{number:06d}{path.suffix}").symlink_to(path.resolve())
    else:
        make_frames(folder)
    build_index(root)
    return open_source("images", root)


def loader(source: Frames, config, count: int):
    """The first batch as pre-training gets it, and an iterator over `count` more."""
    dataset = pretraining_dataset(
        source,
        Views(**config.views),
        batch_size=BATCH,
        seed=config.seed,
        first_step=0,
        last_step=count + 1,
    )
    batches = iter(dataset)
    return next(batches), batches


def create_step(config):
    """A function from a batch to the metrics of one train step, as `msn.pretrain` runs it."""
    model = create_model(config)
    train_step = tf.function(model.train_step, jit_compile=bool(config.compile_with_xla))
    schedule = as_scalars(
        schedule_of_step(config, 0, TOTAL_STEPS, steps_per_epoch=TOTAL_STEPS), "float32"
    )
    patches = model.anchor_encoder.backbone.grid**2
    mask = tf.constant(kept_patches(patches, config.patch_drop, config.seed, 0))

    def step(batch):
        views = {name: batch[name] for name in ("target", "anchor", "focal")}
        return float(train_step(views, mask, schedule)["loss"])

    return step


def load(source, config) -> float:
    """Seconds that the loader takes for LOADED batches, nothing else running."""
    _, batches = loader(source, config, LOADED)
    return seconds(lambda: list(batches))


def run_steps(step, batches) -> float:
    """Seconds of STEPS train steps with whatever waiting for input there is."""
    return seconds(lambda: [step(batch) for batch in itertools.islice(batches, STEPS)])


def measure() -> dict:
    """The loader alone, and steps of both kinds in turns."""
    config = msn_vits16.get_config()
    config.batch_size = BATCH
    taken = {"constant": [], "real": []}
    with tempfile.TemporaryDirectory() as folder:
        source = make_source(Path(folder))
        loading = [load(source, config) for _ in range(ROUNDS)]
        step = create_step(config)
        batch, _ = loader(source, config, 1)
        step(batch)  # compiles
        for _ in range(ROUNDS):
            taken["constant"].append(run_steps(step, itertools.repeat(batch)))
            first, batches = loader(source, config, 2 * STEPS)
            step(first)  # meanwhile the loader fills what it keeps ready
            taken["real"].append(run_steps(step, batches))
            del batches  # ends the loader: it must not read on beside the constant batch
    rate = {name: STEPS / statistics.median(times) for name, times in taken.items()}
    loaded = LOADED * BATCH / statistics.median(loading)
    return {
        "measured": "ViT-S/16 train steps of 8 images in 12 views with real input",
        "unit": "steps/s",
        "value": rate["real"],
        "baseline": "the same steps with a constant batch in memory",
        "baseline_value": rate["constant"],
        "ratio": median_ratio(taken["constant"], taken["real"]),
        "frames": f"{len(source)} files of MSN_REAL" if os.environ.get("MSN_REAL") else "rendered",
        "loader_images_per_second": loaded,
        "step_images_per_second": BATCH * rate["constant"],
        "loader_to_step": loaded / (BATCH * rate["constant"]),
    }


if __name__ == "__main__":
    run("input", measure)
