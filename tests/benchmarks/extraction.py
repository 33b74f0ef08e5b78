r"""Speed of extracting frames, beside `ffmpeg -vf fps=1` on the same videos and the same two cores.

  python -m tests.benchmarks.extraction

Videos are rendered, 854 x 480, or with MSN_REAL=FOLDER those in that folder. Each side has the
clips at once, as many as there are cores, or one clip alone; ffmpeg has a process per clip. Our
time is that of the call in prepare.py; `with_start` adds a new Python process and its imports,
which is once for all videos and which ffmpeg's times hold already. Needs ffmpeg
(apt-get install -y ffmpeg). Takes a few minutes.
"""

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from data.common.errors import InputError
from data.common.machine import available_cores
from data.extraction.extracting import extract_frames
from data.images.folders import list_files
from data.synthetic.cholec80 import make_dataset
from data.video.clock import estimate_seconds
from data.video.names import is_video
from tests.benchmarks.report import interleaved, median_ratio, run

CORES = 2
ROUNDS = 5
VIDEOS, SECONDS, SIZE = 4, 20, (854, 480)  # rendered
# ffmpeg's finest JPEG is -q:v 2; ours is of quality 95, which is finer and makes larger files.
OPTIONS = {"jpg": ("-q:v", "2"), "png": ()}
MEASURED = "clips of videos to JPEG at 1 fps, all clips, two cores"
BASELINE = "ffmpeg -vf fps=1, a process per clip, two at once"
COMMAND = (
    "import sys; from data.extraction.extracting import extract_frames as extract; "
    "extract(sys.argv[3:], sys.argv[1], format=sys.argv[2])"
)


def ours(videos, folder, format):
    """As prepare.py calls it."""
    if extract_frames(videos, folder, format=format):
        raise InputError(f"{', '.join(map(str, videos))}: not all could be extracted")


def ours_with_start(videos, folder, format):
    """The same in a process of its own."""
    command = [sys.executable, "-c", COMMAND, folder, format, *videos]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def ffmpeg(videos, folder, format):
    """One process per video, as many at a time as there are cores."""

    def extract(video):
        target = Path(folder, video.stem)
        target.mkdir()
        command = ["ffmpeg", "-v", "error", "-nostdin", "-i", video, "-vf", "fps=1"]
        subprocess.run([*command, *OPTIONS[format], target / f"%06d.{format}"], check=True)

    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(extract, videos))


SIDES = {"ffmpeg": ffmpeg, "ours": ours, "ours_with_start": ours_with_start}


def find_videos(folder: Path) -> list[Path]:
    """The videos that a folder holds; a stub without a length is none."""
    videos = [file for file in list_files(folder, []) if is_video(file.name)]
    videos = [file for file in videos if estimate_seconds(file)]
    if not videos:
        raise InputError(f"{folder}: no videos in it")
    return videos


@contextlib.contextmanager
def few_cores():
    """Context in which this process and those it starts run on CORES cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:CORES])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_seconds() -> float:
    """CPU time of this process and of those it waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def compare(videos, format) -> dict:
    """Medians of wall and CPU seconds, ratios and sizes for one set of videos."""
    cpu = {side: [] for side in SIDES}
    megabytes, frames = {}, {}

    def run(side):
        with tempfile.TemporaryDirectory() as folder:
            before = cpu_seconds()
            SIDES[side](videos, folder, format)
            cpu[side].append(cpu_seconds() - before)
            sizes = [file.stat().st_size for file in Path(folder).glob(f"*/*.{format}")]
            megabytes[side], frames[side] = sum(sizes) / 1e6, len(sizes)

    calls = {side: lambda side=side: run(side) for side in SIDES}
    for call in calls.values():  # warm: the files are in memory from here on
        call()
    taken = interleaved(calls, ROUNDS)
    result = {f"{side}_seconds": statistics.median(taken[side]) for side in SIDES}
    result |= {f"{side}_cpu_seconds": statistics.median(cpu[side][1:]) for side in SIDES}
    result |= {f"{side}_megabytes": megabytes[side] for side in ("ffmpeg", "ours")}
    return result | {
        "frames": frames["ours"],
        "ratio": median_ratio(taken["ffmpeg"], taken["ours"]),
        "ratio_with_start": median_ratio(taken["ffmpeg"], taken["ours_with_start"]),
    }


def measure() -> dict:
    """All clips and one clip alone, as JPEG and as PNG."""
    description = {"measured": MEASURED, "unit": "frames/s", "baseline": BASELINE}
    if not shutil.which("ffmpeg"):
        print("ffmpeg is not installed, nothing to compare with: apt-get install -y ffmpeg")
        return description | {"skipped": "ffmpeg is not installed"}
    with tempfile.TemporaryDirectory() as folder, few_cores():
        real = os.environ.get("MSN_REAL")
        if not real:
            make_dataset(Path(folder), VIDEOS, seconds=SECONDS, size=SIZE)
        videos = find_videos(Path(real or folder))
        cases = {
            f"{name}_{format}": compare(chosen, format)
            for format in OPTIONS
            for name, chosen in (("all", videos), ("one", videos[:1]))
        }
    main = cases["all_jpg"]
    result = description | {
        "value": main["frames"] / main["ours_seconds"],
        "baseline_value": main["frames"] / main["ffmpeg_seconds"],
        "ratio": main["ratio"],
        "videos": f"{len(videos)} of MSN_REAL" if real else f"{len(videos)} rendered, 854x480",
        "cores": min(CORES, available_cores()),
    }
    for case, values in cases.items():
        result |= {f"{case}_{key}": value for key, value in values.items()}
    return result


if __name__ == "__main__":
    run("extraction", measure)
