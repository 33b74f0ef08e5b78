"""Label Studio's export as JSON: labels on the timeline of a video, a task for each video.

Results of `<TimelineLabels>` have ranges of frames, counted from 1, the last one included, at the
`frameRate` of `<Video>`: 24 unless the labelling configuration says otherwise, whatever the video
has, and the export does not say it (github.com/HumanSignal/label-studio,
web/libs/editor/src/regions/TimelineRegion.js and tags/object/Video/Video.js). Results of `<Labels>`
on the synchronised sound of a video have seconds and the sound's `original_length`
(labelstud.io/templates/video_timeline_segmentation).

An uploaded file is called by eight digits of a hash, a dash and its own name, with underscores for
spaces (label_studio/data_import/models.py, `upload_name_generator`; Django's file storage).
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlparse

from data.annotation_formats.delimited import read_text
from data.annotation_formats.labels import VideoLabels, track_groups, track_intervals
from data.common.errors import InputError
from data.dataset.audit import Audit

_HASH = re.compile(r"[0-9a-f]{8}-(?=.)")


def open_label_studio(file: Path) -> list[dict]:
    """The tasks of an export.

    Raises:
      InputError: it is no such export, or damaged.
    """
    expected = "expected Label Studio's export in its format JSON (not JSON_MIN)"
    try:
        tasks = json.loads(read_text(file, Audit()))
    except ValueError as error:
        raise InputError(f"{file}: damaged ({error}); {expected}") from error
    tasks = tasks if isinstance(tasks, list) else [tasks]
    for task in tasks:
        is_task = isinstance(task, dict) and isinstance(task.get("data"), dict)
        if not is_task or not isinstance(task.get("annotations"), list):
            raise InputError(f"{file}: JSON of something else; {expected}")
    return tasks


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

    Raises:
      InputError: no result of a timeline is in it, or several controls may have the phases.
    """
    found = []
    for annotation in task["annotations"]:
        if annotation.get("was_cancelled"):
            continue
        tracks: dict[tuple[str, bool], list] = {}
        try:
            for name, is_frames, row in _rows(annotation.get("result", [])):
                tracks.setdefault((name, is_frames), []).append(row)
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{file}: task {task.get('id')}: damaged ({error!r}); expected ranges with a start "
                "and an end, and labels"
            ) from error
        groups = track_groups(file, dict.fromkeys(name for name, _ in tracks))
        for (name, is_frames), rows in tracks.items():
            fps = {"fps": None, "likely_fps": None} if is_frames else {"fps": 1.0}
            found.append(track_intervals(file, groups[name], rows, audit, **fps))
    found = [labels for labels in found if labels is not None]
    if not found:
        raise InputError(
            f"{file}: task {task.get('id')}: no labels on a timeline; expected results of "
            "TimelineLabels"
        )
    return found


def _rows(results: list[dict]) -> Iterator[tuple[str, bool, tuple[float, float, str]]]:
    """(control, whether in frames, (start, end, label)) of the results that are of a timeline."""
    for result in results:
        value, control = result.get("value", {}), result.get("from_name", "")
        if "timelinelabels" in value:
            spans = [(span["start"] - 1, span["end"]) for span in value["ranges"]]
            labels = value["timelinelabels"]
        elif "original_length" in result and "labels" in value:  # of sound, in seconds
            spans, labels = [(value["start"], value["end"])], value["labels"]
        else:
            continue
        for start, end in spans:
            for label in labels:
                yield control, "timelinelabels" in value, (start, end, label)
