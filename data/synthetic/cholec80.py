"""A miniature Cholec80: rendered laparoscopic cholecystectomies with phase and tool annotations.

The files are what the official release holds (videos at 25 fps, one phase a frame, seven tools a
second), so that from here on every part of the project takes the same way as with real videos.
What the scenes show is drawn in `data/synthetic/scene.py`; who reads labels from it must look at
the anatomy and the instruments, since every patient's colours, light and camera differ.
"""

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from data.annotation_formats.frame_table import is_annotated, write_annotations
from data.common.errors import InputError, check_range
from data.common.machine import available_cores
from data.common.progress import ProgressBar
from data.common.stopping import leave_to_parent
from data.dataset.cholec80 import PHASES, SOURCE_FPS, TOOLS, video_name
from data.splits.overlaps import SYNTHETIC
from data.storage.whole import whole_file, write_json
from data.synthetic.camera import Endoscope
from data.video.clock import read_clock

MAX_VIDEOS = 99  # the official names have two digits
MIN_SECONDS = 14  # two for every phase
MIN_SIZE = 32  # pixels; the scene is mush below
VERSION = 2  # of the drawing: videos of another version do not belong into one dataset

# Mean shares of the phases. Cholec80's own are about 5, 39, 7, 35, 4, 7, 3 percent; the short ones
# are stretched here, or a miniature operation would have two frames of them.
SHARES = (0.09, 0.27, 0.12, 0.24, 0.09, 0.11, 0.08)

# Per phase the share of time with each instrument in view, of TOOLS' order. Instruments of the
# working hand (all but grasper and bag) exclude each other. Near the annotations of Cholec80's
# video68 and video70.
TOOL_SHARES = {
    "Preparation": (0.85, 0.04, 0.06, 0.0, 0.0, 0.0, 0.0),
    "CalotTriangleDissection": (0.70, 0.06, 0.72, 0.0, 0.0, 0.05, 0.0),
    "ClippingCutting": (0.50, 0.0, 0.06, 0.22, 0.55, 0.0, 0.0),
    "GallbladderDissection": (0.60, 0.06, 0.75, 0.02, 0.0, 0.03, 0.0),
    "GallbladderPackaging": (0.85, 0.0, 0.0, 0.0, 0.0, 0.0, 0.85),
    "CleaningCoagulation": (0.50, 0.35, 0.0, 0.0, 0.0, 0.42, 0.0),
    "GallbladderRetraction": (0.45, 0.0, 0.0, 0.0, 0.0, 0.05, 0.75),
}
STAY = 0.75  # probability that an instrument stays as it is for another second


@dataclass(frozen=True)
class Timeline:
    """What happens when in one operation.

    Attributes:
        phases: name of the phase, one a second.
        tools: uint8 [seconds, 7], 1 where a tool is in view, columns as in TOOLS.
    """

    phases: tuple[str, ...]
    tools: np.ndarray

    def progress(self, time: float) -> float:
        """Share, 0..1, of the phase at `time` (seconds) that has passed; phases do not recur."""
        phase = self.phases[int(time)]
        return (time - self.phases.index(phase)) / self.phases.count(phase)

    def shown(self, time: float) -> np.ndarray:
        """How far each tool is in view at `time` (seconds), float [7] 0..1.

        Exactly the annotation on whole seconds; hands are quick, so changes take 0.4 s in between.
        """
        second = int(time)
        now, then = self.tools[second], self.tools[min(second + 1, len(self.tools) - 1)]
        share = np.clip((time - second - 0.3) / 0.4, 0, 1)
        return now + (1.0 * then - now) * share**2 * (3 - 2 * share)


def make_timeline(rng, seconds: int) -> Timeline:
    """Draw the course of one operation of about `seconds` seconds."""
    order = list(PHASES)
    if rng.random() < 0.15:  # nothing to clean, as in some real operations
        order.remove("CleaningCoagulation")
    shares = np.array([SHARES[PHASES.index(phase)] for phase in order])
    lengths = shares * np.exp(rng.normal(0, 0.25, len(order)))
    lengths *= seconds * rng.uniform(0.8, 1.2) / lengths.sum()
    lengths = np.maximum(1, np.round(lengths)).astype(int)
    phases = tuple(np.repeat(order, lengths).tolist())
    return Timeline(phases, _draw_tools(rng, phases))


