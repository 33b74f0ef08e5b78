import logging

import pytest
import tensorflow as tf

from data.common.errors import InputError
from data.tfrecords.offsets import (
    integer,
    read_bytes_feature,
    read_small_features,
    real,
    scan_records,
)


def example(**values):
    """A serialised tf.train.Example of bytes, ints and floats."""

    def feature(value):
        if isinstance(value, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        if isinstance(value, int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))

    features = {name: feature(value) for name, value in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def write(path, contents):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for content in contents:
            writer.write(content)
    return path


@pytest.fixture
def file(tmp_path):
    """Three records, of which the images are longer than one byte of length can say."""
    return write(
        tmp_path / "some.tfrecord",
        [
            example(image=bytes([n]) * 5000 * n, video=b"op%d" % n, frame=300 * n, second=n / 2)
            for n in (1, 2, 3)
        ],
    )


def test_records_lie_where_tensorflow_reads_them(file):
    begins, lengths = scan_records(file)
    content = file.read_bytes()
    found = [content[b : b + n] for b, n in zip(begins, lengths, strict=True)]
    assert found == [record.numpy() for record in tf.data.TFRecordDataset(str(file))]


def test_one_feature_of_any_record(file):
    begins, lengths = scan_records(file)
    for n in (3, 1, 2):
        begin, length = int(begins[n - 1]), int(lengths[n - 1])
        assert read_bytes_feature(file, begin, length, "image") == bytes([n]) * 5000 * n
        assert read_bytes_feature(file, begin, length, "video") == b"op%d" % n


def test_small_features_of_all_records(file):
    begins, lengths = scan_records(file)
    found = list(read_small_features(file, ("video", "frame", "second")))
    assert [row[:2] for row in found] == list(zip(begins, lengths, strict=True))
    values = [(v["video"], integer(v["frame"]), real(v["second"])) for _, _, v in found]
    assert values == [(b"op1", 300, 0.5), (b"op2", 600, 1.0), (b"op3", 900, 1.5)]


def test_a_file_that_is_cut_off_is_used_as_far_as_it_goes(file, caplog):
    whole = scan_records(file)[0]
    file.write_bytes(file.read_bytes()[:-1])
    with caplog.at_level(logging.WARNING):
        begins, _ = scan_records(file)
    assert begins.tolist() == whole[:2].tolist()
    assert "within record 3" in caplog.text


@pytest.mark.parametrize("content", [b"", b"no record at all, but long enough for one"])
def test_a_file_without_records(tmp_path, content):
    path = tmp_path / "file.tfrecord"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"file\.tfrecord: \d+ bytes that hold no complete record"):
        scan_records(path)


@pytest.mark.parametrize(
    "content",
    [example(other=b"x", frame=1), b"\x07garbage", b"\x0a\xff"],
    ids=["other", "garbage", "cut"],  # the bytes of the first are in another order in each process
)
def test_a_record_without_the_feature_is_named(tmp_path, content):
    path = write(tmp_path / "file.tfrecord", [content])
    with pytest.raises(InputError, match=r"file\.tfrecord, record at byte 12 lacks video"):
        list(read_small_features(path, ("video", "frame")))
    with pytest.raises(InputError, match=r"file\.tfrecord, record at byte 12 has no 'image'"):
        read_bytes_feature(path, 12, len(content), "image")
