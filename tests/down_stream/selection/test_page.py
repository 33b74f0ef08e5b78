import csv

import numpy as np

from data.storage.paths import to_path
from down_stream.selection.choosing import Choice
from down_stream.selection.page import map_picture, name_of, write_page, write_table
from tests.support.small_tables import make_candidates

CHOICES = [Choice(4, {"typicality": 1.23456, "cluster": 2}), Choice(0, {"typicality": 0.5})]


def test_the_table_has_a_row_for_each_with_its_reason(tmp_path):
    candidates = make_candidates()
    write_table(to_path(tmp_path / "a" / "out.csv"), candidates, CHOICES)
    with (tmp_path / "a" / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {"order": "1", "video": "video05", "typicality": "1.235", "cluster": "2"}
    assert rows[1]["cluster"] == ""


def test_the_page_says_why_and_escapes_names(tmp_path):
    candidates = make_candidates()
    labelled = np.arange(12) == 7
    facts, remarks = {"Strategy": "typical"}, ["op <3>: cannot be read any more; not chosen"]
    write_page(to_path(tmp_path / "out.html"), candidates, labelled, CHOICES, facts, remarks)
    page = (tmp_path / "out.html").read_text()
    assert "1. video05" in page
    assert "typicality 1.235, cluster 2" in page
    assert "op &lt;3&gt;: cannot be read any more" in page
    assert "http" not in page.replace("http://www.w3.org", "").replace("http-equiv", "")


def test_the_map_numbers_the_chosen_and_crosses_what_has_labels():
    candidates = make_candidates()
    figure = map_picture(candidates, np.arange(12) == 7, CHOICES)
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["1", "2"]
    assert len(axes.collections[-1].get_offsets()) == 1  # the cross


def test_an_interval_is_called_by_its_times():
    candidates = make_candidates(kind="interval", units=2, frames=24)
    assert name_of(candidates, 3) == "video02, 0:10 to 0:24"
