"""Predictions and results that reports are made of, and a page as a browser gets it: parsed."""

from html.parser import HTMLParser

import numpy as np

from data.dataset.cholec80 import PHASES, TOOLS
from down_stream.metrics import classification, multi_label
from down_stream.metrics import phases as phase_metrics
from down_stream.metrics.predictions import Predictions
from down_stream.report import page, tasks

ODD = 'video <b>&"1"'
VOID = {"meta", "link", "img", "input", "br"}
LONG = "Dissection of the hepatocystic triangle, posterior"


class Page(HTMLParser):
    """A parsed page: complains about what is not closed in order."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(html)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def unreachable(self):
        """Scrolling parts that nobody reaches by keyboard."""
        parts = [found for found in self.attributes("div") if "class" in found]
        scrolling = [one for one in parts if {"scroll", "strip"} & set(one["class"].split())]
        assert scrolling
        return [one for one in scrolling if one.get("tabindex") != "0"]

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        self.text.append((self.open[-1] if self.open else "", data))

    def texts(self, tag):
        return [data for parent, data in self.text if parent == tag]

    def attributes(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def names_of(number):
    """So many names of classes, some long, some in other scripts."""
    names = (LONG, "Trokare $x_1$", "胆嚢摘出術", "Трокар", "ClippingCutting")
    return tuple(f"{names[k % len(names)]} {k}" for k in range(number))


def table(labels, predictions, video="video01", classes=PHASES):
    """Predictions of one video, a second a frame, without probabilities."""
    n = len(labels)
    return Predictions(
        video=np.full(n, video),
        second=np.arange(n),
        label=np.array(labels),
        prediction=np.array(predictions),
        probabilities=np.full((n, len(classes)), np.nan, np.float32),
        classes=classes,
    )


def predictions_of(videos=("video49", ODD), seconds=100, classes=PHASES, seed=0):
    """Right in about three quarters of the frames; classes in their order."""
    random = np.random.default_rng(seed)
    n = len(videos) * seconds
    label = np.tile(np.arange(seconds) * len(classes) // seconds, len(videos))
    scores = random.normal(size=(n, len(classes)))
    scores[np.arange(n), label] += 2.5
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return Predictions(
        video=np.repeat(videos, seconds),
        second=np.tile(np.arange(seconds), len(videos)),
        label=label,
        prediction=probabilities.argmax(axis=1),
        probabilities=probabilities.astype(np.float32),
        classes=classes,
    )


def tools_predictions():
    like = predictions_of()
    random = np.random.default_rng(0)
    label = random.integers(0, 2, (len(like.video), len(TOOLS)))
    label[:, 3] = 0  # a tool that is never there
    chances = np.clip(label * 0.4 + random.random(label.shape) * 0.6, 0, 1).astype(np.float32)
    return multi_label.MultiLabelPredictions(like.video, like.second, label, chances, TOOLS)


def results_of(scores, warnings=(), epochs=3):
    values = np.linspace(0.2, 0.8, epochs).tolist()
    return {
        "name": "probe",
        "mode": "probe",
        "encoder": "runs/<msn>/encoder",
        "seconds": 12.3,
        "seconds_to_fit": 10.0,
        "frames": {"train": 2000, "validation": 200, "test": 1},
        "videos": {"train": ["a", "b"], "validation": ["c"], "test": ["d"]},
        "history": {"loss": values[::-1], "val_macro_f1": values} if epochs else {},
        "best_epoch": epochs - 1 if epochs else None,
        "warnings": list(warnings),
        "metrics": scores,
        "config": {"seed": 0, "optimizer": {"name": "adamw & more"}, "data": {"root": ["x", "y"]}},
    }


def frame(row):
    """Noise, which compresses worst, in two sizes; some frames cannot be read."""
    size = (480, 854) if row % 2 else (180, 320)
    noise = np.random.default_rng(row).integers(0, 256, (*size, 3), np.uint8)
    return None if row % 5 == 0 else noise


def phases_report(path):
    predictions = predictions_of()
    results = results_of(phase_metrics.evaluate(predictions, draws=50), ["no frame of <Clipping>"])
    tables = {"frame model": predictions, "TeCNO <causal>": predictions_of(seed=1)}
    page.write_report(path, "Phases <1>", tasks.phases(results, tables, frame), "a & b")


def many_classes_report(path):
    predictions = predictions_of(classes=names_of(40))
    results = results_of(phase_metrics.evaluate(predictions, draws=5))
    page.write_report(path, "Many", tasks.phases(results, {"probe": predictions}, frame))


def classes_report(path):
    predictions = predictions_of(classes=("hyperplastic", "adeno<matous>"))
    results = results_of(classification.evaluate(predictions, draws=20), epochs=1)
    results["positive_class"] = predictions.classes[1]
    sections = tasks.classes(results, {"frame model": predictions}, frame)
    page.write_report(path, "Polyps", sections)


def tools_report(path):
    predictions = tools_predictions()
    results = results_of(multi_label.evaluate(predictions, draws=5), epochs=0)
    sections = tasks.labels(results, {"frame model": predictions}, frame)
    page.write_report(path, "Tools", sections)


REPORTS = {
    "phases": phases_report,
    "many": many_classes_report,
    "classes": classes_report,
    "tools": tools_report,
}
