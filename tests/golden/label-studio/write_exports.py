"""Fills a running Label Studio with made-up tasks, and writes its exports beside this file.

The exports here are of Label Studio 1.23.2 (`pip install label-studio==1.23.2` in an environment of
its own, Python 3.11), as its server sent them; they have no other content than what is below:

  COLLECT_ANALYTICS=false LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN=true \
      label-studio start --no-browser --internal-host 127.0.0.1 --port 8765 \
      --data-dir /tmp/label-studio --username made@up.invalid --password made-up-by-us \
      --user-token TOKEN
  PYTHONPATH=. python tests/golden/label-studio/write_exports.py http://127.0.0.1:8765 TOKEN

Results are sent as its editor would: the server keeps them as they are. It names uploaded files.
predicted.json is what comes back of a model's intervals, which `data.annotation_writers` has made:
of four videos, the first was corrected, the second submitted as it was, the third left alone, and
the fourth annotated without looking at the prediction.
"""

import json
import sys
import tempfile
from pathlib import Path

from data.annotation_writers.intervals import Interval, VideoIntervals
from data.annotation_writers.label_studio import write_label_studio

TIMELINE = """<View>
  <Video name="video" value="$video" frameRate="25"/>
  <TimelineLabels name="phase" toName="video">
    <Label value="Zugang"/><Label value="Präparation"/><Label value="Naht"/>
  </TimelineLabels>
  <TimelineLabels name="tools" toName="video">
    <Label value="Schere"/><Label value="Clip"/>
  </TimelineLabels>
  <Choices name="quality" toName="video"><Choice value="good"/><Choice value="poor"/></Choices>
</View>"""
BOXES = """<View>
  <Video name="video" value="$video"/>
  <Labels name="label" toName="video"><Label value="Clip"/></Labels>
  <VideoRectangle name="box" toName="video"/>
  <Choices name="quality" toName="video"><Choice value="good"/><Choice value="poor"/></Choices>
</View>"""
SOUND = """<View>
  <Video name="video" value="$video_url" sync="audio"/>
  <Labels name="phase" toName="audio"><Label value="Zugang"/><Label value="Naht"/></Labels>
  <Audio name="audio" value="$video_url" sync="video"/>
</View>"""
UPLOADED = ("Galle 1.mp4", "op 2 (left).mp4", "Öperation_3.mp4")  # of four seconds at 25 fps


def result(control, kind, value, to="video", **more):
    of = {"id": f"{control}1", "from_name": control, "to_name": to, "type": kind}
    return {**of, "origin": "manual", "value": value, **more}


def timeline(control, start, end, *labels):
    value = {"ranges": [{"start": start, "end": end}], "timelinelabels": labels}
    return result(control, "timelinelabels", value)


def sound(start, end, label):
    value = {"start": start, "end": end, "channel": 0, "labels": [label]}
    return result("phase", "labels", value, "audio", original_length=4.0)


POOR = result("quality", "choices", {"choices": ["poor"]})
PLACE = {"frame": 1, "enabled": True, "rotation": 0, "x": 10, "y": 10, "width": 20, "height": 20}
BOX = {"framesCount": 100, "duration": 4.0, "labels": ["Clip"], "sequence": [PLACE]}


def predicted(video):
    of = [
        Interval(0, 4, "Zugang", 0.9),
        Interval(4, 6, "Naht", 0.4),
        Interval(6, 10, "Zugang", 0.7),
    ]
    return VideoIntervals(video, f"/videos/{video}.mp4", "phase", ("Zugang", "Naht"), tuple(of))


def main(url, token):
    import requests

    def call(method, path, **content):
        headers = {"Authorization": f"Token {token}"}
        answer = requests.request(method, f"{url}/api/{path}", headers=headers, **content)
        answer.raise_for_status()
        return answer

    def make_project(config, *tasks):
        """Its number; tasks are (key, file that the server knows, results)."""
        options = {"title": "made up", "label_config": config}
        number = call("POST", "projects/", json=options).json()["id"]
        rows = [
            {"data": {key: f"/data/local-files/?d={file}"}, "annotations": [{"result": results}]}
            for key, file, results in tasks
        ]
        call("POST", f"projects/{number}/import", json=rows)
        return number

    def write(name, number, kind):
        options = {"exportType": kind, "download_all_tasks": "true"}
        content = call("GET", f"projects/{number}/export", params=options).content
        Path(__file__).with_name(name).write_bytes(content)

    halves = [timeline("phase", 1, 50, "Zugang"), timeline("phase", 51, 100, "Naht")]
    phases = make_project(TIMELINE, ("video", "theatre%202/op4.mp4", halves))
    for name in UPLOADED:
        call("POST", f"projects/{phases}/import", files={"file": (name, b"made up", "video/mp4")})
    for name in ("op5", "op6"):
        task = [{"data": {"video": f"/data/local-files/?d=theatre%202/{name}.mp4"}}]
        call("POST", f"projects/{phases}/import", json=task)
    tasks = call("GET", "tasks", params={"project": phases, "page_size": 100}).json()["tasks"]
    _, galle, left, third, poor, draft = sorted(task["id"] for task in tasks)

    def annotate(task, *results, **more):
        call("POST", f"tasks/{task}/annotations/", json={"result": results, **more})

    thirds = [timeline("phase", 26, 75, "Präparation"), timeline("phase", 76, 100, "Naht")]
    tools = timeline("tools", 51, 75, "Schere", "Clip")
    annotate(galle, timeline("phase", 1, 25, "Zugang"), *thirds, tools, POOR)
    annotate(left, timeline("phase", 1, 50, "Präparation"), halves[1])
    annotate(left, timeline("phase", 1, 100, "Naht"), was_cancelled=True)
    annotate(third, timeline("phase", 1, 100, "Zugang"))
    annotate(poor, POOR)
    call("POST", f"tasks/{draft}/drafts", json={"result": halves})
    write("timeline.json", phases, "JSON")
    write("timeline_min.json", phases, "JSON_MIN")
    boxes = [result("box", "videorectangle", BOX), POOR]
    write("boxes.json", make_project(BOXES, ("video", "op1.mp4", boxes)), "JSON")
    with tempfile.TemporaryDirectory() as folder:
        written = [predicted(f"op{n}") for n in range(1, 5)]
        tasks, config = (file.read_text() for file in write_label_studio(Path(folder), written))
    options = {"title": "made up", "label_config": config}
    model = call("POST", "projects/", json=options).json()["id"]
    call("POST", f"projects/{model}/import", json=json.loads(tasks))
    tasks = call("GET", "tasks", params={"project": model, "page_size": 100}).json()["tasks"]
    first, second, _, fourth = sorted(task["id"] for task in tasks)
    for task, moved in ((first, 30), (second, 0)):
        (one,) = call("GET", "predictions", params={"task": task}).json()
        for place, side in ((0, "end"), (1, "start")):
            one["result"][place]["value"]["ranges"][0][side] -= moved
            one["result"][place]["origin"] = "prediction-changed" if moved else "prediction"
        annotate(task, *one["result"], parent_prediction=one["id"])
    annotate(fourth, timeline("phase", 1, 300, "Naht"))
    write("predicted.json", model, "JSON")
    sounds = [sound(0, 1.5, "Zugang"), sound(1.5, 4, "Naht")]
    write("sound.json", make_project(SOUND, ("video_url", "op1.mp4", sounds)), "JSON")


if __name__ == "__main__":
    main(*sys.argv[1:])
