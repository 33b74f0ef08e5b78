"""Cholec80's archive: fetched, checked and unpacked into a dataset directory."""

from pathlib import Path, PurePosixPath
from urllib.parse import urlparse

from data.archives import fetch, unpack_tar
from data.archives.unpacking import TARS, check_kind, filling, is_tar
from data.common.errors import InputError
from data.common.logs import logger
from data.dataset import cholec80


def unpack_archive(root: Path, url: str, archive: Path | None, verify: bool, keep: bool) -> None:
    """Fetches Cholec80's archive, or takes one that is there, and unpacks it into `root`.

    Args:
      root: dataset directory.
      url: where to fetch it; it is written beside `root`.
      archive: a file to take instead; it is not deleted.
      verify: whether to compare the MD5.
      keep: whether a fetched archive is kept.

    Raises:
      InputError: what `data.archives.fetch` raises.
    """
    md5 = cholec80.ARCHIVE_MD5 if verify else None
    if archive is None:
        target = root.parent / PurePosixPath(urlparse(url).path).name
        needed = cholec80.ARCHIVE_BYTES_NEEDED
        path = fetch.fetch(url, target, md5=md5, bytes_needed=needed)
    else:
        path = archive
        check_archive(path)
        if md5:
            fetch.verify(path, md5)
    check_kind(path, TARS)
    with filling(root):
        unpack_tar.unpack(path, root)
    if archive is None and not keep:
        path.unlink()
        logger.info("%s: unpacked and deleted", path)


def check_archive(path: Path) -> None:
    """Raises `InputError` for a file that `unpack_archive` cannot take."""
    check_kind(path, TARS)
    if not is_tar(path):
        raise InputError(f"{path}: not a tar archive ({', '.join(TARS)}), or cut off")
