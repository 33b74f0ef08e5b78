"""MPEG streams that end within a packet, real ones, as FFmpeg writes them."""

import numpy as np
import pytest

from data.common.errors import InputError
from data.video.clock import read_clock
from data.video.files.cut import is_cut
from data.video.files.opening import VideoFile
from tests.support.encoded_videos import encode, moving_square

STREAMS = {
    "op.ts": "libx264",
    "00000.m2ts": "libx264",
    "dvd.vob": "mpeg2video",
    "pal.mpg": "mpeg2video",
}


@pytest.fixture(scope="module", params=STREAMS)
def whole(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / request.param
    return encode(path, STREAMS[request.param], 100, draw=moving_square)


def is_named(path, content):
    path.write_bytes(content)
    with VideoFile(path) as file:
        return is_cut(file)


def test_most_places_to_cut_at_are_seen(whole, tmp_path):
    content, path = whole.read_bytes(), tmp_path / whole.name
    places = np.random.default_rng(0).integers(len(content) // 3, len(content), 60)
    assert sum(is_named(path, content[:place]) for place in places) >= 57
    for place in places[:5]:
        path.write_bytes(content[:place])
        with pytest.raises(InputError, match=r"cut off, .*, to second [0-4], where"):
            read_clock(path).check_end()


def test_whole_files_are_none_and_what_is_behind_them_is_no_packet(whole, tmp_path):
    content, path = whole.read_bytes(), tmp_path / whole.name
    read_clock(whole).check_end()
    for end in (b"", bytes(2048), b"\xff" * 7, b"TAG of something"):
        assert not is_named(path, content + end), end


def test_another_format_is_not_asked(tmp_path):
    content = encode(tmp_path / "op.mkv", "libx264", 100).read_bytes()
    assert not is_named(tmp_path / "cut.mkv", content[: len(content) // 2])
