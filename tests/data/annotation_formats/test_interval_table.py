"""Tables that people type: intervals, starts, rows per second, tools."""

import numpy as np
import pytest

from data.annotation_formats.clock_times import parse_times
from data.annotation_formats.delimited import read_table
from data.annotation_formats.tables import split_videos
from data.common.errors import InputError
from data.dataset.audit import Audit

SECONDS = np.arange(0, 60, dtype=float)


def read(tmp_path, text, encoding="utf-8"):
    """{video: labels}, the audit, and how the table was read."""
    path, audit = tmp_path / "t.csv", Audit()
    path.write_bytes(text.encode(encoding))
    parts, described = split_videos(read_table(path, audit), audit)
    return {video: reader(audit) for video, (_, reader) in parts.items()}, audit, described


def names_at(labels, seconds, fps=1.0):
    return [labels.names[k] if k >= 0 else None for k in labels.at(np.array(seconds, float), fps)]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90.25", 90.25),
        ("1:30", 90),
        ("75:00", 4500),
        ("1:02:03", 3723),
        ("01:02:03.500", 3723.5),
        ("1:60", np.nan),
        ("1:75:00", np.nan),
        ("1:2", np.nan),
        ("-3", np.nan),
        ("", np.nan),
        ("noon", np.nan),
    ],
)
def test_times_as_people_type_them(text, seconds):
    times, _ = parse_times([text], decimal_comma=False)
    np.testing.assert_equal(times, [seconds])


def test_decimal_commas_where_columns_have_other_delimiters():
    assert parse_times(["12,5"], decimal_comma=True)[0] == [12.5]
    assert np.isnan(parse_times(["12,5"], decimal_comma=False)[0])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", ",;\t")
def test_intervals_of_several_videos(tmp_path, encoding, newline, delimiter):
    rows = [
        ("Video", "Start", "End", "Phase"),
        ("op1.mp4", "0:00", "0:10", "Zugang"),
        ("op1.mp4", "0:10", "0:30.5", "Präparation"),
        ("op2.mp4", "0:05", "0:20", "手術"),
    ]
    text = newline.join(delimiter.join(row) for row in rows) + newline
    parts, audit, described = read(tmp_path, text, encoding)
    assert described == "intervals"
    (one,), (two,) = parts["op1.mp4"], parts["op2.mp4"]
    assert names_at(one, [0, 9.9, 10, 30, 30.5, 31]) == [
        *("Zugang", "Zugang", "Präparation", "Präparation", None, None)
    ]
    assert names_at(two, [0, 5, 19.99, 20]) == [None, "手術", "手術", None]
    assert (one.lines, two.lines) == ((2, 3), (4,))
    assert one.fps == 1.0, "times with colons are seconds for certain"
    assert audit.problems == []


def test_starts_alone_last_until_the_next(tmp_path):
    parts, _, described = read(tmp_path, "video,start,phase\na,10,B\na,0,A\na,25,A\n")
    assert described.startswith("starts")
    assert names_at(parts["a"][0], [0, 9, 10, 24, 25, 1e6]) == ["A", "A", "B", "B", "A", "A"]
    assert parts["a"][0].end == 25, "the last one says nothing about the length"


def test_rows_a_second_are_no_starts(tmp_path):
    rows = "".join(f"a,{second},{'A' if second < 5 else 'B'}\n" for second in range(10))
    parts, _, described = read(tmp_path, "video,second,phase\n" + rows)
    assert described == "a row per second"
    assert names_at(parts["a"][0], [4, 5, 9, 10]) == ["A", "B", "B", None]
    parts, _, described = read(tmp_path, "video,second,phase\na,0,A\na,100,B\na,420,C\n")
    assert described.startswith("starts")
    assert names_at(parts["a"][0], [99, 100, 500]) == ["A", "B", "C"]


