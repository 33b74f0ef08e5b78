"""Pre-training: one readable loop from a configuration to an encoder directory."""

import json
import logging
import signal
from pathlib import Path

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from data.errors import InputError
from data.index import load_index
from data.masking import kept_patches, num_kept
from data.pretraining import pretraining_dataset
from data.views import Views
from msn import checkpoint, schedules
from msn.model import MSN
from msn.monitor import MetricsLog, progress_bar, require_finite
from msn.vit import variant_arguments


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
    workdir = Path(workdir)

    # ---- input: everything that can be checked is checked before anything is written ----------
    check(config)
    views = Views(**config.views)
    everything = load_index(config.data.root)
    index = everything.select(exclude=config.data.exclude_videos)
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
    }
    path = checkpoint.save_encoder(encoder, workdir / "encoder", source)
    logging.info("encoder: %s", path)
    return True


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
    for name in ("batch_size", "checkpoint_every", "keep_checkpoints", "log_every"):
        if config[name] < 1:
            raise InputError(f"{name} is {config[name]}; right would be at least 1")
    steps = config.epochs if config.steps is None else config.steps
    if steps < 0:
        raise InputError(f"epochs or steps is {steps}; right would be at least 0")
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
        old, new = (flatten(json.loads(text)) for text in (path.read_text(), description))
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
