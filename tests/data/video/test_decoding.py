"""Recordings as they are: interlaced, spliced, damaged; and progressive ones, bit for bit."""

import contextlib
import itertools
import re
import struct

import av
import cv2
import numpy as np
import pytest

from data.common.errors import InputError
from data.extraction.extracting import extract_frames
from data.video.clock import read_clock
from data.video.decoding import decode, read_frames, say_lost
from data.video.seeking import VideoReader
from tests.support.encoded_videos import encode, make_noise, moving_square
from tests.support.small_videos import (
    draw_number,
    read_number,
    read_numbers,
    set_timing,
    write_video,
)


def decode_all(path, threads=1, lost=None):
    clock = read_clock(path)
    numbers = range(len(clock.times))
    return dict(decode(clock, zip(numbers, numbers, strict=True), threads, lost))


def check_seeks(path, images):
    """Each frame by itself is the one that decoding in order yields."""
    clock, reader = read_clock(path), VideoReader(path)
    for number in np.random.default_rng(0).permutation(len(clock.times))[:40].tolist():
        found = reader.read(number, clock.first + clock.times[number])
        np.testing.assert_array_equal(found[..., ::-1], images[number])


def colourful(number):
    """A picture whose colours change from pixel to pixel: how they are scaled shows."""
    noise = np.random.default_rng(number).integers(0, 60, (96, 128, 3), np.uint8)
    return moving_square(number) // 2 + noise


def combs(image):
    """How much neighbouring rows differ, beside every second row: combs make it large."""
    grey = image.astype(int).mean(axis=2)
    return np.abs(np.diff(grey, axis=0)).mean() / (np.abs(grey[2:] - grey[:-2]).mean() + 1)


@pytest.mark.parametrize("fields", ["tff", "bff"])
@pytest.mark.parametrize(("name", "codec"), [("op.mpg", "mpeg2video"), ("op.mts", "libx264")])
def test_interlaced_videos_are_deinterlaced(tmp_path, name, codec, fields):
    options = {"b": "8000000", "x264-params": f"{fields}=1"} if codec == "libx264" else {}
    path = encode(tmp_path / name, codec, 40, fields=fields, draw=moving_square, **options)
    images = decode_all(path)
    assert len({image.tobytes() for image in images.values()}) == len(images) == 40
    for number in range(2, 38):
        expected = moving_square(2 * number)  # the field that came first
        assert combs(images[number]) < 1.0
        assert np.abs(images[number].astype(int) - expected).mean() < 12
    check_seeks(path, images)


@pytest.mark.parametrize(("name", "codec"), [("op.mpg", "mpeg2video"), ("op.mts", "libx264")])
def test_a_frame_is_deinterlaced_from_both_of_its_neighbours(tmp_path, name, codec):
    """As by FFmpeg's filter over the whole video, pixel for pixel."""
    options = {"x264-params": "tff=1"} if codec == "libx264" else {}
    path = encode(tmp_path / name, codec, 12, fields="tff", draw=moving_square, **options)
    images, wanted, graph = decode_all(path), [], None
    with av.open(str(path)) as source:
        for frame in itertools.chain(source.decode(video=0), [None]):
            if graph is None:
                graph, template = av.filter.Graph(), frame
                into = graph.add_buffer(
                    width=frame.width,
                    height=frame.height,
                    format=frame.format,
                    time_base=frame.time_base,
                )
                bwdif, out = graph.add("bwdif", "mode=send_frame"), graph.add("buffersink")
                into.link_to(bwdif)
                bwdif.link_to(out)
                graph.configure()
            graph.push(frame)
            with contextlib.suppress(av.error.BlockingIOError, av.error.EOFError):
                while True:
                    wanted.append(graph.pull())
    assert template.interlaced_frame and len(wanted) == len(images) == 12
    for number, frame in enumerate(wanted):
        expected = frame.reformat(format="bgr24", interpolation="BICUBIC").to_ndarray()
        np.testing.assert_array_equal(images[number], expected)


def test_interlaced_pictures_of_another_size_are_no_neighbours(tmp_path):
    def small(number):
        return np.ascontiguousarray(moving_square(number)[:64, :96])

    parts = [
        encode(tmp_path / f"{n}.ts", "mpeg2video", 20, fields="tff", draw=draw)
        for n, draw in enumerate((moving_square, small))
    ]
    path = tmp_path / "op.ts"
    path.write_bytes(parts[0].read_bytes() + parts[1].read_bytes())
    images, alone = decode_all(path), [decode_all(part) for part in parts]
    assert len(images) == 40
    for number in range(20):
        np.testing.assert_array_equal(images[number], alone[0][number])
        np.testing.assert_array_equal(images[20 + number], alone[1][number])


