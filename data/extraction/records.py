"""TF-Cholec80's record files -> frames and annotation files of a dataset."""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from data.annotation_formats.frame_table import is_annotated, write_annotations
from data.common.errors import InputError
from data.common.machine import available_cores
from data.common.progress import ProgressBar
from data.dataset.cholec80 import LABEL_FPS, PHASES
from data.dataset.extraction_log import frame_numbers, is_complete, read_log
from data.extraction.extracting import extract_all
from data.images.decoding import decode_image
from data.images.image_io import write_frame
from data.tfrecords.records import Record, read_records


def extract_records(
    records: Mapping[str, Path],
    root: Path,
    *,
    fps: float = LABEL_FPS,
    format: str = "jpg",
    quality: int = 95,
    size: int | None = None,
    workers: int | None = None,
) -> dict[str, str]:
    """Writes `root/frames/<video>/`, `root/phase_annotations/` and `root/tool_annotations/`.

    Frames and annotation files that are there are kept; a video that is complete is not opened
    again. Stopped at any moment, the next call goes on. Annotations have the official format: a row
    of phases for each of the 25 source frames of a second, all of them with the phase of the first,
    which is what the records tell.

    Args:
      records: {video: record file}, as `data.tfrecords.files.find_records` finds them.
      root: dataset directory.
      fps, format, quality, size, workers: as for `data.extraction.extracting.extract_frames`.

    Returns:
      {video: reason} of the record files that could not be used, or not to their end. Such a video
      has frames, but no annotations.

    Raises:
      InputError: `fps` is not 1, as it is in the files, or `root/frames` has frames of other
        settings.
    """
    if fps != LABEL_FPS:
        raise InputError(f"fps={fps}: record files hold {LABEL_FPS} frame per second")
    frames_dir = root / "frames"
    settings = {"fps": fps, "format": format, "quality": quality, "size": size}
    done = read_log(frames_dir, settings)
    todo = {
        video: file
        for video, file in records.items()
        if not is_complete(video, frames_dir, done["videos"]) or not is_annotated(root, video)
    }
    stop = threading.Event()
    with (
        ThreadPoolExecutor(workers or available_cores()) as pool,
        ProgressBar(desc="records", total=len(todo), unit="video") as bar,
    ):

        def extract(video, file):
            count = _extract(video, file, root, settings, stop)
            bar.update()
            return {"frames": count, "bytes": file.stat().st_size}

        return extract_all(todo, frames_dir, done, extract, pool, stop)


def _extract(video: str, file: Path, root: Path, settings: Mapping, stop: threading.Event) -> int:
    """Writes what is missing of one video; returns how many frames it has."""
    folder = root / "frames" / video
    present = frame_numbers(folder, video)
    labels = {}
    for record in read_records(file):
        if stop.is_set():
            raise InputError(f"{file}: stopped")  # nobody waits for it any more
        if record.number - 1 in labels:
            raise InputError(f"{file}: second {record.number - 1} is in it twice")
        labels[record.number - 1] = (PHASES[record.phase], record.tools)
        if record.number not in present:
            _write_image(file, folder / f"{video}_{record.number:06d}", record, settings)
    write_annotations(root, video, dict(sorted(labels.items())), replace=False)
    return len(labels)


def _write_image(file: Path, path: Path, record: Record, settings: Mapping) -> None:
    name = f"{file}: the image of second {record.number - 1}"
    image = decode_image(np.frombuffer(record.image, np.uint8), name)[..., ::-1]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_frame(path.with_suffix(f".{settings['format']}"), image, settings)
