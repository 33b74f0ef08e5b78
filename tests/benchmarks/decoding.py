r"""Speed of decoding videos as `data.video.decoding` does, beside OpenCV's own decoder.

  python -m tests.benchmarks.decoding

All frames of a rendered video, 1280 x 720, decoded and made BGR by one thread; both use FFmpeg.
Takes a minute.
"""

import tempfile
from pathlib import Path

import cv2

from data.synthetic.cholec80 import make_dataset
from data.video.clock import read_clock
from data.video.decoding import decode
from tests.benchmarks.report import interleaved, median_ratio, run

ROUNDS, SECONDS, SIZE = 5, 14, (1280, 720)


def ours(video):
    """With the time that reading the clock takes."""
    clock = read_clock(video)
    numbers = range(len(clock.times))
    return sum(1 for _ in decode(clock, zip(numbers, numbers, strict=True)))


def opencv(video):
    """As the package did it before PyAV."""
    capture = cv2.VideoCapture(str(video), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    count = 0
    while capture.read()[0]:
        count += 1
    return count


def measure() -> dict:
    """Frames per second of both."""
    with tempfile.TemporaryDirectory() as folder:
        make_dataset(Path(folder), 1, seconds=SECONDS, size=SIZE)
        (video,) = Path(folder, "videos").iterdir()
        frames = ours(video)
        taken = interleaved({"opencv": lambda: opencv(video), "ours": lambda: ours(video)}, ROUNDS)
    seconds = {side: sorted(times)[len(times) // 2] for side, times in taken.items()}
    return {
        "measured": "all frames of a video, 1280x720, decoded by one thread",
        "unit": "frames/s",
        "baseline": "cv2.VideoCapture",
        "value": frames / seconds["ours"],
        "baseline_value": frames / seconds["opencv"],
        "ratio": median_ratio(taken["opencv"], taken["ours"]),
    }


if __name__ == "__main__":
    run("decoding", measure)
