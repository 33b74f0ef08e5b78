"""Fetching from a server that breaks off: what was received is kept and completed."""

import hashlib
import io
import time

import pytest

from data.archives.fetch import verify
from data.common.errors import InputError
from tests.support.archives import DATA, kill_when, names, one_line
from tests.support.misbehaving_server import MD5, OTHER, get


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
    assert one_line(error, "4 failed attempts", "received 1000000 bytes of 3000000")


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


def test_a_part_without_its_note_is_not_trusted(server, target):
    target.parent.mkdir()
    target.with_name(target.name + ".part").write_bytes(OTHER[:1000])
    assert get(server.at(lambda request, _: request.file()), target).read_bytes() == DATA
    assert server.ranges() == [0]


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


def test_verify_accepts_and_keeps_aside(tmp_path):
    file = tmp_path / "a.tar.gz"
    file.write_bytes(DATA)
    verify(file, MD5)
    assert names(tmp_path) == ["a.tar.gz"]
    with pytest.raises(InputError) as error:
        verify(file, "0" * 32)
    assert one_line(error, file, MD5, "0" * 32)
    assert names(tmp_path) == ["a.tar.gz.damaged"]


FETCH = """
import sys
from pathlib import Path
from data.archives.fetch import fetch
fetch(sys.argv[1], Path(sys.argv[2]), md5=sys.argv[3])
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