def test_progressive_frames_among_interlaced_ones_are_not_touched(tmp_path):
    even = encode(tmp_path / "1.ts", "mpeg2video", 20, draw=moving_square)
    woven = encode(tmp_path / "2.ts", "mpeg2video", 20, fields="tff", draw=moving_square)
    path = tmp_path / "op.ts"
    path.write_bytes(even.read_bytes() + woven.read_bytes() + even.read_bytes())
    images, alone = decode_all(path), decode_all(even)
    for number in range(20):
        np.testing.assert_array_equal(images[number], alone[number])
        np.testing.assert_array_equal(images[number + 40], alone[number])
        assert combs(images[number + 20]) < 1.0
    check_seeks(path, images)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("op.mp4", "libx264", {"bf": "2"}),
        ("op.ts", "libx264", {"bf": "2"}),
        ("op.avi", "libx264", {"bf": "2"}),
        ("op.mpg", "mpeg2video", {"bf": "2"}),
        ("op.avi", "mpeg4", {"bf": "2"}),
        ("op.avi", "mjpeg", {}),
        ("op.mkv", "ffv1", {}),
    ],
)
def test_progressive_videos_keep_their_bits(tmp_path, name, codec, options):
    """OpenCV decodes with FFmpeg, too: a second way to the same frames."""
    path = encode(tmp_path / name, codec, 40, draw=colourful, **options)
    images, capture = decode_all(path), cv2.VideoCapture(str(path))
    for number in range(40):
        np.testing.assert_array_equal(images[number], capture.read()[1])
    check_seeks(path, images)


@pytest.mark.parametrize("turn", [(0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)])
def test_a_video_that_its_file_says_to_turn_is_turned(tmp_path, turn):
    """As a phone writes it that was held upright; OpenCV turns it, too."""
    path = encode(tmp_path / "op.mp4", "mpeg4", 12, draw=moving_square)
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 44  # ISO/IEC 14496-12, 8.3.2: the matrix
    a, b, c, d = (part << 16 for part in turn)
    content[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    images, capture = decode_all(path), cv2.VideoCapture(str(path))
    assert images[0].shape == ((128, 96, 3) if turn[0] == 0 else (96, 128, 3))
    for number in range(12):
        np.testing.assert_array_equal(images[number], capture.read()[1])
    check_seeks(path, images)


@pytest.mark.parametrize("offset", ["0", "0.02", "1000"])
def test_a_clock_that_jumps_goes_on(tmp_path, offset):
    """Two MPEG streams, one behind the other in a file; the second begins earlier or much later."""
    first = encode(tmp_path / "1.ts", frames=100)
    path = tmp_path / "op.ts"
    path.write_bytes(first.read_bytes() + shifted(first, float(offset), tmp_path))
    clock = read_clock(path)
    assert (len(clock.times), clock.rate, clock.seconds) == (200, 25, 8)
    assert "jump at second 4;" in clock.jumps()
    assert [read_number(image) for _, image in read_frames(path)] == [0, 25, 50, 75] * 2
    images = decode_all(path)
    assert len(images) == 200, "what the counter of packets leaves out is no damage there"
    check_seeks(path, images)
    assert not read_clock(first).jumps()


@pytest.mark.parametrize("codec", ["mpeg1video", "mpeg2video"])
@pytest.mark.parametrize("offsets", [(0, 90), (0, 0, 90), (0, 90, 0)])
def test_program_streams_one_behind_the_other_go_on(tmp_path, codec, offsets):
    """Of the last frame of each, FFmpeg guesses the time stamp from the clock of the next one."""
    parts = [
        encode(tmp_path / f"{n}.mpg", codec, 100, begin=25 * offset, g="25", bf="0")
        for n, offset in enumerate(offsets)
    ]
    path = tmp_path / "op.vob"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    clock = read_clock(path)
    assert (len(clock.times), clock.seconds) == (100 * len(offsets), 4 * len(offsets))
    assert "jump at second" in clock.jumps()
    images = decode_all(path)
    assert [read_number(images[number]) for number in range(90, 110)] == [
        *range(90, 100),
        *range(10),
    ]


def shifted(path, seconds, folder):
    """A transport stream whose clock begins later."""
    with (
        av.open(str(path)) as source,
        av.open(str(folder / "shifted.ts"), "w", format="mpegts") as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.pts += round(seconds * 90000)
                packet.dts += round(seconds * 90000)
                packet.stream = stream
                target.mux(packet)
    return (folder / "shifted.ts").read_bytes()


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_damage_costs_the_damaged_seconds(tmp_path, codec):
    def draw(number):
        noise = np.random.default_rng(number).integers(0, 60, (96, 128, 3), np.uint8)
        return moving_square(number) // 2 + noise

    path = encode(tmp_path / "op.mp4", codec, 300, draw=draw, g="25")
    whole = decode_all(path)
    make_noise(path, 0.5, 400)
    lost = []
    images = decode_all(path, lost=lost)
    assert 280 < len(images) < 300
    assert len(images) + len(lost) == 300
    assert max(lost) - min(lost) < 1.5
    np.testing.assert_array_equal(images[299], whole[299])
    assert decode_all(path, threads=2).keys() == images.keys()
    reasons = extract_frames([path], tmp_path / "frames", fps=25)
    assert "cannot be read, all else is used" in reasons["op"]
    assert len(list((tmp_path / "frames" / "op").iterdir())) == len(images)
    assert extract_frames([path], tmp_path / "frames", fps=25) == reasons, "told again"
    with pytest.raises(InputError, match=r"seconds? \d.* cannot be read"):
        list(read_frames(path))


@pytest.mark.parametrize("filling", ["noise", "nothing"])
@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("op.ts", "libx264", {"bf": "0"}),
        ("op.ts", "libx264", {}),
        ("op.ts", "mpeg2video", {"bf": "2"}),
        ("op.mkv", "libx264", {}),
        ("op.flv", "libx264", {}),
        ("op.avi", "mpeg4", {}),
    ],
)
def test_seconds_without_frames_have_none(tmp_path, name, codec, options, filling):
    """A file of 20 s, of which the bytes of six are overwritten.

    No second has the picture of another one: neither one in the hole, nor the first behind it,
    whose frames were made from those that are gone.
    """
    path = encode(tmp_path / name, codec, 500, draw=noisy_number, g="25", **options)
    overwrite(path, 0.4, 0.7, filling)
    images, said = images_of_seconds(path)
    assert len(read_clock(path).source_frames(1.0)) == 20
    assert {0, 4, 15, 19} <= set(images)
    assert not {9, 10, 11, 12} & set(images)
    assert re.fullmatch(r"seconds [5-8] to 1[34] cannot be read, all else is used", said)


