"""Memory of `prepare.py --drop_near_duplicates` and its audit, by the number of frames.

    python -m tests.benchmarks.cleaning [VIDEOS] [FOLDER]

VIDEOS (440; a large corpus has 22,000) of 1,364 frames each, and a tenth of them, are read,
checked, cleaned, indexed and split anew, each time in a process of its own. The dataset is that of
`tests.benchmarks.finished`; one that is in FOLDER is used if it is as large or larger. The measures
of frames are synthesised: one of a thousand random thumbnails, every fourth the one before.
Decoding is left out, and every frame is whole; everything else is as in any first run, the note of
which frames are whole among it.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.benchmarks.finished import LENGTH, make_dataset
from tests.benchmarks.report import memory, report, run_alone

VIDEOS, THUMBNAILS, REPEATED = 440, 1_000, 4


def measure(videos: int, folder: Path) -> dict:
    """Both sizes, and what a frame more costs."""
    frames = folder / "large" / "ours" / "frames"
    if not frames.is_dir() or len(os.listdir(frames)) <= videos:  # noqa: PTH208 - of thousands
        make_dataset(folder / "large", videos)
    small, large = (
        run_alone("cleaning", "clean", str(frames), count) for count in (videos // 10, videos)
    )
    more = LENGTH * (videos - videos // 10)
    return {
        "measured": f"--drop_near_duplicates on {videos * LENGTH} frames of {videos} videos",
        "unit": "GB at most",
        "value": large["memory"],
        "baseline": f"the same on {videos // 10} videos",
        "baseline_value": small["memory"],
        "ratio": small["memory"] / large["memory"],
        "bytes_a_frame_more": (large["memory"] - small["memory"]) * 1e9 / more,
        "seconds": large["seconds"],
        "of_them_computing": large["computing"],
        "dropped": large["dropped"],
        "load_of_the_machine": os.getloadavg()[0],
    }


def clean(frames: str, videos: int) -> dict:
    """Makes index, audit and splits of the first videos in a folder of frames."""
    from data.images import completeness
    from data.indexing import cleaning
    from data.indexing.building import build_index
    from data.splits.protocols import write_splits

    random = np.random.default_rng(0)
    shape = (THUMBNAILS, cleaning.THUMBNAIL, cleaning.THUMBNAIL, 3)
    thumbnails = random.integers(0, 255, shape, dtype=np.uint8)

    def synthesised(file):
        number = int(file.stem[-6:])
        thumbnail = thumbnails[(number - (number % REPEATED == 0)) % THUMBNAILS].copy()
        return cleaning.Measures(1.0, 1.0, thumbnail, (0.0, 0.0, 1.0, 1.0))

    cleaning.measure = synthesised
    completeness.find_fault = lambda path: None
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch, "ours")
        (root / "frames").mkdir(parents=True)
        folders = sorted(folder for folder in Path(frames).iterdir() if folder.is_dir())
        for folder in folders[:videos]:
            (root / "frames" / folder.name).symlink_to(folder)
        start = time.perf_counter()
        audit = build_index(root, cleaning=cleaning.Cleaning(near_duplicates=True))
        write_splits(root)
        return {
            "memory": memory("VmHWM") / 1e9,
            "seconds": time.perf_counter() - start,
            "computing": time.process_time(),
            "dropped": audit.total("near_duplicates"),
        }


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else VIDEOS
    if len(sys.argv) > 2:
        report("cleaning", measure(number, Path(sys.argv[2])))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            report("cleaning", measure(number, Path(scratch)))
