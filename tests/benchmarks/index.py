"""Pre-training from an index of 30 million frames against one of ten thousand.

    python -m tests.benchmarks.index

The size is above that of the largest endoscopic corpus published so far (Hirsch et al., arXiv
2308.12394: 23.3 million frames of 7,877 laparoscopies, and 13,979 colonoscopies). The indexes are
real; of the images there are a few hundred rendered ones, each under many names: a folder of hard
links, and a symbolic link to it for every video. What is read is read and decoded as in any run.
Takes some minutes and 1 GB of disk.
"""

import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.dataset.cholec80 import TOOLS
from data.dataset.index_columns import INDEX, index_schema
from tests.benchmarks.report import interleaved, median_ratio, memory, run, run_alone, seconds

FRAMES, VIDEOS = 30_000_000, 22_000
SMALL_FRAMES, SMALL_VIDEOS = 10_000, 4
SPREAD, MAX_LENGTH = 1_000, 3_500  # frames of a video: the mean -+ SPREAD
IMAGES, SIZE = 256, (854, 480)
EXCLUDED = 80  # videos held out, as for an evaluation: the index is copied without them
BATCH, BATCHES, ROUNDS = 32, 4, 12
LATE_STEP = 50_000_000  # in epoch 68
VIDEOS_AT_ONCE = 64  # in one group of rows, as data/indexing/building.py writes them


def measure() -> dict:
    """Makes both datasets and measures them in processes of their own."""
    with tempfile.TemporaryDirectory() as folder:
        large, small = Path(folder, "large"), Path(folder, "small")
        draw_images(Path(folder, "images"))
        make_dataset(large, Path(folder, "images"), FRAMES, VIDEOS)
        make_dataset(small, Path(folder, "images"), SMALL_FRAMES, SMALL_VIDEOS)
        start = run_alone("index", "measure_start", str(large), time.time())
        batches = run_alone("index", "measure_batches", str(small), str(large))
    return {
        "measured": f"time per batch of {BATCH} frames, {FRAMES} frames against {SMALL_FRAMES}",
        "unit": "seconds per batch",
        "value": statistics.median(batches["large"]) / BATCHES,
        "baseline": f"the same with an index of {SMALL_FRAMES} frames",
        "baseline_value": statistics.median(batches["small"]) / BATCHES,
        "ratio": median_ratio(batches["small"], batches["large"]),
        **start,
    }


def measure_start(root: str, launched: float) -> dict:
    """From the start of this process to its first batch, and to one of a late step."""
    from data.frames.opening import open_source

    source = open_source("images", root, [video_name(number) for number in range(EXCLUDED)])
    read_batches(source, 0, 1)
    first, computing = time.time() - launched, time.process_time()
    return {
        "frames_without_excluded": len(source),
        "videos_without_excluded": len(source.videos),
        "seconds_to_first_batch": first,
        "of_them_computing": computing,
        "seconds_to_a_batch_of_step_0": seconds(lambda: read_batches(source, 0, 1)),
        f"seconds_to_a_batch_of_step_{LATE_STEP}": seconds(
            lambda: read_batches(source, LATE_STEP, 1)
        ),
        "peak_memory_in_GB": memory("VmHWM") / 1e9,
    }


def measure_batches(small: str, large: str) -> dict:
    """Seconds for BATCHES batches of each dataset, round by round."""
    from data.frames.opening import open_source

    sources = {"small": open_source("images", small), "large": open_source("images", large)}
    steps = iter(range(0, 10**9, 1000))
    calls = {
        name: lambda source=source: read_batches(source, next(steps), BATCHES)
        for name, source in sources.items()
    }
    interleaved(calls, 1)  # the first round fills caches
    return interleaved(calls, ROUNDS)


def read_batches(source, first_step: int, batches: int) -> None:
    from data.pretraining import pretraining_dataset
    from data.views.multi_crop import Views

    dataset = pretraining_dataset(
        source,
        Views(),
        batch_size=BATCH,
        seed=0,
        first_step=first_step,
        last_step=first_step + batches,
    )
    for batch in dataset.as_numpy_iterator():
        assert not batch["unreadable"].any()


def draw_images(folder: Path) -> None:
    """Rendered frames, each under many of the names that a video's frames have."""
    from data.synthetic.camera import Endoscope
    from data.synthetic.cholec80 import make_timeline

    folder.mkdir()
    per_video = 32
    for video in range(IMAGES // per_video):
        random = np.random.default_rng(video)
        endoscope = Endoscope(random, SIZE, make_timeline(random, 90))
        for frame in np.linspace(0, endoscope.count - 1, per_video).astype(int):
            path = folder / f"image_{len(list(folder.iterdir()))}.jpg"
            assert cv2.imwrite(str(path), endoscope.frame(frame))
    for number in range(1, MAX_LENGTH + 1):
        (folder / f"{number:06d}.jpg").hardlink_to(folder / f"image_{number % IMAGES}.jpg")


def make_dataset(root: Path, images: Path, frames: int, videos: int) -> None:
    """An index in the project's format, over videos of different lengths."""
    (root / "frames").mkdir(parents=True)
    random = np.random.default_rng(0)
    spread = random.integers(-SPREAD, SPREAD, videos // 2, endpoint=True)
    lengths = frames // videos + np.concatenate([spread, -spread])
    lengths[: frames % videos] += 1
    with pq.ParquetWriter(
        root / INDEX, index_schema({"tools": TOOLS}), compression="zstd"
    ) as writer:
        for start in range(0, videos, VIDEOS_AT_ONCE):
            tables = []
            for number in range(start, min(start + VIDEOS_AT_ONCE, videos)):
                (root / "frames" / video_name(number)).symlink_to(images)
                tables.append(rows_of(video_name(number), int(lengths[number]), random))
            writer.write_table(pa.concat_tables(tables).combine_chunks())


def rows_of(video: str, length: int, random) -> pa.Table:
    template = f"frames/{video}/{{:06d}}.jpg"
    numbers = range(1, length + 1)
    columns = {
        "video": pa.array([video] * length),
        "frame": np.arange(1, length + 1, dtype=np.int32),
        "phase": random.integers(-1, 7, length, dtype=np.int8),
        **{tool: random.integers(-1, 2, length, dtype=np.int8) for tool in TOOLS},
        "file": pa.array([template.format(number) for number in numbers]),
        "template": pa.array([template] * length),
    }
    return pa.table(columns, index_schema({"tools": TOOLS}))


def video_name(number: int) -> str:
    return f"op{number:04d}"


if __name__ == "__main__":
    run("index", measure)
