"""Labels a running video, frame by frame as it comes: from a file, or from a camera.

No frame knows of a later one. Memory does not depend on how long the video runs.
"""

import contextlib
import csv
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
import tensorflow as tf

from data.annotation_formats.clock_times import clock
from data.common.errors import InputError
from data.images.image_io import frame_to_input
from data.storage.locking import locked_file
from data.storage.paths import AnyPath, check_output_folder
from data.storage.whole import named_errors
from data.video.decoding import read_frames
from down_stream.classifiers.frame_model import load_frame_model
from down_stream.features.extraction import frame_outputs
from down_stream.inference.network import is_network, network_frames
from down_stream.inference.options import check_stream
from down_stream.inference.phase_files import describe, files_folder, open_temporal
from msn.networks.encoder import resample_of

BIN = 1e-4  # seconds: latencies are kept as counts


@dataclass
class StreamResult:
    """What came of a stream.

    Attributes:
      file: the table that was written, or None.
      frames: how many were labelled.
      seconds: of video.
      latency: counts of the seconds from having a frame to having its probabilities.
      model: in words, what labelled the frames.
      fault: why the video could not be read to its end, or None.
      is_stopped: whether a signal or Ctrl-C ended it before the end of a video file.
    """

    file: Path | None
    frames: int = 0
    seconds: float = 0.0
    latency: Counter = field(default_factory=Counter)
    model: str = ""
    fault: str | None = None
    is_stopped: bool = False

    def latency_at(self, share: float) -> float:
        """Seconds within which this share of the frames was labelled."""
        left = share * sum(self.latency.values())
        for place, count in sorted(self.latency.items()):
            left -= count
            if left <= 0:
                return (place + 1) * BIN
        return float("nan")


def label_stream(
    model_path: AnyPath,
    source: str,
    output: Path | None,
    fps: float = 1.0,
    say: Callable[[str], None] = print,
) -> StreamResult:
    """Labels a video as it runs, says each change of the phase, and writes all probabilities.

    The table is `<output without suffix>_<task>/<video>_stream.csv`, with the columns second,
    prediction (a name) and one probability per class; every row is on the disk as soon as it is
    known. Ctrl-C or a signal ends it.

    Args:
      model_path: the model/ of an experiment; with a temporal model in it, that is used.
      source: a video file, the number of a camera, or an address (rtsp, http).
      output: names the folder, as for `down_stream.inference.embeddings.embed`; None for none.
      fps: frames per second that are looked at; a temporal model sees the first of each second.
      say: takes one line of text.

    Raises:
      InputError: no frame model, or no video.
    """
    check_stream(model_path, source, fps)
    model, temporal = load_frame_model(model_path), open_temporal(model_path)
    folder = output and files_folder(output, model.task)
    if folder:
        check_output_folder("output", folder)
    if model.multi_label:
        raise InputError(f"{model_path}: a model of {model.task}; expected one of phases")
    label = _labeller(model, temporal)
    frames, name = _open_source(source, fps)
    if (first := next(frames, None)) is None:  # before anything is written
        raise InputError(f"{source}: no frames in it")
    result = StreamResult(folder and folder / f"{name}_stream.csv", model=describe(temporal))
    latest = None
    with _written(result.file) as write:
        write(["second", "prediction", *model.classes])
        try:
            for second, image in itertools.chain([first], frames):
                begun = time.perf_counter()
                probabilities = label(image, second)
                result.latency[int((time.perf_counter() - begun) / BIN)] += 1
                phase = model.classes[int(probabilities.argmax())]
                write([f"{second:g}", phase, *map(str, probabilities)])
                if phase != latest:
                    say(f"{clock(int(second))}  {phase}  {probabilities.max():.2f}")
                latest = phase
                result.frames += 1
                result.seconds = second
        except InputError as error:
            if not result.frames:
                raise
            result.fault = str(error)
        except KeyboardInterrupt:  # how a camera is stopped
            say("stopped")
            result.is_stopped = not source.isdecimal()
    return result


@contextlib.contextmanager
def _written(path: Path | None) -> Iterator[Callable]:
    """Context with a function that writes a row of a table, at once; without a path it does not."""
    if path is None:
        yield lambda row: None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        locked_file(path),
        named_errors(path),
        path.open("w", newline="", encoding="utf-8") as file,
    ):

        def write(row):
            csv.writer(file).writerow(row)
            file.flush()

        yield write


def summary(result: StreamResult) -> str:
    """A result in words, for people."""
    median, late = (1000 * result.latency_at(share) for share in (0.5, 0.95))
    lines = [
        f"labelled        {result.frames} frames, {clock(int(result.seconds))} of video",
        f"by              {result.model}",
        f"latency         {median:.1f} ms per frame (median), {late:.1f} ms (95 of 100)",
        f"written to      {result.file or 'no file, as there is no --output'}",
    ]
    return "\n".join([*lines, *([f"remark          {result.fault}"] if result.fault else [])])


def camera_frames(number: int, fps: float) -> Iterator[tuple[float, np.ndarray]]:
    """Frames of a camera, the newest one each 1 / fps seconds, until it ends.

    Yields:
      Seconds since the first frame; the frame, RGB, uint8 [height, width, 3].

    Raises:
      InputError: no such camera.
    """
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    camera = cv2.VideoCapture(number)
    if not camera.isOpened():
        raise InputError(f"camera {number}: cannot be opened; 0 is the first camera")
    try:
        yield from sampled(camera, fps)
    finally:
        camera.release()


def sampled(camera, fps: float) -> Iterator[tuple[float, np.ndarray]]:
    """The same of an open `cv2.VideoCapture`, by the clock on the wall."""
    started, taken = None, 0
    while camera.grab():  # every frame: one that is not fetched waits, and would be old
        now = time.monotonic()
        started = now if started is None else started
        if now - started < taken / fps:
            continue
        found, image = camera.retrieve()
        if not found:
            return
        yield now - started, cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        taken = int((now - started) * fps) + 1


def _open_source(source: str, fps: float) -> tuple[Iterator[tuple[float, np.ndarray]], str]:
    """The frames of a camera, an address or a file, with their seconds, and a name for them."""
    if source.isdecimal():
        return camera_frames(int(source), fps), f"camera{source}"
    if is_network(source):
        parts = urlsplit(source)
        return network_frames(source, fps), Path(parts.path).stem or parts.hostname
    return ((n / fps, image) for n, image in read_frames(source, fps)), Path(source).stem


def _labeller(model, temporal) -> Callable:
    """A function of (frame, second) to float32 [classes]; it is compiled before it is returned."""
    size, resample = model.encoder.image_size, resample_of(model.encoder)
    function = frame_outputs(model.encoder, model)
    function(tf.zeros((1, size, size, 3), tf.uint8))
    stream = temporal.stream() if temporal else None
    seen, latest = -1, None

    def label(image, second):
        nonlocal seen, latest
        outputs = function(tf.constant(frame_to_input(image, size, resample)[np.newaxis]))
        if stream is None:
            return outputs["probabilities"].numpy()[0]
        if int(second) > seen:
            seen = int(second)
            latest = stream.step(outputs["features"].numpy()[0], seen)
        return latest

    return label
