import cv2
import numpy as np
import pytest

from data.common.errors import InputError
from data.dataset.frame_index import load_index
from data.extraction import records
from data.extraction.records import extract_records
from data.images.image_io import read_image
from data.indexing.building import build_index
from data.tfrecords.files import find_records
from tests.support import small_records
from tests.support.record_files import write_records


def snapshot(root):
    return {file: file.stat().st_mtime_ns for file in root.rglob("*") if file.is_file()}


def test_a_dataset_survives_the_way_through_records(small_dataset, tmp_path):
    before = load_index(small_dataset)
    write_records(before, tmp_path)
    assert extract_records(find_records(tmp_path), tmp_path, format="png") == {}
    audit = build_index(tmp_path)
    after = load_index(tmp_path)
    for column in ("video", "frame", "phase", "tools"):
        np.testing.assert_array_equal(getattr(after, column), getattr(before, column))
    assert after.videos == before.videos
    for ours, theirs in zip(after.paths([0, 20, 55]), before.paths([0, 20, 55]), strict=True):
        np.testing.assert_array_equal(read_image(ours), read_image(theirs))
    assert audit.problems == []
    assert not [remark for remark in audit.remarks if "tfrecord" not in remark]

    done = snapshot(tmp_path)
    assert extract_records(find_records(tmp_path), tmp_path, format="png") == {}
    assert snapshot(tmp_path) == done


def test_it_goes_on_where_it_stopped(tmp_path, monkeypatch):
    small_records.write_records(tmp_path / "video01.tfrecord", range(10))
    write, written = records.write_frame, []

    def fail_later(path, image, settings):
        if len(written) == 4:
            raise OSError(28, "no space left on device")
        write(path, image, settings)
        written.append(path)

    monkeypatch.setattr(records, "write_frame", fail_later)
    with pytest.raises(OSError, match="no space"):
        extract_records(find_records(tmp_path), tmp_path, size=6)
    assert not (tmp_path / "phase_annotations").exists()
    before = {path: path.stat().st_mtime_ns for path in written}
    monkeypatch.setattr(records, "write_frame", write)
    assert extract_records(find_records(tmp_path), tmp_path, size=6) == {}
    assert {path: path.stat().st_mtime_ns for path in written} == before
    files = sorted((tmp_path / "frames" / "video01").iterdir())
    assert [file.name for file in files] == [f"video01_{n:06d}.jpg" for n in range(1, 11)]
    assert cv2.imread(str(files[-1])).shape == (6, 8, 3)


def test_annotations_and_frames_that_are_there_are_kept(tmp_path):
    small_records.write_records(tmp_path / "video01.tfrecord", range(3))
    for name in ("phase_annotations/video01-phase.txt", "frames/video01/video01_000002.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("official")
    assert extract_records(find_records(tmp_path), tmp_path) == {}
    assert (tmp_path / "phase_annotations" / "video01-phase.txt").read_text() == "official"
    names = sorted(file.name for file in (tmp_path / "frames" / "video01").iterdir())
    assert names == ["video01_000001.jpg", "video01_000002.png", "video01_000003.jpg"]
    assert (tmp_path / "tool_annotations" / "video01-tool.txt").read_text().splitlines()[1:] == [
        f"{frame}\t0\t0\t1\t0\t0\t0\t0" for frame in (0, 25, 50)
    ]


def test_what_cannot_be_used_is_said_and_the_rest_goes_on(tmp_path, monkeypatch):
    for number in range(1, 5):
        small_records.write_records(tmp_path / f"video0{number}.tfrecord", range(3))
    cut = tmp_path / "video01.tfrecord"
    cut.write_bytes(cut.read_bytes()[:-10])
    small_records.write_records(tmp_path / "video02.tfrecord", [0, 1, 1])
    monkeypatch.setattr(small_records, "encode", lambda number: b"no image")
    small_records.write_records(tmp_path / "video03.tfrecord", [0])
    reasons = extract_records(find_records(tmp_path), tmp_path)
    assert list(reasons) == ["video01", "video02", "video03"]
    assert "damaged, example 3" in reasons["video01"]
    assert "second 1 is in it twice" in reasons["video02"]
    assert "the image of second 0: 8 bytes that are not" in reasons["video03"]
    assert len(list((tmp_path / "frames" / "video01").iterdir())) == 2
    assert len(list((tmp_path / "frames" / "video04").iterdir())) == 3
    annotated = [file.name for file in (tmp_path / "phase_annotations").iterdir()]
    assert annotated == ["video04-phase.txt"]


def test_other_rates_and_settings_are_refused(tmp_path):
    small_records.write_records(tmp_path / "video01.tfrecord", range(2))
    records = find_records(tmp_path)
    with pytest.raises(InputError, match=r"fps=2.0: record files hold 1 frame"):
        extract_records(records, tmp_path, fps=2.0)
    assert extract_records(records, tmp_path) == {}
    with pytest.raises(InputError, match="format=png"):
        extract_records(records, tmp_path, format="png")
