"""The report as a browser and a reader get it: parsed, and opened where there is a Chromium."""

import base64
import io
import re
import shutil
import subprocess

import pytest
from PIL import Image

from down_stream.metrics import phases as phase_metrics
from down_stream.report import page as report_page
from tests.support.small_reports import (
    ODD,
    REPORTS,
    Page,
    phases_report,
    predictions_of,
    results_of,
    tools_report,
)

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
PICTURES = {
    "phases": {"phase_timeline.png", "per_phase.png", "confusion_matrix.png", "history.png"},
    "many": {"phase_timeline.png", "per_phase.png", "confusion_matrix.png", "history.png"},
    "classes": {"per_class.png", "confusion_matrix.png", "roc.png", "history.png"},
    "tools": {"per_class.png"},
}


@pytest.fixture(scope="module", params=REPORTS)
def written(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    REPORTS[request.param](path)
    return request.param, path


def test_a_report_is_one_well_formed_file_that_asks_for_nothing_else(written):
    name, path = written
    assert {file.name for file in path.parent.iterdir()} == {"report.html", *PICTURES[name]}
    html = path.read_text(encoding="utf-8")
    page = Page(html)
    for tag, attributes in page.tags:
        assert tag not in ("script", "iframe", "object", "base", "form"), tag
        for key in ("src", "href", "srcset", "action", "data"):
            assert attributes.get(key, "#").startswith(("#", "data:")), (tag, attributes)
        assert not [key for key in attributes if key.startswith("on")]
    assert set(re.findall(r"url\(.", html)) <= {"url(#"}
    assert "@import" not in html
    policy = next(a for a in page.attributes("meta") if "http-equiv" in a)["content"]
    assert policy.startswith("default-src 'none'")
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    referred = re.findall(r'(?:url\(|href=")#([^")]+)', html)
    assert set(referred) <= set(ids)
    links = {attributes["href"] for attributes in page.attributes("a")}
    assert links == {f"#{key}" for key in ids if key.startswith("part")}
    assert "<b>" not in "".join(re.findall(r"<h3>.*?</h3>|<figcaption>.*?</figcaption>", html))
    assert "nan" not in re.sub(r"base64,[^\"]*", "", html).lower().replace("predominan", "")


def test_the_same_sections_give_the_same_bytes(written, tmp_path):
    name, path = written
    REPORTS[name](tmp_path / path.name)
    for file in path.parent.iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes(), file.name


def test_pictures_are_described_and_tables_have_headings(written):
    page = Page(written[1].read_text(encoding="utf-8"))
    assert not page.unreachable()
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
    page = Page(report_page.summary(results, {"Macro-F1": ("video", "f1")}).html)
    assert page.texts("strong") == [f"{100 * scores['video']['f1']:.1f} %"]
    low, high = scores["video"]["interval"]["f1"]
    assert f"[{100 * low:.1f} to {100 * high:.1f}]" in page.texts("span")
    assert "2 videos, 2,000 frames" in page.texts("dd")
    page = Page(report_page.protocols(results).html)
    assert page.texts("h3")[:5] == list(scores)
    assert page.texts("p") == [found["rule"] for found in scores.values()]
    assert "optimizer.name" in Page(report_page.settings(results).html).texts("dt")
    assert "x, y" in Page(report_page.settings(results).html).texts("dd")


def test_nothing_is_shown_where_there_is_nothing():
    assert report_page.warnings("Warnings", results_of({})["warnings"]) is None
    assert report_page.drawn("Curves", None, "history.png", "") is None
    single = results_of(phase_metrics.evaluate(predictions_of(("a",))))  # one video: no interval
    assert "[" not in report_page.summary(single, {"F1": ("video", "f1")}).html


def browse(path, *arguments):
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    command += [f"--user-data-dir={path.parent / 'profile'}", *arguments, path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH: not looked at in a browser")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_page_fits_the_width_of_the_window_and_its_text_is_not_small(written, width, tmp_path):
    """Measured in a frame of that width, in a copy whose policy allows a script to measure."""
    shutil.copy(written[1], tmp_path)
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
