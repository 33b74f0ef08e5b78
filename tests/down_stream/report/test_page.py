"""The report as a browser and a reader get it: parsed, and opened where there is a Chromium."""

import base64
import io
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from data.dataset.cholec80 import PHASES, TOOLS
from down_stream.metrics import classification, multi_label, statistics
from down_stream.metrics import phases as phase_metrics
from down_stream.metrics.predictions import Predictions
from down_stream.report import class_scores, plots, tasks
from down_stream.report import page as report_page
from down_stream.report.curves import learning_curves
from down_stream.report.frames import most_wrong
from down_stream.report.pictures import confusion, phase_ribbons
from down_stream.report.wording import clock

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
ODD = 'video <b>&"1"'
VOID = {"meta", "link", "img", "input", "br"}


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


def predictions_of(videos=("video49", ODD), seconds=100, classes=PHASES, seed=0):
    """Right in about three quarters of the frames; phases in their order."""
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
    report_page.write_report(path, "Phases <1>", tasks.phases(results, tables, frame), "a & b")


def classes_report(path):
    predictions = predictions_of(classes=("hyperplastic", "adeno<matous>"))
    results = results_of(classification.evaluate(predictions, draws=20), epochs=1)
    sections = tasks.classes(results, {"frame model": predictions}, frame)
    report_page.write_report(path, "Polyps", sections)


def tools_predictions():
    like = predictions_of()
    random = np.random.default_rng(0)
    label = random.integers(0, 2, (len(like.video), len(TOOLS)))
    label[:, 3] = 0  # a tool that is never there
    chances = np.clip(label * 0.4 + random.random(label.shape) * 0.6, 0, 1).astype(np.float32)
    return multi_label.MultiLabelPredictions(like.video, like.second, label, chances, TOOLS)


def tools_report(path):
    predictions = tools_predictions()
    results = results_of(multi_label.evaluate(predictions, draws=5), epochs=0)
    sections = tasks.labels(results, {"frame model": predictions}, frame)
    report_page.write_report(path, "Tools", sections)


REPORTS = {"phases": phases_report, "classes": classes_report, "tools": tools_report}


