"""What a reader of results should know of the data: patients who may be in two parts."""

import dataclasses
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.common.errors import InputError
from data.dataset.classes import CHOLEC80
from down_stream.features.labelled_splits import names_of, remarks, select_splits
from down_stream.tasks import phases
from msn.workdir.seen import Seen

NAMES = {
    "video01": "Pat_001_video",
    "video02": "Pat_002_video",
    "video03": "Pat_002_video_part2",
    "video04": "Pat_001_video_part2",
}


@pytest.fixture
def root(small_dataset, tmp_path):
    """The small dataset, whose four videos are of two patients by their names."""
    root = shutil.copytree(small_dataset, tmp_path / "data")
    table = pq.read_table(root / "index.parquet")
    field = table.schema.field("video")
    renamed = pa.array([NAMES[name] for name in table["video"].to_pylist()]).cast(field.type)
    table = table.set_column(table.schema.get_field_index("video"), field, renamed)
    pq.write_table(table, root / "index.parquet")
    return root


def said(root, train, validation, test, seen=()):
    videos = {"train": train, "validation": validation, "test": test}
    task = phases(CHOLEC80)
    texts = remarks(task, select_splits([root], videos, task), Seen(tuple(seen), is_all=True))
    return [text for text in texts if "patients" in text]


def test_a_patient_in_two_parts_is_said(root, caplog):
    first, second, twin, test = NAMES.values()
    (learnt, validated) = said(root, (first, second), (twin,), (test,))
    assert learnt.startswith(f"{test} ({first}): in test, of patients who are in training by")
    assert validated.startswith(f"{twin} ({second}): in validation, of patients who are in train")
    assert learnt in caplog.text
    assert said(root, (first, test), (second,), (twin,))[0].startswith(
        f"{twin} ({second}): in test, of patients who are in validation by"
    )


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_videos_without_labels_add_nothing_and_that_is_said(small_dataset, tmp_path, part):
    root = shutil.copytree(small_dataset, tmp_path / "data")
    table = pq.read_table(root / "index.parquet")
    names, phase = table["video"].to_pylist(), table.schema.get_field_index("phase")
    # Of a part with one video alone nothing would be left.
    videos = {"train": ["video01"], "validation": ["video02"], "test": ["video03"]}
    videos[part].append("video04")
    labels = [
        -1 if n == "video04" else p for n, p in zip(names, table["phase"].to_pylist(), strict=True)
    ]
    field = table.schema.field("phase")
    pq.write_table(
        table.set_column(phase, field, pa.array(labels, field.type)), root / "index.parquet"
    )
    task = phases(CHOLEC80)
    splits = select_splits([root], videos, task)
    texts = remarks(task, splits, Seen(is_all=True))
    said = f"1 of 2 {part}_videos have no labels, and add nothing: video04"
    assert [text for text in texts if "add nothing" in text] == [said]


def test_a_patient_of_pre_training_is_said(root):
    first, second, twin, test = NAMES.values()
    texts = said(root, (second, twin), (), (test,), seen=(first, "other"))
    assert texts == [f"{test} ({first}): in test, of patients in pre-training by their names"]
    assert said(root, (second, twin), (), (first, test), seen=("Pat_009",)) == []


def test_what_is_not_known_of_pre_training_is_said(root, caplog):
    _, second, twin, test = NAMES.values()
    videos = {"train": (second, twin), "validation": (), "test": (test,)}
    task = phases(CHOLEC80)
    splits = select_splits([root], videos, task)
    unknown = "whether test videos were in it is not known"
    for seen, words in ((Seen(), "not known"), (Seen(data=("lvd",)), "data sets: lvd")):
        (text,) = [text for text in remarks(task, splits, seen) if unknown in text]
        assert words in text
        assert text in caplog.text
    assert not [text for text in remarks(task, splits, Seen(is_all=True)) if unknown in text]


@pytest.mark.parametrize("wanted", ["op9", "x*"])
def test_an_unknown_name_is_answered_with_all_that_take_the_own_split(tmp_path, wanted):
    """A configuration of another data set has three lists that do not fit."""
    with pytest.raises(InputError) as error:
        names_of("train", (wanted,), [tmp_path], ("op1", "op2"))
    for part in ("train", "validation", "test"):
        assert f"--config.{part}_videos=splits.json" in str(error.value)


def test_names_that_only_spelling_tells_apart_are_said(small_dataset, caplog):
    videos = {"train": ("video01", "video02"), "validation": (), "test": ("video04", "video03")}
    task = phases(CHOLEC80)
    splits = select_splits([small_dataset], videos, task)
    texts = remarks(task, splits, Seen(("Vid 04", "video-3", "VIDEO01", "op 4"), is_all=True))
    (text,) = [text for text in texts if "spelt otherwise" in text]
    assert text.startswith("2 test videos may be one with videos in pre-training")
    assert "'video03' and 'video-3'" in text and text in caplog.text
    assert not [text for text in texts if "seen test videos" in text]
    splits["validation"] = dataclasses.replace(splits["test"], videos=("Video 1", "op 3"))
    texts = remarks(task, splits, Seen(is_all=True))
    (text,) = [text for text in texts if "spelt otherwise" in text]
    assert text.startswith("1 validation video may be one operation with train videos")
