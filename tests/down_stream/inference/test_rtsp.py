"""Streams from a real RTSP server on this machine."""

import socket

import pytest

from data.common.errors import InputError
from down_stream.inference import network
from down_stream.inference.network import network_frames
from tests.support.encoded_videos import encode
from tests.support.rtsp_server import RtspServer
from tests.support.small_videos import read_number

LENGTH = 12.0  # seconds of the file, 25 frames each


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """A stream as cameras send it: a key frame each second, no B-frames."""
    path = tmp_path_factory.mktemp("rtsp") / "op.h264"
    return encode(path, frames=300, g="25", bf="0", tune="zerolatency")


@pytest.fixture
def serve(video):
    servers = []

    def start(*plays, **options):
        servers.append(RtspServer(video, plays, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def taken(url, wait=0.01):
    """The pairs (second, frame number) that come, and the words with which they end, or ""."""
    pairs = []
    try:
        for second, image in network_frames(url, 1.0, wait=wait):
            pairs.append((round(second, 1), read_number(image)))
    except InputError as error:
        return pairs, str(error)
    return pairs, ""


def test_a_file_that_a_server_plays(serve):
    pairs, end = taken(serve((0, 300, "bye"), length=LENGTH).url)
    assert [second for second, _ in pairs] == list(range(12))
    assert all(abs(number - 25 * second) <= 2 for second, number in pairs)
    assert end == ""


def test_a_file_goes_on_where_the_connection_broke(serve, caplog):
    server = serve((0, 130, "close"), (0, 300, "wait"), (0, 300, "bye"), length=LENGTH)
    pairs, end = taken(server.url)
    assert [second for second, _ in pairs] == list(range(12))
    assert all(abs(number - 25 * second) <= 2 for second, number in pairs)
    assert end == ""
    assert server.asked.count("PLAY") == 3  # the last one from where it broke
    assert "the connection ended, after second 5; trying again" in caplog.text


def test_a_live_stream_that_breaks_off_goes_on(serve):
    pairs, end = taken(serve((0, 130, "close"), (150, 300, "close")).url)
    assert [round(second) for second, _ in pairs] == list(range(len(pairs)))
    assert pairs[5][1] < 130 < 150 <= pairs[6][1]
    assert end.endswith(
        "/live: the server hung up, after second 11; 5 attempts to connect again failed"
    )


def test_a_live_stream_that_breaks_off_all_the_time_ends(serve):
    """Each new connection has frames, but none lasts."""
    server = serve(*[(0, 50, "close")] * 99)
    _, end = taken(server.url)
    assert end.endswith("; 5 attempts to connect again failed")
    assert server.asked.count("PLAY") == 6


def test_waiting_does_not_make_a_connection_last(serve, monkeypatch):
    """The pauses before new connections are longer than what counts as lasting."""
    monkeypatch.setattr(network, "LASTING", 0.5)
    server = serve(*[(0, 10, "close")] * 30)
    _, end = taken(server.url, wait=0.1)
    assert end.endswith("; 5 attempts to connect again failed")
    assert server.asked.count("PLAY") == 6


def test_connections_that_last_are_not_counted(serve, monkeypatch):
    monkeypatch.setattr(network, "LASTING", 1.0)
    server = serve(*[(0, 50, "close")] * 8)
    pairs, _ = taken(server.url)
    assert server.asked.count("PLAY") == 8 + 5
    assert len(pairs) >= 14


def test_a_server_that_falls_silent(serve, monkeypatch):
    monkeypatch.setattr(network, "TIMEOUT", 0.5)
    pairs, end = taken(serve((0, 130, "stall"), (150, 300, "stall")).url)
    assert pairs[-1][1] > 270
    assert "5 attempts" in end


def test_a_server_that_never_answers_is_said_and_not_waited_for(monkeypatch):
    monkeypatch.setattr(network, "TIMEOUT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"rtsp://127.0.0.1:{silent.getsockname()[1]}/live"
        assert taken(url) == ([], f"{url}: no answer in 0.5 seconds")


def test_no_password_in_a_message(serve):
    server = serve()
    server.is_locked = True
    pairs, end = taken(server.url.replace("//", "//me:secret@"))
    assert (pairs, "secret" in end) == ([], False)
    assert "401 Unauthorized" in end
