"""Fetching, verifying and unpacking an archive that takes hours; each goes on where it stopped.

A file has its own name only once it is complete, and nothing is written outside the target,
whatever a server or an archive says.
"""

import functools
import hashlib
import json
import re
import time
from pathlib import Path

import requests
import urllib3

from data.archives.room import CHUNK_BYTES, progress_bar, require_space
from data.common.errors import InputError
from data.common.logs import logger

MAX_WAIT = 120.0  # seconds between two attempts, whatever back-off or server ask for
_new_md5 = functools.partial(hashlib.md5, usedforsecurity=False)  # some machines forbid it else


def fetch(
    url: str,
    target: Path,
    *,
    md5: str | None = None,
    bytes_needed: int = 0,
    retries: int = 5,
    timeout: float = 30.0,
    backoff: float = 1.0,
) -> Path:
    """Downloads `url` to `target`; a broken download goes on where it stopped, in later calls too.

    Bytes are collected in `<target>.part`. A target that exists is verified, not fetched again.

    Args:
      url: http or https address.
      target: the file to write, and what is returned; missing folders are made.
      md5: checksum in hexadecimal; None for no check.
      bytes_needed: disk space that the whole job takes; what was received already counts.
      retries: how many failed attempts in a row, none with new bytes, may follow the first one.
      timeout: seconds without a sign from the server after which an attempt has failed.
      backoff: seconds before the next attempt; they double with each failure in a row.

    Raises:
      InputError: the server refuses or keeps failing, the disk is too small, or the checksum is
        another one (the file is then kept as `<target>.damaged`).
    """
    if target.exists():
        if md5 is not None:
            verify(target, md5)
        return target
    part = _Part(target, hashed=md5 is not None)
    require_space(target.parent, bytes_needed - part.size, url)
    failures, furthest = 0, part.size
    while part.wanted:
        try:
            _receive(url, part, timeout)
        except _BrokenError as error:
            # Only new ground counts: a server that starts over each time would go on for ever.
            failures = 1 if part.size > furthest else failures + 1
            furthest = max(furthest, part.size)
            if failures > retries:
                raise InputError(
                    f"{url}: gave up after {failures} failed attempts in a row (the last one: "
                    f"{error}); try again later; what was received is kept"
                ) from error
            wait = min(max(backoff * 2 ** (failures - 1), error.wait), MAX_WAIT)
            logger.warning("%s: %s; trying again in %.0f s", url, error, wait)
            time.sleep(wait)
    try:
        if md5 is not None:
            _compare(part.path, target, part.digest.hexdigest(), md5)
        part.path.replace(target)
    finally:
        part.note.unlink(missing_ok=True)
    return target


def verify(path: Path, md5: str) -> None:
    """Raises `InputError` if a file's MD5 is another one; it is then kept as `<path>.damaged`."""
    _compare(path, path, _hash(path).hexdigest(), md5)


class _BrokenError(Exception):
    """An attempt failed in a way that may pass; `wait` is how many seconds the server asked for."""

    def __init__(self, reason: object, wait: float = 0.0):
        super().__init__(reason)
        self.wait = wait