def test_frame_numbers_count_the_last_frame_in(tmp_path):
    parts, _, described = read(tmp_path, "start_frame,end_frame,phase\n0,249,A\n250,499,B\n")
    assert described == "intervals, in frames"
    (labels,) = parts[""]
    assert (labels.fps, labels.likely_fps) == (None, 25)
    assert names_at(labels, [0, 9.96, 10, 19.96, 20], fps=25) == ["A", "A", "B", "B", None]
    touching, _, _ = read(tmp_path, "start_frame,end_frame,phase\n0,250,A\n250,500,B\n")
    assert names_at(touching[""][0], [9.96, 10, 19.96, 20], fps=25) == ["A", "B", "B", None]


def test_ends_one_second_before_the_next_start_are_inclusive_and_that_is_said(tmp_path):
    parts, audit, _ = read(tmp_path, "start,end,phase\n0:00,0:09,A\n0:10,0:19,B\n")
    assert names_at(parts[""][0], [9, 10, 19, 20]) == ["A", "B", "B", None]
    assert any("taken as inclusive" in remark for remark in audit.remarks)


def test_cells_may_go_on_over_several_lines_and_excel_may_say_its_delimiter(tmp_path):
    text = (
        "sep=;\n"
        "video;start;end;phase;note\n"
        'a;0;10;"Calot\ntriangle";"first\n\nline; and more"\n'
        "a;soon;20;B;\n"
        'b;0;20;B;"5"" tube"\n'
        "b;20\n"
    )
    parts, audit, _ = read(tmp_path, text)
    assert names_at(parts["a"][0], [5]) == ["Calot triangle"]
    assert names_at(parts["b"][0], [5]) == ["B"]
    found = "\n".join(audit.problems)
    assert "t.csv:7: 'a;soon;20;B;' is not a row" in found
    assert "t.csv:9: 'b;20' is not a row of 5 columns" in found


def test_quotes_that_do_not_close_are_refused(tmp_path):
    with pytest.raises(InputError, match="quotes that do not close"):
        read(tmp_path, 'video,start,end,phase\na,0,10,B"\nb,0,10,A\nb,10,20,"B\n')


def test_a_quote_that_does_not_close_swallows_no_rows(tmp_path):
    with pytest.raises(InputError, match=r"t\.csv:3: quotes that do not close"):
        read(tmp_path, 'start,end,phase\n0,1,A\n1,2,"B\n2,3,C\n')


def test_quotes_further_apart_than_arrow_reads_at_once_are_refused(tmp_path):
    with pytest.raises(InputError, match="quotes that do not close"):
        read(tmp_path, 'start,end,phase\n0,1,"A\n' + "1,2,B\n" * 400_000 + '2,3,"C\n')


def test_inches_are_no_quotes_of_a_cell(tmp_path):
    text = 'start,end,phase,note\n0,10,A,5" port\n10,20,"B ""2""","a\n6"""\n20,30,5" tube,\nx,,,\n'
    parts, audit, _ = read(tmp_path, text)
    assert names_at(parts[""][0], [5, 15, 25]) == ["A", 'B "2"', '5" tube']
    assert any("t.csv:6:" in problem for problem in audit.problems)


def test_what_is_wrong_is_named_with_its_line(tmp_path):
    text = (
        "video,start,end,phase\n"
        "a,0:00,0:10,A\n"
        "a,0:08,0:20,B\n"
        "a,0:30,0:25,C\n"
        "a,0:40,soon,C\n"
        "a,0:40,0:50,---\n"
        "a,0:50,0:55\n"
        "a,0:55,1:00,A\n"
    )
    parts, audit, _ = read(tmp_path, text)
    assert names_at(parts["a"][0], [7, 8, 9.9, 10, 19, 45, 56]) == [
        *("A", None, None, "B", "B", None, "A")
    ]
    found = "\n".join(audit.problems)
    assert "t.csv:3: overlaps with another phase from 8 to 10" in found
    assert "t.csv:4: 'a,0:30,0:25,C' is not a row; expected an end after the start" in found
    assert "t.csv:5: 'a,0:40,soon,C' is not a row; expected a time" in found
    assert "t.csv:7: 'a,0:50,0:55' is not a row of 4 columns" in found
    assert len(audit.problems) == 4
    assert any("t.csv:6: '---' is not a phase" in remark for remark in audit.remarks)
    assert any("t.csv:3: nothing from here to line 6" in remark for remark in audit.remarks)


