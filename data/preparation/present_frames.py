"""Frames that were there before anything was extracted: at which rate they are of their videos."""

from pathlib import Path

import numpy as np

from data.annotations.rates import TOLERANCE, USUAL
from data.common.errors import InputError
from data.dataset.audit import Audit
from data.dataset.extraction_log import LOG, frame_numbers
from data.preparation.media import Media, own_videos


def check_present_frames(
    root: Path, media: Media | None, fps: float, is_given: bool, audit: Audit
) -> float:
    """The rate of frames that are there before anything is extracted, and that nobody has noted.

    Args:
      root: dataset directory.
      media: videos from elsewhere.
      fps: frames per second that are asked for.
      is_given: whether the user asked for them.
      audit: is told what the videos' lengths say.

    Returns:
      `fps`; or, where it was not given and the frames are as many as their videos', their rate.

    Raises:
      InputError: the frames have another rate than `fps`.
    """
    frames_dir = root / "frames"
    if (frames_dir / LOG).is_file() or not any(frames_dir.glob("*/*_*.*")):
        return fps
    videos = own_videos(root, Audit()) | (media.videos if media else {})
    rates = {}
    for name, video in videos.items():
        numbers = frame_numbers(frames_dir / name, name)
        if numbers and (seconds := video.estimate_seconds()):
            rates[name] = max(numbers) / seconds
    if not rates:
        if videos and fps != 1:
            raise InputError(
                f"fps={fps}: {frames_dir} holds frames already, most likely at 1 fps; "
                "use another --name or --fps=1"
            )
        return fps
    highest, rate = max(rates, key=rates.get), float(np.median([*rates.values()]))
    is_less = rate < fps * (1 - TOLERANCE) and fps != 1  # at 1 fps, frames may be missing
    if rates[highest] <= fps * (1 + TOLERANCE) and not is_less:
        return fps
    near = [usual for usual in USUAL if abs(rate / usual - 1) <= TOLERANCE]
    found = min(near, key=lambda usual: abs(rate / usual - 1)) if near else rate
    if is_given or not near or rates[highest] > found * (1 + TOLERANCE):
        raise InputError(
            f"fps={fps:g}: {frames_dir / highest} has {rates[highest]:.4g} frames a second "
            f"of video; expected --fps={found:.5g} for all of them, or another --name"
        )
    audit.remark(f"{frames_dir}: as many frames as their videos have at {found:.5g} per second")
    return found
