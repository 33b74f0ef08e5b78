import struct

import pytest

from data.common.errors import InputError
from data.dataset.audit import Audit
from data.preparation.operations import find_parts, join_files, read_operations, remark_gaps
from data.video.parts import VideoFiles
from tests.support.small_videos import write_video


@pytest.fixture
def files(tmp_path):
    """Makes empty files, {name of the video: file}."""

    def make(*names, size=10):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(b"x" * size)
        return {name.replace("/", "_").rpartition(".")[0]: tmp_path / name for name in names}

    return make


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (["op12_part1.mp4", "op12_part2.mp4"], {1: "op12_part1", 2: "op12_part2"}),
        (["op12/part1.mp4", "op12/part2.mp4"], {1: "op12_part1", 2: "op12_part2"}),
        (["op12 Teil 2.MTS", "op12 Teil 10.MTS"], {2: "op12 Teil 2", 10: "op12 Teil 10"}),
        (["op12-pt1of2.mp4", "op12-pt2of2.mp4"], {1: "op12-pt1of2", 2: "op12-pt2of2"}),
        (["op12.mp4", "op12 (2).mp4"], {1: "op12", 2: "op12 (2)"}),
        (["op12(1).mp4", "op12(2).mp4"], {1: "op12(1)", 2: "op12(2)"}),
        (["op12_000.mts", "op12_001.mts"], {0: "op12_000", 1: "op12_001"}),
    ],
)
def test_names_of_parts(files, names, parts):
    assert find_parts(files(*names)) == {"op12": parts}


@pytest.mark.parametrize(
    "names",
    [
        ["video01.mp4", "video02.mp4"],
        ["case_1.mp4", "case_2.mp4"],
        ["case_101.mp4", "case_102.mp4"],
        ["endo_20230401.mp4", "endo_20230402.mp4"],
        ["op12_part1.mp4"],
        ["op12_part1.mp4", "op12.mp4"],
        ["op12_part1.mp4", "op12_part01.mkv", "op12_part2.mp4"],
        ["departed1.mp4", "departed2.mp4"],
    ],
)
def test_names_that_tell_nothing_of_parts(files, names):
    assert find_parts(files(*names)) == {}


def test_numbers_alone_count_where_a_recorder_has_cut(files, tmp_path):
    same = files("op_001.mts", "op_002.mts", size=4000) | files("op_003.mts", size=900)
    assert find_parts(same) == {"op": {1: "op_001", 2: "op_002", 3: "op_003"}}
    assert find_parts(same | files("op_002.mts", size=2000)) == {}
    cut = {
        f"long_{k:03d}": write_video(tmp_path / f"long_{k:03d}.mp4", frames=f)
        for k, f in ((1, 50), (2, 50), (3, 20))
    }
    write_video(cut["long_002"], frames=50, first=4000)  # of another size, as long
    assert list(find_parts(cut)) == ["long"]
    write_video(cut["long_002"], frames=30)
    assert find_parts(cut) == {}


def test_parts_are_joined_in_order_and_the_rest_stays(files):
    videos = files("b.mp4", "op_part10.mp4", *(f"op_part{k}.mp4" for k in range(1, 10)))
    joined = join_files(videos, find_parts(videos), set())
    assert list(joined) == ["b", "op"]
    assert joined["b"] == VideoFiles((videos["b"],))
    assert joined["op"] == VideoFiles(tuple(videos[f"op_part{k}"] for k in range(1, 11)))