def test_a_long_phase_over_a_short_one_leaves_both_ends(tmp_path):
    parts, audit, _ = read(tmp_path, "start,end,phase\n0:00,0:30,A\n0:10,0:20,B\n0:25,0:28,A\n")
    assert names_at(parts[""][0], [5, 15, 22, 26, 29]) == ["A", None, "A", "A", "A"]
    assert len(audit.problems) == 1


def test_tools_as_intervals_may_overlap(tmp_path):
    text = "video,start,end,tool\na,0:00,0:10,Hook\na,0:05,0:20,Grasper\na,0:15,,Hook\n"
    parts, audit, _ = read(tmp_path, text)
    (labels,) = parts["a"]
    assert (labels.group, labels.names) == ("tools", ("Hook", "Grasper"))
    assert labels.at(np.array([0.0, 7, 12, 30]), 1.0).tolist() == [[1, 0], [1, 1], [0, 1], [1, 0]]
    assert audit.problems == []


def test_columns_of_0_and_1_are_tools_or_what_their_prefix_says(tmp_path):
    text = "video,second,phase,Hook,cvs/plate,comment\na,0,A,1,0,x\na,1,A,0,1,\na,2,B,,1,y\n"
    parts, audit, _ = read(tmp_path, text)
    groups = {labels.group: labels for labels in parts["a"]}
    assert set(groups) == {"phase", "tools", "cvs"}
    assert groups["cvs"].names == ("plate",)
    assert groups["tools"].at(np.arange(4.0), 1.0).tolist() == [[1], [0], [-1], [-1]]
    assert any("not used: comment" in remark for remark in audit.remarks)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("only\n1\n", "t.csv:1: header 'only'; expected names of columns"),
        ("a,a\n1,2\n", "expected each column once"),
        ("video,phase\na,A\n", "expected a frame, a second or a start, and a phase$"),
        ("image,phase\na.jpg,A\n", "classes of images need no time: --dataset=classes"),
        ("file,phase\na/1.png,A\n", "classes of images need no time: --dataset=classes"),
        ("video,start,end\na,0,1\n", "expected a phase, a tool"),
        ("video,start,end,phase\n", "no rows under the header"),
        ("video,start,duration,phase\na,0,10,A\na,15,5,B\n", "expected the end of each"),
        ("video,start,Dauer (s),phase\na,0,10,A\n", "'Dauer \\(s\\)' beside the start"),
    ],
)
def test_tables_that_say_nothing_are_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize("rows", ["0;1.000;A\nx;1.000;30.000;B", "0;1,000;A\nx;1,000;2,500;B"])
def test_marks_between_thousands_are_no_decimals_of_a_frame(tmp_path, rows):
    parts, audit, _ = read(tmp_path, f"video;start_frame;end_frame;phase\nx;{rows}\n")
    assert parts["x"] == []
    assert "without marks between thousands" in audit.problems[0]
    text = "video;start_frame;end_frame;phase\nx;0.0;100;A\nx;100;200;B\n"
    assert read(tmp_path, text)[0]["x"][0].rows == 2


@pytest.mark.parametrize("rows", ["0.0;11.0;A\nx;12.0;30.0;B", "0.000;11.000;A\nx;12.000;30.000;B"])
def test_frames_whose_decimals_are_zero(tmp_path, rows):
    """Three zeros may be a mark's, but for 0.000; of a column without it, nothing is taken."""
    parts, audit, _ = read(tmp_path, f"video;start_frame;end_frame;phase\nx;{rows}\n")
    if ".000" in rows:
        assert parts["x"] == []
        assert "without marks between thousands" in audit.problems[0]
        return
    assert audit.problems == []
    assert parts["x"][0].at(np.array([0, 11, 12, 30]), 1.0).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("count", [128, 40_000])
@pytest.mark.parametrize("header", ["video,start,comment", "video,frame,phase"])
def test_a_column_of_other_texts_is_not_taken_for_phases(tmp_path, header, count):
    rows = "\n".join(f"x,{i},c{i}" for i in range(count))
    with pytest.raises(InputError, match=rf"{count} names in the column .*expected at most 127"):
        read(tmp_path, f"{header}\n{rows}\n")
