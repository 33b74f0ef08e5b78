"""The command, on tables and data sets."""

import csv
import json
import re

import numpy as np
import pytest

from data.annotations.corrections import write_labelled_by
from data.splits.manifest import MANIFEST
from data.storage.paths import to_path
from down_stream.selection.selecting import Wanted, select
from tests.support.forked_commands import call
from tests.support.small_dataset import make_small_dataset
from tests.support.small_tables import make_rows, write_rows


def chosen(path, column="video"):
    with path.open() as file:
        return [row[column] for row in csv.DictReader(file)]


def run(*arguments):
    return call("-m", "down_stream.select", *arguments)


def test_a_table_alone_is_enough_and_the_result_is_the_same_again(tmp_path):
    table = write_rows(tmp_path / "table.npz", make_rows())
    first = run(f"--embeddings={table}", "--budget=25%", f"--output={tmp_path / 'a.csv'}")
    assert first.returncode == 0, first.stderr
    again = run(f"--embeddings={table}", "--budget=3", f"--output={tmp_path / 'b.csv'}")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()
    assert (tmp_path / "a.html").read_text() == (tmp_path / "b.html").read_text()
    page = (tmp_path / "a.html").read_text()
    assert not re.search(r'(src|href)="(https?:)?//', page)
    next_round = [f"--labelled={tmp_path / 'a.csv'}", f"--output={tmp_path / 'c.csv'}"]
    assert run(f"--embeddings={table}", "--budget=3", *next_round).returncode == 0
    assert not set(chosen(tmp_path / "a.csv")) & set(chosen(tmp_path / "c.csv"))


def test_wrong_input_is_one_line(tmp_path):
    found = run(f"--embeddings={tmp_path / 'none.npz'}", f"--output={tmp_path / 'a.csv'}")
    assert found.returncode == 2
    assert re.fullmatch(r"error: .*none\.npz: no such file; .*\n", found.stderr)
    assert not list(tmp_path.iterdir())
    assert run().returncode == 2
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 and no more")
    found = run(f"--embeddings={broken}", f"--output={tmp_path / 'a.csv'}")
    assert (found.returncode, found.stderr.count("\n")) == (2, 1)


def test_a_video_to_leave_out_that_is_not_there_is_named(tmp_path):
    table = write_rows(tmp_path / "table.npz", make_rows())
    found = run(f"--embeddings={table}", "--exclude=op7.mp4", f"--output={tmp_path / 'a.csv'}")
    assert found.returncode == 2
    assert "--exclude: op7.mp4: no such video; expected names as video" in found.stderr
    assert not (tmp_path / "a.csv").exists()


def test_a_damaged_split_is_one_line(data, tmp_path):
    root, table = data
    (root / MANIFEST).write_text('{"protocols": {}')
    wanted = [f"--data_rootdir={root.parent}", f"--name={root.name}", f"--embeddings={table}"]
    found = run(*wanted, f"--output={tmp_path / 'a.csv'}")
    assert found.returncode == 2
    assert re.fullmatch(r"error: .*damaged; prepare\.py writes it\n", found.stderr)


@pytest.fixture
def data(tmp_path):
    """A data set of eight videos with its table, two of them without labels, one for testing."""
    root = make_small_dataset(tmp_path / "ours", videos=8, seconds=14)
    table = write_rows(tmp_path / "table.parquet", make_rows(units=8, frames=14))
    return root, table


def without_labels(root, videos):
    for name in videos:
        (root / "phase_annotations" / f"{name}-phase.txt").unlink()
    from data.indexing.building import build_index

    build_index(root)


def split(root, tested):
    part = {"videos": list(tested)}
    content = {"default": "own", "protocols": {"own": {"test": part}}}
    (root / MANIFEST).write_text(json.dumps(content))


def test_what_has_labels_and_what_is_tested_are_never_chosen(data, tmp_path):
    root, table = data
    without_labels(root, ["video02", "video05", "video07"])
    split(root, ["video05"])
    output = to_path(tmp_path / "out.csv")
    names, remarks = select([table], Wanted(root=root, budget="8"), output)
    assert set(names) == {"video02", "video07"} == set(chosen(output))
    assert remarks == ["budget: 8 asked for, 2 left without labels"]
    names, _ = select([table], Wanted(root=root, budget="8", excluded=("video02",)), output)
    assert names == ["video07"]
    write_labelled_by(root, {"video01": {"phase": "model"}, "video03": {"phase": "corrected"}})
    names, _ = select([table], Wanted(root=root, budget="8"), output)
    assert set(names) == {"video01", "video02", "video07"}  # nobody has looked at the first


