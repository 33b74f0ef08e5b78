"""Fetching from a real server on loopback that misbehaves; unpacking archives that do."""

import email.utils
import gzip
import hashlib
import io
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import time
from collections import namedtuple
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from data.archives import fetch as archives_fetch
from data.archives import room, unpack_tar
from data.archives.fetch import fetch, verify
from data.archives.unpack_tar import unpack
from data.common.errors import InputError
from tests.support.places import ROOT

DATA = random.Random(0).randbytes(3_000_000)
OTHER = random.Random(1).randbytes(len(DATA))
MD5 = hashlib.md5(DATA).hexdigest()


# --- the server -----------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        asked = self.server.asked.setdefault(self.path, [])
        asked.append(self.headers.get("Range"))
        try:
            self.server.answers[self.path](self, len(asked))
        except ConnectionError:
            self.close_connection = True

    def log_message(self, *_):
        pass

    def head(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def file(self, content=DATA, *, ranges=True, etag='"one"', send=None, stall=0.0, **headers):
        """Serves `content` as RFC 9110 has it; hangs up after `send` bytes of body and a stall."""
        start = 0
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if etag:
            headers["ETag"] = etag
        if ranges and match and self.headers.get("If-Range", etag) == etag:
            start = int(match[1])
            headers.setdefault("Content_Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if start == len(content):
            self.head(416, Content_Range=f"bytes */{len(content)}", Content_Length=0)
            return
        headers.setdefault("Content_Length", len(content) - start)
        self.head(206 if start else 200, **headers)
        self.wfile.write(content[start : None if send is None else start + send])
        if send is not None:
            self.wfile.flush()
            time.sleep(stall)
            self.close_connection = True

    def reset(self):
        """Ends the connection with RST, as a crashed machine does."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()
        raise ConnectionError


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.asked, self.errors = {}, {}, []

    def handle_error(self, request, client_address):
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError):
            self.errors.append(error)

    def at(self, answer, path="/cholec80.tar.gz"):
        """Has `answer(handler, number of the request)` speak for `path`; returns the address."""
        self.answers[path] = answer
        return f"http://127.0.0.1:{self.server_port}{path}"

    def ranges(self, path="/cholec80.tar.gz"):
        """First bytes asked for, one per request; 0 where all was asked for."""
        return [int(asked[6:-1]) if asked else 0 for asked in self.asked.get(path, [])]


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
        assert not server.errors  # an assertion in an answer


@pytest.fixture
def target(tmp_path):
    return tmp_path / "data" / "cholec80.tar.gz"


def get(url, target, **options):
    return fetch(url, target, **{"timeout": 2.0, "backoff": 0.01, "retries": 3, **options})


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def one_line(error, *parts):
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert str(part) in message
    return True


# --- fetching -------------------------------------------------------------------------------------


@pytest.mark.parametrize("md5", [None, MD5, MD5.upper()])
def test_fetch_writes_the_file_and_nothing_else(server, target, md5):
    url = server.at(lambda request, _: request.file())
    assert get(url, target, md5=md5) == target
    assert target.read_bytes() == DATA
    assert names(target.parent) == [target.name]


def test_fetch_leaves_a_complete_target_alone(server, target):
    url = server.at(lambda request, _: request.file())
    get(url, target)
    get(url, target)
    get(url, target, md5=MD5)
    assert server.ranges() == [0]


def test_fetch_verifies_a_target_that_was_there(server, target):
    target.parent.mkdir()
    target.write_bytes(OTHER)
    url = server.at(lambda request, _: request.file())
    with pytest.raises(InputError) as error:
        get(url, target, md5=MD5)
    assert one_line(error, target, MD5, hashlib.md5(OTHER).hexdigest())
    assert names(target.parent) == ["cholec80.tar.gz.damaged"]
    assert get(url, target, md5=MD5).read_bytes() == DATA


def test_dropped_connections_are_resumed_where_they_broke(server, target):
    url = server.at(lambda request, _: request.file(send=1_000_000))
    # More breaks than `retries`: each attempt brought new bytes.
    assert get(url, target, md5=MD5, retries=1).read_bytes() == DATA
    assert server.ranges() == [0, 1_000_000, 2_000_000]


def test_a_stalled_connection_is_resumed(server, target):
    def answer(request, number):
        request.file(**({"send": 1_000_000, "stall": 1.5} if number == 1 else {}))

    started = time.monotonic()
    assert get(server.at(answer), target, timeout=0.3, md5=MD5).read_bytes() == DATA
    assert server.ranges() == [0, 1_000_000]
    assert time.monotonic() - started < 1.4  # by the time-out, not by the server hanging up


def test_a_server_that_says_nothing_is_asked_again(server, target):
    url = server.at(lambda request, n: time.sleep(1.5) if n == 1 else request.file())
    assert get(url, target, timeout=0.3).read_bytes() == DATA
    assert server.ranges() == [0, 0]


def test_a_range_may_come_in_pieces(server, target):
    def answer(request, number):
        start = int(request.headers["Range"][6:-1]) if number > 1 else 0
        body = DATA[start : start + 1_000_000]
        if start == 0:
            request.file(send=len(body))
        else:
            span = f"bytes {start}-{start + len(body) - 1}/{len(DATA)}"
            request.head(206, Content_Range=span, Content_Length=len(body), ETag='"one"')
            request.wfile.write(body)

    assert get(server.at(answer), target, md5=MD5).read_bytes() == DATA
    assert server.ranges() == [0, 1_000_000, 2_000_000]


def test_a_server_whose_pieces_are_empty_ends(server, target):
    def answer(request, number):
        if number == 1:
            request.file(send=1_000_000)
        else:
            span = f"bytes 1000000-{len(DATA) - 1}/{len(DATA)}"
            request.head(206, Content_Range=span, Content_Length=0, ETag='"one"')

    with pytest.raises(InputError) as error:
        get(server.at(answer), target)
    assert one_line(error, "4 failed attempts", "1000000 bytes came where 3000000 were announced")


def test_a_connection_that_is_reset_is_tried_again(server, target):
    url = server.at(lambda request, n: request.reset() if n == 1 else request.file())
    assert get(url, target, md5=MD5).read_bytes() == DATA


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(server, target):
    url = server.at(lambda request, n: request.file(send=1_000_000 if n == 1 else 0))
    with pytest.raises(InputError) as error:
        get(url, target, md5=MD5)
    assert one_line(error, url, "4 failed attempts", "kept")
    assert not target.exists()
    url = server.at(lambda request, _: request.file())
    assert get(url, target, md5=MD5).read_bytes() == DATA
    assert server.ranges() == [0] + 4 * [1_000_000]


def test_a_server_that_ignores_range_starts_again_from_zero(server, target):
    url = server.at(lambda r, n: r.file(ranges=False, send=2_000_000 if n == 1 else None))
    assert get(url, target, md5=MD5).read_bytes() == DATA
    assert server.ranges() == [0, 2_000_000]


def test_a_server_that_ignores_range_and_always_breaks_ends(server, target):
    url = server.at(lambda r, n: r.file(ranges=False, send=1_000_000 if n % 2 else 500_000))
    with pytest.raises(InputError) as error:
        get(url, target)
    assert one_line(error, url, "4 failed attempts")


@pytest.mark.parametrize("validator", ["etag", "last-modified", "server ignores If-Range"])
def test_changed_content_is_never_mixed(server, target, validator):
    def answer(request, number):
        first = number == 1
        options = {"content": OTHER if first else DATA, "send": 1_000_000 if first else None}
        if validator == "last-modified":
            date = email.utils.formatdate(0 if first else 86400, usegmt=True)
            same = first or request.headers["If-Range"] == date
            request.file(etag=None, ranges=same, Last_Modified=date, **options)
        else:
            assert request.headers["If-Range"] == ('"old"' if number == 2 else None)
            if validator == "server ignores If-Range":
                del request.headers["If-Range"]
            request.file(etag='"old"' if first else '"new"', **options)

    assert get(server.at(answer), target).read_bytes() == DATA
    honest = validator != "server ignores If-Range"
    assert server.ranges() == ([0, 1_000_000] if honest else [0, 1_000_000, 0])


def test_without_any_validator_another_size_is_another_file(server, target):
    def answer(request, number):
        if number == 1:
            request.file(OTHER + b"more", etag=None, send=1_000_000)
        else:
            request.file(etag=None)

    assert get(server.at(answer), target).read_bytes() == DATA
    assert server.ranges() == [0, 1_000_000, 0]


def test_a_weak_etag_is_not_sent_as_if_range(server, target):
    def answer(request, number):
        assert "If-Range" not in request.headers
        request.file(etag='W/"weak"', send=1_000_000 if number == 1 else None)

    assert get(server.at(answer), target, md5=MD5).read_bytes() == DATA
    assert server.ranges() == [0, 1_000_000]


@pytest.mark.parametrize(
    "wrong",
    [
        f"bytes 0-{len(DATA) - 1}/{len(DATA)}",
        f"bytes 999999-{len(DATA) - 1}/{len(DATA)}",
        f"bytes 1000000-{len(DATA)}/{len(DATA) + 1}",
        "nonsense",
    ],
)
def test_a_wrong_content_range_is_not_trusted(server, target, wrong):
    def answer(request, number):
        if number == 1:
            request.file(send=1_000_000)
        elif "Range" in request.headers:
            request.file(Content_Range=wrong)
        else:
            request.file()

    assert get(server.at(answer), target).read_bytes() == DATA
    assert server.ranges() == [0, 1_000_000, 0]


def test_a_part_without_its_note_is_not_trusted(server, target):
    target.parent.mkdir()
    target.with_name(target.name + ".part").write_bytes(OTHER[:1000])
    assert get(server.at(lambda request, _: request.file()), target).read_bytes() == DATA
    assert server.ranges() == [0]


def test_a_server_that_announces_more_than_it_has(server, target):
    url = server.at(
        lambda r, _: r.file(ranges=False, Content_Length=len(DATA) + 10, send=len(DATA))
    )
    with pytest.raises(InputError) as error:
        get(url, target)
    assert one_line(error, url, "4 failed attempts")
    assert not target.exists()


def test_a_server_that_announces_less_than_it_has(server, target):
    url = server.at(lambda request, _: request.file(Content_Length=1_000_000, send=len(DATA)))
    with pytest.raises(InputError) as error:
        get(url, target, md5=MD5)
    assert one_line(error, MD5, hashlib.md5(DATA[:1_000_000]).hexdigest())
    assert names(target.parent) == ["cholec80.tar.gz.damaged"]


def test_a_range_that_is_longer_than_announced_is_cut(server, target):
    def answer(request, number):
        if number == 1:
            request.file(send=1_000_000)
        else:
            body = DATA[1_000_000:] + b"surplus"
            span = f"bytes 1000000-{len(DATA) - 1}/{len(DATA)}"
            request.head(206, Content_Range=span, Content_Length=len(body), ETag='"one"')
            request.wfile.write(body)

    assert get(server.at(answer), target).read_bytes() == DATA


@pytest.mark.parametrize("breaks", [False, True])
def test_a_server_that_does_not_say_how_much_comes(server, target, breaks):
    def answer(request, number):
        if number == 1:
            request.head(200, Transfer_Encoding="chunked", ETag='"one"')
            request.wfile.write(b"%x\r\n%b\r\n" % (1_000_000, DATA[:1_000_000]))
            if not breaks:
                request.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (2_000_000, DATA[1_000_000:]))
            request.close_connection = True
        else:
            request.file()

    assert get(server.at(answer), target, md5=MD5).read_bytes() == DATA
    assert server.ranges() == ([0, 1_000_000] if breaks else [0])


def test_a_part_that_was_complete_already(server, target):
    def answer(request, number):  # all of it comes, but its end (the last, empty chunk) does not
        if number == 1:
            request.head(200, Transfer_Encoding="chunked", ETag='"one"')
            request.wfile.write(b"%x\r\n%b\r\n" % (len(DATA), DATA))
            request.close_connection = True
        else:
            request.file()

    assert get(server.at(answer), target, md5=MD5).read_bytes() == DATA
    assert server.ranges() == [0, len(DATA)]  # the second answer is 416


def test_a_part_longer_than_the_file_is_dropped(server, target):
    url = server.at(lambda request, _: request.file(DATA + b"!", send=1_000_000), "/longer")
    with pytest.raises(InputError):
        get(url, target, retries=0)
    short = DATA[:1000]
    url = server.at(lambda request, _: self_or_416(request, short))
    assert get(url, target).read_bytes() == short
    assert server.ranges() == [1_000_000, 0]


def self_or_416(request, content):
    if "Range" in request.headers:
        request.head(416, Content_Range=f"bytes */{len(content)}", Content_Length=0)
    else:
        request.file(content)


def test_an_encoding_that_the_server_declares_is_not_undone(server, target):
    content = gzip.compress(DATA[:10_000])

    def answer(request, number):
        assert request.headers["Accept-Encoding"] == "identity"
        request.file(content, Content_Encoding="gzip")

    assert get(server.at(answer), target).read_bytes() == content


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_is_not_repeated_and_leaves_nothing(server, target, status):
    url = server.at(lambda request, _: request.head(status, Content_Length=0))
    with pytest.raises(InputError) as error:
        get(url, target)
    assert one_line(error, url, status)
    assert len(server.ranges()) == 1
    assert not target.parent.exists()


def test_a_refusal_keeps_what_was_received(server, target):
    def answer(request, number):
        if number == 1:
            request.file(send=1_000_000)
        elif number == 2:
            request.head(403, Content_Length=0)
        else:
            request.file()

    url = server.at(answer)
    with pytest.raises(InputError, match="403"):
        get(url, target)
    assert get(url, target).read_bytes() == DATA
    assert server.ranges() == [0, 1_000_000, 1_000_000]


def test_a_web_page_is_not_an_archive(server, target):
    url = server.at(lambda request, _: request.file(b"<html>", Content_Type="text/html"))
    with pytest.raises(InputError) as error:
        get(url, target)
    assert one_line(error, url, "web page")
    assert not target.parent.exists()


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_in_trouble_is_asked_again(server, target, status):
    def answer(request, number):
        if number == 1:
            request.head(status, Content_Length=0)
        else:
            request.file()

    assert get(server.at(answer), target, md5=MD5).read_bytes() == DATA


def test_a_server_in_trouble_for_good(server, target, monkeypatch):
    waits = []
    monkeypatch.setattr(archives_fetch.time, "sleep", waits.append)
    url = server.at(lambda request, _: request.head(500, Content_Length=0))
    with pytest.raises(InputError) as error:
        get(url, target, retries=4, backoff=50.0)
    assert one_line(error, url, 500)
    assert len(server.ranges()) == 5
    assert waits == [50.0, 100.0, archives_fetch.MAX_WAIT, archives_fetch.MAX_WAIT]


@pytest.mark.parametrize(("asked", "waited"), [("7", 7.0), ("999999", archives_fetch.MAX_WAIT)])
def test_retry_after_is_honoured_within_reason(server, target, monkeypatch, asked, waited):
    waits = []
    monkeypatch.setattr(archives_fetch.time, "sleep", waits.append)

    def answer(request, number):
        if number == 1:
            request.head(503, Content_Length=0, Retry_After=asked)
        else:
            request.file()

    get(server.at(answer), target)
    assert waits == [waited]


def test_nobody_answers(target):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/x"
        with pytest.raises(InputError) as error:
            get(url, target, retries=1)
    assert one_line(error, url, "refused")


@pytest.mark.parametrize("url", ["cholec80.tar.gz", "file:///etc/hosts", "http://"])
def test_an_address_that_is_none(target, url):
    with pytest.raises(InputError) as error:
        get(url, target)
    assert one_line(error, url)


def disk_with(monkeypatch, free):
    usage = namedtuple("usage", "total used free")(10**12, 10**12 - free, free)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: usage)


def test_too_little_space_is_said_before_anything_is_asked(server, target, monkeypatch):
    url = server.at(lambda request, _: request.file())
    disk_with(monkeypatch, 10**9)
    with pytest.raises(InputError) as error:
        get(url, target, bytes_needed=166 * 10**9)
    assert one_line(error, "166G", "1.00G", target.parent)
    assert server.ranges() == []
    assert not target.parent.exists()


def test_what_was_received_counts_as_space(server, target, monkeypatch):
    url = server.at(lambda request, _: request.file(send=1_000_000))
    with pytest.raises(InputError):
        get(url, target, retries=0)
    disk_with(monkeypatch, 2_000_000)
    assert get(url, target, bytes_needed=3_000_000).read_bytes() == DATA


def test_a_file_larger_than_the_disk_is_not_begun(server, target, monkeypatch):
    url = server.at(lambda request, _: request.file())
    disk_with(monkeypatch, 2_999_999)
    with pytest.raises(InputError) as error:
        get(url, target)
    assert one_line(error, url, "3.00M")


def test_verify_accepts_and_keeps_aside(tmp_path):
    file = tmp_path / "a.tar.gz"
    file.write_bytes(DATA)
    verify(file, MD5)
    assert names(tmp_path) == ["a.tar.gz"]
    with pytest.raises(InputError) as error:
        verify(file, "0" * 32)
    assert one_line(error, file, MD5, "0" * 32)
    assert names(tmp_path) == ["a.tar.gz.damaged"]


# --- killed in the middle -------------------------------------------------------------------------


def kill_when(condition, script, *arguments):
    """Runs `script` in a process of its own and kills it as soon as `condition()` is true."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 20
        while not condition():
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL


FETCH = """
import sys
from pathlib import Path
from data.archives.fetch import fetch
fetch(sys.argv[1], Path(sys.argv[2]), md5=sys.argv[3])
"""

# Slowed down, so that there is a middle to be killed in.
UNPACK = """
import sys, time
from pathlib import Path
from data.archives import unpack_tar, unpacking
class Slow(unpack_tar.CallbackIOWrapper):
    def __init__(self, callback, stream):
        super().__init__(lambda n: time.sleep(0.01), stream)
unpack_tar.CallbackIOWrapper = Slow
unpacking.CHUNK_BYTES = unpack_tar.CHUNK_BYTES = 10_000
unpack_tar.unpack(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_a_killed_download_goes_on_where_it_was(server, target):
    url = server.at(lambda r, n: r.file(**({"send": 2_000_000, "stall": 30} if n == 1 else {})))
    part = target.with_name(target.name + ".part")
    arrived = 2_000_000 - io.DEFAULT_BUFFER_SIZE  # the rest may be in the process's buffer
    kill_when(lambda: part.exists() and part.stat().st_size >= arrived, FETCH, url, target, MD5)
    assert not target.exists()
    size = part.stat().st_size
    assert get(url, target, md5=MD5).read_bytes() == DATA
    assert server.ranges() == [0, size]
    assert names(target.parent) == [target.name]


def test_a_killed_unpacking_goes_on_where_it_was(tmp_path):
    files = {f"frames/video01/video01_{n:06d}.png": DATA[n : n + 20_000] for n in range(1, 41)}
    files["videos/video01.mp4"] = DATA
    archive = make_tar(tmp_path / "a.tar", files)
    target = tmp_path / "cholec80"
    side = target / "videos" / ".part-video01.mp4"
    kill_when(lambda: side.exists() and side.stat().st_size > 0, UNPACK, archive, target)
    assert side.stat().st_size < len(DATA)
    done = {path: path.stat().st_ino for path in target.rglob("*.png")}
    assert len(done) == 40
    assert not (target / "videos" / "video01.mp4").exists()
    unpack(archive, target)
    assert {path: path.stat().st_ino for path in done} == done  # not written again
    check_unpacked(target, files)


# --- unpacking ------------------------------------------------------------------------------------


def make_tar(path, files, mode="w"):
    """Writes a tar archive; `files` maps names to contents or to attributes of a special member."""
    with tarfile.open(path, mode) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
            else:
                for key, value in content.items():
                    setattr(member, key, value)
                tar.addfile(member)
    return path


def check_unpacked(target, files):
    assert names(target) == sorted(files)
    for name, content in files.items():
        assert (target / name).read_bytes() == content


FILES = {"videos/video01.mp4": DATA, "phase_annotations/video01-phase.txt": b"Frame\tPhase\n"}


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("prefix", ["", "./", "cholec80/", "./cholec80/"])
def test_unpack_puts_every_file_in_its_place(tmp_path, mode, prefix):
    members = {prefix or ".": {"type": tarfile.DIRTYPE}}
    members |= {prefix + "empty": {"type": tarfile.DIRTYPE}}
    members |= {prefix + name: content for name, content in FILES.items()}
    target = tmp_path / "out" / "cholec80"
    unpack(make_tar(tmp_path / "a.tar.gz", members, mode), target)
    check_unpacked(target, FILES)
    assert (target / "empty").is_dir()


def test_a_folder_with_another_name_is_kept(tmp_path):
    archive = make_tar(tmp_path / "a.tar", {"cholec80/a": b"1", "cholec80/cholec80/b": b"2"})
    unpack(archive, tmp_path / "ours")
    check_unpacked(tmp_path / "ours", {"cholec80/a": b"1", "cholec80/cholec80/b": b"2"})
    unpack(archive, tmp_path / "cholec80")
    check_unpacked(tmp_path / "cholec80", {"a": b"1", "cholec80/b": b"2"})


def test_unpacking_again_writes_only_what_is_missing(tmp_path):
    target = tmp_path / "cholec80"
    archive = make_tar(tmp_path / "a.tar.gz", FILES, "w:gz")
    unpack(archive, target)
    before = {name: (target / name).stat().st_ino for name in FILES}
    unpack(archive, target)
    assert {name: (target / name).stat().st_ino for name in FILES} == before
    (target / "videos/video01.mp4").write_bytes(b"short")
    (target / "phase_annotations/video01-phase.txt").unlink()
    unpack(archive, target)
    check_unpacked(target, FILES)


FOLDER = {"type": tarfile.DIRTYPE}


def link(to, kind=tarfile.SYMTYPE):
    return {"type": kind, "linkname": to}


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"../evil": b"x"}, "leads out"),
        ({"videos/../../evil": b"x"}, "leads out"),
        ({"videos/../evil": b"x"}, "leads out"),
        ({"cholec80/../../evil": b"x"}, "leads out"),
        ({"/evil": b"x"}, "leads out"),
        ({"{target}/evil": b"x"}, "leads out"),
        ({"..": b"x"}, "leads out"),
        ({"cholec80": b"x"}, "leads out"),
        ({".": b"x"}, "leads out"),
        ({"../evil": FOLDER}, "leads out"),
        ({"link": link(".."), "link/evil": b"x"}, "neither a file nor a folder"),
        ({"link": link("videos")}, "neither a file nor a folder"),
        ({"a": b"x", "link": link("a", tarfile.LNKTYPE)}, "neither a file nor a folder"),
        ({"link": link("../secret", tarfile.LNKTYPE)}, "neither a file nor a folder"),
        ({"pipe": {"type": tarfile.FIFOTYPE}}, "neither a file nor a folder"),
        ({"disk": {"type": tarfile.BLKTYPE, "devmajor": 8}}, "neither a file nor a folder"),
        ({"null": {"type": tarfile.CHRTYPE, "devmajor": 1}}, "neither a file nor a folder"),
        ({"nul": {"pax_headers": {"path": "nul\0byte"}}}, "embedded null"),
        ({"a": b"x", "./a": b"y"}, "twice"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_malicious_members_are_refused(tmp_path, members, reason):
    target = tmp_path / "out" / "cholec80"
    members = {name.format(target=target): content for name, content in members.items()}
    (tmp_path / "secret").write_bytes(b"secret")
    archive = make_tar(tmp_path / "a.tar", members)
    with pytest.raises(InputError) as error:
        unpack(archive, target)
    assert one_line(error, archive, reason)
    before = {"out/cholec80/a"} if "a" in members else set()  # the good file before the bad one
    there = {path for path in tmp_path.rglob("*") if path not in (target, target.parent)}
    assert {str(path.relative_to(tmp_path)) for path in there} == {"a.tar", "secret", *before}
    assert (tmp_path / "secret").read_bytes() == b"secret"


def test_links_from_earlier_times_are_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(b"before")
    target = tmp_path / "cholec80"
    target.mkdir()
    (target / "videos").symlink_to(outside)
    (target / "file").symlink_to(outside / "kept")
    (target / ".part-file").symlink_to(outside / "kept")
    for members in ({"videos/evil": b"x"}, {"videos/sub": {"type": tarfile.DIRTYPE}}):
        with pytest.raises(InputError, match="leads out of"):
            unpack(make_tar(tmp_path / "a.tar", members), target)
    unpack(make_tar(tmp_path / "a.tar", {"file": b"after!"}), target)  # as long as "before"
    assert names(outside) == ["kept"]
    assert (outside / "kept").read_bytes() == b"before"
    assert (target / "file").read_bytes() == b"after!"
    assert not (target / "file").is_symlink()


def test_a_target_that_is_a_link_itself_is_the_users_choice(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "cholec80").symlink_to(tmp_path / "disk")
    unpack(make_tar(tmp_path / "a.tar", FILES), tmp_path / "cholec80")
    check_unpacked(tmp_path / "disk", FILES)


def test_a_bomb_is_refused_before_it_is_written(tmp_path, monkeypatch):
    archive = make_tar(tmp_path / "a.tar.gz", {"a": b"x", "bomb": bytes(10**7)}, "w:gz")
    assert archive.stat().st_size < 20_000
    disk_with(monkeypatch, 10**6)
    with pytest.raises(InputError) as error:
        unpack(archive, tmp_path / "cholec80")
    assert one_line(error, archive, "bomb", "10.0M", "1.00M")
    check_unpacked(tmp_path / "cholec80", {"a": b"x"})


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path):
    comment = {"pax_headers": {"comment": "x" * unpack_tar.MAX_HEADER_BYTES}}
    archive = make_tar(tmp_path / "a.tar.gz", {"x": comment}, "w:gz")
    with pytest.raises(InputError) as error:
        unpack(archive, tmp_path / "cholec80")
    assert one_line(error, archive, "header of")


def test_a_negative_size_is_refused(tmp_path):
    member = tarfile.TarInfo("x")
    member.size = -(2**40)
    archive = tmp_path / "a.tar"
    archive.write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    with pytest.raises(InputError) as error:
        unpack(archive, tmp_path / "cholec80")
    assert one_line(error, archive, "'x'")


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_truncated_archive_is_never_taken_for_a_whole_one(tmp_path, mode):
    files = {f"video{n:02d}": DATA[n : n + 2000] for n in range(3)}
    archive = make_tar(tmp_path / "a.tar", files, mode)
    content = archive.read_bytes()
    ends = len(content.rstrip(b"\0")) if mode == "w" else len(content)
    cuts = [0, 1, 511, 512, 2560, 2561, 3072, 5120, 7679] if mode == "w" else range(0, ends, 97)
    for cut in [*cuts, ends - 1]:
        archive.write_bytes(content[:cut])
        target = tmp_path / f"cut{cut}"
        with pytest.raises(InputError) as error:
            unpack(archive, target)
        assert one_line(error, archive, "truncated")
        for path in target.rglob("*"):  # what is there is whole
            assert path.read_bytes() == files[path.name]
    archive.write_bytes(content)
    unpack(archive, target)  # and the rest comes, once the archive is
    check_unpacked(target, files)


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path):
    archive = make_tar(tmp_path / "a.tar", {"video01": DATA, "video02": DATA})
    archive.write_bytes(archive.read_bytes().replace(b"video02", b"video03"))
    with pytest.raises(InputError) as error:
        unpack(archive, tmp_path / "cholec80")
    assert one_line(error, archive, "damaged", "bad checksum")


def test_a_damaged_gzip_stream_is_named(tmp_path):
    labels = b"".join(b"%d\tPreparation\n" % frame for frame in range(5000))
    archive = make_tar(tmp_path / "a.tar.gz", {"labels": labels}, "w:gz")
    content = archive.read_bytes()
    for place in range(12, len(content) - 4, 97):  # header, deflate stream, checksum
        archive.write_bytes(content[:place] + b"\xff\0\xff\0" + content[place + 4 :])
        with pytest.raises(InputError) as error:
            unpack(archive, tmp_path / str(place))
        assert one_line(error, archive, "damaged")


@pytest.mark.parametrize("content", [b"", b"PK\3\4" + DATA, DATA, gzip.compress(DATA)])
def test_what_is_no_tar_archive_is_named(tmp_path, content):
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(content)
    with pytest.raises(InputError) as error:
        unpack(archive, tmp_path / "cholec80")
    assert one_line(error, archive, "no .tar or .tar.gz")
    assert not (tmp_path / "cholec80").exists()


def test_progress_counts_every_byte_of_the_archive(tmp_path, monkeypatch):
    bars, seen = [], []
    make, place = room.progress_bar, unpack_tar._destination
    monkeypatch.setattr(
        unpack_tar, "progress_bar", lambda *a, **k: bars.append(make(*a, **k)) or bars[-1]
    )
    monkeypatch.setattr(unpack_tar, "_destination", lambda *a: seen.append(bars[-1].n) or place(*a))
    archive = make_tar(tmp_path / "a.tar", FILES)
    for _ in range(2):  # written; then jumped over
        unpack(archive, tmp_path / "cholec80")
        assert bars[-1].n == archive.stat().st_size
        assert seen.pop() > len(DATA)  # at the second file, the first counts
