"""Pre-training: one readable loop from a configuration to an encoder directory."""

import functools
import json
import logging
import math
import signal
from pathlib import Path

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from data.errors import InputError, check_names, check_output_folder, check_range
from data.index import load_index
from data.masking import kept_patches, num_kept
from data.pretraining import pretraining_dataset
from data.views import Views
from msn import checkpoint, schedules
from msn.model import MSN
from msn.monitor import MetricsLog, progress_bar, require_finite
from msn.variants import variant_arguments


def pretrain(config: ConfigDict, workdir: str | Path) -> bool:
    """Pre-trains an encoder with MSN, or goes on from the last checkpoint in `workdir`.

    Args:
      config: see configs/msn_base.py, which explains every key.
      workdir: receives config.json, checkpoints/, encoder/, metrics.jsonl and TensorBoard events.

    Returns:
      True when the run is complete; False when SIGTERM stopped it at a checkpoint.

    Raises:
      InputError: the configuration or the data cannot work; nothing is written then.
    """
    # ---- input: everything that can be checked is checked before anything is written ----------
    check(config)
    for folder in (workdir, Path(workdir, "checkpoints") if workdir else ""):
        check_output_folder("workdir", folder)
    workdir = Path(workdir)
    views = Views(**config.views)
    everything = load_index(config.data.root)
    index = everything.select(exclude=config.data.exclude_videos)
    if missing := sorted(set(config.data.exclude_videos) - set(everything.videos)):
        logging.warning("data.exclude_videos: not in the data: %s", ", ".join(missing))
    steps_per_epoch = len(index) // config.batch_size
    total_steps = config.steps if config.steps is not None else config.epochs * steps_per_epoch
    description = describe_run(workdir, config)

    # ---- model and update step -----------------------------------------------------------------
    model = create_model(config)
    train_step = tf.function(model.train_step, jit_compile=config.compile_with_xla)

    # ---- resume --------------------------------------------------------------------------------
    first_step = restore_newest(workdir / "checkpoints", model)
    dataset = pretraining_dataset(
        index,
        views,
        batch_size=config.batch_size,
        seed=config.seed,
        first_step=first_step,
        last_step=total_steps,
    )
    workdir.mkdir(parents=True, exist_ok=True)
    (workdir / "config.json").write_text(description)
    logging.info(
        "%s on %d frames of %d videos (%d excluded): %d steps of %d images, from step %d",
        config.model.variant,
        len(index),
        len(index.videos),
        len(everything.videos) - len(index.videos),
        total_steps,
        config.batch_size,
        first_step,
    )

    # ---- loop ----------------------------------------------------------------------------------
    def save(step):
        directory = workdir / "checkpoints"
        checkpoint.save_checkpoint(directory, model, step, config.keep_checkpoints)

    stop = StopSignal()
    log = MetricsLog(workdir, config.log_every, config.batch_size, first_step)
    with stop, log, progress_bar(first_step, total_steps) as bar:
        for step, batch in enumerate(dataset, start=first_step):
            if not np.all(batch.pop("readable")):
                raise InputError("too many frames in a row cannot be read; the log names them")
            mask = mask_of_step(config, step)
            schedule = schedule_of_step(config, step, total_steps, steps_per_epoch)
            metrics = train_step(batch, mask, as_scalars(schedule))
            done = step + 1
            values = log.write(done, metrics, schedule, last=done == total_steps)
            if values:
                bar.set_postfix(loss=f"{values['loss']:.3f}", refresh=False)
            bar.update()
            if done == total_steps or stop.requested or done % config.checkpoint_every == 0:
                require_finite(metrics["loss"], done)
                save(done)
            if stop.requested and done < total_steps:
                logging.warning("stopped by SIGTERM after step %d; start again to go on", done)
                return False

    # ---- export --------------------------------------------------------------------------------
    encoder = model.target_encoder if config.export == "target" else model.anchor_encoder
    source = {
        "method": "MSN (arXiv 2204.07141)",
        "network": config.export,
        "step": total_steps,
        "variant": config.model.variant,
        "data": [str(root) for root in config.data.root],
        "videos": list(index.videos),
    }
    path = checkpoint.save_encoder(encoder, workdir / "encoder", source)
    logging.info("encoder: %s", path)
    return True


INF = math.inf
# Key, least and largest value that a run can work with; None (a placeholder) passes.
RANGES = (
    ("seed", 0, INF),
    ("batch_size", 1, INF),
    ("epochs", 0, INF),
    ("steps", 0, INF),
    ("checkpoint_every", 1, INF),
    ("keep_checkpoints", 1, INF),
    ("log_every", 1, INF),
    ("ema_start", 0, 1),
    ("model.hidden_dim", 1, INF),
    ("model.output_dim", 1, INF),
    ("model.num_prototypes", 2, INF),
    ("loss.temperature", 1e-6, INF),
    ("loss.sharpening", 1e-6, INF),
    ("loss.final_sharpening", 1e-6, INF),
    ("loss.me_max_weight", 0, INF),
    ("loss.entropy_weight", 0, INF),
    ("optimizer.start_learning_rate", 0, INF),
    ("optimizer.learning_rate", 0, INF),
    ("optimizer.final_learning_rate", 0, INF),
    ("optimizer.warmup_epochs", 0, INF),
    ("optimizer.weight_decay", 0, INF),
    ("optimizer.final_weight_decay", 0, INF),
    ("optimizer.clip_gradients", 0, INF),
)


