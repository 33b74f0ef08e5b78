"""Embeddings of frames, and with a frame model their probabilities: any source to one table."""

import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from data.batches.batches import embed_batches
from data.common.errors import InputError, some
from data.common.progress import ProgressBar
from data.common.stopping import StoppedError, StopSignal
from data.common.summary import version
from data.frames.frames import Frames
from data.storage.locking import locked_file
from data.storage.paths import AnyPath
from down_stream.choices import is_frame_model
from down_stream.classifiers.frame_model import load_frame_model
from down_stream.features.extraction import features_used, frame_outputs
from down_stream.inference import map as inference_map
from down_stream.inference.attention import AttentionPictures, check_folder, remove_leftovers
from down_stream.inference.options import Options, check_model, check_options, check_output
from down_stream.inference.parts.gone import WithGone
from down_stream.inference.parts.made_with import made_with, model_fingerprint
from down_stream.inference.parts.shares import (
    check_no_shares,
    names_of_share,
    note_done,
    note_in_table,
    others,
    working,
)
from down_stream.inference.parts.table import in_parts, write_table
from down_stream.inference.parts.table_parts import Parts
from down_stream.inference.parts.video_parts import digests_of_images
from down_stream.inference.phase_files import (
    check_phase_files,
    describe,
    in_time,
    open_temporal,
    remark_time,
    write_phase_files,
)
from down_stream.inference.result import Result, Share, merged
from msn.encoders import load_encoder
from msn.networks.encoder import resample_of
from msn.sweep import Shard
from msn.workdir.seen import seen_of

PART_SECONDS = 10.0  # what a kill costs at most
PART_BYTES = 2**25


def open_model(path: AnyPath, given: dict) -> tuple:
    """(encoder, frame model or None) of whatever `path` is; raises `InputError`.

    `given` are arguments of `load_encoder`.
    """
    check_model(path, given)
    if is_frame_model(path):
        model = load_frame_model(path)
        return model.encoder, model
    return load_encoder(path, **given), None


def embed(model_path: AnyPath, frames: Frames, output: AnyPath, options: Options) -> Result:
    """Embeds frames and writes the table; with a frame model also a file for every video.

    The table is that of the frames as they are now. What earlier runs have made of videos whose
    files are as they were is taken from their parts (`down_stream/inference/parts/`), whether
    those runs came to their end or not. Without its parts all is made again, but for the rows of
    videos that are gone.

    Args:
      model_path: what `msn.encoders.load_encoder` opens, or the model/ of an experiment.
      frames: what to embed.
      output: .npz or .parquet, with the columns embeddings, video, second, path, and with a frame
        model probabilities; files per video go to `<output without suffix>_<task>/`.
      options: what is computed.

    Raises:
      InputError: nothing to embed, nothing to embed it with, nowhere to write to, or the table is
        there already of another model or other options.
      StoppedError: a signal or Ctrl-C came; the same call goes on.
    """
    check_output(output)
    check_options(options)
    with locked_file(output):
        check_no_shares(output)
        result = _embed(model_path, frames, output, options)
        note_in_table(output)
        return result


def embed_share(
    model_path: AnyPath, frames: Frames, output: AnyPath, options: Options, shard: Shard
) -> Share:
    """Makes the parts of a table that are one process's share, and no table.

    `embed` then finds them. Arguments and errors are those of `embed`; `frames` are of all videos,
    or of those of this share (`data.frames.listing`).
    """
    check_output(output)
    check_options(options)
    names, digest = names_of_share(frames, shard)
    faults = list(frames.faults)
    started, made, before = time.monotonic(), 0, 0
    with working(output, shard):
        if names:
            work = _Work(model_path, frames, output, options, names)
            before = sum(of.stop for of in work.parts.videos)
            # Which frames a map shows is not known here: their thumbnails are made with it.
            _fill(work, frames, dataclasses.replace(options, map=None))
            made = sum(of.length for of in work.parts.videos) - before
            faults += merged(work.parts.faults())
    note_done(output, shard, digest)
    seconds, left = time.monotonic() - started, others(output, shard, digest)
    return Share(shard, sorted(names), before, made, seconds, faults, left)


