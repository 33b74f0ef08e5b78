"""MultiBypass140: 140 gastric bypasses of Bern and Strasbourg, 12 phases and 46 steps.

    BernBypass70/videos/BBP01.mp4, ... 70, StrasBypass70/videos/SBP01.mp4, ... 70
    labels/bern/labels_by70/BBP01.mp4.json, labels/strasbourg/labels_by70/SBP01.mp4.json
    labels/*/labels_by70_splits/labels/train/1fps_100_0.pickle, val/1fps_0.pickle, test/...

The videos are in zip files, everything else in a clone of github.com/CAMMA-public/MultiBypass140
(README.md, util/, tables/phase.csv and step.csv): the folder to give has both below it.

A label file has "phases" and "steps", lists of {"start", "end", "label_id", "label_name"} in
milliseconds. "Phases" 12, out_of_body, and 13, severe_index, lie over the others, which never
overlap: they become a group of events here. That agrees with the labels of the pickles, in which
frame N, from 1, has the label of second N, in all but 9 of the 471901 frames of 90 videos.

The splits are those of the pickles, five folds of both hospitals together, read without running
anything that is in them. There are no others.
"""

import json
import pickle
from pathlib import Path

from data.annotation_formats.clock_times import clock
from data.common.errors import InputError
from data.public_datasets.layout import Found, Rows, Split, matching

PHASES = (
    *("preparation", "gastric_pouch_creation", "omentum_division", "gastrojejunal_anastomosis"),
    *("anastomosis_test", "jejunal_separation", "closure_petersen_space"),
    *("jejunojejunal_anastomosis", "closure_mesenteric_defect", "cleaning_coagulation"),
    *("disassembling", "other_intervention"),
)
EVENTS = ("out_of_body", "severe_index")
STEPS = (
    *("null_step", "cavity_exploration", "trocar_placement", "retractor_placement"),
    *("crura_dissection", "his_angle_dissection", "horizontal_stapling"),
    *("retrogastric_dissection", "vertical_stapling", "gastric_remnant_reinforcement"),
    *("gastric_pouch_reinforcement", "gastric_opening", "omental_lifting", "omental_section"),
    *("adhesiolysis", "treitz_angle_identification", "biliary_limb_measurement"),
    *("jejunum_opening", "gastrojejunal_stapling", "gastrojejunal_defect_closing"),
    *("mesenteric_opening", "jejunal_section", "gastric_tube_placement", "jejunal_clamping"),
    *("ink_injection", "visual_assessment", "gastrojejunal_anastomosis_reinforcement"),
    *("petersen_space_exposure", "petersen_space_closing", "biliary_limb_opening"),
    *("alimentary_limb_measurement", "alimentary_limb_opening", "jejunojejunal_stapling"),
    *("jejunojejunal_defect_closing", "jejunojejunal_anastomosis_reinforcement"),
    *("staple_line_reinforcement", "mesenteric_defect_exposure", "mesenteric_defect_closing"),
    *("anastomosis_fixation", "coagulation", "irrigation_aspiration", "parietal_closure"),
    *("trocar_removal", "calibration", "drainage_insertion", "specimen_retrieval"),
)
PARTS = {"train": "train", "val": "validation", "test": "test"}


def find_multibypass140(folder: Path) -> Found:
    """MultiBypass140 below a folder; raises `InputError` where it is not."""
    splits = r"((?:[^/]*/){2}labels/(?:train|val|test)/1fps(?:_100)?_\d)\.pickle"
    videos, labels, pickles = matching(
        folder,
        "BernBypass70/videos/BBP01.mp4",
        r"([BS]BP\d\d)(?:-[^/]*)?\.mp4",
        r"labels_by70/([BS]BP\d\d)\.mp4\.json",
        splits,
    )
    tables = {"phases.csv": _phase_rows(labels)}
    tables |= {f"{video}.csv": _group_rows(file) for video, file in labels.items()}
    return Found(PHASES, tables, videos=videos, protocols=_protocols(pickles))


def _phase_rows(labels: dict[str, Path]) -> Rows:
    yield ("video", "start", "end", "phase")
    for video, file in labels.items():
        for start, end, number in _spans(file, "phases"):
            if number < len(PHASES):
                yield (
                    video,
                    clock(start, 3, is_full=True),
                    clock(end, 3, is_full=True),
                    PHASES[number],
                )


def _group_rows(file: Path) -> Rows:
    """Steps and events, second by second: what is absent is known to be."""
    steps, phases = _spans(file, "steps"), _spans(file, "phases")
    events = [(start, end, n - len(PHASES)) for start, end, n in phases if n >= len(PHASES)]
    yield ("second", *(f"steps/{s}" for s in STEPS), *(f"events/{event}" for event in EVENTS))
    for second in range(int(max(end for _, end, _ in [*steps, *phases]))):
        cells = []
        for spans, names in ((steps, STEPS), (events, EVENTS)):
            present = {number for start, end, number in spans if start <= second < end}
            cells += [int(number in present) for number in range(len(names))]
        yield (second, *cells)


def _spans(file: Path, kind: str) -> list[tuple[float, float, int]]:
    """(start, end, id) in seconds."""
    count = len(STEPS) if kind == "steps" else len(PHASES) + len(EVENTS)
    try:
        rows = json.loads(file.read_text())[kind]
        spans = [(row["start"] / 1000, row["end"] / 1000, row["label_id"]) for row in rows]
        if not spans or not all(0 <= number < count for _, _, number in spans):
            raise ValueError(f"ids of {kind}")
    except (ValueError, KeyError, TypeError) as error:
        expected = "expected a label file of MultiBypass140"
        raise InputError(f"{file}: damaged ({error!r}); {expected}") from error
    return spans


class _Names(pickle.Unpickler):
    """Reads dictionaries, lists, strings and numbers, and nothing that would run code."""

    def find_class(self, module: str, name: str):
        raise pickle.UnpicklingError(f"{module}.{name} in it")


def _protocols(pickles: dict[str, Path]) -> dict[str, Split]:
    protocols = {}
    for file in pickles.values():
        try:
            with file.open("rb") as opened:
                videos = sorted(_Names(opened).load())
        except (pickle.UnpicklingError, EOFError, ValueError, TypeError) as error:
            raise InputError(f"{file}: {error}; expected a dictionary of videos") from error
        split = protocols.setdefault(f"fold {file.stem[-1]}", {part: [] for part in PARTS.values()})
        split[PARTS[file.parent.name]] += videos
    return {name: split for name, split in sorted(protocols.items()) if all(split.values())}
