"""What a user, or the places of files, say about patients, written into a dataset."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath

from data.annotation_formats.delimited import read_table
from data.annotations.opening import match_video, may_lie_in
from data.common.errors import InputError, some
from data.dataset.audit import Audit
from data.images.names import composed, natural_key
from data.splits.patients import (
    COLUMNS,
    DICOM,
    FILE,
    FOLDERS,
    NAMES,
    PATIENTS,
    read_rows,
    suggested_patient,
)
from data.storage.whole import write_csv
from data.video.names import folder_digest, is_video

CALLED = ("video", "sequence", "image", "file", "path")  # columns that say what is of a patient


def check_patients(path: Path | None) -> list[tuple[int, str, str]]:
    """(line, video, patient) of each row of a table that a user gives; of none without a path.

    Raises:
      InputError: not such a table.
    """
    if path is None:
        return []
    audit = Audit()
    table = read_table(path, audit)
    columns = [column.casefold() for column in table.columns]
    called = next((name for name in CALLED if name in columns), None)
    if called is None or "patient" not in columns:
        raise InputError(f"{path}:1: columns {some(table.columns)}; expected video, patient")
    if audit.problems:
        raise InputError(audit.problems[0])
    cells = []
    for name in (called, "patient"):
        texts, places = table.texts(columns.index(name))
        cells.append([texts[place] for place in places])
    rows = list(zip(table.lines.tolist(), *cells, strict=True))
    for line, video, patient in rows:
        if not video or not patient:
            raise InputError(f"{path}:{line}: {video!r} of {patient!r}; expected both")
    return rows


def take_patients(
    root: Path,
    given: Path | None,
    videos: Iterable[str],
    places: Mapping[str, PurePath],
    audit: Audit,
    aliases: Mapping[str, str] | None = None,
    told: Iterable[Sequence[str]] = (),
) -> None:
    """Writes `patients.csv` of a dataset; what a user gave before stays unless it is given anew.

    So does what is known of videos whose files were not passed this time, or are gone.

    Args:
      root: dataset directory.
      given: a table as `check_patients` takes it; None without.
      videos: those of the dataset.
      places: {video: path of its file, or of a folder of images, below the folder that was passed};
        of those that were found there.
      audit: is told which rows fit nothing, and which videos have no row.
      aliases: other names of videos, {path or file name: video}.
      told: videos that their own files say are of one patient. No file has a patient's number: a
        patient is called after the first of these videos.

    Raises:
      InputError: a table that is wrong, or that says two things about a video.
    """
    videos = sorted(videos, key=natural_key)
    before = {v: known for v, known in read_rows(root / PATIENTS).items() if v in set(videos)}
    found = {v: known for v, known in before.items() if v not in places and known[1] != FILE}
    for video, place in places.items():
        known = _placed(place)
        if known and known != (suggested_patient(video), NAMES):
            found[video] = known
    rows = {v: known for v, known in before.items() if known[1] == FILE}
    if given:
        rows = _given(given, set(videos), places, audit, aliases or {})
        if without := [video for video in videos if video not in rows]:
            audit.remark(
                f"{given}: no patient of {len(without)} of {len(videos)} videos ({some(without)}); "
                "known by their files, folders and names alone"
            )
    for group in told:
        said = [f"patient {rows[v][0]}" for v in group if v in rows]
        said += [before[v][0] for v in group if v in before and before[v][1] == DICOM]
        found |= dict.fromkeys(group, (said[0] if said else f"of {group[0]}", DICOM))
    rows = found | rows
    if not rows:
        (root / PATIENTS).unlink(missing_ok=True)
        return
    of_videos = ((video, *rows[video]) for video in sorted(rows, key=natural_key))
    write_csv(root / PATIENTS, [COLUMNS, *of_videos])


def _given(
    given: Path, videos: set[str], places: Mapping, audit: Audit, aliases: Mapping[str, str]
) -> dict[str, tuple[str, str]]:
    """{video: (patient, FILE)} of the rows of a table that are about one of the videos."""
    by_place = {}  # a path, with and without its suffix, and a file's name -> videos
    for video, place in places.items():
        for alias in {str(place), str(place.with_suffix("")), place.name}:
            by_place.setdefault(composed(alias), set()).add(video)
    aliases = {composed(alias): video for alias, video in aliases.items()}
    rows, unfit, line_of = {}, [], {}
    for line, called, patient in check_patients(given):
        plain = composed(called.replace("\\", "/").removeprefix("./"))
        at = by_place.get(plain, ())
        video = aliases.get(plain) or (next(iter(at)) if len(at) == 1 else None)
        if video is None and (video := match_video(called, videos)) in places:
            folder = places[video].parent.name
            is_said = folder and is_video(places[video].name)  # of DICOM it is not
            if is_said and not may_lie_in(called, video, folder_digest(folder)):
                video = None
        if video is None:
            unfit.append(f"line {line}: {called}")
        elif rows.setdefault(video, (patient, FILE))[0] != patient:
            raise InputError(
                f"{given}:{line}: {called} is of {patient}, and of {rows[video][0]} in line "
                f"{line_of[video]}; expected one patient of a video"
            )
        line_of.setdefault(video, line)
    if unfit:
        audit.remark(f"{given}: no such video in this dataset: {some(unfit)}")
    return rows


def _placed(place: PurePath) -> tuple[str, str] | None:
    """The patient that the path of a file suggests, and by what: the word in it, else its folder.

    Of a folder without the word, which may be called by a patient's name, a digest is written.
    """
    folders = place.parent.parts
    by = FOLDERS if folders else NAMES
    if patient := suggested_patient("_".join((*folders, place.stem))):
        return patient, by
    digest = hashlib.sha256("/".join(folders).encode(errors="surrogateescape")).hexdigest()
    return (f"folder {digest[:12]}", by) if folders else None