class _Work:
    """A model and what it has made of frames, as far as that is done.

    Args:
      names: of the videos, if not all.
    """

    def __init__(self, model_path, frames: Frames, output, options: Options, names=None):
        self.encoder, self.model = open_model(model_path, options.given)
        self.temporal = open_temporal(model_path) if self.model else None
        if self.model:
            check_phase_files(output, frames, self.model.task, self.temporal)
        if options.annotations:
            options.annotations.check(frames, self.model)
        if options.attention:
            check_folder(options.attention, frames)
        self.kind = {name: getattr(options, name) for name in ("features", "layers", "tokens")}
        self.function = frame_outputs(
            self.encoder, self.model, **self.kind, attention=options.attention is not None
        )
        self.fingerprint = model_fingerprint(self.encoder, self.model, self.temporal)
        self.parts = Parts(
            output, made_with(self.fingerprint, frames, self.kind, options.attention)
        )
        self.parts.take(frames, names)


def _embed(model_path: AnyPath, frames: Frames, output: AnyPath, options: Options) -> Result:
    """What `embed` does after its first checks; nobody else writes this table meanwhile."""
    work = _Work(model_path, frames, output, options)
    encoder, model, temporal, parts = work.encoder, work.model, work.temporal, work.parts
    gone, replaced = parts.others()
    new = [of.video for of in parts.videos if not of.is_done]
    before = sum(of.stop for of in parts.videos)
    started = time.monotonic()
    network_seconds = _fill(work, frames, options)
    seconds = time.monotonic() - started

    faults = [*frames.faults, *merged(parts.faults())]
    if not len(parts.rows()):
        parts.remove()
        raise InputError(f"none of the {len(frames)} frames can be read; {'; '.join(faults[:3])}")
    remarks = [f"features: {features_used(encoder, model, **work.kind)}"]
    earlier = {*parts.regained, *(of.video for of in replaced)}
    made = len(frames) - before
    if changed := [video for video in new if video in earlier]:
        remarks.append(f"changed: {some(changed)}; made again")
    # Where a part of the input cannot be read, a video is not gone because it was not found there.
    not_read = [of for of in gone if of.may_be_there()] if frames.faults else []
    gone, is_kept = [of for of in gone if of not in not_read], options.gone == "keep"
    if gone:
        fate = "their rows are kept" if is_kept else "--gone=keep keeps such rows"
        remarks.append(f"gone: {some([of.video for of in gone])}; {fate}")
    if not_read:
        fate = "their rows are kept" if is_kept else "left out; what was made of them stays"
        remarks.append(f"cannot be read: {some([of.video for of in not_read])}; {fate}")
    if is_kept and (gone or not_read):
        frames = WithGone(frames, gone + not_read)
        parts.append(gone + not_read)
    rows = parts.rows()
    columns, files = _columns(parts, frames, rows), [output]
    classes = model.classes if model else ()
    probabilities = None
    if model:
        probabilities = parts.whole("probabilities")
        if temporal:
            features = parts.column("features")
            probabilities = in_time(temporal, frames, rows, features, len(classes))
        columns["probabilities"] = in_parts(len(rows), lambda part: probabilities[part])
        files += write_phase_files(output, frames, rows, probabilities, model)
        remarks += [f"probabilities: {describe(temporal)}", *remark_time(frames, rows, model)]
        if wanted := options.annotations:
            try:
                remarks.append(wanted.write(frames, rows, probabilities, model, temporal))
                files.append(wanted.folder)
            except InputError as error:  # somebody has edited it meanwhile; the table is made
                faults.append(str(error))
    metadata = {"model": str(model_path), "fingerprint": work.fingerprint, "fps": frames.fps}
    metadata["version"] = version()
    metadata["seen"] = seen_of(model_path / "encoder" if model else model_path).to_json()
    metadata |= {"features": features_used(encoder, model, **work.kind)}
    write_table(output, len(rows), columns, classes, metadata)
    if options.map:
        inference_map.add_thumbnails(parts, frames, rows, encoder.image_size)
        remarks.append(
            inference_map.write_map(
                options.map, parts, frames, rows, model, probabilities, options.tokens
            )
        )
        files.append(options.map)
    if options.attention:
        files.append(options.attention)
        left = () if is_kept else [of.video for of in gone]
        remove_leftovers(options.attention, frames, left, changed)
    for of in [*replaced, *(() if is_kept else gone)]:
        of.remove()
    return Result(
        files=files,
        shape=(len(rows), *next(columns["embeddings"]()).shape[1:]),
        videos=list(dict.fromkeys(frames.video_names(rows))),
        before=before,
        new=[video for video in new if video not in earlier],
        changed=changed,
        gone=[of.video for of in gone],
        frames=made,
        seconds=seconds,
        network_seconds=network_seconds,
        faults=faults,
        passed_over=frames.passed_over,
        remarks=remarks,
    )


