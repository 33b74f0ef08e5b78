"""Pre-training: one readable loop from a configuration to an encoder directory."""

import contextlib
import functools
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from ml_collections import ConfigDict

from data.batches.sampling import source_of_videos
from data.common import compiled_programs
from data.common.configurations import configured
from data.common.errors import InputError
from data.common.logs import logger
from data.common.progress import ProgressBar
from data.common.stopping import StoppedError, StopSignal
from data.frames.frames import Frames
from data.overview.looks import say_differences
from data.pretraining import UnreadableFrames, check_sources, pretraining_dataset, whole_batches
from data.storage.locking import locked
from data.storage.paths import AnyPath, check_output_folder, output_folder, to_paths
from data.views.masking import kept_patches
from data.views.multi_crop import Views
from msn import encoders
from msn.distribution.replicas import Distribution
from msn.distribution.strategies import create_distribution
from msn.networks.usual_keras import usual_keras
from msn.teachers.opening import open_teacher
from msn.tracking.following import Following
from msn.tracking.sending import COMPLETE
from msn.training.checks import check
from msn.training.configuration import (
    as_scalars,
    create_model,
    schedule_of_step,
)
from msn.training.data_sets import open_frames
from msn.training.initialisation import describe_origin
from msn.training.probes import create_probes, scores_of, told_scores
from msn.workdir import checkpoints
from msn.workdir.metrics_file import METRICS
from msn.workdir.metrics_log import MetricsLog, headline
from msn.workdir.run_directory import (
    CHECKPOINTS,
    as_json,
    check_configuration,
    check_room,
    check_writable,
    write_configuration,
)
from msn.workdir.seen import seen_by_run


@usual_keras()
def pretrain(
    config: ConfigDict | str | Path,
    workdir: str | AnyPath,
    *,
    overrides: Mapping[str, Any] | None = None,
) -> AnyPath:
    """Pre-trains an encoder with MSN, or goes on from the last checkpoint in `workdir`.

    The method is that of Assran et al., arXiv 2204.07141.

    Args:
      config: a configuration, or the file of one, as "configs/msn_demo.py"; configs/msn_base.py
        explains every key.
      workdir: receives config.json, checkpoints/, encoder/, metrics.jsonl and TensorBoard events.
      overrides: {dotted key: value} of the configuration, as {"data.root": "datasets/ours"}.

    Returns:
      The encoder directory, which `msn.encoders.load_encoder` opens.

    Raises:
      InputError: the configuration or the data cannot work, and nothing is written then; another
        run is writing to `workdir`; the loss is not finite; the disk is full.
      StoppedError: (a KeyboardInterrupt) Ctrl-C or, in a command, a signal stopped it at a
        checkpoint, or while its teacher was asked; the same call goes on.
    """
    # ---- input: everything that can be checked is checked before anything is written ----------
    config = configured(config, overrides, "configs/msn_demo.py")
    check(config)
    workdir, roots = output_folder("workdir", workdir), to_paths(config.data.root)
    check_output_folder("workdir", workdir / CHECKPOINTS)
    check_writable(workdir)
    by_xla = compiled_programs.compiles_with_xla(config.compile_with_xla)
    distribution = create_distribution(config.strategy, config.wait_minutes)
    source, views = open_frames(config), Views(**config.views)
    sources = source_of_videos(source, roots)
    if config.data.balance_sources or config.data.one_source_per_batch:
        check_sources(sources)
    steps_per_epoch = whole_batches(source, config.batch_size)
    total_steps = config.steps if config.steps is not None else config.epochs * steps_per_epoch
    check_configuration(workdir, config)

    # ---- model, update step, probe -------------------------------------------------------------
    teacher = open_teacher(config, source, distribution.replicas, workdir)
    with distribution.named_errors(), distribution.strategy.scope():
        model = create_model(config, teacher.width if teacher else None)
    backbone = model.anchor_encoder.backbone
    patches = backbone.grid**2
    distribution.check(config.batch_size, config.accumulation, bool(backbone.stem_channels))
    train_step = distribution.create_step(model, config.accumulation, by_xla)
    origin = describe_origin(config, source, total_steps)
    probes = create_probes(config, model, source, roots, origin["videos"])
    check_room(workdir, model, config.keep_checkpoints, config.keep_every, total_steps)

    following = Following(workdir, config.track if distribution.is_chief else "")
    with (
        written_by_chief(workdir, distribution) as log_directory,
        StopSignal() as stop,
        following,
    ):
        # ---- resume ----------------------------------------------------------------------------
        if distribution.is_chief:
            write_configuration(workdir, config)
        step, skipped = checkpoints.restore_newest(workdir / CHECKPOINTS, model)
        checksum = zlib.crc32(as_json(config).encode())
        distribution.agree(step=step, frames=len(source), configuration=checksum)
        describe(config, backbone, source, total_steps, step)
        if distribution.is_chief:
            origin["videos"] = seen_by_run(workdir, origin["videos"], goes_on=step > 0)
        is_first = distribution.is_chief and not step
        if is_first and (text := say_differences(source, sources, roots)):
            logger.warning("%s", text)
        unreadable = UnreadableFrames(config.data.max_unreadable)

        def save() -> None:
            if not distribution.is_chief:
                return
            directory, keep = workdir / CHECKPOINTS, (config.keep_checkpoints, config.keep_every)
            checkpoints.save_checkpoint(directory, model, step, *keep, skipped)

        if not step and config.on_nan == "rollback":
            save()  # what a loss that is not finite before the first checkpoint goes back to

        # ---- loop ------------------------------------------------------------------------------
        batches_from = functools.partial(
            pretraining_dataset,
            source,
            views,
            batch_size=config.batch_size,
            seed=config.seed,
            last_step=total_steps,
            neighbour_seconds=config.data.neighbour_seconds,
            balance_videos=config.data.balance_videos,
            sources=sources,
            balance_sources=config.data.balance_sources,
            one_source_per_batch=config.data.one_source_per_batch,
            worker=distribution.worker,
            workers=distribution.workers,
        )
        if teacher and not teacher.prepare(workdir, batches_from, stop):
            raise StoppedError(
                f"stopped by {stop.requested} while the teacher was asked; start again to go on"
            )
        batches = iter(batches_from(first_step=step))
        log = MetricsLog(log_directory, config.batch_size, step)
        clock = checkpoints.SaveClock(config.checkpoint_minutes if distribution.is_chief else 0)
        bar = ProgressBar(
            desc="pre-training",
            total=total_steps,
            initial=step,
            unit="step",
            disable=not distribution.is_chief,
        )
        if by_xla:
            train_step = compiled_programs.announced(train_step, "training step", bar)
        with distribution.named_errors(), log, bar:
            while step < total_steps:
                batch = log.wait_for(batches)
                unreadable.add(batch.pop("unreadable").numpy())
                rows = batch.pop("row").numpy()
                if teacher:
                    batch["teacher"] = tf.constant(teacher.says(rows, batch["anchor"]), model.dtype)
                is_skipped = step in skipped
                if not is_skipped:
                    mask = tf.constant(kept_patches(patches, config.patch_drop, config.seed, step))
                    schedule = schedule_of_step(config, step, total_steps, steps_per_epoch)
                    log.add(
                        step + 1,
                        train_step(batch, mask, as_scalars(schedule, model.dtype)),
                        schedule,
                    )
                step += 1
                bar.update()

                # Read once: what is stopped here is also saved here.
                stopping, is_time = distribution.anywhere(bool(stop.requested), clock.is_time())
                is_due = is_time or is_turn(step, config.checkpoint_every, total_steps)
                to_save = stopping or is_due
                to_probe = probes and is_turn(step, config.probe_every, total_steps)
                to_log = to_probe or is_turn(step, config.log_every, total_steps)
                if not (to_save or to_log):
                    continue
                if failure := log.failure():
                    skipped = (*skipped, failure[0] - 1)
                    handle_failure(config, failure, len(skipped))
                    step, _ = checkpoints.restore_newest(workdir / CHECKPOINTS, model)
                    distribution.agree(step=step)
                    batches = iter(batches_from(first_step=step))
                    log.rewind(step)
                    bar.go_back(step)
                    continue
                if to_log and not is_skipped:
                    scores = scores_of(probes) if to_probe and distribution.is_chief else None
                    bar.show(headline(log.write(scores)))
                if to_save:
                    log.sync()
                    save()
                    clock.restart()
                if to_probe or to_save:
                    log.restart_clock()
                if stopping and step < total_steps:
                    distribution.agree(stopped=step)
                    by = stop.requested or "a signal to another worker"
                    raise StoppedError(f"stopped by {by} after step {step}; start again to go on")

        # ---- export ----------------------------------------------------------------------------
        if distribution.is_chief:
            encoder = model.target_encoder if config.export == "target" else model.anchor_encoder
            told = told_scores(probes, (workdir / METRICS).read_bytes())
            encoders.save_encoder(encoder, workdir / "encoder", origin | {"scores": told})
            logger.info("encoder: %s", workdir / "encoder")
            following.status = COMPLETE
        distribution.agree(complete=step)
        return workdir / "encoder"


