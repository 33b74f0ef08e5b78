import json

import pytest

from data.common.errors import InputError
from data.dataset.audit import PRINTED, SINGLES, TABLE_ROWS, Audit, Strict


def audit_of(videos, remarks=(), problems=()):
    return Audit(list(remarks), list(problems), dict(videos))


def test_what_another_audit_found_is_added_in_order():
    audit = Audit()
    audit.remark("a.txt: ends with a space")
    audit.problem("a.jpg: empty")
    audit.videos["a"] = {"frames": 5, "labelled": 3, "tool_rows": 4}
    audit.add(audit_of({"b": {"frames": 2}}, ["b.txt: stray"], ["b.jpg: cut off"]))
    assert audit.remarks == ["a.txt: ends with a space", "b.txt: stray"]
    assert audit.problems == ["a.jpg: empty", "b.jpg: cut off"]
    assert list(audit.videos) == ["a", "b"]
    assert [audit.total(count) for count in ("frames", "labelled", "tool_rows")] == [7, 3, 4]
    assert Audit().remarks == Audit().problems == [], "no two audits share their findings"


def test_everything_found_is_written_and_replaces_what_was_there(tmp_path):
    path = tmp_path / "audit.json"
    path.write_text("of an earlier inspection")
    videos = {"a": {"frames": 5, "labelled": 3, "phase_rows": 125}, "b": {"frames": 2}}
    audit_of(videos, ["stray"] * 30, ["a.jpg: empty"]).write(path)
    assert json.loads(path.read_text()) == {
        "totals": {"videos": 2, "frames": 7, "labelled": 3},
        "problems": ["a.jpg: empty"],
        "remarks": ["stray"] * 30,  # all of them, not only those that are printed
        "sizes": {},
        "videos": videos,
    }
    assert list(tmp_path.iterdir()) == [path]


def test_the_table_has_a_line_a_video_and_their_sum():
    videos = {
        "video09": {"frames": 5, "labelled": 3, "phase_rows": 125, "tool_rows": 5},
        "its-name-is-rather-long": {"frames": 20, "labelled": 0},
    }
    lines = audit_of(videos, ["x.txt: stray"], ["y.jpg: empty"]).table().splitlines()
    assert [line.split() for line in lines] == [
        ["video", "frames", "labelled", "phase_rows", "tool_rows"],
        ["video09", "5", "3", "125", "5"],
        ["its-name-is-rather-long", "20", "0", "-", "-"],  # no annotations: not 0 rows
        ["all", "videos", "25", "3", "125", "5"],
        ["not", "used:", "y.jpg:", "empty"],
        ["remark:", "x.txt:", "stray"],
    ]
    assert len({len(line) for line in lines[:4]}) == 1, "columns are aligned"


def test_what_was_cleaned_is_counted_where_it_was_asked_for(tmp_path):
    videos = {
        "a": {"frames": 9, "labelled": 0, "black": 2, "near_duplicates": 1, "pretraining": 6},
        "b": {"frames": 4, "labelled": 0, "black": 0, "near_duplicates": 0, "pretraining": 4},
    }
    audit = audit_of(videos)
    head, *rows = [line.split() for line in audit.table().splitlines()]
    assert head[3:] == ["phase_rows", "tool_rows", "black", "near_duplicates", "pretraining"]
    assert [row[-3:] for row in rows] == [["2", "1", "6"], ["0", "0", "4"], ["2", "1", "10"]]
    assert len({len(line) for line in audit.table().splitlines()}) == 1, "columns are aligned"
    audit.write(tmp_path / "audit.json")
    cleaned = {"black": 2, "near_duplicates": 1, "pretraining": 10}
    totals = json.loads((tmp_path / "audit.json").read_text())["totals"]
    assert totals == {"videos": 2, "frames": 13, "labelled": 0, **cleaned}


