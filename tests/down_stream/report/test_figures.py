"""Figures with any number of classes and names in any script, as PNG files and in a page."""

import itertools
import logging
import re

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from data.dataset.cholec80 import PHASES
from down_stream.report import plots, timelines
from down_stream.report.figures import (
    CLASS_COLOURS,
    UNKNOWN_COLOUR,
    inline_svg,
    new_figure,
    save_png,
)
from tests.support.small_reports import Page, names_of, predictions_of, table

# Machado et al. (2009), severity 1.0: what the colour blind see, as matrices on linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]]
    ),
    "deuteranopia": np.array(
        [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]]
    ),
    "tritanopia": np.array(
        [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]]
    ),
}


def lab(colour, vision):
    """CIELAB coordinates of a colour as it is seen by this kind of vision."""
    srgb = np.array(to_rgb(colour))
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = to_xyz @ np.clip(vision @ linear, 0, 1) / to_xyz.sum(axis=1)
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", VISION)
def test_colours_of_phases_can_be_told_apart(vision):
    seen = [lab(colour, VISION[vision]) for colour in CLASS_COLOURS[: len(PHASES)]]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 25


@pytest.mark.parametrize("vision", VISION)
def test_neighbours_among_forty_classes_differ(vision):
    assert len(CLASS_COLOURS) == 40
    seen = [lab(colour, VISION[vision]) for colour in CLASS_COLOURS]
    assert min(np.linalg.norm(a - b) for a, b in itertools.pairwise(seen)) > 25


def test_any_two_of_forty_classes_differ_and_differ_from_unknown_and_from_the_ground():
    seen = [lab(colour, VISION["normal"]) for colour in CLASS_COLOURS]
    grounds = [lab(colour, VISION["normal"]) for colour in (UNKNOWN_COLOUR, "white", "#14171a")]
    pairs = itertools.chain(itertools.combinations(seen, 2), itertools.product(seen, grounds))
    assert min(np.linalg.norm(a - b) for a, b in pairs) > 20


def boxes(figure, folder):
    """Where texts and areas are, in pixels, after layout: {what: bounding boxes}."""
    save_png(figure, folder / "picture.png")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    get = canvas.get_renderer()
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes)]
    legends = [legend for legend in legends if legend]
    return {
        "names": [text.get_window_extent(get) for one in legends for text in one.get_texts()],
        "legends": [one.get_window_extent(get) for one in legends],
        "axes": [a.get_tightbbox(get) for a in figure.axes],
        "pictures": [a.get_window_extent(get) for a in figure.axes],
        "whole": figure.bbox,
    }


def overlap(boxes):
    """Pairs of boxes that lie upon each other by more than a pixel in both directions."""
    return [
        (a, b)
        for a, b in itertools.combinations(boxes, 2)
        if min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1
    ]


def is_inside(box, whole):
    inside = box.x0 >= -1 and box.y0 >= -1
    return inside and box.x1 <= whole.x1 + 1 and box.y1 <= whole.y1 + 1


@pytest.mark.parametrize("number", [2, 7, 21, 40])
def test_legends_lie_neither_upon_pictures_nor_upon_each_other(tmp_path, number):
    predictions = predictions_of(classes=names_of(number))
    figure = timelines.timeline({"probe": predictions, "tecno": predictions})
    found = boxes(figure, tmp_path)
    assert len(found["names"]) == number
    assert not overlap(found["names"])
    assert not overlap([*found["legends"], *found["axes"]])
    assert all(is_inside(box, found["whole"]) for box in (*found["legends"], *found["axes"]))
    assert found["pictures"][0].width > found["whole"].width / 2
    strips = 2 * (1 + 2 + 2)
    assert found["pictures"][0].height / figure.dpi > 0.18 * strips


@pytest.mark.parametrize("number", [2, 7, 12, 13, 21, 40])
def test_a_confusion_matrix_has_room_for_its_names_and_numbers(tmp_path, number):
    figure = plots.confusion_matrix(predictions_of(classes=names_of(number)))
    found = boxes(figure, tmp_path)
    assert is_inside(found["axes"][0], found["whole"])
    axes = figure.axes[0]
    get = figure.canvas.get_renderer()
    cell = found["pictures"][0].width / number, found["pictures"][0].height / number
    for text in axes.texts:
        box = text.get_window_extent(get)
        assert box.width < cell[0]
        assert box.height < cell[1]
    for labels in (axes.get_yticklabels(), axes.get_xticklabels() if number > 12 else ()):
        assert not overlap([label.get_window_extent(get) for label in labels])
    assert bool(axes.texts) == (number <= 24)


@pytest.mark.parametrize("number", [2, 40])
def test_bars_have_room_for_their_names_and_numbers(tmp_path, number):
    scores = {name: {"F1": (1, 0.9, 1), "Recall": (1, 1, 1)} for name in names_of(number)}
    figure = plots.class_bars(scores)
    found = boxes(figure, tmp_path)
    texts = [text.get_window_extent() for axes in figure.axes for text in axes.texts]
    names = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert not overlap([*texts, *names, *found["pictures"]])
    assert all(is_inside(box, found["whole"]) for box in found["axes"])


@pytest.mark.parametrize("name", ["op$^$", "$1 and $2", "_op", 'id="a" url(#b)', "<&>"])
def test_any_name_is_drawn(tmp_path, name):
    predictions = table([0, 1], [0, 1], video=name, classes=(name, "b"))
    for figure in (timelines.timeline({"": predictions}), plots.confusion_matrix(predictions)):
        save_png(figure, tmp_path / "picture.png")
        assert imread(tmp_path / "picture.png").size
        assert name in Page(inline_svg(figure, name, "p0")).texts("text")


def test_names_without_a_glyph_are_remarked_once_and_are_text_in_a_page(tmp_path, caplog, recwarn):
    name = "\U0001e900 phase"  # Adlam
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            figure = timelines.timeline({"": table([0, 1], [0, 1], classes=(name, "b"))})
            save_png(figure, tmp_path / "picture.png")
            assert name in Page(inline_svg(figure, "a picture", "p0")).texts("text")
    assert len([record for record in caplog.records if "no installed font" in record.message]) == 1
    assert not recwarn.list


def test_an_svg_is_the_same_each_time_and_has_ids_of_its_own():
    def drawn(prefix):
        return inline_svg(timelines.timeline({"": predictions_of()}), "a picture", prefix)

    first = drawn("p0")
    assert first == drawn("p0")
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in (first, drawn("p1"))]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert set(re.findall(r'(?:url\(|href=")#([^")]+)', first)) <= ids[0]


def test_text_and_axes_have_the_colour_of_the_page():
    svg = inline_svg(plots.history({"loss": [1.0, 0.5]}, 1), "a picture", "p0")
    assert "currentColor" in svg
    assert not {"#000000", "#e5e5e5", "#767676", "#ffffff"} & set(re.findall(r"#\w{6}", svg))
    assert "font-family" not in svg
    assert "<style" not in svg


def test_a_picture_that_is_too_high_for_its_resolution_is_written_smaller(tmp_path):
    save_png(new_figure(1, 500), tmp_path / "high.png")
    assert 60_000 < imread(tmp_path / "high.png").shape[0] < 2**16