@contextlib.contextmanager
def written_by_chief(workdir: AnyPath, distribution: Distribution) -> Iterator[AnyPath]:
    """Context in which the chief may write to `workdir`, and other workers to a folder that goes.

    Yields:
      the folder for metrics of this worker.
    """
    if distribution.is_chief:
        with locked(workdir):
            yield workdir
        return
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def is_turn(step: int, every: int, last: int) -> bool:
    """Whether something that is done every so many steps, and after the last, is done now."""
    return step % every == 0 or step == last


def handle_failure(config: ConfigDict, failure: tuple[int, str], rollbacks: int) -> None:
    """Ends the run after a step that was not finite, unless it may go back and skip that step.

    Args:
      config: of the run.
      failure: number of the step, and which terms of the loss were not finite, in words.
      rollbacks: how often the run has gone back, this time included.

    Raises:
      InputError: it may not go back, or has done so too often.
    """
    step, terms = failure
    what = f"not finite at step {step}: {terms}"
    if config.on_nan == "stop":
        raise InputError(
            f"{what}; the checkpoints before it are kept. Lower optimizer.learning_rate in a new "
            "--workdir, or start again with --config.on_nan=rollback"
        )
    if rollbacks > config.max_rollbacks:
        raise InputError(
            f"{what}; {config.max_rollbacks} batches were skipped already (max_rollbacks). The "
            "checkpoints before it are kept; lower optimizer.learning_rate in a new --workdir"
        )
    logger.warning("%s; going back to the last checkpoint to skip this batch", what)


def describe(
    config: ConfigDict, backbone: Any, source: Frames, total_steps: int, step: int
) -> None:
    """Says in the log what a run is about to do."""
    sizes = f"{backbone.depth} blocks of width {backbone.width}, patches of {backbone.patch_size}"
    logger.info(
        "%s on %d frames of %d videos (%d excluded): %d steps of %d images, from step %d",
        f"{config.init} ({sizes})" if config.init else config.model.variant,
        len(source),
        len(source.videos),
        len(source.excluded),
        total_steps,
        config.batch_size,
        step,
    )
