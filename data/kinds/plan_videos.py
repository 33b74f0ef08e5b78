"""What `prepare.py` would do, as far as headers tell (`--dry_run`); nothing is written.

How large frames will be is measured: one from the middle of a few videos is encoded as asked for.
"""

import contextlib
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import av
from av.error import FFmpegError

from data.common.errors import InputError
from data.dataset.audit import TABLE_ROWS, Audit
from data.dataset.extraction_log import (
    changed_names,
    frame_numbers,
    is_extracted,
    other_files,
    read_log,
    taken_names,
)
from data.extraction.extracting import noted_faults
from data.images.image_io import encode_frame
from data.kinds.plan import Plan
from data.preparation.media import Media, own_videos
from data.tfrecords.files import find_records
from data.video.clock import estimate_seconds
from data.video.dicom import is_dicom
from data.video.files.opening import VideoFile
from data.video.parts import VideoFiles

SAMPLED = 4  # videos of which a frame is encoded
HALF_FRAME = 0.02  # seconds
PACKETS = 300  # that are read for one


@dataclass
class Row:
    """A video in a plan; `seconds` are 0 and `pixels` (width, height) None where unknown."""

    name: str
    video: VideoFiles
    seconds: float
    pixels: tuple[int, int] | None
    there: int
    frames: int | None
    is_done: bool

    @property
    def missing(self) -> int:
        """Frames to extract, as far as that is known."""
        return 0 if self.is_done else max(0, (self.frames or 0) - self.there)


def plan_videos(
    root: Path, media: Media | None, settings: Mapping, audit: Audit, is_cropped: bool = False
) -> Plan:
    """Which frames would be extracted, and which images linked or copied.

    Args:
      root: dataset directory, which may be missing.
      media: videos and images from elsewhere.
      settings: fps, format, quality and size of the frames.
      audit: receives what would not be used, as far as it is known.
      is_cropped: whether there will be copies without borders.
    """
    frames_dir, records = root / "frames", find_records(root)
    videos = {name: file for name, file in own_videos(root, audit).items() if name not in records}
    videos |= media.videos if media else {}
    log = read_log(frames_dir, settings)["videos"]
    others = other_files(videos, log)
    changed = changed_names(others, frames_dir, log)
    for name in changed:
        audit.remark(f"{name}: its file has changed; its frames would be extracted again")
        del log[name], others[name]
    taken = taken_names(others, frames_dir, log)
    audit.problems += taken.values()
    audit.problems += noted_faults(
        [name for name in videos if name in log], {"videos": log}
    ).values()
    rows = [
        row
        for name, video in videos.items()
        if name not in taken
        and (row := _read_row(name, video, frames_dir, log, settings["fps"], audit))
    ]
    for row in rows:
        if row.name in changed:  # its frames would be removed
            row.there = 0
    plan = Plan(_table(rows, settings["fps"]))
    sizes = _frame_sizes(rows, settings)
    plan.needed += sum(row.missing * sizes.get(row.name, 0) for row in rows)
    plan.is_certain = not any(
        not row.is_done and (row.frames is None or row.name not in sizes) for row in rows
    )
    if is_cropped:
        plan.lines.append("copies of all frames without borders, at most as large again")
        plan.is_certain = False
    if records:
        plan.lines.append(f"{root}: {len(records)} record files become frames, too")
        plan.is_certain = False
    if media and media.images:
        _plan_images(media, frames_dir, settings["size"], plan)
    return plan


def _read_row(
    name: str, video: VideoFiles, frames_dir: Path, log: Mapping, fps: float, audit: Audit
) -> Row | None:
    """What headers tell of a video; None, and a problem, where they tell that it is none."""
    seconds, pixels = 0.0, None
    if video.fault:
        audit.problem(video.fault)
    for file in video.files:
        if is_dicom(file):  # its length is known when the video is taken out of it
            seconds, pixels = 0.0, None
            break
        try:
            with VideoFile(file) as opened:
                pixels = pixels or (opened.stream.width, opened.stream.height)
        except InputError as error:
            audit.problem(str(error))
            if not pixels:
                return None
            break
        seconds += estimate_seconds(file)
    there = len(frame_numbers(frames_dir / name, name))
    is_done = is_extracted(name, video, frames_dir, log)
    frames = log[name]["frames"] if is_done else _count(seconds, fps)
    if not video.files:
        return None
    return Row(name, video, seconds, pixels, there, frames, is_done)


