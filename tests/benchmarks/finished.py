"""`prepare.py` started again on a dataset in which nothing has changed.

    python -m tests.benchmarks.finished [VIDEOS] [FOLDER]

FOLDER, a new one without it, receives VIDEOS (2,200; a large corpus has 22,000) folders of 1,364
frames each, and stays if it is given. What is synthesised: the frames are hard links to 1,024
real JPEG files of 160x96, so that there are as many names to ask for as in a real dataset, but few
inodes; the videos are links to one file; index and note of what was read are written here from
lists, as reading all frames would take most of an hour. The command that is measured is the real
one, and reads, lists and asks for everything as ever. A smaller dataset is read anew beside it, to
compare, and its index and note are what was synthesised of it.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.annotations.joining import open_annotated
from data.dataset.audit import Audit
from data.dataset.classes import write_classes
from data.dataset.extraction_log import LOG
from data.dataset.index_columns import INDEX, index_schema
from data.images.states import READ_VIDEOS
from data.indexing.building import NO_CLEANING, list_videos
from data.indexing.kept import Kept
from data.indexing.reading import VIDEOS_AT_ONCE
from data.storage.whole import write_json
from data.video.parts import VideoFiles
from tests.benchmarks.report import report
from tests.support.places import ROOT
from tests.support.small_videos import write_video

VIDEOS, LENGTH = 2_200, 1_364  # 3 million frames
SMALL_VIDEOS = 110
IMAGES, SIZE = 1_024, (160, 96)


def measure(videos: int, folder: Path) -> dict:
    """Makes both datasets, unless they are there, and starts the command on them."""
    large, small = folder / "large", folder / "small"
    for place, count in ((large, videos), (small, SMALL_VIDEOS)):
        if not (place / "ours" / INDEX).is_file():
            make_dataset(place, count)
    again = prepare(large)
    synthesised = pq.read_table(small / "ours" / INDEX)
    note = json.loads((small / "ours" / READ_VIDEOS).read_text())
    for _ in range(2):  # the first time, all images are decoded
        (small / "ours" / READ_VIDEOS).unlink()
        anew = prepare(small)
    assert pq.read_table(small / "ours" / INDEX).equals(synthesised)
    assert json.loads((small / "ours" / READ_VIDEOS).read_text())["videos"] == note["videos"]
    values = [
        told["computing"] / number / LENGTH * 1e6
        for told, number in ((again, videos), (anew, SMALL_VIDEOS))
    ]
    return {
        "measured": f"prepare.py again on {videos * LENGTH} frames of {videos} videos",
        "unit": "microseconds of computing per frame",
        "value": values[0],
        "baseline": "the same where all frames are read (and were found whole before)",
        "baseline_value": values[1],
        "ratio": values[1] / values[0],
        "seconds": again["seconds"],
        "of_them_computing": again["computing"],
        "peak_memory_in_GB": again["memory"],
        "load_of_the_machine": os.getloadavg()[0],
    }


def prepare(place: Path) -> dict:
    """Seconds by the clock and of computing, all its processes together; the peak of one in GB."""
    command = [sys.executable, "prepare.py", f"--data_rootdir={place}", "--name=ours"]
    start = time.perf_counter()
    process = subprocess.Popen(
        [*command, f"--videos={place / 'recordings'}"], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    seconds, computing = time.perf_counter() - start, used.ru_utime + used.ru_stime
    return {"seconds": seconds, "computing": computing, "memory": used.ru_maxrss * 1024 / 1e9}


def make_dataset(place: Path, videos: int) -> None:
    """A dataset whose videos are extracted, and the folder of the videos."""
    root, recordings, images = place / "ours", place / "recordings", place / "images"
    for folder in (recordings, images):
        folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(IMAGES):
        image = cv2.resize(random.integers(0, 255, (12, 20, 3), dtype=np.uint8), SIZE)
        assert cv2.imwrite(str(images / f"{number}.jpg"), image)
    write_video(place / "video.mp4", frames=30)
    source = os.open(images, os.O_RDONLY)
    for number in range(videos):
        name = f"op{number:05d}"
        (recordings / f"{name}.mp4").hardlink_to(place / "video.mp4")
        (root / "frames" / name).mkdir(parents=True)
        target = os.open(root / "frames" / name, os.O_RDONLY)
        for frame in range(1, LENGTH + 1):
            image = f"{(7 * number + frame) % IMAGES}.jpg"
            os.link(image, f"{name}_{frame:06d}.jpg", src_dir_fd=source, dst_dir_fd=target)
        os.close(target)
    os.close(source)
    synthesise(place)


def synthesise(place: Path) -> None:
    """The log, the index and the note that extracting and reading the frames would leave."""
    root, recordings = place / "ours", place / "recordings"
    names = [file.stem for file in sorted(recordings.iterdir())]
    any_video = VideoFiles((recordings / f"{names[0]}.mp4",))
    noted = {"frames": LENGTH, "seconds": float(LENGTH), "source_fps": 25.0}
    noted |= {"bytes": any_video.sizes[0]} | any_video.state
    places = {name: VideoFiles((recordings / f"{name}.mp4",)).sources[0] for name in names}
    log = {name: noted | {"source": places[name]} for name in names}
    settings = {"fps": 1.0, "format": "jpg", "quality": 95, "size": None}
    write_json(root / "frames" / LOG, settings | {"videos": log})
    kept = Kept(root, NO_CLEANING)
    folders = list_videos(root, Audit())
    annotated = open_annotated(root, folders, Audit())
    schema = index_schema(annotated.classes.multi_label)
    (root / INDEX).unlink(missing_ok=True)
    with pq.ParquetWriter(root / INDEX, schema, compression="zstd") as writer:
        for start in range(0, len(names), VIDEOS_AT_ONCE):
            tables = [rows_of(name, schema) for name in names[start : start + VIDEOS_AT_ONCE]]
            writer.write_table(pa.concat_tables(tables).combine_chunks())
            for name, table in zip(names[start:], tables, strict=False):
                counts = {name: {"frames": LENGTH, "labelled": 0}}
                audit = Audit(videos=counts, sizes=Counter({SIZE: LENGTH}))
                kept.look(name)
                kept.note(name, annotated.about(name), (table, table, audit), {})
    kept.write(names)
    write_classes(root, annotated.classes, fps=annotated.fps, annotation_fps=None)


def rows_of(video: str, schema: pa.Schema) -> pa.Table:
    before = f"frames/{video}/{video}_"
    known = {
        "video": pa.array([video] * LENGTH),
        "frame": np.arange(1, LENGTH + 1, dtype=np.int32),
        "file": pa.array([f"{before}{number:06d}.jpg" for number in range(1, LENGTH + 1)]),
        "template": pa.array([before + "{0:06d}.jpg"] * LENGTH),
    }
    unknown = np.full(LENGTH, -1, np.int8)
    return pa.table({name: known.get(name, unknown) for name in schema.names}, schema)


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else VIDEOS
    if len(sys.argv) > 2:
        report("finished", measure(number, Path(sys.argv[2])))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            report("finished", measure(number, Path(scratch)))
