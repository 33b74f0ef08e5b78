"""Unpacking tar archives: whole, or an error; a stopped unpacking goes on."""

import gzip
import tarfile

import pytest

from data.archives import room, unpack_tar
from data.archives.unpack_tar import unpack
from data.common.errors import InputError
from tests.support.archives import DATA, FILES, check_unpacked, kill_when, make_tar, one_line


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
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


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_a_damaged_stream_is_named(tmp_path, kind):
    labels = b"".join(b"%d\tPreparation\n" % frame for frame in range(5000))
    archive = make_tar(tmp_path / f"a.tar.{kind}", {"labels": labels}, f"w:{kind}")
    content = archive.read_bytes()
    for place in range(12, len(content) - 4, 97):  # header, deflate stream, checksum
        archive.write_bytes(content[:place] + b"\xff\0\xff\0" + content[place + 4 :])
        with pytest.raises(InputError) as error:
            unpack(archive, tmp_path / str(place))
        assert one_line(error, archive, "damaged")


@pytest.mark.parametrize("content", [b"", DATA, gzip.compress(DATA)])
def test_what_is_no_tar_archive_is_named(tmp_path, content):
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(content)
    with pytest.raises(InputError) as error:
        unpack(archive, tmp_path / "cholec80")
    assert one_line(error, archive, "not a .tar or .tar.gz")
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
