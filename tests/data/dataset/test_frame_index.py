import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.common.errors import InputError
from data.dataset import frame_index
from data.dataset.cholec80 import TOOLS
from data.dataset.classes import Classes, write_classes
from data.dataset.frame_index import load_index
from data.dataset.index_columns import INDEX, LABEL, PRETRAINING_INDEX, column_of, index_schema


def write_index(root, videos, row_group_size=None):
    """An index of `videos`, {name: phases}, whose frames count from 1."""
    rows = [(v, n, phase) for v, phases in videos.items() for n, phase in enumerate(phases, 1)]
    columns = {
        "video": [video for video, _, _ in rows],
        "frame": [n for _, n, _ in rows],
        "phase": [phase for _, _, phase in rows],
        **{tool: [n % 7 == place for _, n, _ in rows] for place, tool in enumerate(TOOLS)},
        "file": [f"frames/{video}/{video}_{n:06d}.jpg" for video, n, _ in rows],
        "template": [f"frames/{video}/{video}_{{:06d}}.jpg" for video, _, _ in rows],
    }
    root.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns).cast(index_schema({"tools": TOOLS}))
    pq.write_table(table, root / INDEX, row_group_size)
    return root


@pytest.mark.parametrize("row_group_size", [None, 2])
def test_columns_and_paths_are_those_of_the_table(tmp_path, row_group_size):
    """However many groups of rows it was written in; a video may begin in one, end in another."""
    root = tmp_path / "{with} braces"
    write_index(root, {"op1": [0, 0, 6], "op2": [-1, 3]}, row_group_size)
    index = load_index(root)
    assert len(index) == 5
    assert index.videos == ("op1", "op2")
    assert index.video.tolist() == [0, 0, 0, 1, 1]
    assert index.frame.tolist() == [1, 2, 3, 1, 2]
    assert index.second.tolist() == [0, 1, 2, 0, 1]
    assert index.phase.tolist() == [0, 0, 6, -1, 3]
    assert index.tools.argmax(axis=1).tolist() == [1, 2, 3, 1, 2]
    assert [c.dtype for c in (index.video, index.frame, index.phase, index.tools)] == [
        *(np.int32, np.int32, np.int8, np.int8)
    ]
    names = ["op1/op1_000001", "op1/op1_000002", "op1/op1_000003", "op2/op2_000001"]
    assert index.paths(slice(0, 4)) == [f"{root}/frames/{name}.jpg" for name in names]
    assert index.paths([3, 0]) == [f"{root}/frames/{name}.jpg" for name in (names[3], names[0])]
    assert len(index.templates) == 2, "one string a video, not one a frame"


def test_several_datasets_are_one(tmp_path):
    write_index(tmp_path / "a", {"op2": [0, 1], "op10": [2, 3]})
    write_index(tmp_path / "b", {"op1": [4, 5], "op3": [-1, -1]})
    index = load_index([tmp_path / "a", str(tmp_path / "b")])
    assert index.videos == ("op1", "op2", "op3", "op10")
    assert index.video.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert index.frame.tolist() == [1, 2] * 4
    assert index.phase.tolist() == [4, 5, 0, 1, -1, -1, 2, 3]
    assert index.paths(slice(None)) == [
        str(tmp_path / root / f"frames/{video}/{video}_00000{number}.jpg")
        for root, video in (("b", "op1"), ("a", "op2"), ("b", "op3"), ("a", "op10"))
        for number in (1, 2)
    ]
    with pytest.raises(InputError, match="has a op2"):
        load_index([tmp_path / "a", tmp_path / "a"])


@pytest.mark.parametrize(
    ("fps", "seconds", "kind"),
    [
        (1.0, [0, 1, 2, 3], np.int64),
        (0.5, [0, 2, 4, 6], np.int64),
        (2.0, [0, 0.5, 1, 1.5], np.float64),
        (3.0, [0, 0.333, 0.667, 1], np.float64),  # to the millisecond
        (30000 / 1001, [0, 0.033, 0.067, 0.1], np.float64),
    ],
)
def test_seconds_follow_from_numbers_and_rate(tmp_path, fps, seconds, kind):
    index = load_index(write_index(tmp_path, {"op1": [0] * 4}))
    index = dataclasses.replace(index, fps=np.array([fps]))
    assert index.second.tolist() == seconds
    assert index.second.dtype == kind


def test_classes_of_several_datasets_are_joined_by_name(tmp_path):
    """Phases of one are others' ids in the other; a group that one has not is unknown there."""
    roots = [
        write_index(tmp_path / name, {video: [0, 1, -1]})
        for name, video in (("a", "op1"), ("b", "op2"))
    ]
    write_classes(roots[0], Classes(phases=("in", "out"), multi_label={"tools": TOOLS}))
    write_classes(roots[1], Classes(phases=("out", "rest"), multi_label={"tools": TOOLS[::-1]}))
    index = load_index(roots)
    named = [index.classes.phases[k] if k >= 0 else None for k in index.phase]
    assert named == ["in", "out", None, "out", "rest", None]
    assert index.phase.dtype == np.int8
    assert index.label.tolist() == [-1] * 6
    # Each frame has the tool of its number; columns have the names' own places.
    names = index.classes.multi_label["tools"]
    found = [names[row.argmax()] for row in index.presence["tools"]]
    assert found == [TOOLS[1], TOOLS[2], TOOLS[3]] * 2
    assert (index.presence["tools"].sum(axis=1) == 1).all()