def _draw_tools(rng, phases) -> np.ndarray:
    """Tools of every second, uint8 [seconds, 7]: Markov chains that the phase drives."""
    tools = np.zeros((len(phases), len(TOOLS)), np.uint8)
    working = [
        TOOLS.index(name) for name in ("Bipolar", "Hook", "Scissors", "Clipper", "Irrigator")
    ]
    for second, phase in enumerate(phases):
        new = second == 0 or phase != phases[second - 1]
        shares = np.array(TOOL_SHARES[phase])
        for tool in (TOOLS.index("Grasper"), TOOLS.index("SpecimenBag")):
            stays = not new and rng.random() < STAY
            tools[second, tool] = tools[second - 1, tool] if stays else rng.random() < shares[tool]
        if new or rng.random() > STAY:
            idle = 1 - shares[working].sum()
            hand = rng.choice([*working, -1], p=[*shares[working], idle])
        if hand >= 0:
            tools[second, hand] = 1
    return tools


def make_dataset(
    root: Path,
    num_videos: int = 16,
    seed: int = 0,
    seconds: int = 90,
    size: tuple[int, int] = (256, 144),
    workers: int | None = None,
) -> None:
    """Render videos and their annotations; videos that are there already are kept.

    A video depends on (seed, its number, seconds, size) alone. Processes are spawned, so a script
    that calls this needs the usual `if __name__ == "__main__":`.

    Args:
        root: dataset directory; videos/, phase_annotations/ and tool_annotations/ are made in it.
        num_videos: videos 01 to this number are made, 1..99.
        seed: of everything random.
        seconds: mean length of a video.
        size: (width, height) of a frame in pixels, even numbers.
        workers: processes; None for one per core.

    Raises:
        InputError: an argument is out of range, or `root` holds videos made with other settings.
    """
    root = Path(root)
    settings = {"version": VERSION, "seed": seed, "seconds": seconds, "size": list(size)}
    check_range("num_videos", num_videos, 1, MAX_VIDEOS)
    check_range("seed", seed, 0)
    check_range("seconds", seconds, MIN_SECONDS)
    if len(size) != 2 or min(size) < MIN_SIZE or size[0] % 2 or size[1] % 2:
        raise InputError(f"size is {tuple(size)}; expected two even numbers from {MIN_SIZE} on")
    if workers is not None:
        check_range("workers", workers, 1)
    _claim(root, settings)
    missing = [
        number
        for number in range(1, num_videos + 1)
        if not (_video_file(root, number).is_file() and is_annotated(root, video_name(number)))
    ]
    if not missing:
        return
    workers = min(len(missing), workers or available_cores())
    # Spawned, not forked: the caller may hold TensorFlow's threads.
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(workers, context, leave_to_parent) as pool,
        ProgressBar(total=len(missing), desc="render", unit="video") as bar,
    ):
        jobs = [pool.submit(make_video, root, n, seed, seconds, tuple(size)) for n in missing]
        try:
            for job in as_completed(jobs):
                job.result()
                bar.update()
        finally:  # do not render on after an error or Ctrl-C
            pool.shutdown(cancel_futures=True)


def _claim(root: Path, settings: dict) -> None:
    """Note in `root` how its videos are made; raise InputError where it holds other videos."""
    note, text = root / SYNTHETIC, json.dumps(settings)
    if note.is_file():
        if (found := note.read_text().strip()) != text:
            raise InputError(
                f"{root} holds videos made with {found}, not {text}: use another folder"
            )
    elif (root / "videos").is_dir() and any((root / "videos").iterdir()):
        raise InputError(f"{root} holds videos that were not rendered here: use another folder")
    else:
        root.mkdir(parents=True, exist_ok=True)
        write_json(note, settings, indent=None)


def _video_file(root: Path, number: int) -> Path:
    return root / "videos" / f"{video_name(number)}.mp4"


def make_video(root: Path, number: int, seed: int, seconds: int, size: tuple[int, int]) -> None:
    """Render one operation: its two annotation files, then its video."""
    cv2.setNumThreads(1)  # parallel over videos
    rng = np.random.default_rng([seed, number])
    timeline = make_timeline(rng, seconds)
    labels = enumerate(zip(timeline.phases, timeline.tools, strict=True))
    write_annotations(root, video_name(number), dict(labels), replace=True)
    video = _video_file(root, number)
    video.parent.mkdir(parents=True, exist_ok=True)
    endoscope = Endoscope(rng, size, timeline)
    with whole_file(video) as side:
        writer = cv2.VideoWriter(str(side), cv2.VideoWriter_fourcc(*"mp4v"), SOURCE_FPS, size)
        for index in range(endoscope.count):
            writer.write(endoscope.frame(index))
        writer.release()
        # OpenCV reports neither a codec it lacks nor a full disk.
        written = len(read_clock(side).times)
        if written != endoscope.count:
            raise OSError(f"{video}: {written} frames could be written, not {endoscope.count}")