@pytest.fixture(scope="module", params=REPORTS)
def written(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    REPORTS[request.param](path)
    return request.param, path


def test_a_report_is_one_well_formed_file_that_asks_for_nothing_else(written):
    name, path = written
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    html = path.read_text(encoding="utf-8")
    page = Page(html)
    for tag, attributes in page.tags:
        assert tag not in ("script", "iframe", "object", "base", "form"), tag
        for key in ("src", "href", "srcset", "action", "data"):
            assert attributes.get(key, "#").startswith(("#", "data:")), (tag, attributes)
        assert not [key for key in attributes if key.startswith("on")]
    assert "url(" not in html
    assert "@import" not in html
    policy = next(a for a in page.attributes("meta") if "http-equiv" in a)["content"]
    assert policy.startswith("default-src 'none'")
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {attributes["href"] for attributes in page.attributes("a")}
    assert links == {f"#{key}" for key in ids if key.startswith("part")}
    assert "<b>" not in "".join(re.findall(r"<h3>.*?</h3>|<figcaption>.*?</figcaption>", html))
    assert "nan" not in re.sub(r"base64,[^\"]*", "", html).lower().replace("predominan", "")
    REPORTS[name](path.with_name("again.html"))
    assert path.with_name("again.html").read_bytes() == path.read_bytes()
    path.with_name("again.html").unlink()


def test_pictures_are_described_and_tables_have_headings(written):
    page = Page(written[1].read_text(encoding="utf-8"))
    assert all(attributes.get("alt") for attributes in page.attributes("img"))
    assert any(attributes["alt"].startswith(f"{ODD}, ") for attributes in page.attributes("img"))
    for attributes in page.attributes("svg"):
        assert "aria-hidden" in attributes or attributes["aria-label"], attributes
    assert {attributes.get("scope") for attributes in page.attributes("th")} == {"col", "row"}
    assert page.attributes("html") == [{"lang": "en"}]


def test_thumbnails_are_small(written):
    page = Page(written[1].read_text(encoding="utf-8"))
    files = [a["src"].split(",")[1] for a in page.attributes("img")]
    assert files
    for file in map(base64.b64decode, files):
        assert len(file) <= 20_000
        assert Image.open(io.BytesIO(file)).size == (320, 180)
    missing = [text for text in page.texts("div") if text == "The frame cannot be read."]
    assert 0 < len(missing) < 24


def test_warnings_come_first_and_only_where_there_are_any(tmp_path):
    phases_report(tmp_path / "phases.html")
    tools_report(tmp_path / "tools.html")
    phases = Page((tmp_path / "phases.html").read_text())
    assert phases.texts("h2")[:2] == ["Warnings", "Summary"]
    assert "no frame of <Clipping>" in phases.texts("li")
    assert phases.texts("h1") == ["Phases <1>"]
    assert Page((tmp_path / "tools.html").read_text()).texts("h2")[0] == "Summary"


def test_headline_numbers_and_protocols_are_those_of_the_results():
    predictions = predictions_of()
    scores = phase_metrics.evaluate(predictions, draws=50)
    results = results_of(scores)
    page = Page(report_page.summary(results, [("Macro-F1", "video", "f1")]).html)
    assert page.texts("strong") == [f"{100 * scores['video']['f1']:.1f} %"]
    low, high = scores["video"]["interval"]["f1"]
    assert f"[{100 * low:.1f} to {100 * high:.1f}]" in page.texts("span")
    assert "2 videos, 2,000 frames" in page.texts("dd")
    page = Page(report_page.protocols(results).html)
    assert page.texts("h3")[:5] == list(scores)
    assert page.texts("p") == [found["rule"] for found in scores.values()]
    assert "optimizer.name" in Page(report_page.settings(results).html).texts("dt")
    assert "x, y" in Page(report_page.settings(results).html).texts("dd")


def paths(svg):
    """(CSS class, path) of each piece of a ribbon."""
    return re.findall(r'<path class="(\w+)" d="([^"]+)">', svg)


def test_ribbons_say_which_phase_is_when():
    predictions = Predictions(
        video=np.full(90, ODD),
        second=np.r_[0:50, 60:100],
        label=np.r_[[0] * 50, [-1] * 10, [3] * 30],
        prediction=np.r_[[0] * 49, [6], [3] * 40],
        probabilities=np.full((90, 7), np.nan, np.float32),
    )
    html = phase_ribbons({"one": predictions}).html
    truth, guess = re.findall(r"<svg.*?</svg>", html)
    assert paths(truth) == [
        ("c0", "M0 0h50v1h-50z"),
        ("unknown", "M60 0h10v1h-10z"),
        ("c3", "M70 0h30v1h-30z"),
    ]
    assert paths(guess) == [
        ("c0", "M0 0h49v1h-49z"),
        ("c6", "M49 0h1v1h-1z"),
        ("c3", "M60 0h40v1h-40z"),
    ]
    assert "Gallbladder dissection, 1:10 to 1:40" in Page(html).texts("title")
    assert ODD in Page(html).texts("h3")
    counts = statistics.confusion(predictions.label, predictions.prediction, 7)
    assert f"{100 * statistics.accuracy(counts):.1f}" in Page(html).texts("td")


def test_probabilities_are_stacked_to_the_full_height():
    shares = np.array([0.2, 0, 0.5, 0, 0, 0.3, 0], np.float32)
    predictions = replace(predictions_of(("a",)), probabilities=np.tile(shares, (100, 1)))
    stacked = re.findall(r"<svg.*?</svg>", phase_ribbons({"one": predictions}).html)[2]
    tops = re.findall(r'<path class="(\w+)" d="([^"]+)"/>', stacked)
    assert tops == [  # each hides the lower part of the one before
        ("c5", "M0 100V0H100V100z"),
        ("c2", "M0 100V30H100V100z"),
        ("c0", "M0 100V80H100V100z"),
    ]


def test_long_videos_and_flicker_stay_small():
    seconds, number = 2400, 4
    random = np.random.default_rng(0)
    flicker = random.integers(0, 7, seconds * number)
    names = np.repeat([f"video{k}" for k in range(number)], seconds)
    predictions = Predictions(
        names,
        np.tile(np.arange(seconds), number),
        np.sort(flicker),
        flicker,
        random.dirichlet(np.ones(7), seconds * number).astype(np.float32),
    )
    assert len(phase_ribbons({"one": predictions}).html) / number < 3_000_000 / 32


def test_flicker_in_a_long_video_favours_no_phase():
    flicker = np.random.default_rng(0).integers(0, 2, 3600) * 5
    predictions = replace(predictions_of(("a",), 3600), label=flicker, prediction=flicker)
    ribbon = re.search(r"<svg.*?</svg>", phase_ribbons({"one": predictions}).html)[0]
    widths = {"c0": 0, "c5": 0}
    for phase, path in paths(ribbon):
        widths[phase] += sum(map(int, re.findall(r"0h(\d+)v", path)))
    assert sum(widths.values()) == 1200
    assert widths["c0"] == pytest.approx(600, abs=60)


def test_long_videos_are_drawn_in_steps_and_keep_their_times():
    label = np.repeat([0, 1], 1800)
    predictions = replace(predictions_of(("a",), 3600), label=label)
    page = Page(phase_ribbons({"one": predictions}).html)
    assert page.texts("title")[:2] == [
        "Preparation, 0:00 to 30:00",
        "Calot triangle dissection, 30:00 to 60:00",
    ]


def test_sparse_frames_stand_for_the_time_to_the_next():
    predictions = predictions_of(("a",), 20)
    predictions.second[:] *= 5
    predictions = replace(predictions, label=np.repeat([0, 1], 10))
    ribbon = re.search(r"<svg.*?</svg>", phase_ribbons({"one": predictions}).html)[0]
    assert paths(ribbon) == [("c0", "M0 0h50v1h-50z"), ("c1", "M50 0h46v1h-46z")]


def test_confusion_in_percent_of_the_true_class_and_in_frames():
    predictions = replace(
        predictions_of(("a",), 8, ("yes", "no", "never")),
        label=np.array([0, 0, 0, 0, 1, 1, -1, -1]),
        prediction=np.array([0, 0, 0, 1, 1, 1, 2, 2]),
    )
    page = Page(confusion(predictions).html)
    assert page.texts("td")[1:] == ["75.0", "25.0", "0.0", "0.0", "100.0", "0.0", "-", "-", "-"]
    assert page.texts("small") == ["3", "1", "0", "0", "2", "0"]
    shades = [attributes.get("style", "") for attributes in page.attributes("td")][1:7]
    assert shades == [f"--s:{share:.3f}" for share in (0.75, 0.25, 0, 0, 1, 0)]


def test_most_wrong_frames_are_spread():
    """The worst nine are neighbours in one video: one of them is shown, then the next worst."""
    n = 300
    predictions = predictions_of(("a", "b", "c"), n // 3, ("yes", "no"))
    label, sure = np.zeros(n, int), np.full(n, 0.9, np.float32)
    label[250:] = 1  # right
    sure[31:40], sure[115], sure[230] = np.linspace(0.98, 0.99, 9), 0.97, 0.6
    predictions = replace(
        predictions,
        label=label,
        prediction=np.ones(n, int),
        probabilities=np.stack([1 - sure, sure], axis=1),
    )
    rows = []
    page = Page(most_wrong(predictions, rows.append, clock, 6).html)
    assert rows[:2] == [39, 115]
    assert sorted(predictions.video[rows].tolist()) == ["a", "a", "b", "b", "c", "c"]
    for name in "abc":
        seconds = sorted(predictions.second[[r for r in rows if predictions.video[r] == name]])
        assert np.diff(seconds).min() >= 10
    assert page.texts("strong")[:2] == ["a, 0:39", "b, 0:15"]
    assert "no, 99\N{NO-BREAK SPACE}%" in page.texts("dd")


def test_most_wrong_labels_are_the_absent_that_are_sure_and_the_present_that_are_not():
    predictions = multi_label.MultiLabelPredictions(
        video=np.array(["a"] * 4),
        second=np.arange(4) * 20,
        label=np.array([[1, 0], [1, 0], [0, 1], [-1, -1]]),
        probabilities=np.array([[0.9, 0.8], [0.3, 0.1], [0.2, 0.02], [1, 1]], np.float32),
        classes=("Hook", "Clipper"),
    )
    rows = []
    page = Page(most_wrong(predictions, rows.append, clock).html)
    assert rows == [2, 0, 1]
    assert page.texts("dd")[1::3] == ["present", "absent", "present"]
    percent = [re.search(r"\d+", text)[0] for text in page.texts("dd")[2::3]]
    assert percent == ["2", "80", "30"]


def test_nothing_is_shown_where_there_is_nothing():
    predictions = predictions_of(("a",))
    right = replace(predictions, prediction=predictions.label)
    silent = replace(predictions, probabilities=np.full((100, 7), np.nan, np.float32))
    for one in (right, silent):
        assert most_wrong(one, frame, clock) is None
    assert learning_curves({}, None) is None
    assert report_page.warnings(results_of({})) is None
    single = results_of(phase_metrics.evaluate(predictions))  # one video: no interval
    assert "[" not in report_page.summary(single, [("F1", "video", "f1")]).html


def test_scores_of_classes_are_those_of_the_protocols():
    predictions = predictions_of()
    of_phase = phase_metrics.evaluate(predictions)["phase"]["per_phase"]
    found = class_scores.of_predictions(predictions, pooled=False)
    pooled = class_scores.of_predictions(predictions, pooled=True)
    recall = (predictions.prediction == 2)[predictions.label == 2].mean()
    assert pooled[PHASES[2]]["Recall"][0] == pytest.approx(recall)
    for name in PHASES:
        value, low, high = found[name]["F1"]
        assert value == pytest.approx(of_phase[name]["f1"])
        assert low <= value <= high


def test_colours_are_those_of_the_pictures(tmp_path):
    phases_report(tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text()
    for number, colour in enumerate(plots.CLASS_COLOURS):
        assert f".c{number}{{--c:{colour}}}" in html


def browse(path, *arguments):
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    command += [f"--user-data-dir={path.parent / 'profile'}", *arguments, path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH: not looked at in a browser")
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("task", REPORTS)
def test_a_page_fits_the_width_of_the_window_and_its_text_is_not_small(task, width, tmp_path):
    """Measured in a frame of that width, in a copy whose policy allows a script to measure."""
    REPORTS[task](tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert report_page._POLICY in html
    html = html.replace(report_page._POLICY, "default-src data: 'unsafe-inline'")
    (tmp_path / "copy.html").write_text(html.replace("</body>", MEASURE + "</body>"), "utf-8")
    (tmp_path / "around.html").write_text(
        "<!DOCTYPE html><p>nothing yet</p><script>onmessage = event => "
        "document.querySelector('p').textContent = event.data</script>"
        f'<iframe src="copy.html" style="width:{width}px;height:800px;border:0"></iframe>'
    )
    seen = browse(tmp_path / "around.html", "--dump-dom", "--virtual-time-budget=5000")
    inner, scroll, smallest = map(float, re.search(r"<p>([\d. ]+)</p>", seen.stdout)[1].split())
    assert inner == width
    assert scroll <= inner
    assert smallest >= 12
    seen = browse(tmp_path / "report.html", "--dump-dom")
    assert "CONSOLE" not in seen.stderr


# What is inside a picture is scaled with it.
MEASURE = """<script>onload = () => {
  let smallest = 99;
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const parent = walk.currentNode.parentElement, svg = parent.closest('svg');
    if (!walk.currentNode.data.trim() || parent.closest('style, script, title')) continue;
    const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
    smallest = Math.min(smallest, scale * parseFloat(getComputedStyle(parent).fontSize));
  }
  const root = document.documentElement;
  parent.postMessage([innerWidth, root.scrollWidth, smallest].join(' '), '*');
}</script>"""