def test_classes_of_images_and_groups_that_one_has_not_are_joined_too(tmp_path):
    groups = {"a": {"tools": TOOLS}, "b": {"actions": ("cut", "Hook")}}
    for name, video, classes in (("a", "op1", ("in", "out")), ("b", "op2", ("out", "rest"))):
        root = write_index(tmp_path / name, {video: [-1, -1]})
        table = pq.read_table(root / INDEX)
        if name == "b":
            table = table.drop_columns(list(TOOLS))
            for action in groups["b"]["actions"]:
                table = table.append_column(
                    column_of("actions", action), pa.array([1, 0], pa.int8())
                )
        pq.write_table(table.append_column(LABEL, pa.array([0, 1], LABEL.type)), root / INDEX)
        write_classes(root, Classes(classes=classes, multi_label=groups[name]))
    index = load_index([tmp_path / "a", tmp_path / "b"])
    assert [index.classes.classes[k] for k in index.label] == ["in", "out", "out", "rest"]
    assert index.classes.multi_label == groups["a"] | groups["b"]
    assert (index.presence["tools"][2:] == -1).all() and (index.presence["tools"][:2] >= 0).all()
    assert index.presence["actions"].tolist() == [[-1, -1], [-1, -1], [1, 1], [0, 0]]
    columns = (index.label, *index.presence.values(), index.video, index.template)
    assert [c.dtype for c in columns] == [np.int16, np.int8, np.int8, np.int32, np.int32]


def test_columns_of_groups():
    assert column_of("tools", "Hook") == "Hook"
    assert column_of("tools", "stapler") == "tools/stapler"
    assert column_of("actions", "Hook") == "actions/Hook"


def test_rates_stay_with_their_videos(tmp_path, monkeypatch):
    rates = {tmp_path / "a": 2.0, tmp_path / "b": 0.5}
    monkeypatch.setattr(frame_index, "frame_rate", rates.get)
    write_index(tmp_path / "a", {"op2": [0, 1], "op10": [2, 3]})
    write_index(tmp_path / "b", {"op1": [4, 5], "op3": [-1, -1]})
    index = load_index([tmp_path / "a", tmp_path / "b"])
    assert index.second.tolist() == [0, 2, 0, 0.5, 0, 2, 0, 0.5]
    assert index.select(["op1", "op10"]).second.tolist() == [0, 2, 0, 0.5]
    assert index.select(["op10", "op2"]).fps.tolist() == [2, 2]


def test_files_whose_numbers_count_from_0(tmp_path):
    path = write_index(tmp_path, {"op": [0, 1, 2]}) / INDEX
    table = pq.read_table(path).drop_columns("template")
    template = pa.array(["frames/op/op_{1:06d}.jpg"] * 3)
    pq.write_table(table.append_column("template", template), path)
    names = [path.rpartition("_")[2] for path in load_index(tmp_path).paths([0, 2])]
    assert names == ["000000.jpg", "000002.jpg"]


def test_pretraining_sees_what_cleaning_left_and_no_groups(tmp_path):
    path = write_index(tmp_path, {"op1": [0, 1], "op2": [2, 3]}) / INDEX
    pq.write_table(pq.read_table(path).take([0, 3]), tmp_path / PRETRAINING_INDEX)
    assert len(load_index(tmp_path)) == 4
    index = load_index([tmp_path], pretraining=True)
    assert index.phase.tolist() == [0, 3]
    assert not index.presence and not index.classes.multi_label
    assert index.classes.phases == load_index(tmp_path).classes.phases


def test_a_selection_in_place_needs_no_second_table(tmp_path):
    index = load_index(write_index(tmp_path, {"op1": [0, 1], "op2": [0, 1], "op3": [4, 5]}))
    kept = index.select(["op1", "op3"], in_place=True)
    assert kept.phase.tolist() == [0, 1, 4, 5]
    assert np.shares_memory(kept.phase, index.phase)
    assert [c.dtype for c in (kept.video, kept.frame)] == [np.int32, np.int32]


def test_select_and_take(tmp_path):
    index = load_index(write_index(tmp_path, {"op1": [0, 1], "op2": [0, 1], "op3": [0, 1]}))

    some = index.select(videos=["op3", "op1"])
    assert some.videos == ("op1", "op3")
    assert some.video.tolist() == [0, 0, 1, 1]
    assert some.paths([2]) == index.paths([4])
    assert index.select(exclude=["op2", "video80"]).paths(slice(None)) == some.paths(slice(None))
    assert index.select(["op1", "op2"], exclude=["op1"]).videos == ("op2",)
    assert len(index.select(videos=[])) == 0
    with pytest.raises(InputError, match=r"op4.*op1, op2, op3"):
        index.select(videos=["op1", "op4"])

    taken = index.take(np.array([5, 0]))
    assert (taken.videos, taken.video.tolist(), taken.frame.tolist()) == (
        index.videos,
        [2, 0],
        [2, 1],
    )
    assert taken.paths([0]) == index.paths([5])


def test_what_is_no_index_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such dataset"):
        load_index(tmp_path / "absent")
    with pytest.raises(InputError, match=r"python prepare\.py"):
        load_index([tmp_path])
    with pytest.raises(InputError, match="no dataset"):
        load_index([])
    path = write_index(tmp_path, {"op": [0]}) / INDEX
    pq.write_table(pq.read_table(path).drop_columns("Hook"), path)
    with pytest.raises(InputError, match="no column 'Hook'"):
        load_index(tmp_path)
    write_index(tmp_path, {"op": [0]})
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    with pytest.raises(InputError, match="empty"):
        load_index(tmp_path)
    path.write_text("no parquet")
    with pytest.raises(InputError, match="damaged"):
        load_index(tmp_path)
