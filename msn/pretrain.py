"""Pre-training: one readable loop from a configuration to an encoder directory."""

import logging
import signal
from pathlib import Path

import tensorflow as tf
from ml_collections import ConfigDict

from data.errors import InputError, check_output_folder
from data.open_source import open_source
from data.pretraining import UnreadableFrames, pretraining_dataset
from data.recordings import identity
from data.views import Views
from msn import checkpoint
from msn.configuration import (
    as_scalars,
    check,
    create_model,
    describe_run,
    mask_of_step,
    schedule_of_step,
)
from msn.model import MSN
from msn.monitor import MetricsLog, progress_bar, require_finite


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
    views, data = Views(**config.views), config.data
    source = open_source(data.source, data.root, data.exclude_videos, data.fps)
    excluded = {identity(video) for video in source.excluded}
    if missing := [video for video in data.exclude_videos if identity(video) not in excluded]:
        logging.warning("data.exclude_videos: not in the data: %s", ", ".join(missing))
    steps_per_epoch = len(source) // config.batch_size
    total_steps = config.steps if config.steps is not None else config.epochs * steps_per_epoch
    description = describe_run(workdir, config)

    # ---- model and update step -----------------------------------------------------------------
    model = create_model(config)
    train_step = tf.function(model.train_step, jit_compile=config.compile_with_xla)

    # ---- resume --------------------------------------------------------------------------------
    first_step = restore_newest(workdir / "checkpoints", model)
    dataset = pretraining_dataset(
        source,
        views,
        batch_size=config.batch_size,
        seed=config.seed,
        first_step=first_step,
        last_step=total_steps,
        neighbour_seconds=data.neighbour_seconds,
        balance_videos=data.balance_videos,
    )
    unreadable = UnreadableFrames(data.max_unreadable)
    workdir.mkdir(parents=True, exist_ok=True)
    (workdir / "config.json").write_text(description)
    logging.info(
        "%s on %d frames of %d videos (%d excluded): %d steps of %d images, from step %d",
        config.model.variant,
        len(source),
        len(source.videos),
        len(source.excluded),
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
            unreadable.add(batch.pop("unreadable").numpy())
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
    origin = {
        "method": "MSN (arXiv 2204.07141)",
        "network": config.export,
        "step": total_steps,
        "variant": config.model.variant,
        "data": [str(root) for root in config.data.root],
        "videos": list(source.videos),
    }
    path = checkpoint.save_encoder(encoder, workdir / "encoder", origin)
    logging.info("encoder: %s", path)
    return True


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