@pytest.mark.parametrize("hole", [(0.6, 0.8), (0.85, 0.93)])
@pytest.mark.parametrize("options", [{"bf": "0"}, {}])
def test_behind_a_hole_without_another_key_frame_nothing_is_had(tmp_path, options, hole):
    """As x264 encodes by default: the last key frame is that of second 10."""
    path = encode(tmp_path / "op.ts", frames=500, draw=noisy_number, g="250", **options)
    overwrite(path, *hole)
    images, said = images_of_seconds(path)
    assert set(range(12)) <= set(images)
    assert not set(range(18, 20)) & set(images)
    assert re.fullmatch(r"seconds 1[1-8] to 19 cannot be read, all else is used", said)


def images_of_seconds(path):
    """{second: image} of all that can be had, the same by single reads; what is said of others."""
    clock, lost = read_clock(path), []
    numbers, times, first = clock.take(1.0)
    images = dict(decode(clock, enumerate(numbers.tolist()), lost=lost))
    assert {n: read_number(image) for n, image in images.items()} == {n: 25 * n for n in images}
    reader = VideoReader(path)
    for second, (number, time) in enumerate(zip(numbers, times, strict=True)):
        if second in images:
            found = reader.read(number, time + first)
            np.testing.assert_array_equal(found[..., ::-1], images[second])
        else:
            with pytest.raises(InputError, match=f"second {second} cannot be read"):
                reader.read(number, time + first)
    reader.close()
    return images, say_lost(lost)


def overwrite(path, begin, end, filling="noise"):
    """Overwrites a share of a file's bytes, whole transport packets."""
    content = bytearray(path.read_bytes())
    begin, end = (int(share * len(content)) // 188 * 188 for share in (begin, end))
    content[begin:end] = bytes(end - begin)
    if filling == "noise":
        content[begin:end] = np.random.default_rng(0).bytes(end - begin)
    elif path.suffix == ".ts":  # empty packets, as recorders write them
        content[begin:end] = (b"\x47\x1f\xff\x10" + b"\xff" * 184) * ((end - begin) // 188)
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["op.mkv", "op.flv"])
def test_a_picture_that_is_shown_for_long_is_no_hole(tmp_path, name):
    """Four seconds without a new picture, and without a byte."""
    first = encode(tmp_path / f"as_{name}", frames=100, draw=noisy_number, g="25", bf="0")
    with av.open(str(first)) as source, av.open(str(tmp_path / name), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                late = 4000 if packet.pts >= 2000 else 0  # milliseconds
                packet.pts, packet.dts, packet.stream = packet.pts + late, packet.dts + late, stream
                target.mux(packet)
    numbers = [read_number(image) for _, image in read_frames(tmp_path / name)]
    assert numbers == [0, 25, 49, 49, 50, 50, 50, 75]


def noisy_number(number):
    """A number on a picture with noise, so that all frames take about as many bytes."""
    noise = np.random.default_rng(number).integers(0, 40, (96, 192, 3), np.uint8)
    return (
        cv2.resize(draw_number(number), (192, 96), interpolation=cv2.INTER_NEAREST) // 5 * 4 + noise
    )


def test_a_last_frame_that_is_shown_for_long_is_no_fault(tmp_path):
    path = write_video(tmp_path / "op.mp4", 25, 100)
    set_timing(path, [(99, 1), (1, 250)])
    assert extract_frames([path], tmp_path / "frames") == {}


def test_a_name_may_look_like_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "op.mp4", frames=50).rename("2024-05-01T12:30:05.mp4")
    assert extract_frames(["2024-05-01T12:30:05.mp4"], "frames") == {}
    assert len(read_numbers(tmp_path / "frames" / "2024-05-01T12:30:05")) == 2
