import json
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from data.common.errors import InputError
from data.dataset.audit import Audit
from data.dataset.frame_index import load_index
from data.dataset.index_columns import INDEX, PRETRAINING_INDEX
from data.frames.opening import open_source
from data.indexing.building import build_index
from data.storage.whole import PART
from data.tfrecords.packed import MANIFEST, PACKED, PLACES
from data.tfrecords.packing import pack_frames, remark_packed, room_to_pack
from tests.support.places import ROOT

SIZE = 1  # MB
FRAMES = 24  # of 188 kB: five in a shard


@pytest.fixture(scope="module")
def heavy(tmp_path_factory):
    """Two videos and a folder of images, whose frames fill several shards; read only."""
    root = tmp_path_factory.mktemp("packing") / "heavy"
    for video, name in (("op 1", "op 1_{:06d}"), ("Bauchhöhle", "bild ({})"), ("{x}", "{{{}}}")):
        draw(root, video, name, range(1, FRAMES // 3 + 1))
    build_index(root)
    return root


def draw(root, video, name, numbers, seed=0):
    folder = root / "frames" / video
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        noise = np.random.default_rng([seed, number, len(video)]).integers(0, 256, (250, 250, 3))
        encoded = cv2.imencode(".png", noise.astype(np.uint8))[1]
        (folder / f"{name.format(number)}.png").write_bytes(encoded)


@pytest.fixture
def root(heavy, tmp_path):
    return shutil.copytree(heavy, tmp_path / "heavy")


def check_same(root):
    """Packed frames are those of the files: in number, order, time and content."""
    files, packed = open_source("images", root), open_source("packed", root)
    assert packed.videos == files.videos
    np.testing.assert_array_equal(packed.video, files.video)
    np.testing.assert_array_equal(packed.second, files.second)
    assert packed.paths(np.arange(len(files))) == files.paths(np.arange(len(files)))
    for row in range(len(files)):
        assert packed.encoded(row).tobytes() == Path(files.name(row)).read_bytes()
    np.testing.assert_array_equal(packed.read(3), files.read(3))
    reduced = [source.read_reduced(3, lambda _: 2) for source in (packed, files)]
    np.testing.assert_array_equal(*(image for image, _ in reduced))
    return packed


def pack(root, megabytes):
    """How many shards there are then, and how many were written."""
    said = pack_frames(root, megabytes).removeprefix(f"{root / PACKED}: ")
    return tuple(int(number) for number in re.findall(r"\d+", said))


def shards(root):
    """{shard: which file on the disk it is, and when it was changed}."""
    found = sorted((root / PACKED).glob("*.tfrecord"))
    return {file.name: (file.stat().st_ino, file.stat().st_mtime_ns) for file in found}


def test_frames_are_those_of_the_files(root):
    count, written = pack(root, SIZE)
    assert count == written == len(shards(root)) > 4
    packed = check_same(root)
    assert all(file.stat().st_size <= SIZE * 1_000_000 for file in packed.files(slice(None)))
    assert len(packed.files(slice(None))) == count
    assert packed.files(slice(0, 1)) == [root / PACKED / "frames-00000.tfrecord"]
    assert packed.state(range(3)) != packed.state(range(1, 4))


def test_any_reader_of_tfrecord_reads_the_shards(root):
    pack(root, SIZE)
    index = load_index(root)
    files = sorted(map(str, (root / PACKED).glob("*.tfrecord")))
    records = [r.numpy() for r in tf.data.TFRecordDataset(files)]  # checks the checksums, too
    examples = [tf.train.Example.FromString(record).features.feature for record in records]
    for row, path in enumerate(index.paths(slice(None))):
        assert path == str(root / examples[row]["file"].bytes_list.value[0].decode())
        assert [index.frame[row]] == examples[row]["frame"].int64_list.value
        assert len(examples[row]) == 3


def test_an_image_larger_than_a_shard_is_a_shard(root):
    noise = np.random.default_rng(0).integers(0, 256, (700, 700, 3)).astype(np.uint8)
    cv2.imwrite(str(root / "frames" / "op 1" / "op 1_000003.png"), noise)
    pack(root, SIZE)
    packed = check_same(root)
    assert max(file.stat().st_size for file in packed.files(slice(None))) > 1_000_000


def test_what_is_excluded_and_several_datasets(root, tmp_path, small_dataset):
    other = shutil.copytree(small_dataset, tmp_path / "other")
    for place in (root, other):
        pack_frames(place, SIZE)
    roots = [other, root]
    files, packed = (open_source(k, roots, ("video02", "op 1")) for k in ("images", "packed"))
    assert packed.videos == files.videos and len(packed.videos) == 5
    assert packed.excluded == files.excluded == ("op 1", "video02")
    for row in range(len(files)):
        np.testing.assert_array_equal(packed.read(row), files.read(row))


def test_whole_shards_are_kept(root):
    count, _ = pack(root, SIZE)
    before = shards(root)
    (root / PACKED / MANIFEST).unlink()
    assert pack(root, SIZE) == (count, 0)
    assert shards(root) == before
    assert pack(root, SIZE + 1)[1] > 0  # another size is another packing
    assert shards(root) != before
    check_same(root)


def test_a_new_video_is_added_to_what_is_there(root):
    count, _ = pack(root, SIZE)
    before = shards(root)
    draw(root, "~", "~_{:06d}", range(1, 4))
    build_index(root)
    with pytest.raises(InputError, match="not the frames that there are now of ~; expected"):
        open_source("packed", root)
    assert pack(root, SIZE) == (count + 1, 1)
    assert before.items() <= shards(root).items()
    check_same(root)


def test_a_video_that_is_gone_is_gone_from_the_shards(root):
    pack(root, SIZE)
    shutil.rmtree(root / "frames" / "op 1")
    build_index(root)
    assert open_source("packed", root).videos == open_source("images", root).videos  # others are
    pack(root, SIZE)
    check_same(root)
    names = [
        name
        for note in (root / PACKED).glob("*.parquet")
        for name in pq.read_table(note)["file"].to_pylist()
    ]
    assert len(names) == len(set(names)) == FRAMES // 3 * 2
    assert len(shards(root)) == len(list((root / PACKED).glob("*.parquet")))


def test_an_image_that_was_replaced_is_packed_again(root):
    count, _ = pack(root, SIZE)
    before = shards(root)
    draw(root, "op 1", "op 1_{:06d}", [2], seed=1)
    assert pack(root, SIZE) == (count, 1)
    assert len(before.items() - shards(root).items()) == 1
    check_same(root)


def test_cleaning_is_noticed_and_packed(root):
    pack(root, SIZE)
    shutil.copyfile(root / INDEX, root / PRETRAINING_INDEX)
    open_source("packed", root)
    table = pq.read_table(root / INDEX)
    pq.write_table(table.slice(2), root / PRETRAINING_INDEX)
    with pytest.raises(InputError, match="again, with --pack"):
        open_source("packed", root)
    pack(root, SIZE)
    assert len(check_same(root)) == FRAMES - 2


def test_other_extractions_and_replaced_images_are_noticed(root):
    log = root / "frames" / "extraction.json"
    noted = {"fps": 1.0, "videos": {"op 1": {"frames": 8, "bytes": 99, "content": ["a"]}}}
    log.write_text(json.dumps(noted))
    pack(root, SIZE)
    noted["videos"]["op 1"]["content"] = ["b"]
    log.write_text(json.dumps(noted))
    with pytest.raises(InputError, match="not the frames that there are now of op 1;"):
        open_source("packed", root)
    log.unlink()  # a copy without frames has none
    shutil.rmtree(root / "frames")
    open_source("packed", root).read(0)
    audit = Audit(changed=["{x}"])
    remark_packed(root, audit)
    (remark,) = audit.remarks
    assert "not the frames that there are now of {x};" in remark
    with pytest.raises(InputError, match=r"there are now of \{x\}"):
        open_source("packed", root)


def test_nothing_is_remarked_where_all_is_well(root):
    audit = Audit()
    remark_packed(root, audit)
    pack(root, SIZE)
    remark_packed(root, audit)
    assert not audit.remarks


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda p: shutil.rmtree(p), "its frames are not packed"),
        (lambda p: (p / MANIFEST).unlink(), "packed in part"),
        (lambda p: (p / MANIFEST).write_text("{"), "damaged"),
        (lambda p: (p / PLACES).write_bytes(b"x"), "damaged"),
        (lambda p: np.save(p / PLACES, np.zeros((3, 2), np.uint32)), "24 of videos, 3 in places"),
        (lambda p: (p / "frames-00001.tfrecord").unlink(), "no frames-00001.tfrecord in it"),
    ],
)
def test_damage_is_said_in_one_line(root, harm, said):
    pack(root, SIZE)
    harm(root / PACKED)
    with pytest.raises(InputError, match=said) as raised:
        open_source("packed", root)
    assert "\n" not in str(raised.value) and "--pack" in str(raised.value)
    pack(root, SIZE)
    check_same(root)


