"""Intervals of a model as pre-annotations of Label Studio: a file of tasks, and what labels it.

A task has `data` and `predictions`, each with `model_version`, `score` and `result`
(labelstud.io/guide/predictions); the results are those of `<TimelineLabels>`, whose form
`annotation_formats.label_studio` describes. Its Data Manager sorts tasks by `score`, which is the
confidence of the least certain interval: ascending, what is to be looked at comes first. Each
result has its own score, too. The labelling configuration has a `<Label>` for every class.

Frames are counted at FRAME_RATE, or a multiple of it where an interval is shorter than a frame of
that; the task says it as `frame_rate`, and `<Video>` takes it from there, whatever the recording
has. Boundaries are kept to a thirtieth of a second.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path, PurePath
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from data.annotation_formats.label_studio import FRAME_RATE_KEY, TRACK_KEY
from data.annotation_writers.intervals import VideoIntervals, floored

TASKS, CONFIGURATION = "label_studio.json", "labelling_configuration.xml"
FRAME_RATE = 30  # as its documentation recommends for videos


def write_label_studio(folder: Path, videos: Sequence[VideoIntervals]) -> list[Path]:
    """Writes the tasks of all videos, and the labelling configuration; returns the files.

    Each video is found in the folder that Label Studio serves local files from, as
    <folder>/<file>.
    """
    files = [folder / TASKS, folder / CONFIGURATION]
    tasks = [_task(of) for of in videos]
    files[0].write_text(json.dumps(tasks, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    labels = "".join(f"\n    <Label value={quoteattr(name)}/>" for name in videos[0].classes)
    files[1].write_text(
        f"""<View>
  <Video name="video" value="$video" frameRate="${FRAME_RATE_KEY}"/>
  <TimelineLabels name={quoteattr(videos[0].track)} toName="video">{labels}
  </TimelineLabels>
</View>
""",
        encoding="utf-8",
    )
    return files


def _task(of: VideoIntervals) -> dict:
    path = PurePath(of.media or f"{of.video}.mp4")
    place = quote("/".join(path.parts[-2:]))
    scores = [each.confidence for each in of.intervals]
    shortest = min((each.end - each.start for each in of.intervals), default=1.0)
    rate = FRAME_RATE * max(1, math.ceil(1 / (FRAME_RATE * shortest) - 1e-6))
    prediction = {
        "model_version": "predicted",
        "score": round(min(scores, default=1.0), 4),
        "result": [_result(of.track, rate, place, each) for place, each in enumerate(of.intervals)],
    }
    data = {
        "video": f"/data/local-files/?d={place}",
        FRAME_RATE_KEY: rate,
        TRACK_KEY: of.track,
    }
    return {"data": data, "predictions": [prediction]}


def _result(track: str, rate: int, place: int, interval) -> dict:
    """Frames are counted from 1, the last one included."""
    first, behind = (round(floored(time, rate) * rate) for time in (interval.start, interval.end))
    ranges = [{"start": first + 1, "end": behind}]
    return {
        "id": f"{track}{place}",
        "from_name": track,
        "to_name": "video",
        "type": "timelinelabels",
        "origin": "prediction",
        "score": round(interval.confidence, 4),
        "value": {"ranges": ranges, "timelinelabels": [interval.label]},
    }
