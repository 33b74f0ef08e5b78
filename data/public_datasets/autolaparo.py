"""AutoLaparo, task 1: 21 hysterectomies, seven phases.

    videos/01.mp4, ... 21       25 fps
    labels/label_01.txt         a header, then number of the second from 1, tab, phase id from 1

Sources: github.com/ziyiwangx/AutoLaparo (t1_video2frame.py, of the authors: names of videos, the
first frame of a second has its number), github.com/isyangshu/Surgformer (datasets/data_preprosses/
generate_labels_autolaparo.py: labels, names of phases, split). The split is the paper's (Wang et
al., MICCAI 2022): 10 to train, 4 to validate, 7 to test.

Videos are called autolaparo_01 and so on here: 01 could be anybody's.
"""

from pathlib import Path

from data.annotation_formats.delimited import read_text
from data.common.errors import InputError
from data.dataset.audit import Audit
from data.public_datasets.layout import Found, Rows, matching

PHASES = (
    "Preparation",
    "Dividing Ligament and Peritoneum",
    "Dividing Uterine Vessels and Ligament",
    "Transecting the Vagina",
    "Specimen Removal",
    "Suturing",
    "Washing",
)


def find_autolaparo(folder: Path) -> Found:
    """AutoLaparo below a folder; raises `InputError` where it is not."""
    patterns = (r"videos/(\d\d)\.mp4", r"labels/label_(\d\d)\.txt")
    videos, labels = matching(folder, "videos/01.mp4", *patterns)
    parts = {"train": range(1, 11), "validation": range(11, 15), "test": range(15, 22)}
    split = {part: tuple(_name(f"{n:02d}") for n in numbers) for part, numbers in parts.items()}
    return Found(
        PHASES,
        {f"{_name(number)}.csv": _rows(file) for number, file in labels.items()},
        videos={_name(number): file for number, file in videos.items()},
        protocols={"10/4/7": split},
    )


def _name(number: str) -> str:
    return f"autolaparo_{number}"


def _rows(file: Path) -> Rows:
    yield ("second", "phase")
    for line, text in enumerate(read_text(file, Audit()).split("\n")[1:], 2):
        cells = text.split()
        if len(cells) != 2 or not all(cell.isdecimal() for cell in cells):
            raise InputError(f"{file}:{line}: {text[:80]!r}; expected a second and a phase")
        second, phase = map(int, cells)
        if not second or not 1 <= phase <= len(PHASES):
            raise InputError(f"{file}:{line}: {text[:80]!r}; expected a phase from 1 to 7")
        yield second - 1, PHASES[phase - 1]
