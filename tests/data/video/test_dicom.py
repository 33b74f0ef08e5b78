"""Real streams in DICOM files that pydicom writes."""

import pytest
from pydicom.uid import ExplicitVRLittleEndian

from data.common.errors import InputError
from data.video.dicom import is_dicom, read_dicom_clock, read_header
from data.video.parts import VideoFiles
from tests.support.small_dicoms import H264, HEVC, JPEG, MPEG2, h264, jpegs, write_dicom
from tests.support.small_videos import read_number, write_video


def shown(*files, fps=1):
    """What the frames show that are taken; the folder for streams is gone afterwards."""
    scratch = files[0].parent / "scratch"
    with VideoFiles(files).open("op", scratch) as parts:
        parts.check_end()
        sources = enumerate(parts.clock.source_frames(fps).tolist())
        numbers = [read_number(image) for _, image in parts.decode(sources)]
    assert not scratch.exists()
    return numbers


@pytest.mark.parametrize(
    ("syntax", "suffix", "codec"),
    [
        (MPEG2, "mpg", "mpg2"),
        (f"{MPEG2}.1", "ts", "mpg2"),
        (H264, "mp4", "mp4v"),
        (HEVC, "ts", "mpg2"),
    ],
)
@pytest.mark.parametrize("fragments", [1, 3])
def test_a_container_keeps_its_own_time(tmp_path, syntax, suffix, codec, fragments):
    video = write_video(tmp_path / f"video.{suffix}", 25, 61, codec).read_bytes()
    file = write_dicom(tmp_path / "dicom", video, syntax, 61, fragments, CineRate=50)
    assert is_dicom(file)
    assert shown(file) == [0, 25, 50]


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        ({"CineRate": 10}, [0, 10, 20, 30]),
        ({"FrameTime": "50"}, [0, 20]),
        ({"RecommendedDisplayFrameRate": 5}, [0, 5, 10, 15, 20, 25, 30]),
        ({"FrameTime": "33.33", "CineRate": 30}, [0, 30]),
    ],
)
def test_the_header_says_the_rate_of_bare_streams(tmp_path, rate, expected):
    assert shown(write_dicom(tmp_path / "a", h264(34), H264, 34, **rate)) == expected
    assert shown(write_dicom(tmp_path / "b", jpegs(34), JPEG, 34, **rate)) == expected


def test_a_frame_time_is_rounded_and_a_whole_rate_is_not(tmp_path):
    for elements, rate in (
        ({"FrameTime": "33.33", "CineRate": 30}, 30),
        ({"FrameTime": "33.37", "CineRate": 30}, 1000 / 33.37),
        ({"FrameTime": "40"}, 25),
    ):
        file = write_dicom(tmp_path / "dicom", jpegs(3), JPEG, 3, **elements)
        clock = read_dicom_clock(file, tmp_path / "stream")
        assert float(clock.rate) == pytest.approx(rate, rel=1e-6), elements


def test_parts_may_be_dicom_files(tmp_path):
    first = write_dicom(tmp_path / "1", jpegs(26), JPEG, 26, CineRate=10)
    second = write_dicom(tmp_path / "2", jpegs(30, first=26), JPEG, 30, CineRate=10)
    assert shown(first, second) == [0, 10, 20, 30, 40, 50]


def test_what_cannot_be_used_is_said_without_the_files_name(tmp_path):
    def fault(file):
        with pytest.raises(InputError) as error:
            shown(file)
        assert "Mustermann" not in str(error.value)
        return str(error.value)

    silent = write_dicom(tmp_path / "Mustermann1", jpegs(5), JPEG, 5)
    assert fault(silent) == "op: nothing says its rate; expected FrameTime or CineRate"
    raw = write_dicom(tmp_path / "Mustermann2", bytes(48 * 96 * 3), ExplicitVRLittleEndian)
    assert fault(raw) == "op: no video in it"
    text = write_dicom(tmp_path / "Mustermann3", b"no video", H264)
    assert fault(text) == "op: 8 bytes that are not a video, or one without its index"
    cut = write_dicom(tmp_path / "Mustermann4", jpegs(100), JPEG, 100, CineRate=10)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    assert fault(cut).startswith("op: cut off, used as far as it goes")
    stream = write_video(tmp_path / "video.ts", 25, 200, "mpg2").read_bytes()
    cut = write_dicom(tmp_path / "Mustermann6", stream, MPEG2, 200)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    assert fault(cut).startswith("op: cut off, used as far as it goes")
    damaged = tmp_path / "Mustermann5"
    damaged.write_bytes(cut.read_bytes()[:300])
    assert fault(damaged).startswith("op: ")


def test_headers(tmp_path):
    video = read_header(write_dicom(tmp_path / "a", h264(2), H264, 2))
    still = read_header(write_dicom(tmp_path / "b", jpegs(1), JPEG))
    raw = read_header(write_dicom(tmp_path / "c", bytes(2), ExplicitVRLittleEndian, 2))
    assert [h.is_video for h in (video, still, raw)] == [True, False, False]
    assert (raw.frames, raw.syntax) == (2, "Explicit VR Little Endian")
    assert len({h.digest for h in (video, still, raw)}) == 3
    again = write_dicom(tmp_path / "sub" / "a", h264(3), H264, 3)
    assert read_header(again).digest == video.digest, "the same after a change of place"
    (tmp_path / "d").write_bytes(bytes(128) + b"DICM")
    assert read_header(tmp_path / "d") is None
    assert not is_dicom(tmp_path / "absent")
