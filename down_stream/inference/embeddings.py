"""Embeddings of frames, and with a frame model their probabilities: any source to one table."""

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from data.common.errors import InputError
from data.common.progress import ProgressBar
from data.common.stopping import StoppedError, StopSignal
from data.frames.batches import embed_batches
from data.frames.frames import Frames
from data.storage.locking import locked_file
from data.storage.paths import AnyPath, check_output_folder, is_remote
from down_stream.classifiers.frame_model import is_frame_model, load_frame_model
from down_stream.features.extraction import features_used, frame_outputs
from down_stream.inference import map as inference_map
from down_stream.inference.attention import AttentionPictures
from down_stream.inference.phase_files import (
    check_phase_files,
    describe,
    in_time,
    open_temporal,
    remark_time,
    write_phase_files,
)
from down_stream.inference.table import Parts, check_output, in_parts, write_table
from msn.encoders import load_encoder

PART_SECONDS = 10.0  # what a kill costs at most
PART_BYTES = 2**25


@dataclass(frozen=True)
class Options:
    """What is computed of each frame, as `features.extraction.frame_outputs` explains it.

    Attributes:
      features, layers, tokens: of the embeddings.
      attention: None, or a folder for pictures of it.
      map: None, or an .html file for a map of the embeddings.
      batch_size: frames that pass the network together; the results do not depend on it, but for
        rounding.
      given: what the encoder's file does not say, arguments of `load_encoder`.
    """

    features: str | None = None
    layers: int | None = None
    tokens: str | None = None
    attention: AnyPath | None = None
    map: AnyPath | None = None
    batch_size: int = 32
    given: dict = field(default_factory=dict)


@dataclass
class Result:
    """What came of a run: `summary` says it in words.

    Attributes:
      files: what was written.
      shape: of the embeddings.
      before: rows that an earlier run, which was stopped, had tried.
      frames, seconds, network_seconds: of this run's way through the frames.
      faults: a line for everything that could not be used.
      passed_over: files that are neither images nor videos.
      remarks: lines that a reader of the results should know.
    """

    files: list[AnyPath]
    shape: tuple[int, ...]
    before: int
    frames: int
    seconds: float
    network_seconds: float
    faults: list[str]
    passed_over: int
    remarks: list[str]


def open_model(path: AnyPath, given: dict) -> tuple:
    """(encoder, frame model or None) of whatever `path` is; raises `InputError`.

    `given` are arguments of `load_encoder`.
    """
    if is_frame_model(path):
        if given:
            raise InputError(
                f"{path}: says itself what {', '.join(given)} would; expected none given"
            )
        model = load_frame_model(path)
        return model.encoder, model
    return load_encoder(path, **given), None


def embed(model_path: AnyPath, frames: Frames, output: AnyPath, options: Options) -> Result:
    """Embeds frames and writes the table; with a frame model also a file for every video.

    What there is of a killed run that was asked for the same is gone on with.

    Args:
      model_path: what `msn.encoders.load_encoder` opens, or the model/ of an experiment.
      frames: what to embed.
      output: .npz or .parquet, with the columns embeddings, video, second, path, and with a frame
        model probabilities; files per video go to `<output without suffix>_<task>/`.
      options: what is computed.

    Raises:
      InputError: nothing to embed, nothing to embed it with, or nowhere to write to.
      StoppedError: a signal or Ctrl-C came; the same call goes on.
    """
    check_output(output)
    with locked_file(output):
        return _embed(model_path, frames, output, options)


def _embed(model_path: AnyPath, frames: Frames, output: AnyPath, options: Options) -> Result:
    """What `embed` does after its first checks; nobody else writes this table meanwhile."""
    encoder, model = open_model(model_path, options.given)
    temporal = open_temporal(model_path) if model else None
    if model:
        check_phase_files(output, frames, model.task, temporal)
    if options.map:
        inference_map.check_map(options.map)
    if options.attention:
        check_output_folder("attention", options.attention)
    kind = {name: getattr(options, name) for name in ("features", "layers", "tokens")}
    function = frame_outputs(
        encoder,
        model,
        **kind,
        attention=options.attention is not None,
    )
    parts = Parts(output, _request(model_path, frames, options))
    before = parts.stop
    batches = embed_batches(
        function, frames, encoder.image_size, min(options.batch_size, len(frames)), before
    )
    started = time.monotonic()
    network_seconds = _fill(parts, batches, frames, options, before)
    seconds = time.monotonic() - started

    rows = parts.whole("rows")
    faults = [*frames.faults, *_merged(parts.faults())]
    if not len(rows):
        parts.remove()
        raise InputError(f"none of the {len(frames)} frames can be read; {'; '.join(faults[:3])}")
    columns, files = _columns(parts, frames, rows), [output]
    remarks = [f"features: {features_used(encoder, model, **kind)}"]
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
    write_table(output, len(rows), columns, classes)
    if options.map:
        remarks.append(
            inference_map.write_map(
                options.map, parts, frames, rows, model, probabilities, options.tokens
            )
        )
        files.append(options.map)
    if options.attention:
        files.append(options.attention)
    shape = (len(rows), *next(columns["embeddings"]()).shape[1:])
    parts.remove()
    return Result(
        files=files,
        shape=shape,
        before=before,
        frames=len(frames) - before,
        seconds=seconds,
        network_seconds=network_seconds,
        faults=faults,
        passed_over=frames.passed_over,
        remarks=remarks,
    )


