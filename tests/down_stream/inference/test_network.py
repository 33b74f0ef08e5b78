"""Streams from a real server on this machine."""

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from data.common.errors import InputError
from down_stream.inference import network
from down_stream.inference.network import is_network, network_frames, shown
from tests.support.small_videos import read_number, write_video


class Handler(BaseHTTPRequestHandler):
    """Sends a file, and of each answer at most `most` bytes before the connection breaks."""

    def do_GET(self):
        server = self.server
        server.requests += 1
        first = int(re.findall(r"\d+", self.headers.get("Range") or "0")[0])
        if not server.has_ranges:
            self.send_response(200)
            self.send_header("Content-Length", str(len(server.content)))
            self.end_headers()
            self.wfile.write(server.content[: server.most])
            return
        if server.requests > server.answers:
            self.connection.close()
            return
        rest = server.content[first:]
        self.send_response(206)
        self.send_header("Content-Length", str(len(rest)))
        self.send_header("Accept-Ranges", "bytes")
        end = len(server.content) - 1
        self.send_header("Content-Range", f"bytes {first}-{end}/{end + 1}")
        self.end_headers()
        self.wfile.write(rest[: server.most])

    def log_message(self, *_):
        pass


@pytest.fixture
def serve(tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.content = write_video(tmp_path / "op.ts", frames=200, codec="mpg2").read_bytes()
    server.requests, server.answers, server.most = 0, 99, len(server.content)
    server.has_ranges = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}/op.ts"
    yield server
    server.shutdown()
    server.server_close()


def taken(url):
    return [(round(s, 3), read_number(image)) for s, image in network_frames(url, 1.0, wait=0.01)]


def test_the_frames_of_a_file_over_http(serve):
    assert taken(serve.url) == [(n, 25 * n) for n in range(8)]


def test_a_connection_that_breaks_is_made_again(serve):
    serve.most = len(serve.content) * 2 // 5
    assert taken(serve.url) == [(n, 25 * n) for n in range(8)]
    assert serve.requests > 2


def test_a_server_that_is_gone_ends_the_stream_in_words(serve):
    serve.most, serve.answers = len(serve.content) // 2, 1
    frames = []
    with pytest.raises(InputError, match=r"http://127\.0\.0\.1:\d+/op\.ts: "):
        frames.extend(network_frames(serve.url.replace("//", "//me:secret@"), 1.0, wait=0.01))
    with pytest.raises(InputError, match="op"):
        next(network_frames(serve.url, 1.0))


def test_a_file_of_unknown_length_is_not_played_twice(serve, monkeypatch):
    """A server without ranges, whose answers all break off: each begins at the beginning."""
    monkeypatch.setattr(network, "LASTING", 1.0)
    serve.has_ranges, serve.most = False, len(serve.content) // 2
    frames = []
    with pytest.raises(InputError, match=r"after second \d; 5 attempts to connect again failed"):
        for pair in network_frames(serve.url, 1.0, wait=0.01):
            frames.append(pair)
            assert len(frames) < 9, "more than the file has"
    assert [read_number(image) for _, image in frames] == [25 * n for n in range(len(frames))]


def test_addresses_and_files():
    assert is_network("rtsp://tower/1")
    assert is_network("HTTP://tower/1.ts")
    assert not is_network("2024-05-01T12:30:05.mp4")
    assert shown("rtsp://me:secret@tower:554/1?token=2") == "rtsp://tower:554/1"