def test_a_shard_that_was_cut_off_is_named_and_written_again(root):
    pack(root, SIZE)
    shard = root / PACKED / "frames-00001.tfrecord"
    with shard.open("r+b") as file:
        file.truncate(1000)
    frames = open_source("packed", root)
    row = int(open_source("packed", root)._packs[0].firsts[1])
    with pytest.raises(InputError, match=r"frames-00001.tfrecord, record at byte \d+, .*\.png"):
        frames.read(row)
    assert pack(root, SIZE)[1] == 1
    check_same(root)


def test_a_disk_that_takes_no_more_of_a_file_is_said(root):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as raised:
            pack(root, SIZE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.filename == str(root / PACKED / "frames-00000.tfrecord")
    pack(root, SIZE)
    check_same(root)


def test_an_image_that_is_gone_is_named(root):
    gone = root / "frames" / "op 1" / "op 1_000004.png"
    gone.unlink()
    with pytest.raises(InputError, match=r"op 1_000004\.png: no such file"):
        pack(root, SIZE)
    build_index(root)
    pack(root, SIZE)
    check_same(root)


def test_killed_at_any_time_it_goes_on(root):
    code = f"from data.tfrecords.packing import *; pack_frames(Path({str(root)!r}), {SIZE})"
    folder, kept = root / PACKED, {}
    for wanted in (1, 3):  # shards when it is killed
        process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
        while len(list(folder.glob("[!.]*.parquet"))) < wanted:
            assert process.poll() is None
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        whole = {note.stem for note in folder.glob("[!.]*.parquet")}
        now = {name: state for name, state in shards(root).items() if name[:-9] in whole}
        assert kept.items() <= now.items()
        kept = now
        with pytest.raises(InputError, match="packed in part"):
            open_source("packed", root)
    count, written = pack(root, SIZE)
    assert written == count - len(kept)
    assert kept.items() <= shards(root).items()
    assert not list(folder.glob(f"{PART}*.tfrecord"))
    check_same(root)


def test_room_is_asked_for_before_anything_is_written(root, monkeypatch):
    needed = sum(file.stat().st_size for file in (root / "frames").rglob("*.png"))
    frames, estimate = room_to_pack(root, SIZE)
    assert frames == FRAMES and needed < estimate < 1.01 * needed
    monkeypatch.setattr("data.archives.room.free_space", lambda _: needed)
    line = rf"^{re.escape(str(root / PACKED))}: a copy of the frames: needs 4\.\d+MB more; .* free$"
    with pytest.raises(InputError, match=line):
        pack_frames(root, SIZE)
    assert not (root / PACKED).exists()
    monkeypatch.undo()
    pack_frames(root, SIZE)
    packed = sum(file.stat().st_size for file in (root / PACKED).iterdir())
    assert abs(packed / estimate - 1) < 0.01
    assert room_to_pack(root, SIZE) == (0, 0)
    monkeypatch.setattr("data.archives.room.free_space", lambda _: 0)
    pack_frames(root, SIZE)  # nothing is to be written


def test_only_what_is_new_needs_room(root, monkeypatch):
    pack_frames(root, SIZE)
    draw(root, "new", "new_{:06d}", [1, 2])
    build_index(root)
    assert room_to_pack(root, SIZE)[0] == 2
    monkeypatch.setattr("data.archives.room.free_space", lambda _: 0)
    with pytest.raises(InputError, match="needs 37"):
        pack_frames(root, SIZE)
