import time

import numpy as np
import pytest

from data.annotation_formats.frame_table import read_official
from data.annotation_formats.labels import look_up
from data.common.errors import InputError
from data.dataset.audit import Audit, Strict
from data.dataset.cholec80 import PHASES, TOOLS
from data.dataset.classes import MAX_CLASSES

HEADER = "Frame\tPhase\n"


def read_phases(path, audit):
    """Frames, and phases as positions in PHASES."""
    labels = read_official(path, audit, "phase")
    ids = np.array([*(PHASES.index(name) if name in PHASES else 7 for name in labels.names), -1])
    return labels.frames, ids[labels.values]


def read_tools(path, audit):
    labels = read_official(path, audit, "tools")
    return labels.frames, labels.values, labels.names


def write(tmp_path, content, name="video01-phase.txt"):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rows(*pairs):
    return HEADER + "".join(f"{frame}\t{phase}\n" for frame, phase in pairs)


def test_phases_are_numbered_in_the_order_of_their_appearance(tmp_path):
    path = write(tmp_path, rows(*enumerate(PHASES)))
    labels = read_official(path, Strict(), "phase")
    assert (labels.frames.dtype, labels.values.dtype) == (np.int64, np.int16)
    assert labels.names == PHASES
    assert labels.lines == tuple(range(2, 9))
    frames, phases = read_phases(path, Strict())
    assert frames.tolist() == phases.tolist() == list(range(7))


def test_a_cell_without_a_phase_is_not_one_of_the_most_there_may_be(tmp_path):
    names = [f"p{number}" for number in range(MAX_CLASSES)]
    labels = read_official(write(tmp_path, rows(*enumerate([*names, "-"]))), Audit(), "phase")
    assert labels.names == tuple(names)
    with pytest.raises(InputError, match="128 names in the column 'Phase'"):
        read_official(write(tmp_path, rows(*enumerate([*names, "p"]))), Audit(), "phase")


def test_tools_are_found_by_the_names_in_the_header(tmp_path):
    header = "Frame\t" + "\t".join(reversed(TOOLS))
    path = write(tmp_path, f"{header}\n0\t1\t0\t0\t0\t0\t0\t0\n25\t0\t0\t0\t0\t0\t0\t1\n")
    frames, tools, names = read_tools(path, Strict())
    assert frames.tolist() == [0, 25]
    assert tools.dtype == np.int8
    assert names == tuple(reversed(TOOLS))
    assert tools.tolist() == [[1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 1]]


@pytest.mark.parametrize(
    ("change", "remark"),
    [
        (lambda text: text.replace("\n", "\r\n"), ":1: lines end"),
        (lambda text: text.rstrip("\n"), ":5: no newline"),
        (lambda text: "\ufeff" + text, None),
        (lambda text: text + "\n\n", None),
        (lambda text: text.replace("\t", " \t ", 1).replace("Preparation", " Preparation "), None),
    ],
)
def test_harmless_differences_are_read_and_remarked(tmp_path, change, remark):
    text = rows(*((frame, "Preparation") for frame in range(4)))
    audit = Audit()
    frames, phases = read_phases(write(tmp_path, change(text)), audit)
    assert frames.tolist() == [0, 1, 2, 3]
    assert phases.tolist() == [0, 0, 0, 0]
    assert audit.problems == []
    assert [remark in found for found in audit.remarks] == ([True] if remark else [])


def test_shuffled_rows_are_found_by_number(tmp_path):
    path = write(tmp_path, rows((2, PHASES[2]), (0, PHASES[0]), (1, PHASES[1])))
    audit = Audit()
    frames, phases = read_phases(path, audit)
    assert frames.tolist() == phases.tolist() == [0, 1, 2]
    assert f"{path}:3: frame 0 comes after 2" in audit.remarks[0]


def test_repeated_rows_count_once_and_contradictions_are_unknown(tmp_path):
    same = write(tmp_path, rows((0, PHASES[0]), (1, PHASES[1]), (1, PHASES[1])))
    audit = Audit()
    frames, phases = read_phases(same, audit)
    assert (frames.tolist(), phases.tolist()) == ([0, 1], [0, 1])
    assert f"{same}:4: frame 1 was there before" in audit.remarks[0]
    assert audit.problems == []

    other = write(tmp_path, rows((0, PHASES[0]), (1, PHASES[1]), (1, PHASES[2]), (2, PHASES[2])))
    frames, phases = read_phases(other, audit)
    assert (frames.tolist(), phases.tolist()) == ([0, 1, 2], [0, -1, 2])
    assert f"{other}:4: frame 1 is labelled otherwise in line 3" in audit.problems[0]


