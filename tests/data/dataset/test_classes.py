import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.common.errors import InputError
from data.dataset.cholec80 import PHASES, TOOLS
from data.dataset.classes import (
    CHOLEC80,
    Classes,
    annotation_rate,
    frame_rate,
    read_classes,
    write_classes,
)
from data.dataset.frame_index import load_index
from data.dataset.index_columns import INDEX, index_schema


def write_index(root, video, classes, phases, presence, fps=1.0):
    """A dataset of one video, its frames counted from 1."""
    root.mkdir()
    n = len(phases)
    schema = index_schema(classes.multi_label)
    columns = [[video] * n, range(1, n + 1), phases, *presence, [""] * n, [f"{video}_{{:06d}}"] * n]
    columns = [pa.array(c, t) for c, t in zip(columns, schema.types, strict=True)]
    pq.write_table(pa.table(columns, schema), root / INDEX)
    write_classes(root, classes, fps=fps)
    return root


def test_what_is_written_is_read(tmp_path):
    classes = Classes(("Zugang", "手術"), {"tools": ("Schere",), "cvs": ("a/b",)}, ("x", "y"))
    write_classes(tmp_path, classes, fps=5.0, annotation_fps=None)
    assert read_classes(tmp_path) == classes
    assert (frame_rate(tmp_path), annotation_rate(tmp_path)) == (5.0, None)
    write_classes(tmp_path, classes, annotation_fps=30.0)
    assert (frame_rate(tmp_path), annotation_rate(tmp_path)) == (1.0, 30.0)
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "extraction.json").write_text('{"fps": 2.0, "videos": {}}')
    assert frame_rate(tmp_path) == 2.0, "what the extraction says counts"


def test_older_datasets_are_cholec80_s_or_have_a_bare_list(tmp_path):
    assert read_classes(tmp_path) == CHOLEC80 == Classes(PHASES, {"tools": TOOLS})
    (tmp_path / "classes.json").write_text(json.dumps(["cyst", "polyp"]))
    assert read_classes(tmp_path) == Classes(classes=("cyst", "polyp"))


def test_datasets_are_joined_by_name(tmp_path):
    one = Classes(("A", "B", "C"), {"tools": ("Hook", "Clip")})
    two = Classes(("C", "X", "A"), {"tools": ("Saw", "Clip"), "cvs": ("plate",)})
    write_index(tmp_path / "1", "op1", one, [0, 1, 2, -1], [[1, 0, 1, 0], [0, 1, -1, 0]], fps=2.0)
    write_index(tmp_path / "2", "op2", two, [0, 1, 2], [[1, 1, 0], [0, 1, 0], [0, 0, 1]])
    index = load_index([tmp_path / "1", tmp_path / "2"])
    assert index.classes.phases == ("A", "B", "C", "X")
    assert index.classes.multi_label == {"tools": ("Hook", "Clip", "Saw"), "cvs": ("plate",)}
    assert index.phase.tolist() == [0, 1, 2, -1, 2, 3, 0]
    assert index.tools.tolist() == [
        *([1, 0, -1], [0, 1, -1], [1, -1, -1], [0, 0, -1]),
        *([-1, 0, 1], [-1, 1, 1], [-1, 0, 0]),
    ]
    assert index.presence["cvs"][:, 0].tolist() == [-1] * 4 + [0, 0, 1]
    assert index.second.tolist() == [0, 0.5, 1, 1.5, 0, 1, 2]
    second = index.select(["op2"])
    assert second.second.dtype == np.int64 and second.second.tolist() == [0, 1, 2]
    assert second.fps.tolist() == [1.0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"phases": ["A", "A"]}', "phases: expected at most 127 names, each once"),
        ('{"phases": ["A", ""]}', "phases: expected a list of names"),
        ('{"multi_label": ["A"]}', "multi_label: expected names of groups"),
        ('{"multi_label": {"tools": "A"}}', "multi_label: tools: expected a list"),
        ('{"fps": "fast"}', "fps='fast'; expected a number above 0"),
        ('{"phase": []}', "'phase'; expected phases, multi_label"),
        ("7", "int; expected names"),
        ("{", "damaged"),
    ],
)
def test_damaged_files_are_named(tmp_path, content, message):
    (tmp_path / "classes.json").write_text(content)
    with pytest.raises(InputError, match=message) as error:
        read_classes(tmp_path)
    assert str(error.value).startswith(f"{tmp_path}/classes.json: ")