def _count(seconds: float, fps: float) -> int | None:
    """Frames of a video, the first of them at second 0; headers are off by less than a frame."""
    return max(1, math.ceil((seconds - HALF_FRAME) * fps)) if seconds else None


def _table(rows: list[Row], fps: float) -> list[str]:
    """A line for each video, and one for all."""
    if not rows:
        return []
    width = max([len(row.name) for row in rows] + [len("all videos")])

    def line(name, *values):
        return f"{name:{width}}" + "".join(f"{value:>12}" for value in values)

    lines = [line("video", "size", "seconds", "frames", "there", "to extract")]
    for row in rows[:TABLE_ROWS]:
        size = "{}x{}".format(*row.pixels) if row.pixels else "?"
        seconds, frames = (f"{row.seconds:.0f}" if row.seconds else "?"), row.frames or "?"
        todo = row.missing if row.frames else "?"
        lines.append(line(row.name, size, seconds, frames, row.there, todo))
    if len(rows) > TABLE_ROWS:
        lines.append(f"... and {len(rows) - TABLE_ROWS} more videos")
    sums = (
        f"{sum(row.seconds for row in rows):.0f}",
        *(sum(getattr(row, name) or 0 for row in rows) for name in ("frames", "there", "missing")),
    )
    lines.append(line("all videos", "", *sums))
    done = sum(row.is_done for row in rows)
    lines.append(f"{len(rows)} videos, of which {done} are done; {fps:g} fps")
    if unknown := sum(row.frames is None for row in rows):
        lines.append(f"of {unknown} videos, headers do not tell the length")
    return lines


def _frame_sizes(rows: list[Row], settings: Mapping) -> dict[str, float]:
    """{video: bytes of a frame} as they will be, of those that are to be extracted."""
    todo = [row for row in rows if not row.is_done and row.pixels]
    steps = max(1, len(todo) // SAMPLED)
    samples = [_bytes_per_pixel(row.video.files[0], settings) for row in todo[::steps][:SAMPLED]]
    samples = [sample for sample in samples if sample]
    if not samples:
        return {}
    mean = sum(samples) / len(samples)
    return {row.name: mean * _reduced(row.pixels, settings["size"]) for row in todo}


def _reduced(pixels: tuple[int, int], size: int | None) -> float:
    """How many pixels a frame has, its shorter side reduced to `size`."""
    width, height = pixels
    return width * height * min(1, (size or min(pixels)) / min(pixels)) ** 2


def _bytes_per_pixel(file: Path, settings: Mapping) -> float | None:
    """Of a frame from the middle of a video, encoded as asked for; None if none can be decoded."""
    middle = round(estimate_seconds(file) / 2 * av.time_base)
    with VideoFile(file) as opened, contextlib.suppress(FFmpegError):
        opened.container.seek(middle)
        for packet in itertools.islice(opened.packets(), PACKETS):
            for frame in opened.stream.decode(packet):
                image = frame.to_ndarray(format="bgr24")
                encoded = encode_frame(f".{settings['format']}", image, settings)
                pixels = (frame.width, frame.height)
                return len(encoded) / _reduced(pixels, settings["size"])
    return None


def _plan_images(media: Media, frames_dir: Path, size: int | None, plan: Plan) -> None:
    """Adds the images: hard links cost nothing, copies at most what the images have."""
    files = [
        file
        for video, of_video in media.images.items()
        for file in of_video
        if not (frames_dir / video / file.name).exists()
    ]
    total = sum(map(len, media.images.values()))
    how = f"copied where they are larger than {size}" if size else "linked"
    plan.lines.append(
        f"{total} images in {len(media.images)} folders; {len(files)}, new, are {how}"
    )
    if files and (size or not _is_one_disk(files[0], frames_dir)):
        plan.needed += sum(file.stat().st_size for file in files)


def _is_one_disk(file: Path, folder: Path) -> bool:
    place = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return file.stat().st_dev == place.stat().st_dev
