import functools
import http.server
import tarfile
import threading

import pytest

from data.archives.cholec80_archive import unpack_archive
from data.archives.unpacking import needs_archive
from data.common.errors import InputError
from data.dataset import cholec80
from data.preparation.media import has_media


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def url(tmp_path):
    """Where a small cholec80.tar.gz is served."""
    (tmp_path / "served").mkdir()
    (tmp_path / "video01.mp4").write_text("a video")
    with tarfile.open(tmp_path / "served" / "cholec80.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "video01.mp4", "cholec80/videos/video01.mp4")
    handler = functools.partial(_Quiet, directory=tmp_path / "served")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/cholec80.tar.gz"
        server.shutdown()


@pytest.mark.parametrize("keep", [False, True])
def test_an_archive_is_fetched_unpacked_and_deleted(tmp_path, url, keep, monkeypatch):
    monkeypatch.setattr(cholec80, "ARCHIVE_BYTES_NEEDED", 0)
    root = tmp_path / "out" / "cholec80"
    assert needs_archive(root, has_media)
    unpack_archive(root, url, None, verify=False, keep=keep)
    assert (root / "videos" / "video01.mp4").read_text() == "a video"
    assert not needs_archive(root, has_media)
    assert (tmp_path / "out" / "cholec80.tar.gz").exists() == keep


def test_an_archive_with_another_checksum_is_not_unpacked(tmp_path, url, monkeypatch):
    monkeypatch.setattr(cholec80, "ARCHIVE_BYTES_NEEDED", 0)
    with pytest.raises(InputError, match="MD5"):
        unpack_archive(tmp_path / "out" / "cholec80", url, None, verify=True, keep=False)
    assert not (tmp_path / "out" / "cholec80").exists()


def test_a_full_disk_is_said_before_anything_is_fetched(tmp_path, url, monkeypatch):
    monkeypatch.setattr(cholec80, "ARCHIVE_BYTES_NEEDED", 10**18)
    with pytest.raises(InputError, match="free"):
        unpack_archive(tmp_path / "out" / "cholec80", url, None, verify=False, keep=False)
    assert not (tmp_path / "out" / "cholec80.tar.gz").exists()


def test_what_is_no_archive_leaves_nothing(tmp_path):
    (tmp_path / "archive.tar.gz").write_text("not an archive")
    with pytest.raises(InputError, match="not a tar"):
        unpack_archive(tmp_path / "set", "", tmp_path / "archive.tar.gz", False, False)
    assert not (tmp_path / "set").exists()
