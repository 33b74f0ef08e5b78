"""One small dataset in five forms: whatever the source, a row is the same frame."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
from array_record.python.array_record_module import ArrayRecordWriter

from data.common.errors import InputError
from data.dataset.frame_index import load_index
from data.frames.opening import SOURCES, open_source
from data.images.image_io import read_image
from data.indexing.building import build_index
from data.tfrecords.packing import pack_frames
from tests.support.record_files import write_records
from tests.support.small_dataset import make_small_dataset
from tests.support.small_videos import read_number, write_video


def write_tfds(index, folder, shards=2, kind="tfrecord"):
    """Frames as data/tfds_builder.py has them prepared: shuffled over some shards."""
    folder.mkdir(parents=True)
    order = np.random.default_rng(0).permutation(len(index))
    for shard, rows in enumerate(np.array_split(order, shards)):
        path = folder / f"endoscopic_frames-train.{kind}-{shard:05d}-of-{shards:05d}"
        if kind == "tfrecord":
            writer = tf.io.TFRecordWriter(str(path))
        else:  # as tensorflow_datasets/core/sequential_writer.py has it
            writer = ArrayRecordWriter(str(path), "group_size:1")
        for row in rows:
            writer.write(tfds_example(index, row))
        writer.close()
    lengths = [str(len(rows)) for rows in np.array_split(order, shards)]
    info = {"fileFormat": kind, "splits": [{"name": "train", "shardLengths": lengths}]}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    return folder


def tfds_example(index, row):
    with open(index.paths([row])[0], "rb") as file:  # noqa: PTH123
        image = file.read()
    texts = {"image": image, "video": index.videos[index.video[row]].encode()}
    features = {
        **{n: tf.train.Feature(bytes_list=tf.train.BytesList(value=[v])) for n, v in texts.items()},
        "frame": tf.train.Feature(int64_list=tf.train.Int64List(value=[index.frame[row]])),
        "second": tf.train.Feature(float_list=tf.train.FloatList(value=[index.second[row]])),
        "tools": tf.train.Feature(int64_list=tf.train.Int64List(value=[-1] * 7)),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


@pytest.fixture(scope="module")
def index(small_dataset):
    return load_index(small_dataset)


@pytest.fixture(scope="module")
def roots(small_dataset, index, tmp_path_factory):
    """{kind: folder}, all of the same frames but the videos."""
    folder = tmp_path_factory.mktemp("sources")
    write_records(index, folder / "records")
    write_tfds(index, folder / "tfds")
    shutil.copytree(small_dataset, folder / "packed")
    pack_frames(folder / "packed", 1)
    for n in (1, 2, 10):
        write_video(folder / "videos" / "videos" / f"video{n:02d}.mp4", frames=50 * n)
    return {"images": small_dataset, **{kind: folder / kind for kind in SOURCES[1:]}}


@pytest.mark.parametrize("kind", ["images", "packed", "records", "tfds"])
def test_a_row_is_the_same_frame_in_every_form(kind, roots, index):
    source = open_source(kind, roots[kind])
    assert source.videos == index.videos
    assert source.starts.tolist() == [0, 14, 28, 42, 56]
    assert source.excluded == ()
    for row in (0, 13, 14, 30, 55):
        np.testing.assert_array_equal(source.read(row), read_image(index.paths([row])[0]))
        assert source.seconds(row) == index.second[row]


@pytest.mark.parametrize("kind", ["images", "packed", "records", "tfds"])
def test_excluded_videos_are_left_out(kind, roots, index):
    source = open_source(kind, str(roots[kind]), exclude=["video02", "video77", "VID04"])
    assert source.videos == ("video01", "video03")
    assert source.excluded == ("video02", "video04")
    assert source.starts.tolist() == [0, 14, 28]
    np.testing.assert_array_equal(source.read(20), read_image(index.paths([34])[0]))
    assert source.seconds(20) == 6


@pytest.mark.parametrize("kind", ["images", "packed", "records", "tfds"])
def test_exclusions_that_only_spelling_tells_from_a_video_are_said(kind, roots, caplog):
    source = open_source(kind, roots[kind], exclude=["Video 2", "vid-03", "VIDEO04", "case 1"])
    assert source.excluded == ("video04",), "case is no spelling of its own"
    (line,) = caplog.messages
    assert line.startswith("2 videos may be one with excluded ones, spelt otherwise: ")
    assert "'video02' and 'Video 2', 'video03' and 'vid-03'" in line


@pytest.mark.parametrize("fps", [1.0, 5.0])
def test_videos_at_a_rate(roots, fps):
    source = open_source("videos", roots["videos"], exclude=["video02"], fps=fps)
    assert source.videos == ("video01", "video10"), "in natural order"
    assert source.excluded == ("video02",)
    assert source.starts.tolist() == [0, 2 * fps, 22 * fps]
    row = int(7 * fps)
    assert read_number(source.read(row)) == (row - 2 * fps) * 25 / fps
    assert source.seconds(row) == pytest.approx((row - 2 * fps) / fps)
    assert len(source.neighbours(row, 1.0)) == 2 * fps + 1


def test_a_folder_of_videos_needs_no_layout(roots):
    assert len(open_source("videos", roots["videos"] / "videos")) == 2 + 4 + 20


@pytest.mark.parametrize("kind", SOURCES)
def test_several_folders_are_one(kind, tmp_path, roots):
    """Rows of the second come right although its files are others."""
    other = make_small_dataset(tmp_path / "other", videos=2, seconds=7)
    for n in (1, 2):
        (other / "frames" / f"video0{n}").rename(other / "frames" / f"video1{n}")
        for path in (other / "frames" / f"video1{n}").iterdir():
            path.rename(path.with_name(path.name.replace("video0", "video1")))
        for kind_of, folder in (("phase", "phase_annotations"), ("tool", "tool_annotations")):
            path = other / folder / f"video0{n}-{kind_of}.txt"
            path.rename(other / folder / f"video1{n}-{kind_of}.txt")
        write_video(other / "videos" / f"video1{n}.mp4", frames=100)
    build_index(other)
    others = load_index(other)
    write_records(others, tmp_path / "records")
    write_tfds(others, tmp_path / "tfds", shards=3)
    pack_frames(other, 1)
    second = {"records": tmp_path / "records", "tfds": tmp_path / "tfds"}.get(kind, other)
    source = open_source(kind, [roots[kind], second], exclude=["video01", "video11"])
    assert source.excluded == ("video01", "video11")
    assert source.videos[-1] == "video12"
    last = source.read(len(source) - 1)
    if kind == "videos":
        assert read_number(last) == 75
    else:
        np.testing.assert_array_equal(last, read_image(others.paths([13])[0]))
        assert source.seconds(len(source) - 1) == 6


def test_frames_extracted_at_another_rate_know_their_seconds(tmp_path):
    root = make_small_dataset(tmp_path / "data", videos=1)
    record = {"fps": 0.5, "format": "png", "quality": 95, "size": None, "videos": {}}
    (root / "frames" / "extraction.json").write_text(json.dumps(record))
    source = open_source("images", root)
    assert source.seconds(3) == 6
    assert source.neighbours(3, 2.0) == range(2, 5)


def test_images_of_foreign_names_have_no_seconds(tmp_path):
    root = make_small_dataset(tmp_path / "data", videos=1)
    for path in (root / "frames" / "video01").iterdir():
        path.rename(path.with_name(f"shot-{path.name[-8:]}"))
    build_index(root)
    assert open_source("images", root).neighbours(3, 100.0) == range(3, 4)


@pytest.mark.parametrize("kind", SOURCES)
def test_nothing_usable_is_one_line(kind, roots, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: no "):
        open_source(kind, tmp_path / "empty")
    with pytest.raises(InputError, match=r"nowhere: no such dataset directory"):
        open_source(kind, [roots[kind], tmp_path / "nowhere"])
    with pytest.raises(InputError, match="no dataset directory; expected"):
        open_source(kind, [])
    with pytest.raises(InputError, match="videos are excluded"):
        open_source(kind, roots[kind], exclude=[f"video{n:02d}" for n in range(99)])
    with pytest.raises(InputError, match="has a video01, as"):
        open_source(kind, [roots[kind], shutil.copytree(roots[kind], tmp_path / "twice")])


def test_another_kind_is_named():
    with pytest.raises(InputError, match="'frames'; expected one of images, packed, records"):
        open_source("frames", ".")


def test_videos_that_cannot_be_read(tmp_path):
    (tmp_path / "op.mp4").write_bytes(b"no video")
    with pytest.raises(InputError, match="none of 1 videos can be read"):
        open_source("videos", tmp_path)


def test_tfds_files_of_format_array_record(index, roots, tmp_path):
    root = write_tfds(index, tmp_path / "tfds", shards=3, kind="array_record")
    source, other = open_source("tfds", root), open_source("tfds", roots["tfds"])
    assert (source.videos, len(source)) == (other.videos, len(other))
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(source.read, range(len(source))))
    for row, image in enumerate(images):
        np.testing.assert_array_equal(image, other.read(row))
    assert source.seconds(np.arange(56)).tolist() == other.seconds(np.arange(56)).tolist()
    assert source.paths([0])[0].startswith(f"{root}/endoscopic_frames-train.array_record-0000")
    shard = next(root.glob("*.array_record-00001*"))
    shard.write_bytes(shard.read_bytes()[:70_000])
    with pytest.raises(InputError, match=r"00001-of-00003: 70000 bytes that hold no record"):
        open_source("tfds", root)


def test_tfds_files_that_are_missing_or_of_another_format(roots, tmp_path):
    root = shutil.copytree(roots["tfds"], tmp_path / "tfds")
    info = root / "dataset_info.json"
    content = info.read_text()
    info.write_text(content.replace('"tfrecord"', '"parquet"'))
    with pytest.raises(InputError, match="format parquet; build it with"):
        open_source("tfds", root)
    info.write_text("{")
    with pytest.raises(InputError, match=r"dataset_info\.json: damaged"):
        open_source("tfds", root)
    info.write_text(content)
    next(root.glob("*.tfrecord-00001*")).unlink()
    with pytest.raises(InputError, match="1 of 2 record files"):
        open_source("tfds", root)