@pytest.mark.parametrize("more", [0, 3])
def test_long_tables_say_how_much_they_leave_out(more):
    videos = {f"op{n}": {"frames": 2} for n in range(TABLE_ROWS + more)}
    remarks = [f"{n}.txt: stray {n}" for n in range(PRINTED + more)]
    text = audit_of(videos, remarks).table()
    assert text.count("\nop") == TABLE_ROWS
    assert text.count("remark: ") == PRINTED
    assert f"all videos{2 * (TABLE_ROWS + more):>12}" in text, "the sum is that of all"
    said = [line for line in text.splitlines() if line.startswith("...")]
    expected = [f"... and {more} more {what}: audit.json" for what in ("videos", "remarks")]
    assert said == (expected if more else [])


def test_a_strict_audit_ends_at_the_first_problem():
    audit = Strict()
    audit.remark("a.txt: ends with a space")
    with pytest.raises(InputError, match=r"a\.txt: empty"):
        audit.problem("a.txt: empty")
    assert audit.remarks == ["a.txt: ends with a space"]


def test_sizes_are_added_up_and_the_most_frequent_printed():
    audit, other = Audit(), Audit()
    audit.sizes.update({(854, 480): 10, (1920, 1080): 30})
    other.sizes.update({(854, 480): 25, **{(k, k): 1 for k in range(1, 9)}})
    audit.add(other)
    assert "sizes of frames: 854x480 (35), 1920x1080 (30), 1x1 (1), " in audit.table()
    assert "7x7" not in audit.table()
    assert "sizes of frames" not in Audit().table()


def test_neighbours_do_not_hide_what_a_data_set_says_of_itself():
    """Problems first, then its own remarks, then those about neighbours; each kind is bounded."""
    audit = audit_of(
        {}, remarks=[f"a.txt: odd {n}" for n in range(25)], problems=["b.mp4: damaged"] * 25
    )
    audit.neighbours += [f"set{n}: shares recordings" for n in range(15)]
    lines = audit.table().splitlines()
    kinds = [line.split(":")[0] for line in lines if line.startswith(("not used", "remark", "..."))]
    assert kinds == [
        *["not used"] * PRINTED + ["... and 5 more problems"],
        *["remark"] * PRINTED + ["... and 5 more remarks"],
        *["remark"] * 5 + ["... and 10 more remarks about data sets beside it"],
    ]
    whole = Audit()
    whole.add(audit)
    assert whole.table() == audit.table()


def test_many_stray_files_do_not_hide_what_is_said_of_labels():
    stray = [f"note{n}.pdf: neither a video nor an image" for n in range(30)]
    alike = [f"op{n}.mov: named op{n}_mov, as op{n} is op{n}.mp4" for n in range(3)]
    said = [*stray[:15], *alike, *stray[15:], "a.csv: 3 rows without a phase", "no colon"]
    audit = audit_of({}, remarks=said)
    assert audit.findings() == [
        "remark: note0.pdf, note1.pdf, note2.pdf and 27 more: neither a video nor an image",
        *(f"remark: {line}" for line in alike),
        "remark: a.csv: 3 rows without a phase",
        "remark: no colon",
    ]
    assert audit.remarks == said, "audit.json has all"
    assert audit_of({}, remarks=stray[:3]).findings() == [f"remark: {line}" for line in stray[:3]]


def test_videos_of_one_frame_are_one_row_where_they_are_many():
    few = {f"image{n}": {"frames": 1, "labelled": n} for n in range(SINGLES)}
    text = audit_of({"op": {"frames": 7, "labelled": 0}, **few}).table()
    assert text.count("\nimage") == SINGLES
    text = audit_of({"op": {"frames": 7, "labelled": 0}, **few, "last": {"frames": 1}}).table()
    assert "image" not in text
    (row,) = [line.split() for line in text.splitlines() if "videos of 1 frame" in line]
    assert (row[0], row[5:7]) == (str(SINGLES + 1), [str(SINGLES + 1), str(sum(range(SINGLES)))])
    assert "\nop " in text
    assert len({len(line) for line in text.splitlines()}) == 1, "columns are aligned"
