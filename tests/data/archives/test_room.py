"""Room on the disk is looked at before anything is fetched or written."""

import pytest

from data.archives.unpack_tar import unpack
from data.common.errors import InputError
from tests.support.archives import DATA, check_unpacked, disk_with, make_tar, one_line
from tests.support.misbehaving_server import get


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


def test_a_bomb_is_refused_before_it_is_written(tmp_path, monkeypatch):
    archive = make_tar(tmp_path / "a.tar.gz", {"a": b"x", "bomb": bytes(10**7)}, "w:gz")
    assert archive.stat().st_size < 20_000
    disk_with(monkeypatch, 10**6)
    with pytest.raises(InputError) as error:
        unpack(archive, tmp_path / "cholec80")
    assert one_line(error, archive, "bomb", "10.0M", "1.00M")
    check_unpacked(tmp_path / "cholec80", {"a": b"x"})