def test_a_table_may_have_whole_paths_and_such_from_home(files, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    videos = files("a/x.mp4", "b/x.mp4")
    table = tmp_path / "t.csv"
    table.write_text(f"file,operation,order\n~/b/x.mp4,op,1\n{tmp_path}/a/x.mp4,op,2\n")
    audit = Audit()
    assert read_operations(table, tmp_path, videos, audit) == {"op": {1: "b_x", 2: "a_x"}}
    assert audit.problems == []


def test_a_missing_part_is_named_and_what_is_before_it_used(files):
    videos = files("op_part1.mp4", "op_part2.mp4", "op_part4.mp4", "x_part2.mp4", "x_part3.mp4")
    joined = join_files(videos, find_parts(videos), set())
    assert joined["op"].files == (videos["op_part1"], videos["op_part2"])
    assert joined["op"].fault == "op: part 3 is missing among parts 1 to 4; used up to part 2"
    assert joined["x"] == VideoFiles((), "x: part 1 is missing among parts 1 to 3; not used")


def test_an_operation_needs_a_name_of_its_own(files):
    videos = files("op.mp4", "a.mp4", "b.mp4")
    with pytest.raises(InputError, match=r"op: .* rename"):
        join_files(videos, {"op": {1: "a", 2: "b"}}, set())
    with pytest.raises(InputError, match=r"stills: .* rename"):
        join_files(videos, {"stills": {1: "a", 2: "b"}}, {"stills"})


def test_a_table_of_operations(files, tmp_path):
    videos = files("a/1.mp4", "b/1.mp4", "x.MTS", "y.MTS", "z.mp4")
    table = tmp_path / "operations.csv"
    table.write_text(
        "Order;Operation;File\n2;Gallenblase 7;b/1.mp4\n1;Gallenblase 7;x.MTS\n1;left;a/1.mp4\n",
        encoding="utf-16",
    )
    assert read_operations(table, tmp_path, videos, Audit()) == {
        "Gallenblase 7": {2: "b_1", 1: "x"},
        "left": {1: "a_1"},
    }


def test_rows_without_a_file_are_problems(files, tmp_path):
    videos = files("a/1.mp4", "b/1.mp4", "x.mp4")
    table, audit = tmp_path / "operations.csv", Audit()
    table.write_text("file,operation,order\nx.mp4,op,1\nabsent.mp4,op,2\n1.mp4,op,3\n")
    assert read_operations(table, tmp_path, videos, audit) == {"op": {1: "x"}}
    assert [problem.partition(" in ")[0] for problem in audit.problems] == [
        f"{table}:3: no videos of this name",
        f"{table}:4: 2 videos of this name",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,operation\nx.mp4,op\n", ":1: columns file, operation; expected file, operation, o"),
        ("file,operation,order\nx.mp4,op,first\n", ":2: .*'first'; expected"),
        ("file,operation,order\nx.mp4,../op,1\n", ":2: operation '../op'"),
        ("file,operation,order\nx.mp4,op,1\ny.mp4,op,1\n", ":3: .*second time"),
        ("file,operation,order\nx.mp4,op,1\nx.mp4,op,2\n", ":3: .*second time"),
    ],
)
def test_tables_that_are_wrong(files, tmp_path, text, message):
    videos, table = files("x.mp4", "y.mp4"), tmp_path / "operations.csv"
    table.write_text(text)
    with pytest.raises(InputError, match=rf"operations\.csv{message}"):
        read_operations(table, tmp_path, videos, Audit())


def set_creation_time(file, seconds):
    content = bytearray(file.read_bytes())
    at = content.index(b"mvhd") + 8
    content[at : at + 4] = struct.pack(">I", seconds)
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("created", "gap"),
    [
        ((1000, 1004), None),  # one after the other
        ((1000, 1010), None),  # 4 seconds, then 10: the second was made at its end
        ((1000, 1016), 6),
        ((1000, 2000), 990),
        ((2000, 1000), None),
        ((0, 1000), None),
    ],
)
def test_gaps_are_said_where_they_are_certain(tmp_path, created, gap):
    first = write_video(tmp_path / "1.mp4", 25, 100)
    second = write_video(tmp_path / "2.mp4", 25, 250)
    for file, seconds in zip((first, second), created, strict=True):
        set_creation_time(file, seconds)
    audit = Audit()
    remark_gaps({"op": VideoFiles((first, second)), "other": VideoFiles((second,))}, audit)
    expected = f"op: by their creation times, at least {gap} seconds lie between part 1 and the ne"
    assert [remark[: len(expected)] for remark in audit.remarks] == [expected] * (gap is not None)


def test_files_without_a_creation_time(files):
    videos = files("a.mts", "b.mp4", "c.mp4", "d.mp4")
    videos["b"].write_bytes(struct.pack(">I4s", 1, b"mdat") + b"xx")
    videos["c"].write_bytes(struct.pack(">I4s", 20, b"moov") + b"xx")
    videos["d"].write_bytes(struct.pack(">I4s", 0, b"mdat") + b"xx")
    remark_gaps({"op": VideoFiles(tuple(videos.values()))}, audit := Audit())
    assert audit.remarks == []


def test_parts_of_an_operation_lie_in_one_folder(tmp_path):
    apart = {
        f"rec_part{n}": tmp_path / folder / f"rec_part{n}.mp4" for n, folder in ((1, "a"), (2, "b"))
    }
    assert find_parts(apart) == {}
    names = [f"{folder}/rec_part{n}" for folder in "ab" for n in (1, 2)]
    both = {name.replace("/", "_"): tmp_path / f"{name}.mp4" for name in names}
    assert find_parts(both) == {
        f"{folder}_rec": {n: f"{folder}_rec_part{n}" for n in (1, 2)} for folder in "ab"
    }
    beside = {"a_op": tmp_path / "a/op.mp4", "b_op": tmp_path / "b/op.mp4"}
    beside |= {"op_part2": tmp_path / "a/op_part2.mp4"}
    assert find_parts(beside) == {"op": {1: "a_op", 2: "op_part2"}}