class _Part:
    """The bytes received so far.

    Attributes:
      path: the file that holds them.
      note: a file beside it that keeps `version` and `total` for later calls.
      size: how many there are.
      version: the server's name for the content they are of (ETag or Last-Modified), or None.
      total: how many there will be; None where the server does not say.
      digest: their MD5, if `hashed`.
    """

    def __init__(self, target: Path, hashed: bool):
        self.path = target.with_name(f"{target.name}.part")
        self.note = target.with_name(f"{target.name}.part.json")
        self.hashed = hashed
        try:
            note = json.loads(self.note.read_text())
            self.version, self.total = note["version"], note["total"]
            self.size = self.path.stat().st_size
        except (FileNotFoundError, ValueError):  # without its note, nobody knows what a part is of
            self.version, self.total, self.size = None, None, 0
        self.digest = _hash(self.path) if hashed and self.size else _new_md5()

    @property
    def wanted(self) -> int:
        """How many bytes to read next: never more than were announced, 0 if nothing is missing."""
        return CHUNK_BYTES if self.total is None else min(CHUNK_BYTES, self.total - self.size)

    def start(self, version: str | None = None, total: int | None = None) -> None:
        """Drops what is there, to begin with the first byte of this version."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(b"")  # first: old bytes must never be taken for the new version's
        self.note.write_text(json.dumps({"version": version, "total": total}))
        self.version, self.total, self.size, self.digest = version, total, 0, _new_md5()


def _receive(url: str, part: _Part, timeout: float) -> None:
    """One attempt: asks for the bytes that are missing and appends what comes.

    Raises `_BrokenError` if another attempt may bring the rest, `InputError` if none would.
    """
    headers = {"Accept-Encoding": "identity"}  # sizes and ranges are then the file's own
    if part.size:
        headers["Range"] = f"bytes={part.size}-"
        if part.version is not None:
            headers["If-Range"] = part.version
    try:
        with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
            _read_head(url, response, part)
            if part.total is not None:
                require_space(part.path.parent, part.total - part.size, url)
            bar = progress_bar(f"fetching {part.path.stem}", part.total, initial=part.size)
            with part.path.open("ab") as file, bar:
                # read1: what arrived before a break is kept. Undecoded: some servers declare a
                # .tar.gz to be a compressed .tar.
                while chunk := response.raw.read1(part.wanted, decode_content=False):
                    file.write(chunk)
                    part.size += len(chunk)
                    if part.hashed:
                        part.digest.update(chunk)
                    bar.update(len(chunk))
    except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
        reason = next(iter(error.args), error)  # without what urllib3 wraps around it
        raise _BrokenError(getattr(reason, "reason", reason)) from error
    except requests.RequestException as error:
        raise InputError(f"{url}: {error}") from error
    if part.total is None:  # then the end of the answer is all that tells
        part.total = part.size
    if part.wanted:
        raise _BrokenError(f"received {part.size} bytes of {part.total}")


def _read_head(url: str, response: requests.Response, part: _Part) -> None:
    """Makes `part` end where the body of this answer begins; raises what `_receive` raises."""
    status = response.status_code
    answer = f"the server answered {status} {response.reason}"
    if status in (408, 429) or status >= 500:
        raise _BrokenError(answer, wait=urllib3.Retry().get_retry_after(response) or 0.0)
    if status not in (200, 206, 416):
        raise InputError(f"{url}: {answer}; expected an address that is open to everyone")
    etag = response.headers.get("ETag", "W/")  # a weak one does not promise equal bytes
    version = response.headers.get("Last-Modified") if etag.startswith("W/") else etag
    if status == 200:
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise InputError(f"{url}: a web page; expected the address of the file itself")
        if part.size:
            logger.warning("%s: changed, or cannot be resumed; starting again", url)
        length = response.headers.get("Content-Length", "")
        part.start(version, int(length) if length.isdecimal() else None)
        return
    offered = response.headers.get("Content-Range", "no range")
    if status == 416 and offered == f"bytes */{part.size}":
        part.total = part.size
        return
    match = re.fullmatch(rf"bytes {part.size}-\d+/(\d+|\*)", offered)
    total = int(match[1]) if match and match[1] != "*" else part.total
    same = part.total in (None, total) and version in (None, part.version)
    if not match or not same:
        reason = f"bytes from {part.size} asked for, {offered} of another file or place offered"
        part.start()  # the next attempt asks for all of it
        raise _BrokenError(reason)
    part.total = total


def _hash(path: Path):
    """MD5 of a file; a progress bar appears where that takes longer than a second."""
    digest = _new_md5()
    bar = progress_bar(f"checking {path.name}", path.stat().st_size, delay=1)
    with path.open("rb") as file, bar:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            bar.update(len(chunk))
    return digest


def _compare(path: Path, target: Path, actual: str, md5: str) -> None:
    """Raises `InputError` if a checksum is another one, and keeps the file aside."""
    if actual != md5.lower():
        aside = path.replace(target.with_name(f"{target.name}.damaged"))
        raise InputError(
            f"{target}: MD5 is {actual}; expected {md5}; kept as {aside}; fetch it again"
        )