def test_missing_rows_are_counted(tmp_path):
    path = write(tmp_path, rows((0, PHASES[0]), (1, PHASES[0]), (5, PHASES[0]), (8, PHASES[0])))
    audit = Audit()
    read_phases(path, audit)
    assert audit.remarks == [f"{path}: 5 rows are missing, the first before frame 5"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (rows((0, PHASES[0]), ("x", PHASES[0])), ":3: 'x\\tPreparation' is not a row"),
        (rows((0, PHASES[0]), (-1, PHASES[0])), ":3: '-1\\tPreparation' is not a row"),
        (rows((0, PHASES[0])) + "\n" + "2\tPreparation\n", ":3: '' is not a row"),
        (rows((0, PHASES[0])) + "1\n", ":3: '1' is not a row"),
        (rows((0, PHASES[0]), (0, PHASES[1])), ":3: frame 0 is labelled otherwise in line 2"),
    ],
)
def test_unusable_rows_raise_or_are_collected(tmp_path, content, message):
    path = write(tmp_path, content)
    with pytest.raises(InputError) as error:
        read_phases(path, Strict())
    assert f"{path}{message}" in str(error.value)
    audit = Audit()
    frames, phases = read_phases(path, audit)
    assert f"{path}{message}" in audit.problems[0]
    assert phases[frames == 0] == (0 if "otherwise" not in message else -1)
    assert (phases[frames == 1] == -1).all()


def test_lines_are_counted_with_those_that_cannot_be_used(tmp_path):
    content = rows((0, PHASES[0]), ("x", PHASES[0]), (1, PHASES[0]), (2, "---"), (3, "Prep"))
    path, audit = write(tmp_path, content), Audit()
    labels = read_official(path, audit, "phase")
    assert (labels.frames.tolist(), labels.values.tolist()) == ([0, 1, 2, 3], [0, 0, -1, 1])
    assert f"{path}:3: 'x" in audit.problems[0]
    assert f"{path}:5: '---' is not a phase" in audit.remarks[0]
    assert labels.lines == (2, 6)


def test_tool_values_other_than_0_and_1_are_unknown(tmp_path):
    path = write(tmp_path, "Frame\t" + "\t".join(TOOLS) + "\n0\t1\t0\t2\t0\t0\t0\t0\n")
    audit = Audit()
    _, tools, _ = read_tools(path, audit)
    assert tools.tolist() == [[1, 0, -1, 0, 0, 0, 0]]
    assert ":2: Hook: '2' is unknown" in audit.problems[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", ": empty"),
        ("\n \n", ": empty"),
        (HEADER, ": no rows"),
        ("0\tPreparation\n", ":1: header"),
        ("Frame Phase\n0 Preparation\n", ":1: header"),
        (rows((0, "Preparation")).encode() + b"1\t\x81\xff\n", ":3: not text in UTF-8"),
        (rows((0, "Preparation")).encode() + b"1\t\0\n", ":3: holds the byte 0"),
    ],
)
def test_files_that_are_no_annotations_raise(tmp_path, content, message):
    path = write(tmp_path, content)
    for audit in (Strict(), Audit()):
        with pytest.raises(InputError) as error:
            read_phases(path, audit)
        assert f"{path}{message}" in str(error.value)
    with pytest.raises(InputError, match="no such annotation file"):
        read_phases(tmp_path / "absent.txt", Audit())


def test_look_up_is_by_frame_number():
    frames, values = np.array([0, 25, 75, 100]), np.array([3, 4, 5, 6], np.int8)
    found = look_up(frames, values, np.array([100, 0, 50, 75, 125, -25]))
    assert found.tolist() == [6, 3, -1, 5, -1, -1]
    tools = np.arange(28, dtype=np.int8).reshape(4, 7)
    assert look_up(frames, tools, np.array([25, 26])).tolist() == [list(range(7, 14)), [-1] * 7]
    assert look_up(frames[:0], values[:0], np.array([1])).tolist() == [-1]


def test_two_hours_are_read_in_a_moment(tmp_path):
    path = write(tmp_path, rows(*((frame, PHASES[frame // 30_000]) for frame in range(180_000))))
    start = time.perf_counter()
    frames, phases = read_phases(path, Audit())
    assert time.perf_counter() - start < 1.0
    assert np.array_equal(frames, np.arange(180_000))
    assert np.array_equal(phases, np.arange(180_000) // 30_000)


@pytest.mark.parametrize(
    ("first", "count", "zeros"),
    [(0, 60, ".0"), (1, 60, ".0"), (0, 60, ".000"), (1, 1200, ".000"), (5, 60, ",00")],
)
def test_numbers_of_frames_whose_decimals_are_zero(tmp_path, first, count, zeros):
    path = write(tmp_path, rows(*((f"{n}{zeros}", PHASES[0]) for n in range(first, first + count))))
    assert read_phases(path, Strict())[0].tolist() == list(range(first, first + count))


@pytest.mark.parametrize(
    "frames",
    [
        ("1.000", "2.000", "3.000"),  # or 1,000 to 3,000
        ("998", "999", "1.000"),
        ("0.0", "1.5", "2.0"),
        ("0.0", "1.00"),
        ("0", "1.0"),
    ],
)
def test_decimals_that_may_be_something_else_are_named(tmp_path, frames):
    audit = Audit()
    path = write(tmp_path, rows(*((frame, PHASES[0]) for frame in frames)))
    try:
        read = read_phases(path, audit)[0].tolist()
    except InputError:
        read = []
    assert read == [int(frame) for frame in frames if frame.isdecimal()]
    assert "expected a frame number, without marks between thousands" in audit.problems[0]