def test_what_is_left_out_goes_by_the_operation(data, tmp_path):
    root, table = data
    output = to_path(tmp_path / "out.csv")
    wanted = {"root": root, "budget": "8"}
    without_labels(root, ["video02", "video07"])
    names, remarks = select([table], Wanted(**wanted, excluded=("VID02",)), output)
    assert names == ["video07"]
    split(root, ["Video 7"])
    names, remarks = select([table], Wanted(**wanted, excluded=("VIDEO02",)), output)
    assert names == ["video07"], "it may be another"
    (line,) = [remark for remark in remarks if "spelt otherwise" in remark]
    assert "with videos that are left out" in line and "'video07' and 'Video 7'" in line


def test_what_other_splits_test_on_and_that_none_is_known_is_said(data, tmp_path, caplog):
    root, table = data
    without_labels(root, ["video02", "video05", "video07"])
    output = to_path(tmp_path / "out.csv")
    parts = {"default": ["video05"], "fold 2": ["video02"], "fold 3": ["video01"]}
    protocols = {name: {"test": {"videos": videos}} for name, videos in parts.items()}
    (root / MANIFEST).write_text(json.dumps({"default": "default", "protocols": protocols}))
    names, remarks = select([table], Wanted(root=root, budget="2"), output)
    assert set(names) == {"video02", "video07"}
    assert not remarks
    (line,) = caplog.messages
    assert line.startswith("video02: chosen, since the default split, default, does not test on it")
    assert line.endswith("the split fold 2 does")
    assert line in output.with_suffix(".html").read_text()
    assert "1, of the split default" in output.with_suffix(".html").read_text()
    caplog.clear()
    (root / MANIFEST).unlink()
    select([table], Wanted(root=root, budget="2"), output)
    (line,) = caplog.messages
    assert line.startswith(f"{root}: no splits.json in it: what is for testing is not known")
    assert line in output.with_suffix(".html").read_text()


def test_a_video_that_the_table_lacks_is_named_and_not_chosen(data, tmp_path):
    root, _ = data
    without_labels(root, ["video02", "video05", "video07"])
    split(root, [])
    rows = make_rows(units=8, frames=14)
    table = write_rows(tmp_path / "less.npz", rows.take(rows.video != "video05"))
    wanted = Wanted(root=root, budget="2")
    names, remarks = select([table], wanted, to_path(tmp_path / "out.csv"))
    assert set(names) == {"video02", "video07"}
    assert remarks == ["video05: not in the table; not chosen"]
    assert "video05: not in the table" in (tmp_path / "out.html").read_text()


def test_intervals_of_tools_have_times(data, tmp_path):
    root, table = data
    for name in ("video02", "video05"):
        (root / "tool_annotations" / f"{name}-tool.txt").unlink()
    without_labels(root, [])
    split(root, ["video05"])
    output = to_path(tmp_path / "out.csv")
    names, _ = select([table], Wanted(root=root, task="tools", budget="9", interval=7), output)
    assert sorted(names) == ["video02, 0:00 to 0:07", "video02, 0:07 to 0:14"]
    assert sorted(chosen(output, "start")) == ["0", "7"]


def test_pictures_come_from_the_files_of_the_table(data, tmp_path):
    root, _ = data
    without_labels(root, ["video02"])
    split(root, [])
    rows = make_rows(units=8, frames=14)
    files = [
        str(root / "frames" / v / f"{v}_{int(s) + 1:06d}.png")
        for v, s in zip(rows.video, rows.second, strict=True)
    ]
    rows = type(rows)(
        *[rows.embeddings, rows.video, rows.second, rows.frame, np.array(files)],
        rows.probabilities,
    )
    table = write_rows(tmp_path / "files.npz", rows)
    select([table], Wanted(root=root), to_path(tmp_path / "out.csv"))
    page = (tmp_path / "out.html").read_text()
    assert page.count('src="data:image/jpeg') == 8
    assert (root / "frames/video02").as_uri() in page
