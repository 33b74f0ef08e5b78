"""Cataract-101: 101 operations of cataracts, ten phases.

    videos/case_269.mp4     25 fps
    annotations.csv         VideoID;FrameNo;Phase: from this frame on, until the next row
    phases.csv              Phase;Meaning
    videos.csv              VideoID;Frames;FPS;Surgeon;Experience

Sources: Schoeffmann et al., "Cataract-101: Video dataset of 101 cataract surgeries", MMSys 2018;
copies of the three tables in github.com/matinmoqadas/Cataract-101 (Dataset/, data/metadata/), from
which their columns are. Phase 5 is spelled "Phacoemulsificiation" there, and so it is here.

The authors publish no split. 51/10/40, by ascending number, is that of github.com/isyangshu/
Surgformer (datasets/data_preprosses/generate_labels_cataract101.py).
"""

from pathlib import Path

from data.annotation_formats.clock_times import clock
from data.annotation_formats.delimited import read_table
from data.common.errors import InputError
from data.dataset.audit import Strict
from data.public_datasets.layout import Found, Rows, matching


def find_cataract101(folder: Path) -> Found:
    """Cataract-101 below a folder; raises `InputError` where it is not."""
    patterns = (r"(case_\d+)\.mp4", r"((?:annotations|phases|videos)\.csv)")
    videos, tables = matching(folder, "videos/case_269.mp4", *patterns)
    for name in ("annotations.csv", "phases.csv", "videos.csv"):
        if name not in tables:
            raise InputError(f"{folder}: no {name} in it; expected the archive of Cataract-101")
    phases = {int(row["Phase"]): row["Meaning"] for row in _table(tables["phases.csv"])}
    fps = {int(row["VideoID"]): float(row["FPS"]) for row in _table(tables["videos.csv"])}
    names = [f"case_{number}" for number in sorted(fps)]
    split = {"train": names[:51], "validation": names[51:61], "test": names[61:]}
    return Found(
        [phases[number] for number in sorted(phases)],
        {"phases.csv": _rows(tables["annotations.csv"], phases, fps)},
        videos=videos,
        protocols={"51/10/40": split},
    )


def _rows(file: Path, phases: dict[int, str], fps: dict[int, float]) -> Rows:
    yield ("video", "start", "phase")
    for line, row in enumerate(_table(file), 2):
        try:
            video, phase = int(row["VideoID"]), phases[int(row["Phase"])]
            yield f"case_{video}", clock(int(row["FrameNo"]) / fps[video], 3, is_full=True), phase
        except (KeyError, ValueError) as error:
            found = ";".join(row.values())
            raise InputError(
                f"{file}:{line}: {found!r}; expected a video, a frame and a phase that videos.csv "
                "and phases.csv have"
            ) from error


def _table(file: Path) -> list[dict[str, str]]:
    table = read_table(file, Strict())
    columns = []
    for texts, places in map(table.texts, range(len(table.columns))):
        columns.append([texts[place] for place in places])
    return [dict(zip(table.columns, row, strict=True)) for row in zip(*columns, strict=True)]