def check(config: ConfigDict) -> None:
    """Raises `InputError` for values that no run can work with."""
    patch_size = variant_arguments(config.model.variant)["patch_size"]
    for name in ("size", "focal_size"):
        size = config.views[name]
        if size % patch_size or size < patch_size:
            raise InputError(
                f"views.{name} is {size}; right would be a multiple of {config.model.variant}'s "
                f"patch size {patch_size}"
            )
    if not 0 <= config.patch_drop < 1 or not num_kept(
        (config.views.size // patch_size) ** 2, config.patch_drop
    ):
        raise InputError(f"patch_drop is {config.patch_drop}; right would be 0 to below 1")
    check_names("data.root", config.data.root)
    check_names("data.exclude_videos", config.data.exclude_videos)
    for key, least, largest in RANGES:
        value = functools.reduce(getattr, key.split("."), config)
        if value is not None:
            check_range(key, value, least, largest)
    choices = {
        "strategy": ("auto", "one_device"),
        "export": ("target", "anchor"),
    }
    for name, allowed in choices.items():
        if config[name] not in allowed:
            raise InputError(f"{name} is {config[name]!r}; right would be {' or '.join(allowed)}")
    if config.data.source != "images":
        raise InputError(f"data.source is {config.data.source!r}; right would be images")


def create_model(config: ConfigDict) -> MSN:
    """The networks of a run, randomly initialised from its seed."""
    return MSN(
        variant_arguments(config.model.variant) | {"image_size": config.views.size},
        hidden_dim=config.model.hidden_dim,
        output_dim=config.model.output_dim,
        num_prototypes=config.model.num_prototypes,
        temperature=config.loss.temperature,
        me_max_weight=config.loss.me_max_weight,
        entropy_weight=config.loss.entropy_weight,
        use_sinkhorn=config.loss.sinkhorn,
        clip_gradients=config.optimizer.clip_gradients,
        seed=config.seed,
    )


def mask_of_step(config: ConfigDict, step: int) -> tf.Tensor:
    """Indices of the patches of the anchor view that are kept in a step, int32 [kept]."""
    patch_size = variant_arguments(config.model.variant)["patch_size"]
    patches = (config.views.size // patch_size) ** 2
    return tf.constant(kept_patches(patches, config.patch_drop, config.seed, step))


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


def as_scalars(values: dict) -> dict:
    """Floats as float32 tensors: as Python numbers each value would compile a new program."""
    return {name: tf.constant(value, tf.float32) for name, value in values.items()}


def describe_run(workdir: Path, config: ConfigDict) -> str:
    """The configuration as JSON.

    Raises:
      InputError: `workdir` holds a run of another configuration.
    """
    description = json.dumps(config.to_dict(), indent=2, sort_keys=True, default=list) + "\n"
    path = workdir / "config.json"
    if path.is_file() and path.read_text() != description:
        try:
            old, new = (flatten(json.loads(text)) for text in (path.read_text(), description))
        except (ValueError, AttributeError) as error:
            raise InputError(f"{path}: damaged; take another --workdir") from error
        changes = ", ".join(
            f"{key} {old.get(key)!r} -> {new.get(key)!r}"
            for key in sorted(old.keys() | new.keys())
            if old.get(key) != new.get(key)
        )
        raise InputError(
            f"{workdir} holds a run of another configuration ({changes}); take another --workdir "
            "or the same configuration"
        )
    return description


def flatten(tree: dict, prefix: str = "") -> dict:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat = {}
    for key, value in tree.items():
        path = f"{prefix}{key}"
        flat |= flatten(value, f"{path}.") if isinstance(value, dict) else {path: value}
    return flat


def restore_newest(directory: Path, model: MSN) -> int:
    """Restores the newest checkpoint that is whole and returns its step; 0 without one."""
    for path in reversed(checkpoint.checkpoints(directory)):
        try:
            return checkpoint.restore_checkpoint(path, model)
        except InputError as error:
            logging.warning("%s; taking the one before", error)
    return 0


class StopSignal:
    """Context in which SIGTERM sets `requested` instead of ending the process."""

    def __enter__(self):
        self.requested = False
        self._previous = signal.signal(signal.SIGTERM, self._request)
        return self

    def _request(self, *_):
        self.requested = True

    def __exit__(self, *_):
        signal.signal(signal.SIGTERM, self._previous)
