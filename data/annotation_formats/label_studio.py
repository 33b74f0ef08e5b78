"""Label Studio's export as JSON: labels on the timeline of a video, a task for each video.

Results of `<TimelineLabels>` have ranges of frames, counted from 1, the last one included, at the
`frameRate` of `<Video>`: 24 unless the labelling configuration says otherwise, whatever the video
has, and the export does not say it (github.com/HumanSignal/label-studio,
web/libs/editor/src/regions/TimelineRegion.js and tags/object/Video/Video.js). Results of `<Labels>`
on the synchronised sound of a video have seconds and the sound's `original_length`
(labelstud.io/templates/video_timeline_segmentation).

An uploaded file is called by eight digits of a hash, a dash and its own name, with underscores for
spaces and without brackets, commas and the like (label_studio/data_import/models.py,
`upload_name_generator`; Django's `get_valid_filename`). tests/golden/label-studio has exports.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlparse

from data.annotation_formats.delimited import read_text
from data.annotation_formats.labels import (
    HUMAN,
    MODEL,
    VideoLabels,
    marked_group,
    track_groups,
    track_intervals,
)
from data.common.errors import InputError, some
from data.dataset.audit import Audit

_HASH = re.compile(r"[0-9a-f]{8}-(?=.)")
# Of a task's data, where `annotation_writers` has written it.
FRAME_RATE_KEY, TRACK_KEY = "frame_rate", "track"
_MIN_ONLY = "annotation_id"  # what tasks have in JSON_MIN alone


def open_label_studio(file: Path) -> list[dict]:
    """The tasks of an export.

    Raises:
      InputError: it is no such export, or damaged.
    """
    expected = "expected Label Studio's export in its format JSON (not JSON_MIN)"
    try:
        tasks = json.loads(read_text(file, Audit()))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: damaged ({error}); {expected}") from error
    tasks = tasks if isinstance(tasks, list) else [tasks]
    for task in tasks:
        if not _is_task(task):
            is_min = isinstance(task, dict) and _MIN_ONLY in task
            found = "Label Studio's JSON_MIN" if is_min else "JSON of something else"
            raise InputError(f"{file}: {found}; {expected}")
    return tasks


def _is_task(task) -> bool:
    if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
        return False
    annotations = task.get("annotations", task.get("predictions"))
    return isinstance(annotations, list) and all(
        isinstance(annotation, dict)
        and isinstance(annotation.get("result"), list)
        and all(isinstance(result, dict) for result in annotation["result"])
        for annotation in annotations
    )


def task_videos(task: dict) -> list[str]:
    """Paths by which a task may call its video, the most likely first."""
    data = sorted(task["data"].items(), key=lambda item: item[0] != "video")
    paths = [value for _, value in data if isinstance(value, str)]
    paths.append(task.get("file_upload") or "")
    found = []
    for path in map(urlparse, filter(None, paths)):
        local = parse_qs(path.query).get("d", [])  # /data/local-files/?d=videos/op1.mp4
        for name in [*local, unquote(path.path)]:
            folder, slash, last = name.rpartition("/")
            found += [name, f"{folder}{slash}{_HASH.sub('', last, count=1)}"]
    return list(dict.fromkeys(found))


def read_label_studio(file: Path, task: dict, audit: Audit) -> list[VideoLabels]:
    """The labels of the video of a task; those of several annotators stand beside one another.

    Where nobody has submitted an annotation, they are a model's, from the predictions.

    Raises:
      InputError: a result is damaged, or several controls may have the phases.
    """
    found = []
    fps = _rate(task)
    for annotation, by in _submitted(task):
        tracks: dict[tuple[str, bool], list] = {}
        try:
            for name, is_frames, row in _rows(annotation["result"]):
                tracks.setdefault((name, is_frames), []).append(row)
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{file}: task {task.get('id')}: damaged ({error!r}); expected ranges with a start "
                "and an end, and labels"
            ) from error
        track = task["data"].get(TRACK_KEY)
        if isinstance(track, str) and marked_group(track):
            tracks.setdefault((track, True), [])  # nothing in it says that it is absent
        groups = track_groups(file, dict.fromkeys(name for name, _ in tracks))
        for (name, is_frames), rows in tracks.items():
            rates = {"fps": fps, "likely_fps": None} if is_frames else {"fps": 1.0}
            found.append(track_intervals(file, groups[name], rows, audit, labelled_by=by, **rates))
    return [labels for labels in found if labels is not None]


def said_in_task(file: Path, task: dict) -> dict[str, list]:
    """What a model said of a task that was corrected: {group: (start, end, label) in seconds}.

    An export has the prediction that an annotation began with in the annotation's `prediction`
    (label_studio/tasks/models.py); {} where there is none, or what it counts frames at is unknown.
    """
    begun = [one.get("prediction") for one in task.get("annotations", ())]
    begun = [*predictions(task), *predictions({"predictions": begun})]
    fps = _rate(task)
    if not begun or not fps:
        return {}
    try:
        rows = [(name, row) for name, is_frames, row in _rows(begun[0]["result"]) if is_frames]
    except (KeyError, TypeError, AttributeError):
        return {}  # said when the labels are read, if these are damaged too
    found = {}
    for name, group in track_groups(file, dict.fromkeys(name for name, _ in rows)).items():
        found[group] = [(a / fps, b / fps, label) for track, (a, b, label) in rows if track == name]
    return found


def _rate(task: dict) -> float | None:
    """Frames that a task counts a second, as far as it says so."""
    rate = task["data"].get(FRAME_RATE_KEY)
    return float(rate) if isinstance(rate, int | float) and rate > 0 else None


def find_instead(task: dict) -> str:
    """What a task has instead of labels on a timeline, in words; "" where it has such labels."""
    results = [result for annotation, _ in _submitted(task) for result in annotation["result"]]
    if any(map(_is_timeline, results)):
        return ""
    if task["data"].get(TRACK_KEY) and _submitted(task):
        return ""
    kinds = some(list(dict.fromkeys(str(result.get("type", "results")) for result in results)))
    return kinds or ("a draft" if task.get("drafts") else "nothing")


def _submitted(task: dict) -> list[tuple[dict, str]]:
    """(annotation, whose) of those that were not cancelled ("skipped"); else the predictions."""
    annotations = task.get("annotations", [])
    if kept := [(one, HUMAN) for one in annotations if not one.get("was_cancelled")]:
        return kept
    return [(one, MODEL) for one in predictions(task)] if not annotations else []


def predictions(task: dict) -> list[dict]:
    """What models have said of a task; exports may name such by their numbers alone."""
    found = task.get("predictions") or []
    return [one for one in found if isinstance(one, dict) and isinstance(one.get("result"), list)]


def _is_timeline(result: dict) -> bool:
    value = result.get("value") or {}
    return "timelinelabels" in value or ("original_length" in result and "labels" in value)


def _rows(results: list[dict]) -> Iterator[tuple[str, bool, tuple[float, float, str]]]:
    """(control, whether in frames, (start, end, label)) of the results that are of a timeline."""
    for result in filter(_is_timeline, results):
        value, control = result["value"], result.get("from_name", "")
        is_frames = "timelinelabels" in value
        if is_frames:
            spans = [(span["start"] - 1, span["end"]) for span in value["ranges"]]
        else:  # of sound
            spans = [(value["start"], value["end"])]
        for start, end in spans:
            for label in value["timelinelabels" if is_frames else "labels"]:
                yield control, is_frames, (start, end, label)
