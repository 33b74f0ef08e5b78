"""What servers answer that is wrong, another file, or a reason to wait."""

import email.utils
import gzip
import hashlib
import socket

import pytest

from data.archives import fetch as archives_fetch
from data.common.errors import InputError
from tests.support.archives import (
    DATA,
    names,
    one_line,
)
from tests.support.misbehaving_server import MD5, OTHER, get


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
