"""Embeddings of images and videos, in one call: `embed` is what the command `inference.py` does."""

import functools
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from data.annotation_writers.writing import WRITERS
from data.common import cli
from data.common.errors import InputError, LockedError, check_choices, check_range, some
from data.common.logs import logger
from data.common.machine import user_cache
from data.frames.frames import Frames
from data.frames.listing import list_dataset, list_images, list_videos
from data.storage.locking import locked_file
from data.storage.paths import AnyPath, check_local, to_path
from down_stream.choices import FEATURES, TOKENS
from down_stream.inference.annotations import Wanted
from down_stream.inference.options import (
    GONE,
    Options,
    check_model,
    check_options,
    check_output,
)
from down_stream.inference.parts.shares import ShareAtWorkError, own_names, working
from down_stream.inference.parts.video_parts import known_names
from down_stream.inference.result import Result, Share
from msn.formats.hub import encoder_path
from msn.sweep import read_shard

StrPath = str | AnyPath
_TRIES, _MOMENT = 5, 1.0  # seconds between two tries to write a table


def embed(
    model_path: StrPath,
    output: StrPath = "embeddings.npz",
    *,
    image_path: StrPath | None = None,
    video_path: StrPath | Sequence[StrPath] | None = None,
    data_rootdir: StrPath | None = None,
    name: str = "cholec80",
    operations: StrPath | None = None,
    join_parts: bool = False,
    fps: float = 1.0,
    features: str | None = None,
    tokens: str | None = None,
    layers: int | None = None,
    attention: StrPath | None = None,
    map: StrPath | None = None,
    annotations: StrPath | None = None,
    annotation_format: str | None = None,
    min_seconds: float | None = None,
    gone: str = "drop",
    batch_size: int = 32,
    shard: str | None = None,
    num_heads: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Result | Share:
    """Embeds images, videos or a dataset, and writes a table with a row for each frame.

    With the model of an experiment, the table has probabilities, too, and each video gets a table
    of them and a timeline. The same call again costs what is new. The arguments are called as the
    flags of `inference.py`. One of `image_path`, `video_path` and `data_rootdir` is given.

    Args:
      model_path: an encoder, as `msn.encoders.load_encoder` opens it, or model/ of an experiment.
      output: the table, .npz or .parquet: "embeddings" float32 [frames, width], with tokens="all"
        [frames, tokens, width]; "video", "path"; "second" float64, NaN where it is unknown; with
        a model of an experiment "probabilities" float32 [frames, classes].
      image_path: an image, a folder, a glob pattern or a .txt of paths.
      video_path: a video, or a folder with videos, or several.
      data_rootdir: the folder that holds the dataset.
      name: of the dataset's folder.
      operations: a CSV (file, operation, order) of which files of `video_path` are one video.
      join_parts: whether to join files whose names say that they are parts of one video.
      fps: frames per second that are taken of videos.
      features: "cls", "mean", "cls+mean" or "last4"; what the model was made with where it is not
        given.
      tokens, layers: instead of features: "cls", "mean" or "all" of the last so many blocks.
      attention: a folder for pictures of the last attention.
      map: an .html file for a map of the embeddings.
      annotations: a folder for the predictions as intervals, for annotators.
      annotation_format: "csv", "elan" or "label-studio"; "csv".
      min_seconds: how long an interval of `annotations` lasts at least.
      gone: "drop" or "keep" the rows of videos that earlier calls have seen and that are gone.
      batch_size: frames at a time; results do not depend on it.
      shard: "I/N": only the videos of the I-th of N processes that share the table are embedded;
        the last one to end writes it.
      num_heads, mean, std: of the encoder, where its file does not say it.

    Returns:
      What was written and of what; what could not be read is its `faults`. A `Share` where other
      shards are not done yet.

    Raises:
      InputError: nothing to embed, nothing to embed it with, nowhere to write to, or the table is
        there already of another model or other options. The message is the line that the command
        prints.
      StoppedError: (a KeyboardInterrupt) Ctrl-C or, in a command, a signal; the same call goes on.
    """
    # ---- before TensorFlow's import, which takes seconds, and before videos are read -----------
    inputs = {"image_path": image_path, "video_path": video_path, "data_rootdir": data_rootdir}
    check_input(inputs)
    if (operations or join_parts) and not video_path:
        raise InputError("--operations and --join_parts: need --video_path, the files to join")
    if annotations is None and (annotation_format is not None or min_seconds is not None):
        raise InputError("--annotation_format and --min_seconds: need --annotations, a folder")
    form = annotation_format or "csv"
    values = {"features": features, "tokens": tokens, "gone": gone, "annotation_format": form}
    choices = {"features": (None, *FEATURES), "tokens": (None, *TOKENS), "gone": GONE}
    check_choices(values, choices | {"annotation_format": tuple(WRITERS)})
    check_range("batch_size", batch_size, 1)
    if min_seconds is not None:
        check_range("min_seconds", min_seconds, 0)
    given = {"num_heads": num_heads, "mean": mean, "std": std}
    given = {key: value for key, value in given.items() if value is not None}
    model, table = encoder_path(model_path), to_path(output)
    options = Options(
        features=features,
        layers=layers,
        tokens=tokens,
        attention=to_path(attention) if attention else None,
        map=to_path(map) if map else None,
        annotations=Wanted(Path(str(annotations)), form, min_seconds) if annotations else None,
        batch_size=batch_size,
        given=given,
        gone=gone,
    )
    if annotations:
        check_local("--annotations", str(annotations))
    check_model(model, given)
    check_output(table)
    check_options(options)
    part = read_shard(shard)
    with locked_file(table) if part.count == 1 else working(table, part):
        pass  # whether it can be written, and nobody else does
    list_frames = functools.partial(_list, inputs, name, table, fps, operations, join_parts)
    own = functools.partial(own_names, shard=part) if part.count > 1 else None
    frames = list_frames(own)

    cli.import_tensorflow()
    from down_stream.inference import embeddings
    from msn.networks.usual_keras import usual_keras

    with usual_keras():
        if part.count > 1:
            share = embeddings.embed_share(model, frames, table, options, part)
            if share.others.not_done:
                return share
            if share.others.of_other_videos:
                logger.info(
                    "shard %s: done with other videos than this one found; what they lack is made "
                    "now",
                    some(share.others.of_other_videos),
                )
            return _write_table(
                share, lambda: embeddings.embed(model, list_frames(None), table, options)
            )
        return embeddings.embed(model, frames, table, options)


def _write_table(share: Share, write: Callable[[], Result]) -> Result | Share:
    """The table of all shards, or this share, where another process writes it."""
    for _ in range(_TRIES):
        try:
            return write()
        except ShareAtWorkError:  # one that was started again: the last one, unless we kept it away
            time.sleep(_MOMENT)
        except LockedError:  # of two that were the last, one writes it
            break
    return share


def check_input(inputs: dict[str, Any]) -> None:
    """Raises `InputError` unless one of the inputs is given."""
    given = [f"--{name}" for name, value in inputs.items() if value]
    if len(given) != 1:
        names = ", ".join(f"--{name}" for name in inputs)
        raise InputError(f"input: {' and '.join(given) or 'none'}; expected one of {names}")


def _list(
    inputs: dict[str, Any],
    name: str,
    table: AnyPath,
    fps: float,
    operations: StrPath | None,
    join_parts: bool,
    own: Callable[[Mapping[str, int]], Collection[str]] | None,
) -> Frames:
    """The frames of the input that is given; videos have the names that they have in the table.

    Of videos that are decoded, only those that `own` wants (`data.frames.listing.list_videos`).
    """
    clocks = user_cache("clocks")
    if images := inputs["image_path"]:
        check_local("--image_path", images)
        return list_images(str(to_path(str(images))))
    if videos := inputs["video_path"]:
        videos = [videos] if isinstance(videos, str | os.PathLike) else videos
        paths = [str(video) for video in videos]
        for path in paths:
            check_local("--video_path", path)
        paths = [str(to_path(path)) for path in paths]
        parts = Path(str(operations)) if operations else None
        return list_videos(paths, fps, parts, join_parts, clocks, known_names(table), own)
    return list_dataset(to_path(inputs["data_rootdir"]) / name, fps, clocks, own)