def _fill(parts: Parts, batches, frames: Frames, options: Options, before: int) -> float:
    """Keeps what batches bring, part by part; returns the seconds that the network took."""
    kept, network_seconds, begun = [], 0.0, time.monotonic()
    is_drawn = inference_map.choose(len(frames)) if options.map else None

    def flush():
        made = [batch for batch in kept if len(batch.rows)]
        names = made[0].outputs if made else ()
        table = {name: np.concatenate([b.outputs[name] for b in made]) for name in names}
        table["rows"] = np.concatenate([batch.rows for batch in kept])
        parts.add(kept[-1].stop, table, [line for batch in kept for line in batch.faults])

    bar = ProgressBar(desc="embedding", total=len(frames), initial=before, unit="frame")
    with bar, StopSignal() as stop, ThreadPoolExecutor(2) as pool:
        pictures = AttentionPictures(options.attention, frames, pool)
        for batch in batches:
            network_seconds += batch.seconds
            if options.attention:
                pictures.draw(batch.frames, batch.outputs.pop("attention", ()))
            if options.map:
                inference_map.keep_thumbnails(parts.folder, batch.frames, is_drawn)
            batch.frames = []
            bar.update(batch.stop - bar.n)
            kept.append(batch)
            size = sum(value.nbytes for batch in kept for value in batch.outputs.values())
            is_due = size > PART_BYTES or time.monotonic() - begun > PART_SECONDS
            if is_due or stop.requested:
                pictures.wait()
                flush()
                kept, begun = [], time.monotonic()
            if stop.requested:
                raise StoppedError(
                    f"stopped by {stop.requested} after frame {batch.stop}; start again to go on"
                )
        if kept:
            pictures.wait()
            flush()
    return network_seconds


def _columns(parts: Parts, frames: Frames, rows: np.ndarray) -> dict:
    return {
        "embeddings": parts.column("embeddings"),
        "video": in_parts(len(rows), lambda part: np.array(frames.video_names(rows[part]))),
        "second": in_parts(len(rows), lambda part: frames.second[rows[part]]),
        "path": in_parts(len(rows), lambda part: np.array(frames.paths(rows[part]))),
    }


def _request(model_path, frames: Frames, options: Options) -> dict:
    """What tells one run from another; batch sizes do not matter."""
    files = hashlib.sha256()
    if not is_remote(model_path):  # of a remote model, its path is all that is compared
        for file in [model_path] if model_path.is_file() else sorted(model_path.rglob("*")):
            files.update(f"{file.relative_to(model_path)} {file.stat().st_size} ".encode())
            files.update(f"{file.stat().st_mtime_ns}\n".encode())
    return {
        "model_path": str(model_path.absolute()),
        "model files": files.hexdigest(),
        "frames": len(frames),
        "list of frames": frames.digest(),
        "features": options.features,
        "layers": options.layers,
        "tokens": options.tokens,
        "given": {name: str(value) for name, value in options.given.items()},
        "attention": options.attention and str(options.attention),
        "map": options.map and str(options.map),
    }


def _merged(lines: list[str]) -> list[str]:
    """Each line once; where one reason holds for several frames, with their number."""
    counts = {}
    for line in lines:
        counts[line] = counts.get(line, 0) + 1
    return [line if n == 1 else f"{line} ({n} frames)" for line, n in counts.items()]


def summary(result: Result) -> str:
    """A result in words, for people."""
    lines = [
        f"embeddings      float32 {list(result.shape)}",
        f"frames          {result.frames} in {result.seconds:.1f} s, "
        f"{result.frames / max(result.seconds, 1e-9):.1f} images/s",
        f"network         {result.network_seconds / max(result.seconds, 1e-9):.0%} of that time",
    ]
    if result.before:
        lines.append(f"before          {result.before} frames were there from a stopped run")
    if result.passed_over:
        lines.append(f"passed over     {result.passed_over} files of other kinds")
    lines += [
        f"{name:15} {rest.strip()}" for name, _, rest in (r.partition(":") for r in result.remarks)
    ]
    lines += [f"written to      {file}" for file in result.files]
    if result.faults:
        lines.append(f"unreadable, all or in part ({len(result.faults)}):")
        lines += [f"  {line}" for line in result.faults]
    return "\n".join(lines)