def _fill(work: _Work, frames: Frames, options: Options) -> float:
    """Makes the parts that are missing; returns the seconds that the network took."""
    parts, size = work.parts, work.encoder.image_size
    network_seconds, begun, since = 0.0, time.monotonic(), time.time()
    is_drawn = inference_map.choose(frames) if options.map else None
    # Each video in batches of its own has the same bits, whatever else there is. Not so stills, of
    # which a folder may hold a few: batches would be filled up with black.
    is_video = not np.isnan(frames.second).any()
    batch_size = min(options.batch_size, len(frames))
    initial = sum(of.stop for of in parts.videos)
    total = sum(of.length for of in parts.videos)
    bar = ProgressBar(desc="embedding", total=total, initial=initial, unit="frame")
    with bar, StopSignal() as stop, ThreadPoolExecutor(2) as pool:
        pictures = AttentionPictures(options.attention, frames, pool)
        for rows in list(parts.left(is_joined=not is_video)):
            kept, first = [], rows.start
            for batch in embed_batches(
                *(work.function, frames, size, batch_size, rows.start, rows.stop),
                resample=resample_of(work.encoder),
            ):
                network_seconds += batch.seconds
                if options.attention:
                    pictures.draw(batch.frames, batch.outputs.pop("attention", ()))
                if options.map:
                    inference_map.keep_thumbnails(parts, batch.frames, is_drawn)
                batch.frames = []
                bar.update(batch.stop - (kept[-1].stop if kept else first))
                kept.append(batch)
                held = sum(value.nbytes for batch in kept for value in batch.outputs.values())
                is_due = held > PART_BYTES or time.monotonic() - begun > PART_SECONDS
                if is_due or stop.requested or batch.stop == rows.stop:
                    pictures.wait()
                    parts.add(first, batch.stop, *_joined(kept, frames, since))
                    kept, first, begun = [], batch.stop, time.monotonic()
                if stop.requested:
                    raise StoppedError(
                        f"stopped by {stop.requested} after frame {batch.stop}; start again to go "
                        "on"
                    )
    return network_seconds


def _joined(batches: list, frames: Frames, since: float) -> tuple[dict[str, np.ndarray], list]:
    """The table and the faults of several batches, as `Parts.add` takes them.

    Images that have changed `since` (seconds since 1970) are not known again.
    """
    made = [batch for batch in batches if len(batch.rows)]
    names = made[0].outputs if made else ()
    table = {name: np.concatenate([batch.outputs[name] for batch in made]) for name in names}
    rows = table["rows"] = np.concatenate([batch.rows for batch in batches])
    table |= {"second": frames.seconds(rows), "path": np.array(frames.paths(rows), np.str_)}
    if (digests := digests_of_images(table["path"].tolist(), since)) is not None:
        table["image"] = digests
    return table, [fault for batch in batches for fault in batch.faults]


def _columns(parts: Parts, frames: Frames, rows: np.ndarray) -> dict:
    return {
        "embeddings": parts.column("embeddings"),
        "video": in_parts(len(rows), lambda part: np.array(frames.video_names(rows[part]))),
        "second": in_parts(len(rows), lambda part: frames.second[rows[part]]),
        "path": in_parts(len(rows), lambda part: np.array(frames.paths(rows[part]))),
    }
