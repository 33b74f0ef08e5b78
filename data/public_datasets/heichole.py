"""HeiChole: 24 cholecystectomies of the EndoVis challenge of 2019, phases of Cholec80.

    Videos/Full/Hei-Chole1.mp4, ... 24                          25 fps; 16-20, 23 and 24: 50
    Videos/Full/HD/Hei-Chole1.mp4                               the same, larger: not used
    Annotations/Phase/Hei-Chole1_Annotation_Phase.csv           frame, phase id
    Annotations/Instrument/Hei-Chole1_Annotation_Instrument.csv frame, 0 or 1 for categories 0 to 20
    Annotations/Action/Hei-Chole1_Annotation_Action.csv         frame, grasp, hold, cut, clip

Without headers; a row for each of the video's own frames, from 0. Of the categories, 7 to 19 are
reserved, 20 is a shaft of which no more is seen. (Wagner et al., "Comparative validation of machine
learning algorithms for surgical workflow and skill analysis with the HeiChole benchmark", Medical
Image Analysis 86, 2023, for ids and categories; names of videos as in github.com/isyangshu/
SurgVISTA, datasets/data_processing/pretrain_preprosses/generate_HeiChole.py. Folders and columns as
third parties describe the release; we have not seen its README.)

The nine test videos are not public, and no split of the 24 is published: one is drawn.
"""

from pathlib import Path

from data.common.errors import InputError
from data.dataset.cholec80 import PHASES
from data.public_datasets.layout import Found, Rows, matching

GROUPS = {
    "tools": {
        **dict(enumerate(("Grasper", "Clipper", "Coagulation", "Scissors", "SuctionIrrigation"))),
        **{5: "SpecimenBag", 6: "Stapler", 20: "UndefinedShaft"},
    },
    "actions": dict(enumerate(("grasp", "hold", "cut", "clip"))),
}
FILES = {"tools": "Instrument", "actions": "Action"}


def find_heichole(folder: Path) -> Found:
    """HeiChole below a folder; raises `InputError` where it is not."""
    name = r"(Hei-Chole\d+)"
    kinds = ("Phase", *FILES.values())
    videos, hd, phases, *others = matching(
        folder,
        "Hei-Chole1.mp4",
        rf"(?<!HD/){name}\.mp4",
        rf"HD/{name}\.mp4",
        *(rf"{name}_Annotation_{kind}\.csv" for kind in kinds),
    )
    tables = {f"{video}-phase.csv": _phase_rows(file) for video, file in phases.items()}
    for group, files in zip(FILES, others, strict=True):
        for video, file in files.items():
            tables[f"{group}/{video}.csv"] = _group_rows(file, group)
    return Found(PHASES, tables, videos={**hd, **videos})


def _phase_rows(file: Path) -> Rows:
    yield ("frame", "phase")
    for line, (frame, phase, *_) in enumerate(_cells(file, 2), 1):
        if not phase.isdecimal() or int(phase) >= len(PHASES):
            raise InputError(f"{file}:{line}: phase {phase!r}; expected 0 to {len(PHASES) - 1}")
        yield frame, PHASES[int(phase)]


def _group_rows(file: Path, group: str) -> Rows:
    names = GROUPS[group]
    yield ("frame", *(f"{group}/{name}" for name in names.values()))
    for frame, *cells in _cells(file, max(names) + 2):
        yield (frame, *(cells[place] for place in names))


def _cells(file: Path, count: int) -> Rows:
    with file.open() as lines:
        for line, text in enumerate(lines, 1):
            cells = [cell.strip() for cell in text.split(",")]
            if len(cells) < count:
                raise InputError(f"{file}:{line}: {text[:80]!r}; expected {count} columns")
            yield cells
