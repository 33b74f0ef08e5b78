import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
import tensorflow as tf

from data.cholec80_tfrecords import CONFIG, make_cholec80
from data.common.errors import InputError
from data.dataset.cholec80 import PHASES, TFRECORD_PHASES
from data.dataset.frame_index import load_index
from data.images.image_io import read_image
from data.indexing.building import build_index
from data.storage.folders import copy_folder
from data.tfrecords.records import read_records
from tests.support import small_records
from tests.support.object_store import new_place
from tests.support.record_files import write_records


@pytest.fixture(scope="module")
def records(small_dataset, tmp_path_factory):
    """The small dataset, four videos of 14 frames, as record files."""
    folder = tmp_path_factory.mktemp("records")
    files = write_records(load_index(small_dataset), folder)
    assert [file.name for file in files] == [f"video0{number}.tfrecord" for number in (1, 2, 3, 4)]
    return folder


def make(folder, n_minibatch, tmp_path, **arguments):
    """All batches; `config` is added to the configuration."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"cholec80_dir": str(folder)} | arguments.pop("config", {})))
    return make_cholec80(n_minibatch, path, **arguments)


def batches(*arguments, **options):
    return list(make(*arguments, **options).as_numpy_iterator())


def joined(parts, name):
    return np.concatenate([part[name] for part in parts])


def test_in_order_everything_is_as_in_the_dataset(records, small_dataset, tmp_path):
    index = load_index(small_dataset)
    dataset = make(records, 5, tmp_path, mode="INFER")
    assert dataset.options().autotune.enabled is False
    read = list(dataset.as_numpy_iterator())
    assert [len(part["frame"]) for part in read] == [5, 5, 4] * 4
    assert [bool(part["end_flag"]) for part in read] == [False, False, True] * 4
    np.testing.assert_array_equal(joined(read, "phase"), index.phase)
    np.testing.assert_array_equal(joined(read, "instruments"), index.tools)
    np.testing.assert_array_equal(joined(read, "frame_id"), index.frame)
    assert set(joined(read, "total_frames")) == {14}
    names = [name.decode() for name in joined(read, "video_id")]
    assert names == [index.videos[video] for video in index.video]
    images = [read_image(path) for path in index.paths(slice(None))]
    np.testing.assert_array_equal(joined(read, "frame"), images)
    assert {name: value.dtype.name for name, value in read[0].items() if name != "video_id"} == {
        **{"frame": "uint8", "frame_id": "int64", "total_frames": "int64"},
        **{"instruments": "int64", "phase": "int64", "end_flag": "bool"},
    }


def test_frames_of_several_videos_are_mixed(records, small_dataset, tmp_path):
    tf.random.set_seed(0)
    dataset = make(records, 8, tmp_path, config={"n_interleave_block": 1})
    index = load_index(small_dataset)
    phase_of = dict(zip(zip(index.video, index.frame, strict=True), index.phase, strict=True))
    orders = []
    for _ in range(2):
        read = list(dataset.as_numpy_iterator())
        videos = [int(name[-2:]) - 1 for name in joined(read, "video_id")]
        keys = list(zip(videos, joined(read, "frame_id"), strict=True))
        assert len(keys) == len(set(keys)) == 56
        assert all(len(set(part["video_id"])) == 4 for part in read)
        assert not any(part["end_flag"] for part in read)
        assert [phase_of[key] for key in keys] == joined(read, "phase").tolist()
        orders.append(keys)
    assert orders[0] != orders[1]
    assert any(np.diff([key[1] for key in orders[0]]) < -1)  # batches are shuffled


def test_videos_are_shuffled_but_not_their_frames(records, tmp_path):
    tf.random.set_seed(0)
    dataset = make(records, 5, tmp_path, mode="VIDEO")
    orders = set()
    for _ in range(4):
        read = list(dataset.as_numpy_iterator())
        assert all(len(set(part["video_id"])) == 1 for part in read)
        assert joined(read, "frame_id").tolist() == [*range(1, 15)] * 4
        assert [bool(part["end_flag"]) for part in read] == [False, False, True] * 4
        orders.add(tuple(joined(read, "video_id")))
    assert len(orders) > 1


def test_record_files_may_be_in_a_bucket(s3, records, tmp_path):
    copy_folder(records, remote := new_place())
    read, expected = (batches(place, 5, tmp_path, mode="INFER") for place in (remote, records))
    for part, other in zip(read, expected, strict=True):
        for name, value in other.items():
            np.testing.assert_array_equal(part[name], value)
    numbers = joined(batches(remote, 5, tmp_path, config={"n_interleave_block": 1}), "frame_id")
    assert sorted(numbers) == sorted(joined(expected, "frame_id"))
    with pytest.raises(InputError, match=r"s3://.*no record files of video09"):
        make(remote, 5, tmp_path, video_ids=[8])


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("n_minibatch", [3, 5, 20])
def test_the_end_of_a_video_wherever_its_frames_count_from(tmp_path, first, n_minibatch):
    """Of ten frames in threes, 7, 8, 9 would be the last batch if they were counted from 0."""
    small_records.write_records(tmp_path / "video01.tfrecord", range(first, first + 10))
    read = batches(tmp_path, n_minibatch, tmp_path, mode="VIDEO")
    flags = [bool(part["end_flag"]) for part in read]
    assert flags == [False] * (len(read) - 1) + [True]
    assert joined(read, "frame_id").tolist() == list(range(first, first + 10))
    assert joined(read, "frame")[:, 0, 0, 0].tolist() == list(range(first, first + 10))
    numbers = [record.number for record in read_records(tmp_path / "video01.tfrecord")]
    assert numbers == list(range(1, 11))


def test_phases_are_joined_by_name(tmp_path):
    for number, name in enumerate(TFRECORD_PHASES):
        file = small_records.write_records(tmp_path / "video01.tfrecord", [0], phase=number)
        (batch,) = batches(tmp_path, 1, tmp_path, mode="INFER")
        assert PHASES[batch["phase"][0]] == name
        (record,) = read_records(file)
        assert PHASES[record.phase] == name
        assert record.tools == (0, 0, 1, 0, 0, 0, 0)


def test_the_writer_numbers_phases_as_tf_cholec80(records):
    (raw,) = tf.data.TFRecordDataset(str(records / "video01.tfrecord")).skip(13).take(1)
    example = tf.train.Example.FromString(raw.numpy()).features.feature
    assert example["phase"].int64_list.value[0] == 4  # GallbladderRetraction, our 6
    assert example["frame_id"].int64_list.value[0] == example["total_frames"].int64_list.value[0]


def test_videos_are_found_by_name(records, tmp_path):
    folder = tmp_path / "some"
    shutil.copytree(records, folder)
    (folder / "video02.tfrecord").unlink()
    (folder / "a note.txt").write_text("sorted before all others")
    for video_ids, names in (([3, 0], [b"video04", b"video01"]), ([2], [b"video03"])):
        read = batches(folder, 14, tmp_path, video_ids=video_ids, mode="INFER")
        assert [part["video_id"][0] for part in read] == names
    everything = batches(folder, 14, tmp_path, mode="INFER")
    assert [part["video_id"][0] for part in everything] == [b"video01", b"video03", b"video04"]
    with pytest.raises(InputError, match=r"no record files of video02, video80$"):
        make(folder, 1, tmp_path, video_ids=[0, 1, 79])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "TRAIN"}, "mode='TRAIN'; expected one of FRAME, VIDEO, INFER"),
        ({"n_minibatch": 0}, "n_minibatch=0: expected 1 or more"),
        ({"video_ids": []}, "video_ids is empty"),
        ({"config": {"n_file_shufle": 1}}, "expected the keys cholec80_dir, n_batch_shuffle"),
        ({"config": {"cholec80_dir": "absent"}}, "absent: no record files in it"),
    ],
)
def test_wrong_input_is_said(records, tmp_path, arguments, message):
    with pytest.raises(InputError, match=message):
        make(records, **{"n_minibatch": 1, "tmp_path": tmp_path} | arguments)


def test_a_wrong_configuration_file_is_said(tmp_path, monkeypatch):
    (tmp_path / "broken.json").write_text("{")
    for name, message in (("absent.json", "cannot be read"), ("broken.json", "not JSON")):
        with pytest.raises(InputError, match=f"{name}: {message}"):
            make_cholec80(1, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=CONFIG["cholec80_dir"]):
        make_cholec80(1)


def test_frames_without_labels_are_left_out_of_records(small_dataset, tmp_path, caplog):
    index = load_index(small_dataset).select(["video01"])
    index.phase[2], index.tools[5, 3] = -1, -1
    (file,) = write_records(index, tmp_path / "records")
    kept = [1, 2, *range(4, 6), *range(7, 15)]
    assert [record.number for record in read_records(file)] == kept
    assert "video01: 2 frames without labels are left out" in caplog.text
    index.phase[:] = -1
    assert write_records(index, tmp_path / "none") == []


def write_frame(path):
    path.parent.mkdir(parents=True)
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (24, 32, 3), "B"), (0, 0), 3)
    cv2.imwrite(str(path), image)


def test_jpeg_frames_become_png(tmp_path):
    path = tmp_path / "frames" / "video01" / "video01_000001.jpg"
    write_frame(path)
    build_index(tmp_path)
    index = load_index(tmp_path)
    index.phase[:] = 0
    index = replace(index, presence={"tools": np.zeros((1, 7), np.int8)})
    (record,) = read_records(write_records(index, tmp_path)[0])
    decoded = tf.io.decode_png(record.image).numpy()
    np.testing.assert_array_equal(decoded, read_image(path))


def test_only_videos_that_would_be_found_again_are_written(tmp_path):
    write_frame(tmp_path / "frames" / "op1" / "op1_000001.jpg")
    build_index(tmp_path)
    with pytest.raises(InputError, match="op1: record files are of videos named like video07"):
        write_records(load_index(tmp_path), tmp_path / "records")
    assert not (tmp_path / "records").exists()


def test_damage_is_named(tmp_path):
    file = small_records.write_records(tmp_path / "video01.tfrecord", [0, 1, 2], total=4)
    assert len(list(read_records(file))) == 3
    content = file.read_bytes()
    two = sum(len(record.numpy()) + 16 for record in tf.data.TFRecordDataset(str(file)).take(2))
    file.write_bytes(content[:-10])
    with pytest.raises(InputError, match=r"video01.tfrecord: damaged, example 3"):
        list(read_records(file))
    for end, message in (  # TensorFlow takes them for whole files
        (two + 7, f"ends after {two} bytes, within example 3"),
        (two, "ends after frame 2 of 4"),
        (7, "ends after 0 bytes, within example 1"),
        (0, "ends after 0 bytes, within example 1"),
    ):
        file.write_bytes(content[:end])
        with pytest.raises(InputError, match=f"video01.tfrecord: {message}"):
            list(read_records(file))
    with tf.io.TFRecordWriter(str(file)) as writer:
        writer.write(tf.train.Example().SerializeToString())
    with pytest.raises(InputError, match="example 1 is not one of TF-Cholec80's"):
        list(read_records(file))
    small_records.write_records(file, [0], phase=7)
    with pytest.raises(InputError, match="example 1 has phase 7; expected 0 to 6"):
        list(read_records(file))
