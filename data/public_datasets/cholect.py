"""CholecT45 and CholecT50: action triplets, frame by frame at 1 fps.

CholecT50 (github.com/CAMMA-public/cholect50, docs/README-Format.md, dataloader_pth.py):

    videos/VID01/000000.png   1 fps, counted from 0; views from outside are black
    labels/VID01.json         "annotations": {"0": [instance, ...], ...}

An instance is a list of 15 numbers: triplet, instrument and its box (1-6), verb (7), target and its
box (8-13), phase (14); -1 is none. The names of ids are those of "categories", of the phases as
Cholec80 has them: 1 is "carlot-triangle-dissection" there, 6 "gallbladder-extraction".

CholecT45 (github.com/CAMMA-public/cholect45, README.md, dataloader_pth.py), without phases:

    data/VID01/000000.png     as above
    instrument/VID01.txt, verb/VID01.txt, target/VID01.txt, triplet/VID01.txt
                              rows of the frame's number from 0 and 0 or 1 per id, with commas

The order of its names (dict/*.txt) is taken to be CholecT50's; we have not seen those files.

Splits are `split_selector` of the loader: 5 folds (recommended), of which the last five training
videos validate, as CholecT50's loader has it; that of the Rendezvous paper; the challenge's.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from data.common.errors import InputError
from data.dataset.cholec80 import PHASES
from data.public_datasets.layout import Found, Rows, Split, matching

GROUPS = {
    "tools": ("grasper", "bipolar", "hook", "scissors", "clipper", "irrigator"),
    "verbs": (
        *("grasp", "retract", "dissect", "coagulate", "clip", "cut", "aspirate", "irrigate"),
        *("pack", "null_verb"),
    ),
    "targets": (
        *("gallbladder", "cystic_plate", "cystic_duct", "cystic_artery", "cystic_pedicle"),
        *("blood_vessel", "fluid", "abdominal_wall_cavity", "liver", "adhesion", "omentum"),
        *("peritoneum", "gut", "specimen_bag", "null_target"),
    ),
}
PLACES = {"tools": 1, "verbs": 7, "targets": 8}  # in an instance of CholecT50
PHASE_PLACE = 14
FILES = {"tools": "instrument", "verbs": "verb", "targets": "target"}  # folders of CholecT45
COLUMNS = tuple(f"{group}/{name}" for group, names in GROUPS.items() for name in names)

FOLDS = (  # of CholecT45; the last one of each is in CholecT50 alone
    (79, 2, 51, 6, 25, 14, 66, 23, 50, 111),
    (80, 32, 5, 15, 40, 47, 26, 48, 70, 96),
    (31, 57, 36, 18, 52, 68, 10, 8, 73, 103),
    (42, 29, 60, 27, 65, 75, 22, 49, 12, 110),
    (78, 43, 62, 35, 74, 1, 56, 4, 13, 92),
)
RENDEZVOUS_VALIDATION = (8, 12, 29, 50, 78)
RENDEZVOUS_TEST = (6, 51, 10, 73, 14, 74, 32, 80, 42, 111)
CHALLENGE_VALIDATION = (5, 18, 36, 65, 74)
CHALLENGE_TEST = (92, 96, 103, 110, 111)


def find_cholect50(folder: Path) -> Found:
    """CholecT50 below a folder; raises `InputError` where it is not."""
    frames = _frames(folder, "videos")
    (labels,) = matching(folder, "labels/VID01.json", r"labels/(VID\d+)\.json")
    tables = {f"{video}.csv": _json_rows(file) for video, file in labels.items()}
    everything = sorted(video for fold in FOLDS for video in fold)
    return Found(
        PHASES,
        tables,
        frames=frames,
        protocols={
            **_folds("cholect50-crossval", FOLDS),
            "cholect50": _split(everything, RENDEZVOUS_VALIDATION, RENDEZVOUS_TEST),
            "cholect50-challenge": _split(everything, CHALLENGE_VALIDATION, CHALLENGE_TEST),
        },
    )


def find_cholect45(folder: Path) -> Found:
    """CholecT45 below a folder; raises `InputError` where it is not."""
    frames = _frames(folder, "data")
    patterns = [rf"{name}/(VID\d+)\.txt" for name in FILES.values()]
    found = matching(folder, "instrument/VID01.txt", *patterns)
    files = dict(zip(FILES, found, strict=True))
    videos = [video for video in frames if all(video in of_group for of_group in files.values())]
    tables = {
        f"{video}.csv": _text_rows({group: files[group][video] for group in FILES})
        for video in videos
    }
    folds = [fold[:-1] for fold in FOLDS]
    return Found((), tables, frames=frames, protocols=_folds("cholect45-crossval", folds))


def _frames(folder: Path, name: str) -> dict[str, dict[int, Path]]:
    """{video: {number from 1: image}}."""
    (images,) = matching(folder, f"{name}/VID01/000000.png", rf"{name}/(VID\d+/\d{{6}})\.png")
    frames = {}
    for key, file in images.items():
        video, number = key.split("/")
        frames.setdefault(video, {})[int(number) + 1] = file
    return frames


def _json_rows(file: Path) -> Rows:
    try:
        annotations = json.loads(file.read_text())["annotations"]
        yield ("second", "phase", *COLUMNS)
        for second in range(max(map(int, annotations)) + 1):
            yield _json_row(second, annotations.get(str(second)))
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise InputError(f"{file}: damaged ({error!r}); expected a file of CholecT50") from error


def _json_row(second: int, instances: list | None) -> tuple:
    """A row of a table; empty cells for what is not annotated."""
    if instances is None:
        return (second, "", *("" for _ in COLUMNS))
    phases = {instance[PHASE_PLACE] for instance in instances} - {-1}
    phase = PHASES[int(phases.pop())] if len(phases) == 1 else ""
    cells = []
    for group, names in GROUPS.items():
        present = {instance[PLACES[group]] for instance in instances}
        cells += [int(number in present) for number in range(len(names))]
    return (second, phase, *cells)


def _text_rows(files: dict[str, Path]) -> Rows:
    numbered = [dict(_numbers(file, len(GROUPS[group]))) for group, file in files.items()]
    yield ("second", *COLUMNS)
    last = max(number for rows in numbered for number in rows)
    for second in range(last + 1):
        cells = [
            rows.get(second, [""] * len(names))
            for rows, names in zip(numbered, GROUPS.values(), strict=True)
        ]
        yield (second, *(cell for row in cells for cell in row))


def _numbers(file: Path, count: int) -> Iterator[tuple[int, list[str]]]:
    for line, text in enumerate(file.read_text().splitlines(), 1):
        cells = text.split(",")
        if len(cells) != count + 1 or not cells[0].strip().isdecimal():
            raise InputError(f"{file}:{line}: {text[:80]!r}; expected a number and {count} columns")
        yield int(cells[0]), cells[1:]


def _folds(name: str, folds) -> dict[str, Split]:
    protocols = {}
    for place, test in enumerate(folds):
        others = [video for fold in (*folds[:place], *folds[place + 1 :]) for video in fold]
        protocols[f"{name}-{place + 1}"] = _split([*others, *test], others[-5:], test)
    return protocols


def _split(videos, validation, test) -> Split:
    parts = {
        "train": [video for video in videos if video not in (*validation, *test)],
        "validation": validation,
        "test": test,
    }
    return {part: tuple(f"VID{n:02d}" for n in numbers) for part, numbers in parts.items()}
