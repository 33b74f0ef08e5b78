import pytest

from data.common.errors import InputError
from data.tfrecords.files import find_records, is_record_file, video_of_record
from tests.support.small_records import write_records


def test_files_are_known_by_content_and_videos_by_number(tmp_path):
    for name in ("video02.tfrecord", "cholec80_10", "Video-1.bin"):
        write_records(tmp_path / name, [0])
    for name in ("readme03.txt", "index.parquet", "04.png", ".video05.tfrecord"):
        (tmp_path / name).write_text("not a record file")
    (tmp_path / "video06.tfrecord").touch()  # cut off: it must be named later
    (tmp_path / "07").mkdir()
    found = find_records(tmp_path)
    assert {video: file.name for video, file in found.items()} == {
        **{"video01": "Video-1.bin", "video02": "video02.tfrecord"},
        **{"video06": "video06.tfrecord", "video10": "cholec80_10"},
    }
    assert list(found) == sorted(found)
    assert find_records(tmp_path / "absent") == {}


def test_other_record_files_are_no_videos(tmp_path):
    for name in ("cholec80.tfrecord", "cholec80-train.tfrecord-00000-of-00008", "x1.bin"):
        assert video_of_record(name) is None
    file = write_records(tmp_path / "all.bin", [0])
    assert is_record_file(file)
    with pytest.raises(InputError, match=r"all.bin: a record file of no video"):
        find_records(tmp_path)


def test_two_files_of_one_video_are_refused(tmp_path):
    for name in ("video01.tfrecord", "video1.tfrecord"):
        write_records(tmp_path / name, [0])
    with pytest.raises(InputError, match="both of video01"):
        find_records(tmp_path)
